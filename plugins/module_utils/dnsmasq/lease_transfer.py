# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks that go from one dnsmasq to another, and their leases with them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..core.untrusted import UnusableFile, set_aside
from .lease_file import Leases, lease_file_fault, read_leases, write_leases
from .private_files import Layout
from .spec import FragmentSpec
from .state import State
from .system_config import fragment_file
from .target import Target, is_forward, membership


@dataclass(frozen=True)
class Move:
    """Leases of a network that another dnsmasq gave; ``sources`` and ``goal`` are lease files."""

    spec: FragmentSpec
    sources: Sequence[str]
    goal: str


def find_moves(
    current: State, target: Target, layout: Layout, files: Mapping[str, str], waiting: Sequence[str] = ()
) -> list[Move]:
    """Networks that come to another dnsmasq, or to one that may not know of what an earlier one gave.

    ``files`` are the lease files of the private instances, and under '' that of the system's dnsmasq; those ``waiting``
    were taken over from libvirt.
    """
    here = membership(current, layout)
    found = []
    for choice in target.choices:
        name = choice.spec.name
        if choice.instance:
            there = any(member.network == name for member in here.get(choice.instance, ()))
        else:
            there = not is_forward(text := current.files.get(fragment_file(name), "")) and bool(text)
        if there:
            continue
        goal = files[choice.instance]
        sources = [path for path in (*files.values(), *waiting) if path != goal]
        if any(lease.within(choice.spec.subnets) for path in sources for lease in _usable(path).leases):
            found.append(Move(choice.spec, sources, goal))
    return found


def carry(moves: Sequence[Move], files: Iterable[str]) -> dict[str, Leases | None]:
    """Copy leases to where their networks go; returns what the files held.

    Nothing is taken out of a file: who is interrupted here, or goes back, has all of them. What stays behind is for
    addresses that its dnsmasq does not serve any more, and ends by itself. ``files`` are those of all dnsmasqs. What
    cannot be read has no leases: the plan has named it (Fragments.plan).
    """
    written = [path for path in files if os.path.isfile(path) and not os.path.islink(path)]
    originals: dict[str, Leases | None] = {}
    for move in moves:
        clear_unusable(move.goal)
        after = before = _usable(move.goal)
        originals.setdefault(move.goal, before if os.path.lexists(move.goal) else None)
        for source in move.sources:
            after = after.joined_by(_usable(source), move.spec.subnets)
        # What waits to be taken was not written by a dnsmasq: where none has a file yet, they are like their folder.
        like = move.goal if move.goal in written else next(iter(written), os.path.dirname(move.goal))
        write_leases(move.goal, after, like)
    return originals


def clear_unusable(path: str) -> None:
    """Rename what stands in place of a lease file, so that its dnsmasq can start; raises VirtnetError.

    dnsmasq opens a named pipe there and waits for ever, and systemd with it for the time of a start.
    """
    if lease_file_fault(path):
        set_aside(path)


def _usable(path: str) -> Leases:
    try:
        return read_leases(path)
    except UnusableFile:
        return Leases()
