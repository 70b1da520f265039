# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guard knows of the host, and what an event means to it. Nothing here touches the host."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ..core.memory import Remembered
from ..ipam.in_use import SHORTEST_ROUTE
from ..kernel.events import (
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
from ..kernel.links import OPENVSWITCH
from ..kernel.routes import PROTOCOL
from ..nft.sets import TABLE
from ..orchestration.desired_state import KINDS, SWITCHES, specs
from ..orchestration.restore import Situation
from .lost_macvtaps import Lost

CONFLICT = "conflict"

_NOTHING: frozenset[str] = frozenset()
_AFTER_BRIDGES = frozenset({"fragments", "entries"})
_RULES = frozenset({"rules"})
_CONFLICT = frozenset({CONFLICT})
_ALL = frozenset({*KINDS, CONFLICT})


@dataclass(frozen=True)
class Held:
    """A bridge that shall be there: its addresses (packed, with length), and which ports it shall have.

    ``switched``: it is one of Open vSwitch, which knows its ports; the kernel does not tell of them. ``apart``: its
    guests are kept from each other.
    """

    addresses: frozenset[tuple[bytes, int]] = frozenset()
    ports: frozenset[str] = frozenset()
    switched: bool = False
    apart: bool = False

    def keeps_apart(self, port: str) -> bool:
        """Whether a port is one of a guest that other guests shall not reach."""
        return self.apart and port not in self.ports


@dataclass
class View:
    """Bridges, their ports, and the subnets that nobody else may have.

    ``ports`` are those that a bridge gets back when it is lost; of these ``left`` seem to be off it. A bridge that is
    deleted sets its ports free first, so whether one was taken off or lost shows by whether its bridge outlives it.
    ``limited`` are bridges with a bandwidth. ``ridden`` are links that are gone, each with the index of the bridge that
    it was made on. ``unmarked`` are links of guests, plugged into a bridge whose guests are kept from each other, that
    may not have the mark yet.
    """

    held: Mapping[str, Held] = field(default_factory=dict)
    subnets: tuple[tuple[int, int, int], ...] = ()
    forwards: bool = False
    index: dict[int, str] = field(default_factory=dict)
    looks: dict[int, tuple[object, ...]] = field(default_factory=dict)
    ports: dict[str, dict[int, str]] = field(default_factory=dict)
    left: dict[int, str] = field(default_factory=dict)
    unnoted: set[str] = field(default_factory=set)
    limited: Collection[str] = ()
    ridden: list[tuple[Lost, int]] = field(default_factory=list)
    unmarked: dict[int, str] = field(default_factory=dict)

    @staticmethod
    def of(situation: Situation, before: Mapping[str, Mapping[int, str]]) -> View:
        """The view of a situation; ports that bridges had ``before`` are not forgotten."""
        running = situation.running
        wanted = specs(running, dict[str, Remembered]())["bridges"]
        held = {
            str(one["name"]): Held(
                frozenset(map(_packed, one["addresses"])),
                frozenset(one["ports"]),
                one["type"] == OPENVSWITCH,
                one["isolate_guests"] and one["type"] != OPENVSWITCH,
            )
            for one in wanted
        }
        index = {link.index: link.name for link in situation.links.values() if link.name in held}
        names = {link.index: link.name for link in situation.links.values()}
        masters = {link.index: link.master for link in situation.links.values()}
        ports = {
            name: {index: names[index] for index in before.get(name, ()) if masters.get(index) in ("", name)}
            for name, one in held.items()
            if not one.switched
        }
        for link in situation.links.values():
            if link.master in ports:
                ports[link.master][link.index] = link.name
        limited = {str(one["name"]) for one in wanted if any(one["bandwidth"].values())}
        return View(
            held=held,
            limited=limited,
            subnets=tuple(_range(cidr) for one in wanted for cidr in one["addresses"]),
            forwards=any(network.mode != "isolated" for network in situation.defined.values()),
            index=index,
            looks={
                link.index: (link.name, link.up, link.mac, link.mtu)
                for link in situation.links.values()
                if link.index in index
            },
            ports=ports,
            left={one: name for name in index.values() for one in ports.get(name, ()) if not masters[one]},
            unnoted=set(ports),
            unmarked={
                link.index: link.master
                for link in situation.links.values()
                if link.master in held and held[link.master].keeps_apart(link.name) and not link.isolated
            },
        )

    @property
    def switched(self) -> list[str]:
        """The bridges of Open vSwitch."""
        return [name for name, one in self.held.items() if one.switched]

    def part(self, bridge: str) -> frozenset[str]:
        """The part that a bridge belongs to."""
        return frozenset({SWITCHES if bridge in self.switched else "bridges"})

    @property
    def missing(self) -> frozenset[str]:
        """Bridges that shall be there and are not."""
        return frozenset(self.held) - frozenset(self.index.values())

    def heard(self, event: Event) -> frozenset[str]:
        """Which parts an event concerns; most concern none."""
        if isinstance(event, AddressEvent):
            return self._address(event)
        if isinstance(event, RouteEvent):
            foreign = event.length >= SHORTEST_ROUTE and event.index not in self.index
            return _CONFLICT if foreign and self._overlaps(event.destination, event.length) else _NOTHING
        if isinstance(event, LinkEvent):
            return self._link(event)
        if isinstance(event, LostRouteEvent):
            ours = event.protocol == PROTOCOL and event.index in self.index
            return self.part(self.index[event.index]) if ours else _NOTHING
        if isinstance(event, TrafficControlEvent):
            name = self.index.get(event.index, "")
            return self.part(name) if name in self.limited else _NOTHING
        if isinstance(event, RulesEvent):
            # There are two of this name: networks' rules, and what limits bridges.
            concerned = _RULES.union(*map(self.part, self.limited))
            return concerned if event.table == TABLE else _NOTHING
        if isinstance(event, ForwardingEvent):
            return _RULES if self.forwards and not event.on else _NOTHING
        return _ALL if isinstance(event, Overrun) else _NOTHING

    def _address(self, event: AddressEvent) -> frozenset[str]:
        name = self.index.get(event.index)
        if name is None:
            return _CONFLICT if not event.gone and self._overlaps(event.address, event.length) else _NOTHING
        wanted = (event.address, event.length) in self.held[name].addresses
        link_local = event.address[:2] == b"\xfe\x80"
        return _NOTHING if link_local or wanted != event.gone else self.part(name)

    def _overlaps(self, address: bytes, length: int) -> bool:
        bits = len(address) * 8
        size = 1 << (bits - length)
        first = int.from_bytes(address, "big") & ~(size - 1)
        return any(bits == width and first <= high and low < first + size for low, high, width in self.subnets)

    def _link(self, event: LinkEvent) -> frozenset[str]:
        if event.gone:
            return self._gone(event)
        if event.index in self.index or event.name in self.held:
            return self._bridge(event)
        return self._port(event)

    def _gone(self, event: LinkEvent) -> frozenset[str]:
        if event.lower in self.index:
            self.ridden.append((Lost(event.name, event.index, self.index[event.lower]), event.lower))
        self.left.pop(event.index, None)
        for bridge, ports in self.ports.items():
            if ports.pop(event.index, None) is not None:
                self.unnoted.add(bridge)
        name = self.index.pop(event.index, None)
        self.looks.pop(event.index, None)
        if name is None or name in self.index.values():
            return _NOTHING
        self.left = {port: bridge for port, bridge in self.left.items() if bridge != name}
        return self.part(name) | _AFTER_BRIDGES

    def _bridge(self, event: LinkEvent) -> frozenset[str]:
        look = (event.name, event.up, event.mac, event.mtu)
        if event.index not in self.index:
            self.index[event.index] = event.name
        if self.looks.get(event.index) == look:
            return _NOTHING
        self.looks[event.index] = look
        return self.part(self.index[event.index])

    def _port(self, event: LinkEvent) -> frozenset[str]:
        bridge = self.index.get(event.master, "")
        for other, ports in self.ports.items():
            # Even where it has another bridge: the view may be newer than the event, and that bridge a former one.
            if event.index in ports and other != bridge and other in self.index.values():
                self.left[event.index] = other
        if bridge:
            returned = self.left.get(event.index) == bridge
            if returned:
                del self.left[event.index]
            new = self.ports.setdefault(bridge, {}).get(event.index) != event.name
            if new:
                self.ports[bridge][event.index] = event.name
                self.unnoted.add(bridge)
            # Whoever comes back comes without the mark.
            if (new or returned) and self.held[bridge].keeps_apart(event.name):
                self.unmarked[event.index] = bridge
            return _NOTHING
        return frozenset[str]().union(*(self.part(name) for name, one in self.held.items() if event.name in one.ports))

    def indexes(self, bridge: str) -> list[int]:
        """The links that have, or had a moment ago, the name of a bridge."""
        return [index for index, name in self.index.items() if name == bridge]

    def taken_off(self, port: int) -> None:
        """A port that left did so while its bridge stayed."""
        bridge = self.left.pop(port)
        self.ports[bridge].pop(port, None)
        self.unnoted.add(bridge)

    def notes(self) -> Iterable[tuple[str, list[tuple[str, int]]]]:
        """Bridges whose ports changed since they were asked for last, with the ports that they get back."""
        changed, self.unnoted = self.unnoted, set()
        for bridge in sorted(changed):
            yield bridge, [(name, index) for index, name in self.ports.get(bridge, {}).items()]


def _packed(cidr: str) -> tuple[bytes, int]:
    interface = ipaddress.ip_interface(cidr)
    return interface.ip.packed, interface.network.prefixlen


def _range(cidr: str) -> tuple[int, int, int]:
    network = ipaddress.ip_interface(cidr).network
    return int(network.network_address), int(network.broadcast_address), network.max_prefixlen
