# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Events of the kernel about links, addresses, routes, qdiscs, forwarding and nftables: sockets and messages.

Only what the guard needs of each message is read. Numbers are those of include/uapi/linux/{rtnetlink,if_link,if_addr,
netconf,netfilter/nfnetlink,netfilter/nf_tables}.h.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Union

from . import netlink
from .netlink import attributes, text

_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_SO_RCVBUFFORCE = 33
_GROUPS = (1, 4, 5, 7, 9, 11, 24, 25)  # LINK, TC, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE, IPV4/6_NETCONF
_NFTABLES_GROUP = 7
# A burst of events, such as a full routing table, must not be lost while the guard is at work.
_BUFFER = 4 << 20
_LARGEST = 1 << 16

_NEWLINK, _DELLINK, _GETLINK, _NEWADDR, _DELADDR, _NEWROUTE, _DELROUTE, _NEWNETCONF = 16, 17, 18, 20, 21, 24, 25, 80
# RTM_NEWQDISC to RTM_DELTFILTER: qdiscs, classes and filters.
_TRAFFIC_CONTROL = range(36, 46)
_NFTABLES_SUBSYSTEM, _NEWSETELEM, _DELSETELEM, _NEWGEN = 10, 12, 14, 15
# IFLA_*, in IFLA_LINKINFO IFLA_INFO_KIND; IFLA_PROP_LIST and in it IFLA_ALT_IFNAME
_ADDRESS_OF_LINK, _NAME, _MTU, _LOWER, _MASTER, _LINK_INFO, _INFO_KIND = 1, 3, 4, 5, 10, 18, 1
_PROPERTIES, _ALTERNATIVE_NAME = 52, 53
# IFA_*, RTA_*, NETCONFA_*
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DESTINATION, _RTA_OUTPUT = 1, 4
_NETCONF_INTERFACE, _NETCONF_FORWARDING = 1, 2
_AF_BRIDGE = 7
_IFF_UP = 1
# Links on top of another link; they are deleted with it.
_STACKED_KINDS = ("macvtap", "macvlan", "ipvtap", "ipvlan")
_UNICAST = 1
# NETCONFA_IFINDEX_ALL; NETCONFA_IFINDEX_DEFAULT is -2.
ALL_INTERFACES = -1

# include/uapi/linux/netfilter.h
NFPROTO_INET, NFPROTO_BRIDGE = 1, 7

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE_HEAD = struct.Struct("=BBBBBBBBI")
# struct netconfmsg and struct nfgenmsg, padded
_SHORT_HEAD = 4


@dataclass(frozen=True)
class LinkEvent:
    """The state of a link, or its deletion (``gone``); ``master`` is an index, 0 for none.

    ``lower``: the index of the link below a macvtap or the like, 0 for others.
    """

    index: int
    name: str
    master: int
    up: bool
    mac: str
    mtu: int
    gone: bool
    lower: int = 0
    alternative_names: Sequence[str] = ()


@dataclass(frozen=True)
class AddressEvent:
    """An address (packed) that was added, or removed (``gone``)."""

    index: int
    address: bytes
    length: int
    gone: bool


@dataclass(frozen=True)
class RouteEvent:
    """A new unicast route (packed destination); ``index`` is 0 if it has no interface or several."""

    index: int
    destination: bytes
    length: int


@dataclass(frozen=True)
class LostRouteEvent:
    """A removed unicast route; ``protocol`` says who had added it (rtm_protocol in rtnetlink(7))."""

    index: int
    protocol: int


@dataclass(frozen=True)
class TrafficControlEvent:
    """A qdisc, class or filter of a link was added, changed or removed."""

    index: int


@dataclass(frozen=True)
class ForwardingEvent:
    """Forwarding of the whole host was switched on or off, or of packets that arrive on one interface (``index``)."""

    family: int
    on: bool
    index: int = ALL_INTERFACES


@dataclass(frozen=True)
class RulesEvent:
    """The content of a table of nftables changed; ``only_elements``: elements of its sets, and no rules.

    ``family``: as in include/uapi/linux/netfilter.h.
    """

    table: str
    only_elements: bool = False
    family: int = NFPROTO_INET


@dataclass(frozen=True)
class Overrun:
    """Events were lost, so anything may have changed."""


Event = Union[
    LinkEvent, AddressEvent, RouteEvent, LostRouteEvent, TrafficControlEvent, ForwardingEvent, RulesEvent, Overrun
]


def listen() -> list[socket.socket]:
    """Non-blocking sockets that receive the events: of rtnetlink, and of nftables where the kernel has it."""
    sockets = [_event_socket(netlink.ROUTE, _GROUPS)]
    with contextlib.suppress(OSError):
        sockets.append(_event_socket(netlink.NETFILTER, [_NFTABLES_GROUP]))
    return sockets


def listen_to_links() -> socket.socket:
    """As listen(), for the events of links alone."""
    return _event_socket(netlink.ROUTE, _GROUPS[:1])


