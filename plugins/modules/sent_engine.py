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
  - virtnet.linux.order
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

from ..module_utils.tasks.registry import run_order

if TYPE_CHECKING:
    from ..module_utils.cli import main as _cli  # noqa: F401

ARGUMENTS = {
    "task": {"type": "str", "required": True},
    "arguments": {"type": "dict", "required": True},
}


def main() -> None:
    """Entry point."""
    run_order(AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True))


if __name__ == "__main__":
    main()
