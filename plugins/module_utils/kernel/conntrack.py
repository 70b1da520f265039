# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections that the kernel tracks, and ending some of them.

Through netlink itself (include/uapi/linux/netfilter/nfnetlink_conntrack.h): no other package is needed for it. To end
a connection is to forget it; its next packet then meets the rules again.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Union

from ..core.errors import CommandFailed

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

_NETLINK_NETFILTER = 12
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
# NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE
_GET, _DELETE = 0x101, 0x102
_TUPLE_ORIG, _TUPLE_REPLY = 1, 2
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_TYPE = 0x3FFF
_NESTED = 0x8000
_PATIENCE = 10.0
# A connection that ended by itself between being listed and being ended.
_ENOENT = 2

_PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}


@dataclass(frozen=True)
class Connection:
    """Where it was meant to go, and who answers; ``key`` is what the kernel knows it by."""

    family: int
    protocol: str
    source: Address
    destination: Address
    port: int
    answers: Address
    key: bytes


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        yield kind & _TYPE, data[at + 4 : at + length]
        at += max((length + 3) & ~3, 4)


def _tuple(data: bytes) -> tuple[Address, Address, int, int]:
    """Source, destination, protocol and destination port."""
    parts = dict(_attributes(data))
    addresses = [ipaddress.ip_address(value) for _kind, value in sorted(_attributes(parts[_TUPLE_IP]))]
    protocol = dict(_attributes(parts[_TUPLE_PROTO]))
    # CTA_PROTO_NUM, CTA_PROTO_DST_PORT
    port = struct.unpack("!H", protocol[3])[0] if 3 in protocol else 0
    return addresses[0], addresses[1], protocol[1][0], port


def _connection(data: bytes) -> Connection:
    parts = dict(_attributes(data[4:]))
    source, destination, protocol, port = _tuple(parts[_TUPLE_ORIG])
    answers = _tuple(parts[_TUPLE_REPLY])[0]
    name = _PROTOCOLS.get(protocol, str(protocol))
    return Connection(data[0], name, source, destination, port, answers, parts[_TUPLE_ORIG])


def _messages(link: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Type and payload of messages up to the one that ends the answer."""
    while True:
        data = link.recv(1 << 18)
        at = 0
        while at + 16 <= len(data):
            length, kind = struct.unpack_from("=IH", data, at)
            payload = data[at + 16 : at + length]
            if kind == _NLMSG_DONE:
                return
            yield kind, payload
            if kind == _NLMSG_ERROR:
                return
            at += (length + 3) & ~3


def _send(link: socket.socket, kind: int, flags: int, family: int, payload: bytes = b"") -> None:
    body = struct.pack("=BBH", family, 0, 0) + payload
    link.send(struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | flags, 1, 0) + body)


def _open() -> socket.socket:
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    link.settimeout(_PATIENCE)
    return link


def connections() -> list[Connection]:
    """All connections; raises CommandFailed."""
    found = []
    try:
        with _open() as link:
            for family in (socket.AF_INET, socket.AF_INET6):
                _send(link, _GET, _DUMP, family)
                for kind, payload in _messages(link):
                    if kind == _NLMSG_ERROR:
                        raise OSError(-struct.unpack_from("=i", payload)[0], "dump")
                    found.append(_connection(payload))
    except OSError as error:
        raise CommandFailed(f"the kernel's connections cannot be listed: {error}") from error
    return found


def end(matches: Callable[[Connection], bool]) -> int:
    """End the connections that match and say how many; raises CommandFailed."""
    doomed = [connection for connection in connections() if matches(connection)]
    try:
        with _open() as link:
            for connection in doomed:
                key = struct.pack("=HH", len(connection.key) + 4, _TUPLE_ORIG | _NESTED) + connection.key
                _send(link, _DELETE, _ACK, connection.family, key)
                for _kind, payload in _messages(link):
                    error = -struct.unpack_from("=i", payload)[0]
                    if error not in (0, _ENOENT):
                        raise OSError(error, "delete")
    except OSError as error:
        raise CommandFailed(f"connections cannot be ended: {error}") from error
    return len(doomed)
