# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module of this collection promises."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes that all modules share."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and say what would change without changing it.
    support: full
  diff_mode:
    description: Says in diff mode what changes, or would change in C(check_mode).
    support: full
  idempotent:
    description: A second run with the same options changes nothing and says so.
    support: full
  platform:
    description: The systems that this module works on.
    platforms: linux
    support: full
  action_group:
    description: Use C(group/virtnet.linux.all) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - virtnet.linux.all
"""

    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode); it never changes anything.
    support: full
  diff_mode:
    description: It changes nothing, so there is nothing to show.
    support: N/A
"""
