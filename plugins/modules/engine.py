#!/usr/bin/python
# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: another module of this collection, by the engine that the host has already."""

from __future__ import annotations

DOCUMENTATION = r"""
module: engine
short_description: Another module of this collection, by the engine that the host has already
version_added: 1.0.0
author:
  - virtnet.linux contributors (@virtnet)
description:
  - The other modules of this collection use it by themselves. There is no reason to call it.
  - A module brings the whole engine along, to be packed, sent, unpacked and compiled for every task. Where the host
    has the same engine from the module M(virtnet.linux.host), that one runs instead, with the same result.
extends_documentation_fragment:
  - virtnet.linux.attributes
  - virtnet.linux.order
options:
  digest:
    description: What the engine's files must hash to.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: What networks a host holds is known, if it has this very engine
  virtnet.linux.engine:
    task: virt_network_info
    digest: 0f343b0931126a20f133d67c2b018a3b
    arguments:
      names: []
"""

RETURN = r"""
engine_differs:
  description: The host has no engine, or another one. Nothing was done.
  returned: when it is so
  type: bool
"""

import hashlib
import sys
from importlib import import_module
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

HOME = Path("/usr/local/lib/virtnet")
ARGUMENTS = {
    "task": {"type": "str", "required": True},
    "digest": {"type": "str", "required": True},
    "arguments": {"type": "dict", "required": True},
}


def digest(folder: Path) -> str:
    """The hash of the files of an engine; the action plugins compute the same on the controller."""
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        name = file.relative_to(folder).as_posix()
        # On a host this file has another text.
        if name != "__init__.py":
            total.update(f"{name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        same = digest(HOME / "engine") == module.params["digest"]
    except OSError:
        same = False
    if not same:
        module.exit_json(changed=False, engine_differs=True)
    sys.path.insert(0, str(HOME))
    import_module("engine.tasks.registry").run_order(module)


if __name__ == "__main__":
    main()
