# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The flows of a network that firewalls are checked with: one packet and its reply each. Pure.

They are: a TCP connection from the first guest to a public address, connections from outside, frames between guests,
a DNS query, the messages of DHCP, and neighbour discovery.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ..core.options import Address, Interface
from ..core.ports import REDIRECTED_DHCP, REDIRECTED_DNS
from ..nft.elements import Rules
from ..nft.policy import NO_POLICY, Policy
from ..nft.port_forwards import Forward
from ..ruleset.packet import Packet

if TYPE_CHECKING:
    from ..network.model import Network

# Public addresses; rules for single public addresses are not checked.
OUTSIDE: Mapping[int, Address] = {4: ipaddress.ip_address("9.9.9.9"), 6: ipaddress.ip_address("2620:fe::9")}
_EPHEMERAL_PORT = 49152
_LINK_LOCAL_GUEST = ipaddress.ip_address("fe80::5054:ff:fe00:10")


class HookPacket(NamedTuple):
    """A packet at a hook; ``family``: of the chains, "" for those of IP."""

    hook: str
    packet: Packet
    family: str = ""


Path = Sequence[HookPacket]


@dataclass(frozen=True)
class GuestNetwork:
    """What decides how the packets of a network pass the host.

    ``hosts``: the host's address with its subnet, by IP version. ``filtered``: br_netfilter passes frames between
    guests to the chains of IP too. ``isolated_guests``: frames between guests are not to pass. ``redirected``: dnsmasq
    has ports of its own there. ``uplinks``: the interfaces to the outside by IP version, where they are known;
    ``possible_uplinks``: those that its options name, the preferred one first. ``cut_off``: the IP versions in which
    the routes of the host lead no packet of a guest to the outside. ``policy``: of rules that
    are not loaded yet.
    """

    name: str
    bridge: str
    mode: str
    hosts: Mapping[int, Interface]
    uplinks: Mapping[int, str]
    forwards: Sequence[Forward] = ()
    dns: bool = True
    dhcp: bool = True
    dhcp6: bool = False
    filtered: bool = False
    isolated_guests: bool = False
    redirected: bool = False
    possible_uplinks: Sequence[str] = ()
    cut_off: Collection[int] = ()
    policy: Policy = NO_POLICY

    @staticmethod
    def from_network(network: Network, *, filtered: bool) -> GuestNetwork:
        """From a definition; the uplink is known if one alone is defined."""
        addresses = (network.ipv4.address, network.ipv6.address)
        return GuestNetwork(
            name=network.name,
            bridge=network.bridge.name,
            mode=network.mode,
            hosts={address.version: address for address in addresses if address is not None},
            uplinks=_known(network.uplinks),
            possible_uplinks=network.uplinks,
            forwards=network.resolved_forwards,
            dns=network.dns.enabled,
            dhcp=network.ipv4.dhcp,
            dhcp6=network.ipv6.dhcp.enabled,
            filtered=filtered,
            isolated_guests=network.isolate_guests,
            redirected=bool(network.dnsmasq_redirect),
        )

    @staticmethod
    def from_rules(rules: Rules) -> GuestNetwork:
        """From the elements of our table, which do not have the host's addresses: the first ones are assumed."""
        hosts: dict[int, Interface] = {}
        for subnet in map(ipaddress.ip_network, rules.subnets):
            first = subnet[min(1, subnet.num_addresses - 1)]
            hosts.setdefault(subnet.version, ipaddress.ip_interface(f"{first}/{subnet.prefixlen}"))
        return GuestNetwork(
            name=rules.name,
            bridge=rules.bridge,
            mode=rules.mode,
            hosts=hosts,
            uplinks=_known(rules.uplinks),
            possible_uplinks=rules.uplinks,
            forwards=rules.forwards,
            redirected=bool(rules.redirect_dns or rules.redirect_dhcp),
            policy=rules.policy,
        )

    def guest(self, version: int) -> Address:
        """The address of a guest: the first that is not the host's."""
        host = self.hosts[version]
        for number in (2, 1, 3):
            if number < host.network.num_addresses and host.network[number] != host.ip:
                return host.network[number]
        return host.ip


