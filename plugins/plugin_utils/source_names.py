# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names of hosts and groups that the sources of an inventory have, those of Ansible itself included."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.inventory.manager import InventoryManager

# Groups that every inventory has, the controller's names (which Ansible connects to without ssh), magic variables.
ANSIBLE = frozenset({"all", "ungrouped", *C.LOCALHOST, *C.INTERNAL_STATIC_VARS})


@dataclass(frozen=True)
class SourceNames:
    """Names in use. ``vacant``: groups without hosts, written for hosts that another source adds."""

    hosts: frozenset[str]
    groups: frozenset[str]
    vacant: frozenset[str]

    @property
    def all(self) -> frozenset[str]:
        """Hosts, groups and Ansible's own names."""
        return self.hosts | self.groups | ANSIBLE


def names_in(sources: Collection[str], loader: Any, present: Any) -> SourceNames:
    """Hosts and groups of the sources, and of the inventory as far as Ansible has parsed it.

    ``present``: the InventoryData of the run. Guests of another file of this plugin count there as hosts; its groups
    do not count, because they are shared. Raises AnsibleError where the configuration demands it of a bad source.
    """
    hosts = set(present.hosts)
    groups = {name: group.get_hosts() for name, group in present.groups.items() if not _is_of_guests(group)}
    if sources:
        manager = InventoryManager(loader=loader, sources=list(sources))
        hosts |= set(manager.hosts)
        for name, group in manager.groups.items():
            groups[name] = [*groups.get(name, ()), *group.get_hosts()]
    vacant = frozenset(name for name, members in groups.items() if not members)
    return SourceNames(frozenset(hosts), frozenset(groups), vacant - ANSIBLE)


def _is_of_guests(group: Any) -> bool:
    members = group.get_hosts()
    return bool(members) and all("virtnet_host" in host.vars for host in members)


def sources_of_run(path: str) -> list[str]:
    """The other sources that this run of Ansible has, before and after this file: all of ``-i``, or the configured."""
    given: Iterable[str] = context.CLIARGS.get("inventory") or ()
    return [source for source in given if "," in source or Path(source).resolve() != Path(path).resolve()]


def arguments_for_hosts() -> list[str]:
    """Arguments of this run for the connections to hosts and the decryption of their variables."""
    given = context.CLIARGS
    options = (
        ("user", "remote_user"),
        ("private-key", "private_key_file"),
        ("ssh-common-args", "ssh_common_args"),
        ("ssh-extra-args", "ssh_extra_args"),
    )
    arguments = [f"--{name}={given[key]}" for name, key in options if given.get(key)]
    # Nobody can be asked by the process that asks the hosts.
    vault_ids = [one for one in given.get("vault_ids") or () if not one.endswith("prompt")]
    files = given.get("vault_password_files") or ()
    return [*arguments, *(f"--vault-id={one}" for one in vault_ids), *(f"--vault-password-file={one}" for one in files)]
