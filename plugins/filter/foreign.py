# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible filter: networks of others as an inventory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.virtnet.linux.plugins.plugin_utils.foreign import as_inventory


def foreign_inventory(answers: Any) -> str:
    """The networks of others of all hosts, as YAML."""
    if not isinstance(answers, Mapping):
        raise AnsibleFilterError("give what virt_network_info returned with gather=foreign, by the name of the host")
    return as_inventory(answers)


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """By its name."""
        return {"foreign_inventory": foreign_inventory}
