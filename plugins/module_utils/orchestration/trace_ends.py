# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the words of ``virtnet trace`` stand for: addresses, names of guests, networks, the host, the outside."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..core.errors import WrongUsage
from ..core.options import Address, did_you_mean
from ..core.paths import Paths
from ..firewall.flows import OUTSIDE as SOME_OUTSIDE
from ..firewall.trace_paths import GUEST, HOST, OUTSIDE, End, TracedFlow
from ..network.model import Network
from .leases import read_leases
from .restore import HostState

# How far the search for an address of a network looks.
_MOST_TRIED = 1000


@dataclass(frozen=True)
class Named:
    """One word: its place, with the addresses by IP version. Without them it is the host, at whatever address."""

    word: str
    place: str
    addresses: Mapping[int, Address] = field(default_factory=dict)
    network: Network | None = None


@dataclass(frozen=True)
class Ends:
    """Finds ends in the networks that run."""

    state: HostState
    paths: Paths

    @property
    def networks(self) -> dict[str, Network]:
        """The networks that run and whose bridge exists, by name."""
        return {one.name: one for one in self.state.running if one.bridge.name in self.state.links}

    def flows(self, source: str, destination: str, protocol: str, port: int) -> list[TracedFlow]:
        """The flow in each family that both ends have; raises WrongUsage."""
        sender, receiver = self.named(source), self.named(destination)
        if sender.place == receiver.place != GUEST:
            raise WrongUsage(f"{source} and {destination} are both {_both(sender)}; give a guest or a network for one")
        flows = []
        for version in (4, 6):
            ends = self._ends(sender, receiver, version)
            if ends is not None:
                flows.append(self._flow(*ends, protocol, port))
        if not flows:
            raise WrongUsage(
                f"{source} and {destination} have no addresses of one family; give addresses of one family"
            )
        return flows

    def named(self, word: str) -> Named:
        """What a word stands for; raises WrongUsage."""
        if word == HOST:
            return Named(word, HOST)
        if word == OUTSIDE:
            return Named(word, OUTSIDE, SOME_OUTSIDE)
        try:
            address = ipaddress.ip_address(word)
        except ValueError:
            return self._by_name(word)
        if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
            raise WrongUsage(f"{word} is no address of a guest, the host or the outside; give another one")
        if self._is_of_host(address):
            return Named(word, HOST, {address.version: address})
        for network in self.networks.values():
            if any(subnet.version == address.version and address in subnet for subnet in network.reached):
                return Named(word, GUEST, {address.version: address}, network)
        return Named(word, OUTSIDE, {address.version: address})

    def _is_of_host(self, address: Address) -> bool:
        listed = (ipaddress.ip_interface(text).ip for link in self.state.links.values() for text in link.addresses)
        return address in listed

    def _by_name(self, word: str) -> Named:
        if word in self.networks:
            network = self.networks[word]
            guests: dict[int, Address] = {
                one.version: _some_guest(network, one.network) for one in network.own_addresses
            }
            if not guests:
                raise WrongUsage(f"network {word!r} has no subnet; give the address of a guest")
            return Named(word, GUEST, guests, network)
        if word in self.state.defined:
            raise WrongUsage(f"network {word!r} does not run; start it by 'virtnet start {word}'")
        found = [one for network in self.networks.values() for one in self._static(network, word)]
        found = found or list(self._leased(word))
        names = sorted({one.network.name for one in found if one.network is not None})
        if not found:
            known = [*self.networks, HOST, OUTSIDE]
            raise WrongUsage(
                f"{word!r} is no network that runs and no guest with a lease or a fixed address; "
                f"use an address, or one of {', '.join(known)}{did_you_mean(word, known)}"
            )
        if len(names) > 1:
            raise WrongUsage(f"{word!r} is a guest of networks {', '.join(names)}; add the domain, or give its address")
        addresses = {version: address for one in reversed(found) for version, address in one.addresses.items()}
        if not all(version in addresses for version in (4, 6)):
            leased = [one for one in self._leased(word) if one.network == found[0].network]
            addresses = {**{v: a for one in leased for v, a in one.addresses.items()}, **addresses}
        return Named(word, GUEST, addresses, found[0].network)

    def _static(self, network: Network, word: str) -> Iterator[Named]:
        for host in (*network.ipv4.hosts, *network.ipv6.dhcp.hosts):
            if host.ip and host.name and word in _names(host.name, network):
                address = ipaddress.ip_address(str(host.ip))
                yield Named(word, GUEST, {address.version: address}, network)

    def _leased(self, word: str) -> Iterator[Named]:
        networks = [network for network in self.networks.values() if network.has_own_bridge]
        for lease in read_leases(networks, self.paths).leases:
            network = self.networks[lease.network]
            if lease.name and word in _names(lease.name, network):
                address = ipaddress.ip_address(lease.ip)
                yield Named(word, GUEST, {address.version: address}, network)

    def _ends(self, sender: Named, receiver: Named, version: int) -> tuple[End, End] | None:
        source, destination = (_end(one, version) for one in (sender, receiver))
        if source is None and destination is not None and _is_bare_host(sender):
            source = _host_end(destination)
        if destination is None and source is not None and _is_bare_host(receiver):
            destination = _host_end(source)
        if source is None or destination is None:
            return None
        if source.address == destination.address:
            if sender.word == receiver.word and sender.word in self.networks and source.network is not None:
                subnet = next(one.network for one in source.network.own_addresses if one.version == version)
                return source, End(GUEST, _some_guest(source.network, subnet, [source.address]), source.network)
            raise WrongUsage(f"{sender.word} and {receiver.word} are the same guest; give two")
        return source, destination

    def _flow(self, source: End, destination: End, protocol: str, port: int) -> TracedFlow:
        target = (
            self._target(destination, protocol, port) if (destination.place, source.place) != (HOST, HOST) else None
        )
        elsewhere = destination.place == HOST and not (
            source.network is not None and str(destination.address) in source.network.server_addresses
        )
        return TracedFlow(source, destination, protocol, port, target, elsewhere and source.place == GUEST)

    def _target(self, destination: End, protocol: str, port: int) -> tuple[End, int] | None:
        """The guest that a port forward of ours leads to; forwards of one address come first."""
        if destination.place != HOST or not port:
            return None
        forwards = [
            (forward, network)
            for network in self.networks.values()
            for forward in network.resolved_forwards
            if forward.protocol == protocol
            and forward.first <= port <= forward.last
            and forward.ipv6 == (destination.address.version == 6)
            and forward.includes_address(str(destination.address))
        ]
        for forward, network in sorted(forwards, key=lambda pair: not pair[0].address):
            return End(GUEST, ipaddress.ip_address(forward.to), network), forward.to_port or port
        return None


