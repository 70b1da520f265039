# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks whose subnet came to be somebody else's while they ran: found, and those with ``auto`` moved."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from . import choosing
from .choosing import Chooser, Fleet
from .definitions import Remembered, file_of, memory_file, recall, text_of
from .errors import InvalidOption
from .files import File, put
from .links import Link
from .network import Network
from .occupied import read_avoided, read_host, read_occupied, read_order
from .paths import Paths
from .restore import Situation
from .subnets import Occupied

# So many subnets a network keeps away from because it was driven from them.
_MET = 16


@dataclass(frozen=True)
class Conflict:
    """A network, and what overlaps it."""

    network: Network
    meets: Sequence[Occupied]

    def __str__(self) -> str:
        return f"{self.network.owner} ({self.network.subnet}) overlaps {', '.join(one.what for one in self.meets)}"


def conflicts(networks: Iterable[Network], occupied: Iterable[Occupied], bridges: Collection[str]) -> list[Conflict]:
    """Networks that overlap what is on interfaces other than bridges of ours. Pure."""
    others = [one for one in occupied if one.interface not in bridges]
    found = []
    for network in networks:
        subnet = network.subnet
        meets = [] if subnet is None else [one for one in others if one.network.overlaps(subnet)]
        if meets:
            found.append(Conflict(network, tuple({one.what: one for one in meets}.values())))
    return found


def live_conflicts(situation: Situation) -> list[Conflict]:
    """The conflicts of networks that run, as the host is now."""
    running = [network for network in situation.running if network.bridge.name in situation.links]
    return conflicts(running, read_host(), _own_bridges(situation))


def _own_bridges(situation: Situation) -> set[str]:
    return {network.bridge.name for network in situation.defined.values() if network.has_own_bridge}


@dataclass(frozen=True)
class Move:
    """A network that gets another subnet."""

    old: Network
    new: Network
    conflict: Conflict

    def __str__(self) -> str:
        return f"{self.conflict}, so it moves to {self.new.subnet}"


def plan_moves(
    found: Sequence[Conflict],
    situation: Situation,
    occupied: Sequence[Occupied],
    avoided: Sequence[Occupied],
    settings: choosing.Settings,
    order: str,
) -> tuple[list[Move], list[str]]:
    """New subnets for the networks whose subnet is ours to choose; and sentences on those that stay. Pure.

    A route to elsewhere drives a network away only where there is a subnet that nothing overlaps at all.
    """
    bridges = _own_bridges(situation)
    taken = [one for one in occupied if one.interface not in bridges]
    taken += [
        Occupied(network.subnet, f"{network.owner} ({network.subnet})", network.bridge.name)
        for network in situation.defined.values()
        if network.subnet
    ]
    moves: list[Move] = []
    stay: list[str] = []
    for conflict in found:
        network = conflict.network
        if not network.ipv4.auto:
            stay.append(f"{conflict}; it has a fixed address and stays: give it another, or auto")
            continue
        met = situation.remembered.get(network.name, Remembered()).met
        try:
            address = Chooser(taken, avoided, settings.pools, order, Fleet(settings.share)).choose(network, "", met)
        except InvalidOption as error:
            stay.append(f"{conflict}, and there is nowhere to move: {error.problem}")
            continue
        no_better = any(one.network.overlaps(address.network) for one in taken)
        if no_better and all(one.soft for one in conflict.meets):
            stay.append(f"{conflict}, and so would every other subnet of its pools")
            continue
        new = situation.defined[network.name].with_address(address)
        moves.append(Move(network, new, conflict))
        taken.append(Occupied(address.network, f"{new.owner} ({address.network})", new.bridge.name))
    return moves, stay


def look(situation: Situation, paths: Paths, leave: Collection[str]) -> tuple[list[Move], list[str]]:
    """Moves that the host as it is now asks for, and sentences on networks that stay; cheap where there are none."""
    found = [conflict for conflict in live_conflicts(situation) if conflict.network.name not in leave]
    if not found:
        return [], []
    own = [str(one.ipv4.address.ip) for one in situation.defined.values() if one.ipv4.address]
    return plan_moves(
        found,
        situation,
        read_occupied(paths.root, os.environ, own),
        read_avoided(paths.root),
        choosing.read_settings(paths),
        read_order(),
    )


def store(moves: Sequence[Move], paths: Paths) -> None:
    """Write the definitions of networks that move; what is remembered goes first. The caller holds the lock."""
    remembered = recall(paths)
    for move in moves:
        before = remembered.get(move.new.name, Remembered())
        met = [one for one in before.met if one != str(move.old.subnet)]
        known = replace(before, met=[*met, str(move.old.subnet)][-_MET:])
        remembered[move.new.name] = known.and_now(move.new)
    put([memory_file(remembered, paths)])
    put([File(file_of(move.new, paths), text_of(move.new)) for move in moves])


def guests_of(moves: Iterable[Move], links: Mapping[str, Link]) -> list[str]:
    """Ports whose carrier tells the guest behind them that something happened: veths and taps."""
    bridges = {move.new.bridge.name for move in moves}
    return sorted(link.name for link in links.values() if link.master in bridges and link.kind in ("veth", "tun"))
