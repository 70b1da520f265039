# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The packets that matter to a network: guest to outside, outside to guest, and what guests ask of the host. Pure.

Each is one example, with its answer: TCP from the first guest to a public address, a DNS question, DHCP's messages,
neighbour discovery.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..nft.elements import Rules
from ..nft.port_forwards import Forward
from ..ruleset.packet import Address, Packet

if TYPE_CHECKING:
    from ..network.model import Network

# Somebody out there; what rules say of single public addresses is not asked.
OUTSIDE: Mapping[int, Address] = {4: ipaddress.ip_address("9.9.9.9"), 6: ipaddress.ip_address("2620:fe::9")}
_HIGH = 49152

# Hook, packet, families of chains ("" for those of IP).
Stage = tuple[str, Packet, str]


@dataclass(frozen=True)
class Guests:
    """What of a network matters to its packets; ``hosts`` are the host's addresses on it, with their networks.

    ``filtered``: frames between guests meet the rules of IP too (br_netfilter); ``apart``: they are not to pass.
    """

    network: str
    bridge: str
    mode: str
    hosts: Mapping[int, ipaddress.IPv4Interface | ipaddress.IPv6Interface] = field(default_factory=dict)
    uplinks: Mapping[int, str] = field(default_factory=dict)
    forwards: Sequence[Forward] = ()
    dns: bool = True
    dhcp: bool = True
    dhcp6: bool = False
    filtered: bool = False
    apart: bool = False

    @staticmethod
    def of(network: Network, uplinks: Mapping[int, str], *, filtered: bool) -> Guests:
        """Of a definition; ``uplinks``: by IP version, where the host's default route leads."""
        own = (network.ipv4.address, network.ipv6.address)
        return Guests(
            network.name,
            network.bridge.name,
            network.mode,
            {address.version: address for address in own if address is not None},
            {4: network.uplink, 6: network.uplink} if network.uplink else uplinks,
            network.resolved_forwards,
            network.dns.enabled,
            network.ipv4.dhcp,
            network.ipv6.dhcp.enabled,
            filtered,
            network.isolate_guests,
        )

    @staticmethod
    def of_rules(rules: Rules) -> Guests:
        """Of what our table knows of a network: the host's addresses are taken to be the first ones."""
        hosts: dict[int, ipaddress.IPv4Interface | ipaddress.IPv6Interface] = {}
        for subnet in map(ipaddress.ip_network, rules.subnets):
            first = subnet[min(1, subnet.num_addresses - 1)]
            hosts.setdefault(subnet.version, ipaddress.ip_interface(f"{first}/{subnet.prefixlen}"))
        uplinks = {4: rules.uplink, 6: rules.uplink} if rules.uplink else {}
        return Guests(rules.name, rules.bridge, rules.mode, hosts, uplinks, rules.forwards)


@dataclass(frozen=True)
class Way:
    """One packet and its answer, hook by hook; ``wanted``: whether the network's mode lets it pass."""

    network: str
    name: str
    family: str
    there: Sequence[Stage]
    back: Sequence[Stage] = ()
    wanted: bool = True
    mode: str = "nat"


def ways(guests: Guests) -> Iterator[Way]:
    """All of a network, in both families."""
    for version in sorted(guests.hosts):
        for way in (*_forwarded(guests, version), *_served(guests, version)):
            yield replace(way, mode=guests.mode)


def _guest(guests: Guests, version: int) -> Address:
    """The address of a guest: the first but the host's."""
    own = guests.hosts[version]
    for number in (2, 1, 3):
        if number < own.network.num_addresses and own.network[number] != own.ip:
            return own.network[number]
    return own.ip


def _forwarded(guests: Guests, version: int) -> Iterator[Way]:
    family, guest, uplink = f"IPv{version}", _guest(guests, version), guests.uplinks.get(version)
    out = Packet(guest, OUTSIDE[version], "tcp", guests.bridge, sport=_HIGH, dport=443, ipv6=version == 6,
                 bridge=guests.bridge)  # fmt: skip
    yield Way(guests.network, "guest to outside", family, *_both(out, uplink), wanted=guests.mode != "isolated")
    if not guests.apart:
        yield Way(guests.network, "guest to guest", family, _bridged(out, filtered=guests.filtered))
    into = replace(_turned(out), iif=uplink, sport=_HIGH, dport=80, state="new", reply=False)
    if guests.mode in ("routed", "open") or not guests.forwards:
        yield Way(guests.network, "outside to guest", family, *_inward(into, guests.bridge),
                  wanted=guests.mode in ("routed", "open"))  # fmt: skip
    for forward in guests.forwards:
        if forward.ipv6 == (version == 6):
            aimed = replace(into, protocol=forward.protocol, dport=forward.to_port or forward.first, dnat=True,
                            target=ipaddress.ip_address(forward.to))  # fmt: skip
            # Before it is redirected, its target is the host.
            asked = replace(aimed, dport=forward.first, dnat=False, target=None, to="local")
            yield Way(guests.network, f"outside to guest ({forward})", family, *_inward(aimed, guests.bridge, asked))


