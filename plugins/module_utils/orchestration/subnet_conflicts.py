# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks whose subnet came to be somebody else's while they ran: found, and those with ``auto`` moved."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..core.errors import InvalidOption
from ..core.files import File, put
from ..core.identity import host_identity
from ..core.memory import Remembered, memory_file, recall
from ..core.paths import Paths
from ..ipam.allocator import AllocationSettings, Fleet, SubnetAllocator, read_allocation_settings
from ..ipam.in_use import read_avoided_subnets, read_kernel_subnets, read_order, read_subnets_in_use
from ..ipam.subnets import Subnet, SubnetInUse, host_prefix
from ..kernel.links import Link
from ..network.model import Network
from ..network.store import file_of, remembering, text_of
from .restore import Situation

# So many subnets a network keeps away from because it was driven from them.
_MET = 16


@dataclass(frozen=True)
class Conflict:
    """A network, and what overlaps one of its subnets."""

    network: Network
    meets: Sequence[SubnetInUse]
    subnet: Subnet

    def __str__(self) -> str:
        return f"{self.network.owner} ({self.subnet}) overlaps {', '.join(one.used_by for one in self.meets)}"

    @property
    def is_ours_to_choose(self) -> bool:
        """Whether the subnet is one that the network got by ``auto``."""
        own = (self.network.ipv4, self.network.ipv6)
        return any(one.auto and one.address is not None and one.address.network == self.subnet for one in own)


def conflicts(networks: Iterable[Network], occupied: Iterable[SubnetInUse], bridges: Collection[str]) -> list[Conflict]:
    """Networks that overlap what is on interfaces other than bridges of ours. Pure."""
    others = [one for one in occupied if one.interface not in bridges]
    found = []
    for network in networks:
        for subnet in network.subnets:
            meets = {one.used_by: one for one in others if one.network.overlaps(subnet)}
            if meets:
                found.append(Conflict(network, tuple(meets.values()), subnet))
    return found


def live_conflicts(situation: Situation) -> list[Conflict]:
    """The conflicts of networks that run, as the host is now."""
    running = [network for network in situation.running if network.bridge.name in situation.links]
    host = read_kernel_subnets(ipv6=any(network.has_ipv6 for network in running))
    return conflicts(running, host, _own_bridges(situation))


def _own_bridges(situation: Situation) -> set[str]:
    # On the one that took the host's uplink in, there is the network outside.
    own = (one for one in situation.defined.values() if one.has_own_bridge and not one.bridge.enslave_uplink)
    return {network.bridge.name for network in own}


@dataclass(frozen=True)
class Move:
    """A network that gets another subnet."""

    old: Network
    new: Network
    conflict: Conflict

    def __str__(self) -> str:
        own = self.new.ipv4 if self.conflict.subnet.version == 4 else self.new.ipv6
        return f"{self.conflict}, so it moves to {own.address.network if own.address else None}"


def plan_moves(
    found: Sequence[Conflict],
    situation: Situation,
    occupied: Sequence[SubnetInUse],
    avoided: Sequence[SubnetInUse],
    settings: AllocationSettings,
    order: str,
    prefix: ipaddress.IPv6Network | None = None,
) -> tuple[list[Move], list[str]]:
    """New subnets for the networks whose subnet is ours to choose; and sentences on those that stay. Pure.

    ``prefix`` is the host's for IPv6. A route to elsewhere drives a network away only where there is a subnet that
    nothing overlaps at all.
    """
    bridges = _own_bridges(situation)
    taken = [one for one in occupied if one.interface not in bridges]
    taken += [
        SubnetInUse(subnet, f"{network.owner} ({subnet})", network.bridge.name)
        for network in situation.defined.values()
        for subnet in network.subnets
    ]
    moves: list[Move] = []
    stay: list[str] = []
    moved: dict[str, Network] = {}
    for conflict in found:
        network = conflict.network
        if not conflict.is_ours_to_choose:
            stay.append(f"{conflict}; it has a fixed address and stays: give it another, or auto")
            continue
        before = moved.get(network.name, situation.defined[network.name])
        if conflict.subnet.version == 6:
            free = None
            if prefix is not None:
                free = SubnetAllocator([*taken, *avoided]).allocate_prefix(prefix, [one.network for one in taken], "")
            if free is None:
                stay.append(f"{conflict}, and so would every other /64 of the host's {prefix}")
                continue
            moved[network.name] = replace(before, ipv6=before.ipv6.at(free))
            moves.append(Move(network, moved[network.name], conflict))
            taken.append(SubnetInUse(free.network, f"{network.owner} ({free.network})", network.bridge.name))
            continue
        met = situation.remembered.get(network.name, Remembered()).met
        try:
            address = SubnetAllocator(taken, avoided, settings.pools, order, Fleet(settings.share)).allocate("", met)
        except InvalidOption as error:
            stay.append(f"{conflict}, and there is nowhere to move: {error.problem}")
            continue
        no_better = any(one.network.overlaps(address.network) for one in taken)
        if no_better and all(one.avoid_only for one in conflict.meets):
            stay.append(f"{conflict}, and so would every other subnet of its pools")
            continue
        new = moved[network.name] = before.with_address(address)
        moves.append(Move(network, new, conflict))
        taken.append(SubnetInUse(address.network, f"{new.owner} ({address.network})", new.bridge.name))
    return moves, stay


def look(situation: Situation, paths: Paths, leave: Collection[str]) -> tuple[list[Move], list[str]]:
    """Moves that the host as it is now asks for, and sentences on networks that stay; cheap where there are none."""
    found = [conflict for conflict in live_conflicts(situation) if conflict.network.name not in leave]
    if not found:
        return [], []
    defined = situation.defined.values()
    own = [str(address.ip) for one in defined for address in (one.ipv4.address, one.ipv6.address) if address]
    return plan_moves(
        found,
        situation,
        read_subnets_in_use(paths.root, os.environ, own, ipv6=any(one.has_ipv6 for one in defined)),
        read_avoided_subnets(paths.root),
        read_allocation_settings(paths),
        read_order(),
        host_prefix(host_identity(paths.root)),
    )


def store(moves: Sequence[Move], paths: Paths) -> None:
    """Write the definitions of networks that move; what is remembered goes first. The caller holds the lock."""
    remembered = recall(paths)
    for move in moves:
        before = remembered.get(move.new.name, Remembered())
        if move.conflict.subnet.version == 4:
            left = str(move.conflict.subnet)
            before = replace(before, met=[*(one for one in before.met if one != left), left][-_MET:])
        remembered[move.new.name] = remembering(before, move.new)
    put([memory_file(remembered, paths)])
    # Of a network that moves with both families, the last one has both.
    last = {move.new.name: move.new for move in moves}
    put([File(file_of(new, paths), text_of(new)) for new in last.values()])


def guests_of(moves: Iterable[Move], links: Mapping[str, Link]) -> list[str]:
    """Ports whose carrier tells the guest behind them that something happened: veths and taps."""
    bridges = {move.new.bridge.name for move in moves}
    return sorted(link.name for link in links.values() if link.master in bridges and link.kind in ("veth", "tun"))
