# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel tells about links, addresses, routes, forwarding and nftables: sockets, and their messages.

Only as much of each message is read as the guard needs, with nothing but the standard library: importing pyroute2
would cost it more memory than all the rest. Numbers are those of include/uapi/linux/{netlink,rtnetlink,if_link,
if_addr,netconf,netfilter/nfnetlink,netfilter/nf_tables}.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Union

_ROUTE, _NETFILTER = 0, 12
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_SO_RCVBUFFORCE = 33
_GROUPS = (1, 4, 5, 7, 9, 11, 24, 25)  # LINK, TC, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE, IPV4/6_NETCONF
_NFTABLES_GROUP = 7
# A burst of events, such as a full routing table, must not be lost while the guard is at work.
_BUFFER = 4 << 20

_NEWLINK, _DELLINK, _GETLINK, _NEWADDR, _DELADDR, _NEWROUTE, _DELROUTE, _NEWNETCONF = 16, 17, 18, 20, 21, 24, 25, 80
# RTM_NEWQDISC to RTM_DELTFILTER: queues, their classes, and filters.
_QUEUES = range(36, 46)
_NFTABLES_SUBSYSTEM, _NEWGEN = 10, 15
_AF_BRIDGE = 7
_IFF_UP = 1
# They are made on another link, and die with it.
_RIDERS = ("macvtap", "macvlan", "ipvtap", "ipvlan")
_UNICAST = 1
_ALL_INTERFACES = -1
_REQUEST = 1
# The kernel answers when it is through with what it does to links, such as the deletion of hundreds.
_ANSWER = 10.0

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE_HEAD = struct.Struct("=BBBBBBBBI")


@dataclass(frozen=True)
class LinkEvent:
    """A link as it is now, or that it is gone; ``master`` is an index, 0 for none.

    ``lower``: the index of the link that a macvtap or the like was made on, 0 for others.
    """

    index: int
    name: str
    master: int
    up: bool
    mac: str
    mtu: int
    gone: bool
    lower: int = 0


@dataclass(frozen=True)
class AddressEvent:
    """An address (packed) that came or went."""

    index: int
    address: bytes
    length: int
    gone: bool


@dataclass(frozen=True)
class RouteEvent:
    """A unicast route (packed destination) that came; ``index`` 0 where it leads to none or several interfaces."""

    index: int
    destination: bytes
    length: int


@dataclass(frozen=True)
class LostRouteEvent:
    """A route that went; ``protocol`` says whose it was."""

    index: int
    protocol: int


@dataclass(frozen=True)
class QueueEvent:
    """A queue of a link, or a filter there, came, changed or went."""

    index: int


@dataclass(frozen=True)
class ForwardingEvent:
    """Forwarding of the host as a whole was switched."""

    family: int
    on: bool


@dataclass(frozen=True)
class RulesEvent:
    """Something in a table of nftables was changed."""

    table: str


@dataclass(frozen=True)
class Overrun:
    """Events were lost: anything may have happened."""


Event = Union[LinkEvent, AddressEvent, RouteEvent, LostRouteEvent, QueueEvent, ForwardingEvent, RulesEvent, Overrun]


def listen() -> list[socket.socket]:
    """The sockets, not blocking: of rtnetlink, and where the kernel has it, of nftables."""
    route = _socket(_ROUTE)
    for group in _GROUPS:
        route.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    sockets = [route]
    try:
        rules = _socket(_NETFILTER)
        rules.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _NFTABLES_GROUP)
        sockets.append(rules)
    except OSError:
        pass
    return sockets


def _socket(protocol: int) -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    except PermissionError:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    made.bind((0, 0))
    made.setblocking(False)
    return made


def ask(index: int) -> LinkEvent | None:
    """A link as it is now; None where it is gone, or where the kernel does not answer in time.

    A request takes its turn with those that change links (rtnl_lock()), so none of these is half done in the answer.
    """
    with _socket(_ROUTE) as source:
        source.settimeout(_ANSWER)
        source.send(_HEADER.pack(_HEADER.size + _LINK.size, _GETLINK, _REQUEST, 1, 0) + _LINK.pack(0, 0, index, 0, 0))
        try:
            events = list(parse(source.recv(1 << 16)))
        except OSError:
            return None
    return next((event for event in events if isinstance(event, LinkEvent)), None)


