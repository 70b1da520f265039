# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Conflicts of running networks with subnets that came into use elsewhere, and moves of networks with ``auto``."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..core.errors import InvalidOption
from ..core.files import File, write_files
from ..core.identity import host_identity
from ..core.network_history import NetworkHistory, history_file, load_history
from ..core.paths import Paths
from ..ipam.allocator import Fleet, SubnetAllocator, read_allocation_settings
from ..ipam.in_use import read_avoided_subnets, read_kernel_subnets, read_order, read_subnets_in_use
from ..ipam.subnets import Subnet, SubnetInUse, host_prefix
from ..kernel.links import Link
from ..network.model import Network
from ..network.store import file_of, text_of, updated_history
from ..resolver.reconciler import read_own_servers
from .restore import HostState
from .state import AddressSpace, is_shared, own_subnet

# The number of subnets that a network avoids because a conflict moved it.
_REJECTED_SUBNETS = 16


@dataclass(frozen=True)
class Conflict:
    """A network, and what overlaps one of its subnets."""

    network: Network
    others: Sequence[SubnetInUse]
    subnet: Subnet

    def __str__(self) -> str:
        return f"{self.network.owner} ({self.subnet}) overlaps {', '.join(other.used_by for other in self.others)}"

    @property
    def is_ours_to_choose(self) -> bool:
        """Whether the subnet was assigned because of ``auto``."""
        families = (self.network.ipv4, self.network.ipv6)
        return any(family.auto and family.address and family.address.network == self.subnet for family in families)


def conflicts(
    networks: Iterable[Network],
    occupied: Iterable[SubnetInUse],
    bridges: Collection[str],
    links: Mapping[str, Link],
) -> list[Conflict]:
    """The networks that overlap subnets on interfaces other than our bridges. Pure."""
    foreign = [subnet for subnet in occupied if subnet.interface not in bridges]
    conflicting = []
    for network in networks:
        for subnet in network.subnets:
            others = {
                other.used_by: other
                for other in foreign
                if other.network.overlaps(subnet) and not is_shared(network, subnet, other, links)
            }
            if others:
                conflicting.append(Conflict(network, tuple(others.values()), subnet))
    return conflicting


def live_conflicts(host: HostState) -> list[Conflict]:
    """The conflicts of running networks with what the host uses now."""
    running = [network for network in host.running if network.bridge.name in host.links]
    in_use = read_kernel_subnets(ipv6=any(network.has_ipv6 for network in running))
    return conflicts(running, in_use, _own_bridges(host), host.links)


def _own_bridges(host: HostState) -> set[str]:
    # A bridge with the host's uplink as a port has an outside network.
    return {
        network.bridge.name
        for network in host.defined.values()
        if network.has_own_bridge and not network.bridge.enslave_uplink
    }


@dataclass(frozen=True)
class Move:
    """A network that gets another subnet."""

    old: Network
    new: Network
    conflict: Conflict

    def __str__(self) -> str:
        family = self.new.ipv4 if self.conflict.subnet.version == 4 else self.new.ipv6
        return f"{self.conflict}, so it moves to {family.address.network if family.address else None}"


def plan_moves(conflicting: Sequence[Conflict], host: HostState, space: AddressSpace) -> tuple[list[Move], list[str]]:
    """New subnets for networks with ``auto``, and a sentence for each network that stays. Pure.

    A network that overlaps only a route to elsewhere moves only if there is a subnet that nothing overlaps.
    """
    bridges = _own_bridges(host)
    taken = [subnet for subnet in space.occupied if subnet.interface not in bridges]
    taken += [own_subnet(network, subnet) for network in host.defined.values() for subnet in network.subnets]
    planner = _Planner(host, space, taken)
    for conflict in conflicting:
        if not conflict.is_ours_to_choose:
            planner.unresolved.append(f"{conflict}; it has a fixed address and stays: give it another, or auto")
        elif conflict.subnet.version == 6:
            planner.move_ipv6(conflict)
        else:
            planner.move_ipv4(conflict)
    return planner.moves, planner.unresolved