def _event_socket(protocol: int, groups: Sequence[int]) -> socket.socket:
    source = netlink.open_socket(protocol)
    try:
        source.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    except PermissionError:
        source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    source.bind((0, 0))
    source.setblocking(False)
    for group in groups:
        source.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    return source


def read_link(index: int) -> LinkEvent | None:
    """The current state of a link; None if it is deleted, or if the kernel does not answer in time.

    The kernel serves this request and changes of links one after the other (rtnl_lock()), so the answer shows no
    change half done.
    """
    try:
        with netlink.Connection(netlink.ROUTE) as kernel:
            answers = kernel.request(_GETLINK, _LINK.pack(0, 0, index, 0, 0))
    except OSError:
        return None
    return next((link for link in (_link(body, gone=False) for body in answers) if link is not None), None)


def receive(source: socket.socket) -> Iterator[Event]:
    """All events that wait on a socket."""
    while True:
        try:
            datagram = source.recv(_LARGEST)
        except BlockingIOError:
            return
        except OSError:
            # ENOBUFS: the buffer was full and the kernel has dropped messages (netlink(7)).
            yield Overrun()
            continue
        yield from parse(datagram, source.proto)


def parse(datagram: bytes, protocol: int = netlink.ROUTE) -> Iterator[Event]:
    """The events of one datagram."""
    for message in netlink.messages(datagram):
        try:
            event = (_rules if protocol == netlink.NETFILTER else _route_message)(message.kind, message.body)
        except struct.error:
            # A truncated message: it is longer than every known one.
            event = Overrun()
        if event is not None:
            yield event


def _route_message(kind: int, body: bytes) -> Event | None:
    if kind in (_NEWLINK, _DELLINK):
        return _link(body, gone=kind == _DELLINK)
    if kind in (_NEWADDR, _DELADDR):
        return _address(body, gone=kind == _DELADDR)
    if kind in (_NEWROUTE, _DELROUTE):
        return _route(body, gone=kind == _DELROUTE)
    if kind == _NEWNETCONF:
        return _forwarding(body)
    # struct tcmsg: the family, padding, and the link.
    return TrafficControlEvent(struct.unpack_from("=i", body, 4)[0]) if kind in _TRAFFIC_CONTROL else None


def _number(value: bytes) -> int:
    return int.from_bytes(value[:4], sys.byteorder, signed=True)


def _link(body: bytes, *, gone: bool) -> LinkEvent | None:
    family, _type, index, flags, _change = _LINK.unpack_from(body)
    if family == _AF_BRIDGE:
        # From a bridge about its port. RTM_DELLINK of this family means that the port left the bridge.
        return None
    values = dict(attributes(body, _LINK.size))
    kind = text(dict(attributes(values.get(_LINK_INFO, b""))).get(_INFO_KIND, b""))
    return LinkEvent(
        index=index,
        name=text(values.get(_NAME, b"")),
        master=_number(values.get(_MASTER, b"")),
        up=bool(flags & _IFF_UP),
        mac=values.get(_ADDRESS_OF_LINK, b"").hex(":"),
        mtu=_number(values.get(_MTU, b"")),
        gone=gone,
        lower=_number(values.get(_LOWER, b"")) if kind in _STACKED_KINDS else 0,
        alternative_names=tuple(
            text(name) for what, name in attributes(values.get(_PROPERTIES, b"")) if what == _ALTERNATIVE_NAME
        ),
    )


def _address(body: bytes, *, gone: bool) -> AddressEvent | None:
    _family, length, _flags, _scope, index = _ADDRESS.unpack_from(body)
    values = dict(attributes(body, _ADDRESS.size))
    address = values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS)
    return None if address is None else AddressEvent(index, address, length, gone)


def _route(body: bytes, *, gone: bool) -> RouteEvent | LostRouteEvent | None:
    _family, length, _source, _tos, _table, protocol, _scope, kind, _flags = _ROUTE_HEAD.unpack_from(body)
    values = dict(attributes(body, _ROUTE_HEAD.size))
    index = _number(values.get(_RTA_OUTPUT, b""))
    if kind != _UNICAST:
        return None
    if gone:
        return LostRouteEvent(index, protocol)
    return RouteEvent(index, values[_RTA_DESTINATION], length) if _RTA_DESTINATION in values else None


def _forwarding(body: bytes) -> ForwardingEvent | None:
    values = dict(attributes(body, _SHORT_HEAD))
    if _NETCONF_FORWARDING not in values or _NETCONF_INTERFACE not in values:
        return None
    index = _number(values[_NETCONF_INTERFACE])
    if index < ALL_INTERFACES:
        # What interfaces get that are made later.
        return None
    return ForwardingEvent(body[0], _number(values[_NETCONF_FORWARDING]) != 0, index)


def _rules(kind: int, body: bytes) -> RulesEvent | None:
    if kind >> 8 != _NFTABLES_SUBSYSTEM or kind & 0xFF == _NEWGEN:
        return None
    # NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, ...: the table is the first of each.
    table = dict(attributes(body, _SHORT_HEAD)).get(1)
    return None if table is None else RulesEvent(text(table), kind & 0xFF in (_NEWSETELEM, _DELSETELEM), body[0])