def receive(source: socket.socket) -> Iterator[Event]:
    """All events that wait on a socket."""
    while True:
        try:
            data = source.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            # ENOBUFS: the buffer was full and the kernel has dropped messages (netlink(7)).
            yield Overrun()
            continue
        yield from parse(data, source.proto)


def parse(data: bytes, protocol: int = _ROUTE) -> Iterator[Event]:
    """The events of one datagram."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _flags, _sequence, _port = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        body = data[at + _HEADER.size : at + length]
        try:
            event = _rules(kind, body) if protocol == _NETFILTER else _route_message(kind, body)
        except struct.error:
            # Cut short, as a message is that is longer than any that is known.
            event = Overrun()
        if event is not None:
            yield event
        at += (length + 3) & ~3


def _route_message(kind: int, body: bytes) -> Event | None:
    if kind in (_NEWLINK, _DELLINK):
        return _link(body, kind == _DELLINK)
    if kind in (_NEWADDR, _DELADDR):
        return _address(body, kind == _DELADDR)
    if kind == _NEWROUTE:
        return _route(body)
    if kind == _NEWNETCONF:
        return _forwarding(body)
    if kind == _DELROUTE:
        return _lost_route(body)
    # struct tcmsg: the family, padding, and the link.
    return QueueEvent(struct.unpack_from("=i", body, 4)[0]) if kind in _QUEUES else None


def _attributes(body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, body[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def _number(value: bytes) -> int:
    return int.from_bytes(value[:4], "little" if struct.pack("=H", 1) == b"\x01\x00" else "big", signed=True)


def _text(value: bytes) -> str:
    return value.split(b"\0")[0].decode("utf-8", "surrogateescape")


def _link(body: bytes, gone: bool) -> LinkEvent | None:
    family, _type, index, flags, _change = _LINK.unpack_from(body)
    if family == _AF_BRIDGE:
        # What a bridge says of its port; RTM_DELLINK of this family means that the port left, not that it is gone.
        return None
    name, master, mac, mtu, lower, rides = "", 0, "", 0, 0, False
    for kind, value in _attributes(body, _LINK.size):
        if kind == 3:
            name = _text(value)
        elif kind == 10:
            master = _number(value)
        elif kind == 1:
            mac = value.hex(":")
        elif kind == 4:
            mtu = _number(value)
        elif kind == 5:
            lower = _number(value)
        elif kind == 18:
            rides = any(one == 1 and _text(text) in _RIDERS for one, text in _attributes(value, 0))
    return LinkEvent(index, name, master, bool(flags & _IFF_UP), mac, mtu, gone, lower if rides else 0)


def _address(body: bytes, gone: bool) -> AddressEvent | None:
    _family, length, _flags, _scope, index = _ADDRESS.unpack_from(body)
    found = dict(_attributes(body, _ADDRESS.size))
    address = found.get(2) or found.get(1)
    return None if address is None else AddressEvent(index, address, length, gone)


def _route(body: bytes) -> RouteEvent | None:
    _family, length, _source, _tos, _table, _protocol, _scope, kind, _flags = _ROUTE_HEAD.unpack_from(body)
    if kind != _UNICAST:
        return None
    found = dict(_attributes(body, _ROUTE_HEAD.size))
    return RouteEvent(_number(found.get(4, b"\0\0\0\0")), found[1], length) if 1 in found else None


def _lost_route(body: bytes) -> LostRouteEvent | None:
    _family, _length, _source, _tos, _table, protocol, _scope, kind, _flags = _ROUTE_HEAD.unpack_from(body)
    if kind != _UNICAST:
        return None
    found = dict(_attributes(body, _ROUTE_HEAD.size))
    return LostRouteEvent(_number(found.get(4, b"\0\0\0\0")), protocol)


def _forwarding(body: bytes) -> ForwardingEvent | None:
    found = dict(_attributes(body, 4))
    if 2 not in found or _number(found.get(1, b"\0\0\0\0")) != _ALL_INTERFACES:
        return None
    return ForwardingEvent(body[0], _number(found[2]) != 0)


def _rules(kind: int, body: bytes) -> RulesEvent | None:
    if kind >> 8 != _NFTABLES_SUBSYSTEM or kind & 0xFF == _NEWGEN:
        return None
    for attribute, value in _attributes(body, 4):
        # NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, ...: they are all the first.
        if attribute == 1:
            return RulesEvent(_text(value))
    return None
