# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guard knows of the host, and which parts an event of the kernel concerns. Pure."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ..bridge.port_security import PortSecurity
from ..ipam.in_use import SHORTEST_ROUTE
from ..kernel.events import (
    ALL_INTERFACES,
    NFPROTO_BRIDGE,
    AddressEvent,
    Event,
    ForwardingEvent,
    LinkEvent,
    LostRouteEvent,
    Overrun,
    RouteEvent,
    RulesEvent,
    TrafficControlEvent,
)
from ..kernel.links import OPENVSWITCH, Link, interface_named
from ..kernel.routes import PROTOCOL
from ..network.model import Network
from ..network.policies import forwards_ipv4, opened_networks
from ..nft.sets import TABLE
from ..orchestration.desired_state import BRIDGES, ENTRIES, FRAGMENTS, OVS_BRIDGES, PARTS, RULES
from ..orchestration.restore import HostState
from .lost_macvtaps import LostMacvtap
from .ndp_relay import NdpProxy

# Not a part: a subnet of ours overlaps one of somebody else.
CONFLICT = "conflict"
# Not a part: the rules of another firewall changed, which may not let packets of networks pass any more.
FIREWALLS = "firewalls"

# Not a part: the run of a playbook may be complete.
RUN = "run"

# The parts that depend on bridges: a new bridge has a new index and no addresses.
AFTER_BRIDGES = frozenset({FRAGMENTS, ENTRIES})
EVERYTHING = frozenset({*PARTS, CONFLICT})

_NOTHING: frozenset[str] = frozenset()
_RULES = frozenset({RULES})
_CONFLICT = frozenset({CONFLICT})
_FIREWALLS = frozenset({FIREWALLS})


@dataclass(frozen=True)
class DesiredBridge:
    """A bridge that must exist: its addresses (packed, with prefix length), and the ports that the user lists.

    ``openvswitch``: its ports are in the database of Open vSwitch; the kernel does not report them.
    ``isolates_guests``: the guard isolates the ports of its guests from each other; ``hairpin``: it sets these to
    hairpin mode.
    ``limits_bandwidth``: it has queues and policers. ``forwards``: the host forwards IPv4 packets that arrive there.
    ``security``: which frames of guests it takes.
    """

    addresses: frozenset[tuple[bytes, int]] = frozenset()
    ports: frozenset[str] = frozenset()
    openvswitch: bool = False
    isolates_guests: bool = False
    hairpin: bool = False
    limits_bandwidth: bool = False
    forwards: bool = False
    security: PortSecurity = PortSecurity()

    @staticmethod
    def of(network: Network, opened: Collection[str] = ()) -> DesiredBridge:
        """The bridge of a network; ``opened``: the networks that policies of others open."""
        own = [str(address) for address in (network.ipv4.address, network.ipv6.address) if address]
        openvswitch = network.bridge.type == OPENVSWITCH
        return DesiredBridge(
            frozenset(map(_packed, (*own, *network.extra_addresses))),
            frozenset(network.bridge.ports),
            openvswitch,
            network.isolate_guests and not openvswitch,
            network.bridge.hairpin,
            any(network.bandwidth.as_options().values()),
            forwards_ipv4(network, opened),
            network.port_security.of_bridge,
        )

    def sets_flags(self, port: str) -> bool:
        """Whether a port is one of a guest, whose flags the guard sets."""
        return (self.isolates_guests or self.hairpin) and port not in self.ports

    def checks_frames(self, port: str) -> bool:
        """Whether the frames of a port are checked."""
        return self.security.checks(port, self.ports)


