# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module is asked that runs another module of this collection."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of the modules that run another one."""

    DOCUMENTATION = r"""
options:
  task:
    description: The module that is to run.
    type: str
    required: true
  arguments:
    description: The options of that module, complete and of the right types.
    type: dict
    required: true
"""
