#!/usr/bin/python
# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: another module of this collection, by an engine that is sent along."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sent_engine
short_description: Another module of this collection, by an engine that is sent along
version_added: 1.1.0
author:
  - virtnet.linux contributors (@virtnet)
description:
  - The other modules of this collection use it by themselves where the host does not have their engine yet. There is
    no reason to call it.
  - Ansible packs what a module needs once for each module of a run, which takes seconds. This one is the same for all.
extends_documentation_fragment:
  - virtnet.linux.attributes
options:
  task:
    description: The module that is to run.
    choices: [bridge, dnsmasq_fragment, host, libvirt_adopt, libvirt_network, nft_nat, resolvconf_entry, virt_network,
      virt_network_info]
    type: str
    required: true
  arguments:
    description: The options of that module, complete and of the right types.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: What networks a host holds is known, whatever engine it has
  virtnet.linux.sent_engine:
    task: virt_network_info
    arguments:
      names: []
"""

RETURN = r""" # """

from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.tasks.registry import TASKS

if TYPE_CHECKING:
    from ..module_utils.cli import main as _cli  # noqa: F401


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "task": {"type": "str", "required": True, "choices": sorted(TASKS)},
            "arguments": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    task = TASKS[module.params["task"]]
    module.params = module.params["arguments"]
    task(module)


if __name__ == "__main__":
    main()
