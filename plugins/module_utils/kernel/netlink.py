# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Netlink messages: headers, attributes, requests and dumps (netlink(7), include/uapi/linux/netlink.h).

It uses the standard library only. pyroute2 lacks some attributes in the versions of the supported distributions, and
to import it would cost the guard more memory than everything else in it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..core.errors import CommandFailed

ROUTE, NETFILTER = 0, 12

# Flags of a request: NLM_F_REQUEST, NLM_F_ACK, NLM_F_ROOT | NLM_F_MATCH. Flag of an answer: NLM_F_DUMP_INTR.
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_DUMP_INTERRUPTED = 0x10

_NOOP, _ERROR, _DONE, _OVERRUN = 1, 2, 3, 4

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=i")
# The two highest bits of an attribute's type are flags: NLA_F_NESTED and NLA_F_NET_BYTEORDER.
NESTED = 0x8000
_TYPE = 0x3FFF

# A dump fills at most 32 KiB of a datagram (netlink_dump() in net/netlink/af_netlink.c).
_LARGEST = 1 << 18
# In seconds. The kernel answers after the work on links that it has begun, such as the deletion of hundreds.
_PATIENCE = 10.0
# So many dumps in a row may be interrupted by changes of what they list.
_DUMP_ATTEMPTS = 8


class Message(NamedTuple):
    """A message without its header: what it is (``kind``), flags, and sequence number."""

    kind: int
    flags: int
    sequence: int
    body: bytes


def pack(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """A message with its header."""
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def messages(datagram: bytes) -> Iterator[Message]:
    """The messages of a datagram. The body of a truncated message ends where the datagram ends."""
    at = 0
    while at + _HEADER.size <= len(datagram):
        length, kind, flags, sequence, _port = _HEADER.unpack_from(datagram, at)
        if length < _HEADER.size:
            return
        yield Message(kind, flags, sequence, datagram[at + _HEADER.size : at + length])
        at += _aligned(length)


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute with its header and padding; ``kind`` may include NESTED."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Types and values of attributes from an offset on; an attribute that is malformed ends them."""
    at = offset
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE, data[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)


def text(value: bytes) -> str:
    """The value of an attribute that is a string, which ends with a NUL byte."""
    return value.split(b"\0")[0].decode("utf-8", "surrogateescape")


def open_socket(protocol: int) -> socket.socket:
    """A netlink socket of this network namespace; raises OSError."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)


def _aligned(length: int) -> int:
    return (length + 3) & ~3


class Connection:
    """A socket for requests to the kernel, closed at the end of ``with``. Every method raises OSError."""

    def __init__(self, protocol: int) -> None:
        self._link = open_socket(protocol)
        self._link.settimeout(_PATIENCE)
        self._sequence = 0

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_exception: Any) -> None:
        self._link.close()

    def request(self, kind: int, body: bytes) -> list[bytes]:
        """Send a request; returns the bodies of its answers, none where the kernel only acknowledges it.

        The error has the number with which the kernel refuses the request.
        """
        self._send(kind, _REQUEST | _ACK, body)
        return [message.body for message in self._answers()]

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """List all objects; returns a body for each.

        A change of the objects meanwhile makes a list inconsistent. The kernel marks it then, and it is read again.
        """
        for _attempt in range(_DUMP_ATTEMPTS):
            self._send(kind, _REQUEST | _DUMP, body)
            answers = list(self._answers())
            if not any(message.flags & _DUMP_INTERRUPTED for message in answers):
                return [message.body for message in answers if message.kind != _DONE]
        raise OSError(errno.EAGAIN, f"it changed during each of {_DUMP_ATTEMPTS} attempts to list it")

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        self._link.send(pack(kind, flags, self._sequence, body))

    def _answers(self) -> Iterator[Message]:
        """The messages that answer the last request; of those that end an answer, NLMSG_DONE alone is among them."""
        while True:
            for message in messages(self._receive()):
                if message.sequence != self._sequence or message.kind == _NOOP:
                    continue
                if message.kind == _OVERRUN:
                    raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
                if message.kind in (_ERROR, _DONE):
                    _raise_error(message.body)
                if message.kind != _ERROR:
                    yield message
                if message.kind in (_ERROR, _DONE):
                    return

    def _receive(self) -> bytes:
        try:
            datagram = self._link.recv(_LARGEST)
        except socket.timeout:
            raise OSError(errno.ETIMEDOUT, f"the kernel does not answer within {_PATIENCE:g} s") from None
        if not datagram:
            raise OSError(errno.ECONNRESET, "the netlink socket is closed")
        return datagram


@contextlib.contextmanager
def connect(protocol: int, problem: str) -> Iterator[Connection]:
    """A connection whose errors are raised as CommandFailed, with the problem and the kernel's reason."""
    try:
        with Connection(protocol) as kernel:
            yield kernel
    except OSError as error:
        raise CommandFailed(f"{problem}: {error.strerror}") from error


def _raise_error(body: bytes) -> None:
    """Raise the OSError that NLMSG_ERROR or NLMSG_DONE begins with, as a negative number; 0 is success."""
    number = -_NUMBER.unpack_from(body)[0] if len(body) >= _NUMBER.size else 0
    if number > 0:
        raise OSError(number, os.strerror(number))
