# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes of files and services of dnsmasq as the user is told of them. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..core.reconcile import CHANGE, CREATE, DELETE, Change
from .hosts_files import configuration, network_of
from .state import State
from .target import Target, is_forward


@dataclass(frozen=True)
class FragmentChange(Change):
    """A file to write, or with ``content`` None to remove; with neither name, only a service is concerned.

    ``file`` is a fragment of the system's dnsmasq, ``path`` any other file; ``instance`` the private instance that has
    to be started, restarted or stopped for it. ``quiet``: it is enough to have the file read again. ``beside`` are
    files that come and go with a fragment, path to content. ``place`` is shown over the diff.
    """

    file: str = ""
    content: str | None = None
    path: str = ""
    instance: str = ""
    quiet: bool = False
    beside: Mapping[str, str | None] = field(default_factory=dict)
    place: str = ""

    @property
    def header(self) -> str:
        """The network and its file, or the service."""
        return f"{self.name}: {self.place}" if self.place else self.name


def file_change(
    name: str,
    shown: str,
    before: str | None,
    after: str | None,
    path: str = "",
    instance: str = "",
    *,
    file: str = "",
    reason: str = "",
    place: str = "",
) -> FragmentChange:
    kind = CREATE if before is None else DELETE if after is None else CHANGE
    if before is None:
        whose = " for another dnsmasq" if file and is_forward(after or "") else ""
        detail = f"{shown} created{whose}" + (f" ({reason})" if reason else "")
    elif after is None:
        detail = f"{shown} removed"
    else:
        different = set(before.splitlines()) ^ set(after.splitlines())
        options = sorted({line.partition("=")[0] for line in different if not line.startswith("#")})
        detail = f"{shown} changed ({', '.join(options) or 'form'})"
    return FragmentChange(
        kind, name, before or "", after or "", detail, file, after, path, instance, place=place or path
    )


def service_change(name: str, before: str, after: str, detail: str, instance: str = "") -> FragmentChange:
    return FragmentChange(CHANGE, name, f"{before}\n", f"{after}\n", detail, instance=instance)


def with_hosts_files(changes: Sequence[FragmentChange], wanted: Target, current: State) -> list[FragmentChange]:
    """The files that fragments name: those that come or go with their fragment belong to its change."""
    beside: dict[str, dict[str, str | None]] = {}
    others = []
    restarted = {change.name for change in changes if change.file or change.path}
    for path in sorted({*current.private, *wanted.private}):
        network, have, want = network_of(path), current.private.get(path), wanted.private.get(path)
        if not network or have == want:
            continue
        if network in restarted and (have is None or want is None):
            beside.setdefault(network, {})[path] = want
        else:
            shown = os.path.join(*path.split(os.sep)[-2:])
            change = file_change(network, shown, have, want, path)
            detail = change.detail if have is None or want is None else f"{shown} changed"
            detail += "" if network in restarted else ", read without a restart"
            others.append(replace(change, detail=detail, quiet=True))
    done = [_joined(change, beside.pop(change.name, {}), current) for change in changes]
    return [*done, *others]


def _joined(change: FragmentChange, beside: Mapping[str, str | None], current: State) -> FragmentChange:
    """A fragment's change with that of its files; in the diff each of these that says something."""
    before, after = change.before, change.after
    for path, content in beside.items():
        gone = current.private.get(path) or ""
        before += f"# {path}:\n{gone}" if configuration(path, gone) else ""
        after += f"# {path}:\n{content}" if configuration(path, content or "") else ""
    return replace(change, before=before, after=after, beside=beside) if beside else change