def _both(named: Named) -> str:
    return "the host" if named.place == HOST else "outside of this host"


def _is_bare_host(named: Named) -> bool:
    return named.place == HOST and not named.addresses


def _names(name: str, network: Network) -> Sequence[str]:
    return (name, f"{name}.{network.dns.domain}") if network.dns.domain else (name,)


def _end(named: Named, version: int) -> End | None:
    address = named.addresses.get(version)
    return None if address is None else End(named.place, address, named.network)


def _host_end(other: End) -> End | None:
    """The host as the other end sees it; None where it has no such address."""
    if other.network is not None:
        own = [one.ip for one in other.network.own_addresses if one.version == other.address.version]
        return End(HOST, own[0]) if own else None
    family = socket.AF_INET6 if other.address.version == 6 else socket.AF_INET
    try:
        # Nothing is sent: connect(2) chooses the source address.
        with socket.socket(family, socket.SOCK_DGRAM) as trial:
            trial.connect((str(other.address), 9))
            return End(HOST, ipaddress.ip_address(trial.getsockname()[0]))
    except OSError:
        return None


def _some_guest(
    network: Network,
    subnet: ipaddress.IPv4Network | ipaddress.IPv6Network,
    others: Sequence[Address] = (),
) -> Address:
    """An address of the subnet that stands for any guest: neither the host's, nor one that options name."""
    named = {*network.server_addresses, *map(str, others)}
    named |= {str(host.ip) for host in (*network.ipv4.hosts, *network.ipv6.dhcp.hosts) if host.ip}
    named |= {text for entry in network.policy.entries for text in (entry.source, entry.destination)}
    last = min(subnet.num_addresses - 1, _MOST_TRIED)
    return next((subnet[i] for i in range(2, last) if str(subnet[i]) not in named), subnet[min(2, last)])
