# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""By which interface packets of guests leave the host: the kernel says so, with all routing rules and marks."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..kernel.links import interface_named, read_forwarding
from ..kernel.route_lookup import Traveller, Way, find_own_way, find_way
from ..nft.sets import FAMILY, TABLE
from ..ruleset.evaluate import traverse_hook
from ..ruleset.model import Ruleset
from .flows import OUTSIDE, GuestNetwork, outgoing_packet
from .policy_match import refused_by_policy

# Why packets do not leave.
NO_ROUTE = "no route"
REFUSED = "refused"
NO_WAY_BACK = "no way back"


@dataclass(frozen=True)
class WayOut:
    """The way of the packets of a network to the outside, in one IP version.

    ``interface``: by which they leave, None where that is unknown; ``obstacle``: why they do not. ``closed``: the host
    forwards IPv4, but none of what arrives on that interface. ``unwanted``: mode or policy of the network refuse the
    packets.
    """

    network: GuestNetwork
    version: int
    interface: str | None = None
    obstacle: str = ""
    closed: bool = False
    unwanted: bool = False


def find_ways_out(network: GuestNetwork, ruleset: Ruleset) -> list[WayOut]:
    """The ways of a network.

    One with an uplink of its own may have another outside than the host, so the interface is given. Of several it is
    the one that the routes of the host choose, else the first that exists.
    """
    ways = [
        WayOut(network, version, uplink)
        if uplink
        else _by_possible_uplink(_find_way_out(network, version, ruleset), network.possible_uplinks)
        for version in sorted(network.hosts)
        for uplink in (network.uplinks.get(version),)
    ]
    return [
        replace(
            way,
            closed=way.version == 4 and _is_closed(way.interface),
            unwanted=network.mode == "isolated" or _is_refused_by_policy(way, ruleset),
        )
        for way in ways
    ]


def _is_refused_by_policy(way: WayOut, ruleset: Ruleset) -> bool:
    packet = replace(outgoing_packet(way.network, way.version), oif=way.interface or "")
    own = [table for table in ruleset if (table.family, table.name) == (FAMILY, TABLE)]
    return any(map(refused_by_policy, traverse_hook(own, "forward", packet)[1]))


def _by_possible_uplink(way: WayOut, uplinks: Sequence[str]) -> WayOut:
    if not uplinks or way.interface in uplinks:
        return way
    return WayOut(way.network, way.version, next(filter(interface_named, uplinks), uplinks[0]))


def _find_way_out(network: GuestNetwork, version: int, ruleset: Ruleset) -> WayOut:
    packet = outgoing_packet(network, version)
    for family in ("bridge", ""):
        packet = traverse_hook(ruleset, "prerouting", packet, family)[0]
    guest, outside = network.guest(version), OUTSIDE[version]
    traveller = Traveller(guest, outside, network.bridge, sport=packet.sport, dport=packet.dport, mark=packet.mark or 0)
    try:
        way = find_way(traveller)
        if way.error == errno.EHOSTUNREACH and version == 4 and not _is_forwarding(network.bridge):
            # The bridge itself is at fault, which its reconciler repairs.
            way = find_own_way(outside, traveller.mark)
        if way.interface:
            return WayOut(network, version, way.interface)
        return WayOut(network, version, obstacle=_obstacle(network, version, way))
    except OSError:
        return WayOut(network, version)


def _obstacle(network: GuestNetwork, version: int, way: Way) -> str:
    if way.error == errno.ENETUNREACH and not find_own_way(OUTSIDE[version]).interface:
        return NO_ROUTE
    # The kernel refuses by the same number what a route of type blackhole discards.
    may_be_filtered = version == 4 and way.error in (errno.EXDEV, errno.EINVAL)
    if may_be_filtered and find_own_way(network.guest(version)).interface != network.bridge:
        return NO_WAY_BACK
    return REFUSED


def _is_forwarding(interface: str) -> bool:
    """Whether the host forwards IPv4 packets that arrive on an interface; IPv6 has one switch for all interfaces."""
    return read_forwarding("/proc/sys", interface) != "0"


def _is_closed(interface: str | None) -> bool:
    return bool(interface) and _is_forwarding("all") and not _is_forwarding(str(interface))


def closed_uplinks(ways: Sequence[WayOut]) -> Iterator[str]:
    """A sentence for each interface to the outside by which no reply comes back: its owner has switched that off."""
    closed = [way for way in ways if way.closed and (not way.unwanted or way.network.forwards)]
    for interface in dict.fromkeys(str(way.interface) for way in closed):
        yield (
            f"this host does not forward IPv4 packets that arrive on {interface}, so guests of "
            f"{named(way.network.name for way in closed if way.interface == interface)} get no replies from outside; "
            f"let it: sysctl -w net/ipv4/conf/{interface}/forwarding=1 (systemd-networkd: IPv4Forwarding=yes in its "
            ".network file, IPForward=yes before version 256)"
        )


def obstacle_notes(ways: Sequence[WayOut]) -> Iterator[str]:
    """A sentence for each IP version without a route, and for each network whose packets the host's routes refuse."""
    allowed = [way for way in ways if not way.unwanted]
    for version in (4, 6):
        names = [way.network.name for way in allowed if (way.version, way.obstacle) == (version, NO_ROUTE)]
        if names:
            yield (
                f"this host has no IPv{version} route to the outside, so guests of {named(names)} do not reach it by "
                f"IPv{version}"
            )
    for way in allowed:
        if way.obstacle == REFUSED:
            guest, bridge = way.network.guest(way.version), way.network.bridge
            yield (
                f"network {way.network.name!r}: a route or a rule of this host (ip-rule(8)) refuses packets guest to "
                f"outside (IPv{way.version}); to see it: ip route get {OUTSIDE[way.version]} from {guest} iif {bridge}"
            )


def obstacle_problems(ways: Iterable[WayOut]) -> Iterator[str]:
    """A sentence for each network to which the host's routes do not lead back."""
    for way in ways:
        if way.obstacle == NO_WAY_BACK and not way.unwanted:
            host, bridge = way.network.hosts[way.version], way.network.bridge
            yield (
                f"network {way.network.name!r}: packets guest to outside (IPv{way.version}) are dropped, since the "
                f"route of this host to {way.network.guest(way.version)} does not lead to {bridge} (rp_filter); let "
                f"one lead there: ip rule add to {host.network} lookup main pref 1"
            )


def named(names: Iterable[str]) -> str:
    """Networks by name, each once, for a sentence."""
    distinct = list(dict.fromkeys(map(repr, names)))
    return f"network{'s' if len(distinct) > 1 else ''} {', '.join(distinct)}"
