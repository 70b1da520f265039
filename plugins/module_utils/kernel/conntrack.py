# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connections that the kernel tracks: list them, mark some, and delete some.

It speaks netlink itself (include/uapi/linux/netfilter/nfnetlink_conntrack.h), so no other package is needed. The next
packet of a connection that is deleted is judged by the rules again.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Union

from ..core.protocols import PROTOCOLS
from . import netlink
from .netlink import attributes

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

# NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW, IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE
_NEW, _GET, _DELETE = 0x100, 0x101, 0x102
# struct nfgenmsg: family, version, resource
_FAMILY = struct.Struct("=BBH")
# CTA_TUPLE_ORIG, CTA_TUPLE_REPLY; in a tuple CTA_TUPLE_IP, CTA_TUPLE_PROTO; there CTA_PROTO_NUM, the ports
_TUPLE_ORIG, _TUPLE_REPLY = 1, 2
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_PROTOCOL_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
# CTA_MARK, CTA_MARK_MASK
_MARK, _MARK_MASK = 8, 21


@dataclass(frozen=True)
class Connection:
    """A tracked connection: source, destination and port of its first packet.

    ``reply_source``, ``reply_port``: who answers, which NAT makes another address and port than the destination.
    ``key``: the tuple by which the kernel identifies the connection.
    """

    family: int
    protocol: str
    source: Address
    destination: Address
    port: int
    reply_source: Address
    key: bytes
    reply_port: int = 0


def connections() -> list[Connection]:
    """All tracked connections; raises CommandFailed."""
    with netlink.connect(netlink.NETFILTER, "the kernel's connections cannot be listed") as kernel:
        return [
            _parse(body)
            for family in (socket.AF_INET, socket.AF_INET6)
            for body in kernel.dump(_GET, _FAMILY.pack(family, 0, 0))
        ]


def delete_entries(matches: Callable[[Connection], bool]) -> int:
    """Delete the connections that match and return their number; raises CommandFailed."""
    entries = [connection for connection in connections() if matches(connection)]
    with netlink.connect(netlink.NETFILTER, "connections cannot be deleted") as kernel:
        for connection in entries:
            _request(kernel, _DELETE, connection)
    return len(entries)


def add_mark(matches: Callable[[Connection], bool], bits: int) -> None:
    """Set these bits in the mark of the connections that match, and keep its other bits; raises CommandFailed."""
    number = struct.pack("!I", bits)
    mark = netlink.attribute(_MARK, number) + netlink.attribute(_MARK_MASK, number)
    entries = [connection for connection in connections() if matches(connection)]
    with netlink.connect(netlink.NETFILTER, "connections cannot be marked") as kernel:
        for connection in entries:
            _request(kernel, _NEW, connection, mark)


def _request(kernel: netlink.Connection, kind: int, connection: Connection, content: bytes = b"") -> None:
    key = netlink.attribute(_TUPLE_ORIG | netlink.NESTED, connection.key)
    # ENOENT: a connection can end by itself after it is listed.
    with contextlib.suppress(FileNotFoundError):
        kernel.request(kind, _FAMILY.pack(connection.family, 0, 0) + key + content)


def _parse(body: bytes) -> Connection:
    parts = dict(attributes(body, _FAMILY.size))
    source, destination, protocol, _port, port = _parse_tuple(parts[_TUPLE_ORIG])
    reply_source, _destination, _protocol, reply_port, _port = _parse_tuple(parts[_TUPLE_REPLY])
    return Connection(
        family=body[0],
        protocol=PROTOCOLS.get(protocol, str(protocol)),
        source=source,
        destination=destination,
        port=port,
        reply_source=reply_source,
        key=parts[_TUPLE_ORIG],
        reply_port=reply_port,
    )


def _parse_tuple(data: bytes) -> tuple[Address, Address, int, int, int]:
    """Source, destination, protocol, source port and destination port."""
    parts = dict(attributes(data))
    # CTA_IP_V4_SRC is before CTA_IP_V4_DST, and CTA_IP_V6_SRC before CTA_IP_V6_DST.
    source, destination = (ipaddress.ip_address(value) for _kind, value in sorted(attributes(parts[_TUPLE_IP])))
    protocol = dict(attributes(parts[_TUPLE_PROTO]))
    # ICMP has no ports.
    source_port, port = (
        struct.unpack("!H", protocol[kind])[0] if kind in protocol else 0 for kind in (_SOURCE_PORT, _DESTINATION_PORT)
    )
    return source, destination, protocol[_PROTOCOL_NUMBER][0], source_port, port