def _known(uplinks: Sequence[str]) -> dict[int, str]:
    return dict.fromkeys((4, 6), uplinks[0]) if len(uplinks) == 1 else {}


@dataclass(frozen=True)
class Flow:
    """One packet and its reply, hook by hook; ``allowed``: mode and policy of the network let it pass."""

    network: str
    family: str
    name: str
    forward_path: Path
    reply_path: Path = ()
    allowed: bool = True


def outgoing_packet(network: GuestNetwork, version: int) -> Packet:
    """The first packet of a connection from a guest to the outside, as it arrives on the bridge."""
    return Packet(
        network.guest(version),
        OUTSIDE[version],
        "tcp",
        network.bridge,
        sport=_EPHEMERAL_PORT,
        dport=443,
        ipv6=version == 6,
        bridge=network.bridge,
        guests=str(network.hosts[version].network),
    )


def flows_of(network: GuestNetwork) -> Iterator[Flow]:
    """All flows of a network, in both families."""
    for version in sorted(network.hosts):
        outgoing = outgoing_packet(network, version)
        yield from _forwarded_flows(network, version, outgoing)
        yield from _host_flows(network, version, outgoing)


def _forwarded_flows(network: GuestNetwork, version: int, outgoing: Packet) -> Iterator[Flow]:
    flow, uplink = partial(Flow, network.name, f"IPv{version}"), network.uplinks.get(version)
    if version not in network.cut_off:
        has_nat = network.mode == "nat"
        paths = _outgoing_paths(outgoing, uplink, has_nat=has_nat)
        yield flow("guest to outside", *paths, allowed=network.mode != "isolated")
    if not network.isolated_guests:
        yield flow("guest to guest", bridged_path(outgoing, filtered=network.filtered))
    reply = reply_to(outgoing)
    incoming = replace(reply, iif=uplink, sport=_EPHEMERAL_PORT, dport=80, ct_state="new", is_reply=False)
    is_reachable = network.mode in ("routed", "open")
    if is_reachable or not network.forwards:
        yield flow("outside to guest", *_incoming_paths(incoming), allowed=is_reachable)
    for forward in network.forwards:
        if forward.ipv6 == (version == 6):
            yield flow(f"outside to guest ({forward})", *_port_forward_paths(incoming, forward))


def _port_forward_paths(incoming: Packet, forward: Forward) -> tuple[Path, Path]:
    guest = ipaddress.ip_address(forward.to)
    port = forward.to_port or forward.first
    translated = replace(incoming, protocol=forward.protocol, destination=guest, dport=port, dnat=True)
    original = replace(translated, destination=None, dport=forward.first, dnat=False, daddr_type="local")
    return _incoming_paths(translated, original)


def bridged_path(packet: Packet, *, filtered: bool) -> Path:
    """From one port of the bridge to another."""
    destination = packet.source + 1 if packet.source is not None else None
    frame = replace(packet, destination=destination, iif=None, oif=None)
    path = [HookPacket(hook, frame, "bridge") for hook in ("prerouting", "forward", "postrouting")]
    if filtered:
        in_ip_chains = replace(frame, iif=packet.bridge, oif=packet.bridge)
        path += [HookPacket("prerouting", replace(in_ip_chains, oif="")), *_routed_path(in_ip_chains)]
    return path


def reply_to(packet: Packet) -> Packet:
    """The reply to a packet, before it is routed."""
    return replace(
        packet,
        source=packet.destination,
        destination=packet.source,
        sport=packet.dport,
        dport=packet.sport,
        iif=packet.oif,
        oif="",
        is_reply=True,
        ct_state="established" if packet.ct_state == "new" else packet.ct_state,
        daddr_type="unicast",
    )


def _outgoing_paths(packet: Packet, uplink: str | None, *, has_nat: bool) -> tuple[Path, Path]:
    """From a guest to the outside, and back."""
    routed = replace(packet, oif=uplink)
    reply = replace(reply_to(routed), iif=uplink, guests="" if has_nat else packet.guests)
    return [*_from_port(packet), *_routed_path(routed)], _to_guest_path(reply)


