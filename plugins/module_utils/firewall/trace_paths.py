# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hooks that one packet and its answer pass on this host, whoever sends it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..core.options import Address
from ..kernel.links import OPENVSWITCH
from ..ruleset.packet import Packet
from .flows import HookPacket, Path, bridged_path, reply_to

if TYPE_CHECKING:
    from ..network.model import Network

GUEST, HOST, OUTSIDE = "guest", "host", "outside"
_EPHEMERAL_PORT = 49152


@dataclass(frozen=True)
class End:
    """One end of a flow. ``network``: of a guest."""

    place: str
    address: Address
    network: Network | None = None

    def __str__(self) -> str:
        return f"{self.address} ({self.place if self.network is None else f'network {self.network.name}'})"

    @property
    def bridge(self) -> str:
        """The bridge of a guest, else ""."""
        return "" if self.network is None else self.network.bridge.name

    @property
    def is_on_linux_bridge(self) -> bool:
        """Whether its frames pass a bridge that nft filters."""
        return self.network is not None and self.network.bridge.type != OPENVSWITCH


@dataclass(frozen=True)
class TracedFlow:
    """The first packet of a flow. ``protocol``: tcp, udp, sctp or icmp; ``port``: 0 for icmp.

    ``target``: the end that a port forward leads to, with the port there. ``elsewhere``: the address of the host is
    that of another interface.
    """

    source: End
    destination: End
    protocol: str
    port: int = 0
    target: tuple[End, int] | None = None
    elsewhere: bool = False

    @property
    def last(self) -> End:
        """Who gets the packet."""
        return self.destination if self.target is None else self.target[0]

    @property
    def version(self) -> int:
        """The IP version."""
        return self.source.address.version

    @property
    def is_within_bridge(self) -> bool:
        """Whether it passes one bridge and is not routed."""
        return self.target is None and self.source.bridge == self.destination.bridge != ""

    def __str__(self) -> str:
        return f"{self.source} -> {self.destination} {self.protocol}{f' {self.port}' if self.port else ''}"


def first_packet(flow: TracedFlow, oif: str = "") -> Packet:
    """The packet as the host routes it, to ``oif``; its arrival is that of a guest's bridge or to be filled in."""
    ipv6 = flow.version == 6
    icmp = flow.protocol == "icmp"
    end, port = (flow.destination, flow.port) if flow.target is None else flow.target
    return Packet(
        flow.source.address,
        end.address,
        "icmpv6" if icmp and ipv6 else flow.protocol,
        flow.source.bridge,
        oif,
        sport=0 if icmp else _EPHEMERAL_PORT,
        dport=port,
        icmp_type="echo-request" if icmp else "",
        dnat=flow.target is not None,
        daddr_type="local" if flow.last.place == HOST else "unicast",
        elsewhere=flow.elsewhere,
        ipv6=ipv6,
        bridge=flow.source.bridge,
        guests=_subnet(flow.source),
    )


def _subnet(end: End) -> str:
    subnets = () if end.network is None else end.network.reached
    return next((str(one) for one in subnets if one.version == end.address.version and end.address in one), "")


def paths_of(flow: TracedFlow, packet: Packet, *, filtered: bool, port: int = 0) -> tuple[Path, Path]:
    """The hooks of the packet of first_packet(), with both interfaces, and those of its answer.

    ``filtered``: br_netfilter passes frames within a bridge to the chains of IP. ``port``: where our rules redirect a
    query of a guest to the host.
    """
    reply = replace(reply_to(packet), oif=packet.iif, guests=packet.guests)
    if packet.icmp_type:
        reply = replace(reply, icmp_type="echo-reply")
    if flow.is_within_bridge:
        both = [bridged_path(one, filtered=filtered) for one in (packet, replace(reply, iif=packet.iif))]
        forth, back = ([_with_addresses(hop, one) for hop in path] for path, one in zip(both, (packet, reply)))
        return _on(flow, forth), _on(flow, back)
    original = packet
    if flow.target is not None:
        original = replace(
            packet, destination=flow.destination.address, dport=flow.port, dnat=False, daddr_type="local"
        )
    way = _way(packet, original, flow.source, flow.last)
    if port:
        way = [hop._replace(packet=replace(hop.packet, dport=port)) if hop.hook == "input" else hop for hop in way]
    if flow.last.place == HOST:
        reply = replace(reply, daddr_type="unicast")
    if flow.source.place == HOST:
        reply = replace(reply, daddr_type="local")
    return _on(flow, way), _on(flow, _way(reply, reply, flow.last, flow.source))


def _with_addresses(hop: HookPacket, packet: Packet) -> HookPacket:
    """The hop with the addresses of a packet."""
    return hop._replace(packet=replace(hop.packet, source=packet.source, destination=packet.destination))


def _on(flow: TracedFlow, path: Path) -> Path:
    """Without the hooks of bridges that nft does not filter."""
    bridges = {end.bridge for end in (flow.source, flow.last) if end.is_on_linux_bridge}
    return [hop for hop in path if hop.family != "bridge" or hop.packet.bridge in bridges]


def _way(packet: Packet, original: Packet, sender: End, receiver: End) -> list[HookPacket]:
    """From one end to the other; ``original``: before the destination is translated."""
    path: list[HookPacket] = []
    if sender.place == HOST:
        packet = replace(packet, iif="")
        path.append(HookPacket("output", packet))
    else:
        arriving = replace(original, oif="")
        if sender.place == GUEST:
            frame = replace(arriving, iif=None, bridge=sender.bridge)
            path += [HookPacket("prerouting", frame, "bridge"), HookPacket("input", frame, "bridge")]
        path.append(HookPacket("prerouting", arriving))
    if receiver.place == HOST:
        return [*path, HookPacket("input", replace(packet, oif=""))]
    if sender.place != HOST:
        path.append(HookPacket("forward", packet))
    path.append(HookPacket("postrouting", packet))
    if receiver.place == GUEST:
        frame = replace(packet, oif=None, bridge=receiver.bridge)
        path += [HookPacket("output", frame, "bridge"), HookPacket("postrouting", frame, "bridge")]
    return path