def _bridged(packet: Packet, *, filtered: bool) -> Sequence[Stage]:
    """From one port of the bridge to another."""
    other = packet.source + 1 if packet.source is not None else None
    frame = replace(packet, target=other, iif=None, oif=None)
    inside = replace(frame, iif=packet.bridge, oif=packet.bridge)
    met = [("prerouting", replace(inside, oif=""), ""), ("forward", inside, ""), ("postrouting", inside, "")]
    return [*((hook, frame, "bridge") for hook, _packet, _layer in met), *(met if filtered else ())]


def _turned(packet: Packet) -> Packet:
    """The answer, before the host knows where it goes."""
    state = "established" if packet.state == "new" else packet.state
    back = replace(packet, source=packet.target, target=packet.source, sport=packet.dport, dport=packet.sport)
    return replace(back, iif=packet.oif, oif="", reply=True, state=state, to="unicast")


def _both(out: Packet, uplink: str | None) -> tuple[Sequence[Stage], Sequence[Stage]]:
    onward = replace(out, oif=uplink)
    back = replace(_turned(onward), iif=uplink)
    return _entering(out, [("forward", onward, ""), ("postrouting", onward, "")]), _leaving(back, out.bridge)


def _inward(into: Packet, bridge: str, asked: Packet | None = None) -> tuple[Sequence[Stage], Sequence[Stage]]:
    back = replace(_turned(replace(into, oif=bridge)), iif=bridge)
    onward = replace(back, oif=into.iif)
    return _leaving(into, bridge, asked), _entering(back, [("forward", onward, ""), ("postrouting", onward, "")])


def _entering(packet: Packet, then: Sequence[Stage]) -> Sequence[Stage]:
    """From a guest's port through the bridge to the host; which port is not known."""
    frame = replace(packet, iif=None)
    return [("prerouting", frame, "bridge"), ("input", frame, "bridge"), ("prerouting", packet, ""), *then]


def _leaving(packet: Packet, bridge: str, asked: Packet | None = None) -> Sequence[Stage]:
    onward = replace(packet, oif=bridge)
    return [("prerouting", asked or packet, ""), ("forward", onward, ""), ("postrouting", onward, ""), *_out_of(onward)]


def _out_of(packet: Packet) -> Sequence[Stage]:
    frame = replace(packet, oif=None)
    return [("output", frame, "bridge"), ("postrouting", frame, "bridge")]


def _served(guests: Guests, version: int) -> Iterator[Way]:
    own, guest, family = guests.hosts[version].ip, _guest(guests, version), f"IPv{version}"
    asks = Packet(guest, own, "udp", guests.bridge, sport=_HIGH, dport=53, to="local", ipv6=version == 6,
                  bridge=guests.bridge)  # fmt: skip
    if guests.dns:
        yield Way(guests.network, "guest to host: DNS", family, *_exchange(asks))
    link_local = ipaddress.ip_address("fe80::5054:ff:fe00:10")
    if version == 4 and guests.dhcp:
        asks = replace(asks, source=ipaddress.ip_address("0.0.0.0"), target=ipaddress.ip_address("255.255.255.255"),
                       sport=68, dport=67, to="broadcast", frame="broadcast")  # fmt: skip
        # To conntrack the answer belongs to no connection that it knows.
        yield Way(guests.network, "guest to host: DHCP", family, *_exchange(asks, own, guest, state="new"))
    if version == 6 and guests.dhcp6:
        asks = replace(asks, source=link_local, target=ipaddress.ip_address("ff02::1:2"), sport=546, dport=547,
                       to="multicast", frame="multicast")  # fmt: skip
        yield Way(guests.network, "guest to host: DHCPv6", family, *_exchange(asks, None, link_local, state="new"))
    if version == 6:
        asks = replace(asks, source=guest, target=ipaddress.ip_address("ff02::1:ff00:1"), protocol="icmpv6", sport=0,
                       dport=0, kind="nd-neighbor-solicit", to="multicast", frame="multicast",
                       state="untracked")  # fmt: skip
        there, back = _exchange(asks, own, guest)
        back = [(hook, replace(one, kind="nd-neighbor-advert"), layer) for hook, one, layer in back]
        yield Way(guests.network, "guest to host: neighbour discovery", family, there, back)


def _exchange(
    asks: Packet, source: Address | None = None, target: Address | None = None, state: str = ""
) -> tuple[Sequence[Stage], Sequence[Stage]]:
    answer = replace(_turned(asks), iif="", oif=asks.bridge, frame="host")
    answer = replace(answer, source=source or answer.source, target=target or answer.target)
    if state:
        answer = replace(answer, state=state, reply=False)
    there = _entering(asks, [("input", asks, "")])
    return there, [("output", answer, ""), ("postrouting", answer, ""), *_out_of(answer)]
