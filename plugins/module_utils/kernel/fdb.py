# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many MAC addresses a bridge learns: the kernel's ``fdb_max_learned``, Open vSwitch's ``mac-table-size``.

Neither iproute2 before 6.8 nor pyroute2 0.7 know the kernel's attribute (Linux 6.7), so it is read and set by netlink
itself. Numbers are those of include/uapi/linux/{netlink,rtnetlink,if_link}.h.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..core.errors import CommandFailed
from ..core.options import Options
from .links import OPENVSWITCH

# Of guests alone; the size of Open vSwitch's own table (MAC_DEFAULT_MAX in lib/mac-learning.h).
DEFAULT = 8192
# Open vSwitch takes what is less or more for these (mac_learning_set_max_entries()).
MOST = 1_000_000
LEAST_OPENVSWITCH = 10

_SINCE = (6, 7)
_NEW_LINK, _GET_LINK = 16, 18
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_LINK_INFO, _INFO_KIND, _INFO_DATA, _FDB_MAX_LEARNED = 18, 1, 2, 49
_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
# Seconds: the kernel answers when it is through with what it does to links, such as the deletion of hundreds.
_PATIENCE = 10.0


@dataclass(frozen=True)
class FdbLimits:
    """The limits of the host's bridges by index, 0 for none; ``supported``: whether the kernel has such limits."""

    supported: bool = False
    limits: Mapping[int, int] | None = None

    def of(self, index: int) -> int:
        """The limit of a bridge; 0 for one that is not there."""
        return (self.limits or {}).get(index, 0)

    def steps(self, name: str, index: int, limit: int) -> list[SetFdbLimit]:
        """What gives a bridge that is there its limit."""
        return [SetFdbLimit(name, limit)] if self.supported and self.of(index) != limit else []


@dataclass(frozen=True)
class SetFdbLimit:
    """A bridge learns so many MAC addresses, 0 for any number. A kernel without the attribute ignores it."""

    name: str
    limit: int

    def make(self) -> None:
        """Set it; raises CommandFailed."""
        data = _attribute(_INFO_DATA, _attribute(_FDB_MAX_LEARNED, struct.pack("=I", self.limit)))
        info = _attribute(_LINK_INFO, _attribute(_INFO_KIND, b"bridge\0") + data)
        try:
            index = socket.if_nametoindex(self.name)
        except OSError:
            raise CommandFailed(f"there is no interface {self.name}") from None
        try:
            # An acknowledgement is an error of number 0.
            list(_talk(_NEW_LINK, _REQUEST | _ACK, _LINK.pack(0, 0, index, 0, 0) + info, _DONE))
        except OSError as error:
            raise CommandFailed(f"the kernel does not limit MAC addresses of {self.name}: {error.strerror}") from error


def read_fdb_max_learned(options: Options, kind: str) -> int | None:
    """The option of a bridge of a type, None where it is not given; raises InvalidOption."""
    given: int | None = options.integer("fdb_max_learned", None, least=0, most=MOST)
    if given and kind == OPENVSWITCH and given < LEAST_OPENVSWITCH:
        options.error(
            "fdb_max_learned", f"{given} is too small for Open vSwitch; use 0, or {LEAST_OPENVSWITCH} or more"
        )
    return given


def read_fdb_limits() -> FdbLimits:
    """The limits of all bridges of this network namespace; raises CommandFailed."""
    wanted = _attribute(_LINK_INFO, _attribute(_INFO_KIND, b"bridge\0"))
    found: dict[int, int | None] = {}
    try:
        for message in _talk(_GET_LINK, _REQUEST | _DUMP, _LINK.pack(0, 0, 0, 0, 0) + wanted, _NEW_LINK):
            info = dict(_attributes(dict(_attributes(message[_LINK.size :])).get(_LINK_INFO, b"")))
            if info.get(_INFO_KIND, b"").rstrip(b"\0") == b"bridge":
                limit = dict(_attributes(info.get(_INFO_DATA, b""))).get(_FDB_MAX_LEARNED)
                found[_LINK.unpack_from(message)[2]] = None if limit is None else struct.unpack("=I", limit)[0]
    except OSError as error:
        raise CommandFailed(f"the kernel does not list the host's bridges: {error}") from error
    limits = {index: limit for index, limit in found.items() if limit is not None}
    return FdbLimits(bool(limits) if found else _release() >= _SINCE, limits)


def _release() -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))


def _talk(kind: int, flags: int, body: bytes, wanted: int) -> Iterator[bytes]:
    """A request and the bodies of the messages of a kind that answer it; raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as link:
        link.settimeout(_PATIENCE)
        link.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
        while True:
            data, at = link.recv(1 << 18), 0
            while at + _HEADER.size <= len(data):
                length, answer, _flags, _sequence, _port = _HEADER.unpack_from(data, at)
                payload = data[at + _HEADER.size : at + length]
                if answer == wanted:
                    yield payload
                code = -struct.unpack_from("=i", payload)[0] if answer == _ERROR else 0
                if code:
                    raise OSError(code, os.strerror(code))
                if answer in (_DONE, _ERROR):
                    return
                at += (length + 3) & ~3


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3