@dataclass
class _Planner:
    """Plans one move after the other; the subnet of each move is taken for the next ones."""

    host: HostState
    space: AddressSpace
    taken: list[SubnetInUse]
    moves: list[Move] = field(default_factory=list)
    unresolved: list[str] = field(default_factory=list)
    _moved: dict[str, Network] = field(default_factory=dict)

    def move_ipv4(self, conflict: Conflict) -> None:
        """Move a network to the first free subnet of the pools."""
        space = self.space
        rejected = self.host.history.get(conflict.network.name, NetworkHistory()).rejected_subnets
        allocator = SubnetAllocator(
            self.taken, space.avoided, space.settings.pools, space.order, Fleet(space.settings.share)
        )
        try:
            address = allocator.allocate("", rejected)
        except InvalidOption as error:
            self.unresolved.append(f"{conflict}, and there is nowhere to move: {error.problem}")
            return
        overlaps_too = any(other.network.overlaps(address.network) for other in self.taken)
        if overlaps_too and all(other.avoid_only for other in conflict.others):
            self.unresolved.append(f"{conflict}, and so would every other subnet of its pools")
            return
        self._move(conflict, self._current(conflict.network).with_address(address), address.network)

    def move_ipv6(self, conflict: Conflict) -> None:
        """Move a network to the first free /64 of the host's prefix."""
        address = None
        if self.space.prefix is not None:
            allocator = SubnetAllocator([*self.taken, *self.space.avoided])
            address = allocator.allocate_prefix(self.space.prefix, [other.network for other in self.taken], "")
        if address is None:
            self.unresolved.append(f"{conflict}, and so would every other /64 of the host's {self.space.prefix}")
            return
        before = self._current(conflict.network)
        self._move(conflict, replace(before, ipv6=before.ipv6.at(address)), address.network)

    def _current(self, network: Network) -> Network:
        """The definition with the moves that are planned already: a network can move with both families."""
        return self._moved.get(network.name, self.host.defined[network.name])

    def _move(self, conflict: Conflict, new: Network, subnet: Subnet) -> None:
        self._moved[new.name] = new
        self.moves.append(Move(conflict.network, new, conflict))
        self.taken.append(own_subnet(new, subnet))


def find_moves(host: HostState, paths: Paths, exclude: Collection[str]) -> tuple[list[Move], list[str]]:
    """The moves that the host needs now, and a sentence for each network that stays; cheap if there is no conflict."""
    conflicting = [conflict for conflict in live_conflicts(host) if conflict.network.name not in exclude]
    if not conflicting:
        return [], []
    defined = host.defined.values()
    own = {str(address.ip) for network in defined for address in network.own_addresses}
    own |= read_own_servers(paths.root)
    space = AddressSpace(
        occupied=read_subnets_in_use(paths.root, os.environ, own, ipv6=any(network.has_ipv6 for network in defined)),
        avoided=read_avoided_subnets(paths.root),
        settings=read_allocation_settings(paths),
        order=read_order(),
        prefix=host_prefix(host_identity(paths.root)),
    )
    return plan_moves(conflicting, host, space)


def store_moves(moves: Sequence[Move], paths: Paths) -> None:
    """Write the definitions of networks that move; their history is written first. The caller holds the lock."""
    history = load_history(paths)
    for move in moves:
        before = history.get(move.new.name, NetworkHistory())
        if move.conflict.subnet.version == 4:
            rejected = str(move.conflict.subnet)
            others = [subnet for subnet in before.rejected_subnets if subnet != rejected]
            before = replace(before, rejected_subnets=[*others, rejected][-_REJECTED_SUBNETS:])
        history[move.new.name] = updated_history(before, move.new)
    write_files([history_file(history, paths)])
    # Of a network that moves with both families, the last move has both.
    last = {move.new.name: move.new for move in moves}
    write_files([File(file_of(new, paths), text_of(new)) for new in last.values()])


def guest_ports(moves: Iterable[Move], links: Mapping[str, Link]) -> list[str]:
    """The ports whose link state the guest behind them sees: veths and taps."""
    bridges = {move.new.bridge.name for move in moves}
    return sorted(link.name for link in links.values() if link.master in bridges and link.kind in ("veth", "tun"))
