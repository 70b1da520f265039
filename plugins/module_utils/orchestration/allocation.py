# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Assigns subnets to networks with ``address: auto``. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..ipam.allocator import AllocationSettings, Fleet, SubnetAllocator
from ..ipam.subnets import Subnet, SubnetInUse
from ..kernel.links import links_named
from ..network.model import Network
from .state import State, own_subnet
from .validation import refuse_option


@dataclass(frozen=True)
class Allocation:
    """Assigns subnets to ``new`` networks; ``unchanged`` are the other ones of this host.

    The share of ``settings`` counts, rather than that of ``fleet``.
    """

    new: Sequence[Network]
    unchanged: Sequence[Network]
    current: State
    settings: AllocationSettings
    fleet: Fleet

    def assign(self) -> list[Network]:
        """The new networks, each with its subnets; raises InvalidOption if none is free."""
        return self._assign_ipv6_prefixes(self._assign_ipv4_subnets())

    def _assign_ipv4_subnets(self) -> list[Network]:
        """A network gets the subnet that it had before, or else the first free one."""
        taken = self._taken_subnets()
        networks = []
        for network in self.new:
            if network.ipv4.auto and network.ipv4.address is None:
                address = self._choose(network, taken)
                network = network.with_address(address)
                taken.append(own_subnet(network, address.network))
            networks.append(network)
        return networks

    def _taken_subnets(self) -> list[SubnetInUse]:
        own_bridges = {network.bridge.name for network in self.new if network.ipv4.auto}
        networks = (*self.unchanged, *self.new)
        return [
            *(
                subnet
                for subnet in self.current.occupied
                if subnet.network.version == 4 and subnet.interface not in own_bridges
            ),
            *(own_subnet(network, network.subnet) for network in networks if network.subnet),
            *(
                SubnetInUse(route.subnet, f"{network.owner} ({route.to})", network.bridge.name)
                for network in networks
                for route in network.routes
            ),
        ]

    def _choose(self, network: Network, taken: Sequence[SubnetInUse]) -> ipaddress.IPv4Interface:
        allocator = self._allocator(taken)
        history = self.current.history_of(network.name)
        stored = self.current.definitions.get(network.name)
        address = stored.ipv4.address if stored is not None and stored.ipv4.auto else None
        if stored and address and self.current.is_live(stored) and not allocator.must_yield(address.network):
            # Guests use it. If something overlaps it by now, the guard moves the network; a run does not.
            return address
        return allocator.allocate(
            history.ipv4,
            history.rejected_subnets,
            established=stored is not None,
            option=network.at("ipv4.address"),
            owner=network.owner,
        )

    def _allocator(self, taken: Sequence[SubnetInUse] = ()) -> SubnetAllocator:
        fleet = replace(self.fleet, share=self.settings.share)
        return SubnetAllocator(taken, self.current.avoided, self.settings.pools, self.current.order, fleet)

    def _assign_ipv6_prefixes(self, networks: Sequence[Network]) -> list[Network]:
        """A network gets the /64 that it had before, or else the first free one of the host's prefix."""
        own_bridges = {network.bridge.name for network in networks if network.ipv6.auto}
        allocator = SubnetAllocator([subnet for subnet in self.current.occupied if subnet.interface not in own_bridges])
        prefix = self.current.prefix
        taken: list[Subnet] = [subnet for network in (*self.unchanged, *networks) for subnet in network.reached]
        assigned = []
        for network in networks:
            if network.ipv6.auto and network.ipv6.address is None and prefix is not None:
                address = allocator.allocate_prefix(prefix, taken, self.current.history_of(network.name).ipv6)
                if address is None:
                    refuse_option(network, "ipv6.address", f"no free /64 is left in {prefix}; give an address")
                network = replace(network, ipv6=network.ipv6.at(address))
                taken.append(address.network)
            assigned.append(network)
        return assigned

    def notes(self, assigned: Sequence[Network]) -> list[str]:
        """A sentence for each network without IPv6, and for each subnet that another host claims too."""
        without_ipv6 = [
            f"{network.owner}: the kernel of this host has no IPv6, so the network goes without"
            for network in assigned
            if network.ipv6.auto and network.ipv6.address is None
        ]
        return [*without_ipv6, *self._off_link(assigned), *self._ignored_claims(assigned)]

    def _off_link(self, assigned: Sequence[Network]) -> Iterator[str]:
        """A sentence for each network for whose guests no router asks on the uplink, as far as its addresses show."""
        for network in assigned:
            links = links_named(self.current.links, network.uplinks)
            cidrs = [ipaddress.IPv6Interface(cidr) for link in links for cidr in link.addresses if ":" in cidr]
            address = network.ipv6.address
            if not network.ipv6.ndp_proxy or address is None or not cidrs:
                continue
            if not any(cidr.network.overlaps(address.network) for cidr in cidrs):
                yield (
                    f"{network.owner}: {', '.join(map(str, cidrs))} of {', '.join(link.name for link in links)} "
                    f"has no part of {address.network}, so nobody may ask for guests there; use a part of that prefix, "
                    "or leave ipv6.ndp_proxy out where a router has a route to this host"
                )

    def _ignored_claims(self, assigned: Sequence[Network]) -> list[str]:
        allocator = self._allocator()
        notes = []
        for network in assigned:
            stored = self.current.definitions.get(network.name)
            kept = stored is not None and stored.subnet == network.subnet
            chosen = network.subnet if network.ipv4.auto and not kept else None
            claims = allocator.ignored_claims(chosen) if chosen else []
            if claims:
                more = f" and {len(claims) - 1} more" if len(claims) > 1 else ""
                notes.append(
                    f"{network.owner}: {network.subnet} overlaps {claims[0]}{more}: every subnet is taken, and that "
                    "host claims more than its share of the pools; give one of the two an address, or use more pools"
                )
        return notes
