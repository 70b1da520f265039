# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks the kernel where it sends a packet, as ``ip route get`` does: with all routing rules, marks and tables.

Numbers are those of include/uapi/linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from dataclasses import dataclass
from typing import NamedTuple

from ..core.options import Address
from . import netlink

_GETROUTE = 26
_RTA_DESTINATION, _RTA_SOURCE, _RTA_INPUT, _RTA_OUTPUT, _RTA_MARK = 1, 2, 3, 4, 16
_RTA_PROTOCOL, _RTA_SOURCE_PORT, _RTA_DESTINATION_PORT = 27, 28, 29
_UNICAST = 1
# The errors of routes that refuse packets, by their type (fib_props in net/ipv4/fib_semantics.c): RTN_BLACKHOLE,
# RTN_UNREACHABLE, RTN_PROHIBIT. For IPv6 the kernel answers with such a route instead of an error.
_REFUSALS = {6: errno.EINVAL, 7: errno.EHOSTUNREACH, 8: errno.EACCES}

_ROUTE = struct.Struct("=BBBBBBBBI")
_NUMBER = struct.Struct("=I")
_PORT = struct.Struct(">H")


@dataclass(frozen=True)
class Traveller:
    """A packet whose route is asked for: of a connection, as it arrives on an interface with the mark of its packet."""

    source: Address
    destination: Address
    interface: str
    protocol: int = socket.IPPROTO_TCP
    sport: int = 0
    dport: int = 0
    mark: int = 0


class Way(NamedTuple):
    """The interface by which a packet leaves; without one, the error with which the kernel refuses the packet."""

    interface: str
    error: int = 0


def find_way(packet: Traveller) -> Way:
    """Where the host forwards a packet that arrives on an interface; OSError if the kernel cannot be asked."""
    index = socket.if_nametoindex(packet.interface)
    number, port = _NUMBER.pack, _PORT.pack
    extras = [
        (_RTA_SOURCE, packet.source.packed),
        (_RTA_INPUT, number(index)),
        (_RTA_MARK, number(packet.mark)),
        (_RTA_PROTOCOL, bytes([packet.protocol])),
        (_RTA_SOURCE_PORT, port(packet.sport)),
        (_RTA_DESTINATION_PORT, port(packet.dport)),
    ]
    return _ask(packet.destination, extras)


def find_own_way(destination: Address, mark: int = 0) -> Way:
    """Where the host sends a packet of its own; OSError if the kernel cannot be asked."""
    return _ask(destination, [(_RTA_MARK, _NUMBER.pack(mark))])


def _ask(destination: Address, extras: list[tuple[int, bytes]]) -> Way:
    family = socket.AF_INET6 if destination.version == 6 else socket.AF_INET
    bits = destination.max_prefixlen
    source_bits = bits if any(kind == _RTA_SOURCE for kind, _value in extras) else 0
    body = _ROUTE.pack(family, bits, source_bits, 0, 0, 0, 0, 0, 0)
    for kind, value in [(_RTA_DESTINATION, destination.packed), *extras]:
        body += netlink.attribute(kind, value)
    with netlink.Connection(netlink.ROUTE) as kernel:
        try:
            answers = kernel.request(_GETROUTE, body)
        except OSError as error:
            if error.errno in (errno.ETIMEDOUT, errno.ECONNRESET, errno.ENOBUFS, errno.EPERM):
                raise
            return Way("", error.errno or errno.ENETUNREACH)
    return _way(answers[0]) if answers else Way("", errno.ENETUNREACH)


def _way(answer: bytes) -> Way:
    kind = _ROUTE.unpack_from(answer)[7]
    index = dict(netlink.attributes(answer, _ROUTE.size)).get(_RTA_OUTPUT, b"")
    if kind != _UNICAST or not index:
        return Way("", _REFUSALS.get(kind, errno.EINVAL))
    try:
        return Way(socket.if_indextoname(int.from_bytes(index, sys.byteorder)))
    except OSError:
        return Way("", errno.ENODEV)