@dataclass
class View:
    """The bridges that must exist, their ports, and the subnets that nobody else may use.

    ``bridge_names``: the bridges that exist, by index; ``last_seen``: name, state, MAC address and MTU of each.
    ``ports``: the ports that each bridge gets back if it is lost. ``detached_candidates``: the bridge of each port that
    has left it. The kernel detaches the ports of a bridge that is deleted before it reports the deletion, so a port was
    detached by somebody only if its bridge still exists afterwards. ``unsaved``: the bridges whose ports have changed
    since they were saved. ``without_flags``: the bridge of each guest's port that may lack a flag.
    ``unchecked``: the bridge of each port, by name, whose frames may not be checked yet; ``stale``: ports, by name,
    that have left the bridge beside them.
    ``alternative_uplinks``: by index, all names of the uplinks that networks know by another one than their own.
    ``ndp_proxies``: those whose guests neighbour discovery finds by the host.
    ``lost_macvtaps``: macvtaps that are gone, each with the index of its bridge; ``former_bridges``: bridges that are
    gone too, by index, since the kernel may tell later that a macvtap of one is gone. Ports are given by index.
    """

    bridges: Mapping[str, DesiredBridge] = field(default_factory=dict)
    subnets: tuple[tuple[int, int, int], ...] = ()
    needs_forwarding: bool = False
    missing_uplinks: bool = False
    alternative_uplinks: Mapping[int, frozenset[str]] = field(default_factory=dict)
    ndp_proxies: tuple[NdpProxy, ...] = ()
    bridge_names: dict[int, str] = field(default_factory=dict)
    last_seen: dict[int, tuple[object, ...]] = field(default_factory=dict)
    ports: dict[str, dict[int, str]] = field(default_factory=dict)
    detached_candidates: dict[int, str] = field(default_factory=dict)
    unsaved: set[str] = field(default_factory=set)
    without_flags: dict[int, str] = field(default_factory=dict)
    unchecked: dict[str, str] = field(default_factory=dict)
    stale: set[tuple[str, str]] = field(default_factory=set)
    lost_macvtaps: list[tuple[LostMacvtap, int]] = field(default_factory=list)
    former_bridges: dict[int, str] = field(default_factory=dict)

    @staticmethod
    def of(host: HostState, ports_before: Mapping[str, Mapping[int, str]]) -> View:
        """The view of a host; a port that a bridge had before stays one of it unless it exists and is elsewhere."""
        networks = [network for network in host.running if network.has_own_bridge]
        uplinks = {one: interface_named(one) for network in host.defined.values() for one in network.uplinks}
        opened = opened_networks(host.defined.values())
        bridges = {network.bridge.name: DesiredBridge.of(network, opened) for network in networks}
        links = {link.index: link for link in host.links.values()}
        existing = {index: link for index, link in links.items() if link.name in bridges}
        ports = _ports_of(bridges, links, ports_before)
        return View(
            bridges=bridges,
            subnets=tuple(_range(subnet) for network in networks for subnet in network.subnets),
            missing_uplinks=not all(uplinks.values()),
            alternative_uplinks={
                host.links[name].index: frozenset({name, *(one for one, other in uplinks.items() if other == name)})
                for uplink, name in uplinks.items()
                if name in host.links and name != uplink
            },
            ndp_proxies=NdpProxy.of(networks),
            needs_forwarding=any(network.mode != "isolated" for network in host.defined.values()),
            bridge_names={index: link.name for index, link in existing.items()},
            last_seen={index: (link.name, link.up, link.mac, link.mtu) for index, link in existing.items()},
            ports=ports,
            detached_candidates={
                port: link.name
                for link in existing.values()
                for port in ports.get(link.name, ())
                if not links[port].master
            },
            unsaved=set(ports),
            without_flags={
                index: link.master
                for index, link in links.items()
                if link.master in bridges and bridges[link.master].sets_flags(link.name)
                if not (link.isolated or link.hairpin)
            },
            unchecked={
                link.name: link.master
                for index, link in links.items()
                if link.master in bridges and bridges[link.master].checks_frames(link.name)
                if index not in ports_before.get(link.master, ())
            },
        )

    def follow(self, former: View) -> None:
        """Take over the bridges that events may still be about, and the lost macvtaps that are not reported yet."""
        known = {**former.former_bridges, **former.bridge_names}
        self.former_bridges = {index: name for index, name in known.items() if index not in self.bridge_names}
        self.lost_macvtaps = [*former.lost_macvtaps, *self.lost_macvtaps]
        self.stale |= former.stale
        waiting = {port: bridge for port, bridge in former.unchecked.items() if bridge in self.bridges}
        self.unchecked = {**waiting, **self.unchecked}

    @property
    def missing(self) -> frozenset[str]:
        """Bridges that must exist and do not."""
        return frozenset(self.bridges) - frozenset(self.bridge_names.values())

    def part_of(self, bridge: str) -> frozenset[str]:
        """The part that reconciles a bridge."""
        return frozenset({OVS_BRIDGES if self.bridges[bridge].openvswitch else BRIDGES})

    def handle(self, event: Event) -> frozenset[str]:
        """Update the view; returns the parts that the event concerns, which are none for most events."""
        if isinstance(event, AddressEvent):
            return self._handle_address(event)
        if isinstance(event, RouteEvent):
            foreign = event.length >= SHORTEST_ROUTE and event.index not in self.bridge_names
            return _CONFLICT if foreign and self._overlaps(event.destination, event.length) else _NOTHING
        if isinstance(event, LinkEvent):
            return self._handle_link(event)
        if isinstance(event, LostRouteEvent):
            ours = event.protocol == PROTOCOL and event.index in self.bridge_names
            return self.part_of(self.bridge_names[event.index]) if ours else _NOTHING
        if isinstance(event, TrafficControlEvent):
            name = self.bridge_names.get(event.index, "")
            return self.part_of(name) if name and self.bridges[name].limits_bandwidth else _NOTHING
        if isinstance(event, RulesEvent):
            return self._handle_rules(event)
        if isinstance(event, ForwardingEvent):
            return _NOTHING if event.on else self._handle_forwarding(event)
        return EVERYTHING if isinstance(event, Overrun) else _NOTHING

    def _handle_rules(self, event: RulesEvent) -> frozenset[str]:
        if event.table == TABLE:
            # Three tables have this name: the networks' rules, the filters of frames, and the policers of bridges.
            if event.family == NFPROTO_BRIDGE:
                secured = [name for name, bridge in self.bridges.items() if bridge.security.enabled]
                return _NOTHING.union(*map(self.part_of, secured))
            limited = [name for name, bridge in self.bridges.items() if bridge.limits_bandwidth]
            return _RULES.union(*map(self.part_of, limited))
        # Programs that block addresses change elements all the time, which open and close nothing for a network.
        return _NOTHING if event.only_elements or not self.bridges else _FIREWALLS

    def _handle_forwarding(self, event: ForwardingEvent) -> frozenset[str]:
        name = self.bridge_names.get(event.index, "")
        if event.index == ALL_INTERFACES or event.family != socket.AF_INET or not self.needs_forwarding:
            return _RULES if event.index == ALL_INTERFACES and self.needs_forwarding else _NOTHING
        if name:
            return self.part_of(name) if self.bridges[name].forwards else _NOTHING
        # It may be the way to the outside, which is for its owner to open: the rules name it.
        return _FIREWALLS

    def _handle_address(self, event: AddressEvent) -> frozenset[str]:
        name = self.bridge_names.get(event.index)
        if name is None:
            return _CONFLICT if not event.gone and self._overlaps(event.address, event.length) else _NOTHING
        desired = (event.address, event.length) in self.bridges[name].addresses
        link_local = event.address[:2] == b"\xfe\x80"
        return _NOTHING if link_local or desired != event.gone else self.part_of(name)

    def _overlaps(self, address: bytes, length: int) -> bool:
        bits = len(address) * 8
        size = 1 << (bits - length)
        first = int.from_bytes(address, "big") & ~(size - 1)
        return any(bits == width and first <= high and low < first + size for low, high, width in self.subnets)

    def _handle_link(self, event: LinkEvent) -> frozenset[str]:
        if event.gone:
            return self._handle_deletion(event) | self._uplink_parts(event)
        if event.index in self.bridge_names or event.name in self.bridges:
            return self._handle_bridge(event)
        return self._handle_port(event) | self._uplink_parts(event)

    def _uplink_parts(self, event: LinkEvent) -> frozenset[str]:
        """The rules name an uplink by its name, which another link may have that gets its alternative name."""
        names = self.alternative_uplinks.get(event.index, frozenset())
        moved = bool(names) and (event.gone or not names <= {event.name, *event.alternative_names})
        return _RULES if moved or (self.missing_uplinks and not event.gone) else _NOTHING

    def _handle_deletion(self, event: LinkEvent) -> frozenset[str]:
        below = self.bridge_names.get(event.lower) or self.former_bridges.get(event.lower)
        if below:
            self.lost_macvtaps.append((LostMacvtap(event.name, event.index, below), event.lower))
        self.detached_candidates.pop(event.index, None)
        for bridge, ports in self.ports.items():
            left = ports.pop(event.index, None)
            if left is not None:
                self.unsaved.add(bridge)
                self._forget_checked(left, bridge)
        name = self.bridge_names.pop(event.index, None)
        if name is not None:
            self.former_bridges[event.index] = name
        self.last_seen.pop(event.index, None)
        if name is None or name in self.bridge_names.values():
            return _NOTHING
        self.detached_candidates = {port: bridge for port, bridge in self.detached_candidates.items() if bridge != name}
        return self.part_of(name) | AFTER_BRIDGES

    def _handle_bridge(self, event: LinkEvent) -> frozenset[str]:
        seen = (event.name, event.up, event.mac, event.mtu)
        self.bridge_names.setdefault(event.index, event.name)
        if self.last_seen.get(event.index) == seen:
            return _NOTHING
        self.last_seen[event.index] = seen
        return self.part_of(self.bridge_names[event.index])

    def _handle_port(self, event: LinkEvent) -> frozenset[str]:
        bridge = self.bridge_names.get(event.master, "")
        for other, ports in self.ports.items():
            # Even if the port is now on another bridge: the view can be newer than the event, which then shows the
            # bridge that the port had before.
            if event.index in ports and other != bridge and other in self.bridge_names.values():
                self.detached_candidates[event.index] = other
        if not bridge:
            return _NOTHING.union(
                *(self.part_of(name) for name, desired in self.bridges.items() if event.name in desired.ports)
            )
        returned = self.detached_candidates.get(event.index) == bridge
        if returned:
            del self.detached_candidates[event.index]
        new = self.ports.setdefault(bridge, {}).get(event.index) != event.name
        if new:
            self._forget_checked(self.ports[bridge].get(event.index, ""), bridge)
            self.ports[bridge][event.index] = event.name
            self.unsaved.add(bridge)
        if (new or returned) and self.bridges[bridge].checks_frames(event.name):
            self.unchecked[event.name] = bridge
            self.stale.discard((event.name, bridge))
        # The kernel clears the flags of a port that leaves its bridge.
        if (new or returned) and self.bridges[bridge].sets_flags(event.name):
            self.without_flags[event.index] = bridge
        return _NOTHING

    def _forget_checked(self, port: str, bridge: str) -> None:
        """A port has left its bridge, or has another name now."""
        if port and self.bridges[bridge].checks_frames(port):
            self.stale.add((port, bridge))
            self.unchecked.pop(port, None)

    def indexes_of(self, bridge: str) -> list[int]:
        """The links that have the name of a bridge, or had it a moment ago."""
        return [index for index, name in self.bridge_names.items() if name == bridge]

    def forget_port(self, port: int) -> None:
        """A candidate was detached while its bridge stayed: the bridge does not get it back."""
        bridge = self.detached_candidates.pop(port)
        self._forget_checked(self.ports[bridge].pop(port, ""), bridge)
        self.unsaved.add(bridge)

    @property
    def unfiltered(self) -> bool:
        """Whether ports wait for the filters of frames."""
        return bool(self.unchecked or self.stale)

    def take_unsaved(self) -> Iterable[tuple[str, list[tuple[str, int]]]]:
        """Each bridge whose ports have changed since they were saved, with its ports by name and index."""
        changed, self.unsaved = self.unsaved, set()
        for bridge in sorted(changed):
            yield bridge, [(name, index) for index, name in self.ports.get(bridge, {}).items()]


def _ports_of(
    bridges: Mapping[str, DesiredBridge], links: Mapping[int, Link], before: Mapping[str, Mapping[int, str]]
) -> dict[str, dict[int, str]]:
    """The ports that each Linux bridge has now, and those that it had before and that have no other bridge now."""
    ports = {
        name: {
            index: links[index].name
            for index in before.get(name, ())
            if index in links and links[index].master in ("", name)
        }
        for name, bridge in bridges.items()
        if not bridge.openvswitch
    }
    for link in links.values():
        if link.master in ports:
            ports[link.master][link.index] = link.name
    return ports


def _packed(cidr: str) -> tuple[bytes, int]:
    interface = ipaddress.ip_interface(cidr)
    return interface.ip.packed, interface.network.prefixlen


def _range(subnet: ipaddress.IPv4Network | ipaddress.IPv6Network) -> tuple[int, int, int]:
    return int(subnet.network_address), int(subnet.broadcast_address), subnet.max_prefixlen
