# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of this package and its changes: files and services of dnsmasq. Pure."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.reconcile import CHANGE, Change, Plan, text_change
from .hosts_files import as_config_lines, hosts_file_network
from .state import State, is_forward
from .system_service import UNIT
from .target import Target


@dataclass(frozen=True)
class FragmentChange(Change):
    """A file to write, or with ``content`` None to remove. With neither ``file`` nor ``path``: a service alone.

    - ``file``: the name of a fragment of the system's dnsmasq. ``path``: the path of any other file.
    - ``instance``: the private instance that has to be started, restarted or stopped for it, '' for none.
    - ``reloadable``: dnsmasq reads the file again on SIGHUP, so that no restart is needed.
    - ``hosts_files``: hosts files that are created or removed with this fragment, path to content.
    - ``shown_path``: the path in the header of the diff, if it is not ``path``.
    """

    file: str = ""
    content: str | None = None
    path: str = ""
    instance: str = ""
    reloadable: bool = False
    hosts_files: Mapping[str, str | None] = field(default_factory=dict)
    shown_path: str = ""

    @property
    def header(self) -> str:
        """The network and its file, or the service."""
        path = self.shown_path or self.path
        return f"{self.name}: {path}" if path else self.name

    @property
    def concerns_file(self) -> bool:
        """Whether a file changes, not a service alone."""
        return bool(self.file or self.path)


def _required() -> Any:
    raise TypeError("a FragmentsPlan needs the current state and the target")


@dataclass(frozen=True)
class FragmentsPlan(Plan[FragmentChange]):
    """The plan, with the current state from which it was made and the target to which it leads."""

    current: State = field(default_factory=_required)
    target: Target = field(default_factory=_required)

    @property
    def fragments(self) -> dict[str, str | None]:
        """Fragments of the system's dnsmasq that change, file name to content; None: removed."""
        return {change.file: change.content for change in self.changes if change.file}

    @property
    def other_files(self) -> dict[str, str | None]:
        """All other files that change, path to content; None: removed."""
        files = {change.path: change.content for change in self.changes if change.path}
        return {**files, **{path: text for change in self.changes for path, text in change.hosts_files.items()}}

    @property
    def reloadable_files(self) -> list[str]:
        """Those of the other files that dnsmasq reads again on SIGHUP."""
        return [change.path for change in self.changes if change.reloadable]

    @property
    def changed_names(self) -> set[str]:
        """The networks and units that change."""
        return {change.name for change in self.changes}

    @property
    def changed_instances(self) -> set[str]:
        """Private instances that have to be started, restarted or stopped."""
        return {change.instance for change in self.changes if change.instance}

    @property
    def restarts_system_alone(self) -> bool:
        """Whether the system's dnsmasq has to be started or restarted although none of its files changes."""
        return any(change.name == UNIT and not change.concerns_file for change in self.changes)


def file_change(
    name: str,
    shown_name: str,
    before: str | None,
    after: str | None,
    *,
    file: str = "",
    path: str = "",
    instance: str = "",
    reason: str = "",
    shown_path: str = "",
) -> FragmentChange:
    """The change of a file of network or unit ``name``; ``reason``: why a private instance serves the network."""
    if before is None:
        purpose = " for another dnsmasq" if file and is_forward(after or "") else ""
        detail = f"{shown_name} created{purpose}" + (f" ({reason})" if reason else "")
    elif after is None:
        detail = f"{shown_name} removed"
    else:
        lines = set(before.splitlines()) ^ set(after.splitlines())
        options = sorted({line.partition("=")[0] for line in lines if not line.startswith("#")})
        detail = f"{shown_name} changed ({', '.join(options) or 'form'})"
    return text_change(
        FragmentChange,
        name,
        before,
        after,
        detail=detail,
        file=file,
        content=after,
        path=path,
        instance=instance,
        shown_path=shown_path,
    )


def service_change(name: str, before: str, after: str, detail: str, *, instance: str = "") -> FragmentChange:
    """A service that has to be started, stopped or restarted, or that systemd shall start at boot or not."""
    return FragmentChange(
        action=CHANGE, name=name, before=f"{before}\n", after=f"{after}\n", detail=detail, instance=instance
    )


def with_hosts_files(changes: Sequence[FragmentChange], target: Target, current: State) -> list[FragmentChange]:
    """These changes and those of hosts files.

    Hosts files that are created or removed together with their fragment belong to the fragment's change.
    """
    joined: dict[str, dict[str, str | None]] = {}
    separate = []
    restarted = {change.name for change in changes if change.concerns_file}
    for path in sorted({*current.private_files, *target.private_files}):
        network = hosts_file_network(path)
        before, after = current.private_files.get(path), target.private_files.get(path)
        if not network or before == after:
            continue
        if network in restarted and (before is None or after is None):
            joined.setdefault(network, {})[path] = after
        else:
            separate.append(_hosts_file_change(network, path, before, after, restarted))
    return [*(_joined(change, joined.pop(change.name, {}), current) for change in changes), *separate]


def _hosts_file_change(
    network: str, path: str, before: str | None, after: str | None, restarted: Collection[str]
) -> FragmentChange:
    shown_name = os.path.join(*path.split(os.sep)[-2:])
    change = file_change(network, shown_name, before, after, path=path)
    detail = change.detail if before is None or after is None else f"{shown_name} changed"
    detail += "" if network in restarted else ", read without a restart"
    return replace(change, detail=detail, reloadable=True)


def _joined(change: FragmentChange, hosts_files: Mapping[str, str | None], current: State) -> FragmentChange:
    """A fragment's change with its hosts files; those with rows are shown in the diff."""
    before, after = change.before, change.after
    for path, content in hosts_files.items():
        old = current.private_files.get(path) or ""
        before += f"# {path}:\n{old}" if as_config_lines(path, old) else ""
        after += f"# {path}:\n{content}" if as_config_lines(path, content or "") else ""
    return replace(change, before=before, after=after, hosts_files=hosts_files) if hosts_files else change