def _incoming_paths(packet: Packet, original: Packet | None = None) -> tuple[Path, Path]:
    """From the outside to a guest, and back; ``original``: the packet before its destination is translated."""
    reply = replace(reply_to(packet), iif=packet.bridge)
    reply_path = [*_from_port(reply), *_routed_path(replace(reply, oif=packet.iif))]
    return _to_guest_path(packet, original), reply_path


def _from_port(packet: Packet) -> Path:
    """From a port of the bridge to the host; which port is unknown."""
    frame = replace(packet, iif=None)
    return [
        HookPacket("prerouting", frame, "bridge"),
        HookPacket("input", frame, "bridge"),
        HookPacket("prerouting", packet),
    ]


def _routed_path(packet: Packet) -> Path:
    return [HookPacket("forward", packet), HookPacket("postrouting", packet)]


def _to_guest_path(packet: Packet, original: Packet | None = None) -> Path:
    routed = replace(packet, oif=packet.bridge)
    return [HookPacket("prerouting", original or packet), *_routed_path(routed), *_to_port(routed)]


def _to_port(packet: Packet) -> Path:
    """From the host to a port of the bridge; which port is unknown."""
    frame = replace(packet, oif=None)
    return [HookPacket("output", frame, "bridge"), HookPacket("postrouting", frame, "bridge")]


def _host_flows(network: GuestNetwork, version: int, outgoing: Packet) -> Iterator[Flow]:
    """Queries of a guest to the services of the host."""
    flow, host = partial(Flow, network.name, f"IPv{version}"), network.hosts[version].ip
    own = network.redirected
    query = replace(outgoing, destination=host, protocol="udp", dport=53, daddr_type="local")
    if network.dns:
        yield flow("guest to host: DNS", *_query_paths(query, reply_to(query), REDIRECTED_DNS if own else query.dport))
    if version == 4 and network.dhcp:
        yield flow("guest to host: DHCP", *_dhcp_paths(query, REDIRECTED_DHCP if own else 67))
    if version == 6 and network.dhcp6:
        yield flow("guest to host: DHCPv6", *_dhcpv6_paths(query))
    if version == 6:
        yield flow("guest to host: neighbour discovery", *_neighbour_paths(query))


def _dhcp_paths(query: Packet, port: int) -> tuple[Path, Path]:
    request = replace(
        query,
        source=ipaddress.ip_address("0.0.0.0"),
        destination=ipaddress.ip_address("255.255.255.255"),
        sport=68,
        dport=67,
        daddr_type="broadcast",
        pkttype="broadcast",
    )
    reply = replace(_separate_reply(request), source=query.destination, destination=query.source)
    return _query_paths(request, reply, port)


def _dhcpv6_paths(query: Packet) -> tuple[Path, Path]:
    request = replace(
        query,
        source=_LINK_LOCAL_GUEST,
        destination=ipaddress.ip_address("ff02::1:2"),
        sport=546,
        dport=547,
        daddr_type="multicast",
        pkttype="multicast",
    )
    return _query_paths(request, _separate_reply(request), request.dport)


def _separate_reply(request: Packet) -> Packet:
    """The client sends to all, the server replies from its own address: to conntrack that is another connection."""
    return replace(reply_to(request), ct_state="new", is_reply=False)


def _neighbour_paths(query: Packet) -> tuple[Path, Path]:
    solicitation = replace(
        query,
        destination=ipaddress.ip_address("ff02::1:ff00:1"),
        protocol="icmpv6",
        sport=0,
        dport=0,
        icmp_type="nd-neighbor-solicit",
        daddr_type="multicast",
        pkttype="multicast",
        ct_state="untracked",
    )
    advertisement = replace(reply_to(solicitation), source=query.destination, icmp_type="nd-neighbor-advert")
    return _query_paths(solicitation, advertisement, solicitation.dport)


def _query_paths(query: Packet, reply: Packet, port: int) -> tuple[Path, Path]:
    """A query to the host and its reply; ``port``: of the server, to which our rules may redirect the query."""
    reply = replace(reply, iif="", oif=query.bridge, pkttype="host")
    forward_path = [*_from_port(query), HookPacket("input", replace(query, dport=port))]
    return forward_path, [HookPacket("output", reply), HookPacket("postrouting", reply), *_to_port(reply)]
