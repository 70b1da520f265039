# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Neighbour solicitations and advertisements (RFC 4861 sections 4.3 and 4.4) by packet sockets (packet(7)).

A packet socket receives them before the rules of nftables and beside the kernel's own neighbour discovery.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Network

from ..core.files import read_text

SOLICITATION, ADVERTISEMENT = 135, 136

_IPV6, _ICMPV6, _HOP_LIMIT = 0x86DD, 58, 255
_ALL_NODES = bytes.fromhex("ff020000000000000000000000000001")
_SOLICITED_NODE = bytes.fromhex("ff0200000000000000000001ff")
_UNSPECIFIED = bytes(16)
_SOLICITED = 1 << 30
# The options of the link-layer address: of who asks, and of who is asked for.
_SOURCE_OPTION, _TARGET_OPTION = 1, 2
_HEAD = struct.Struct("!IHBB16s16s")
_MESSAGE = struct.Struct("!BBHI16s")

# SO_ATTACH_FILTER; SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_ALLMULTI; PACKET_OUTGOING.
_ATTACH_FILTER = 26
_SOL_PACKET, _ADD_MEMBERSHIP, _ALL_MULTICAST = 263, 1, 2
_OUTGOING = 4
# Instructions of the classic BPF (linux/filter.h): load a byte or a word, and, jump if equal, return; and where the
# kernel has the direction of a packet (SKF_AD_OFF + SKF_AD_PKTTYPE).
_LOAD_BYTE, _LOAD_WORD, _AND, _JUMP_EQUAL, _RETURN = 0x30, 0x20, 0x54, 0x15, 0x06
_DIRECTION = 0xFFFFF004
_INSTRUCTION = struct.Struct("=HBBI")
_WHOLE = 0xFFFF
# Messages that wait are those of a second or two.
_BUFFER = 1 << 18
_BATCH = 256
# IPV6_ADDR_LINKLOCAL in the column of the scope.
_LINK_LOCAL = 0x20


@dataclass(frozen=True)
class Message:
    """A solicitation or advertisement: the address asked for, and the addresses of its sender; all packed."""

    target: bytes
    source: bytes
    mac: bytes


class NdpSocket:
    """Receives one kind of message with targets in a prefix on one interface, and sends messages of both kinds.

    ``all_multicast``: the network card passes frames to all groups, thus those to the groups of each target. The kernel
    ends that with the socket. Raises OSError.
    """

    def __init__(self, interface: str, kind: int, prefix: IPv6Network, *, all_multicast: bool) -> None:
        self.interface = interface
        self.index = socket.if_nametoindex(interface)
        # Without a protocol it receives nothing until it is bound, when the filter is in force.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            program = _filter(kind, prefix)
            code = ctypes.create_string_buffer(b"".join(program))
            filter_ = struct.pack("HL", len(program), ctypes.addressof(code))
            self._socket.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, filter_)
            self._socket.bind((interface, _IPV6))
            if all_multicast:
                request = struct.pack("=iHH8s", self.index, _ALL_MULTICAST, 0, b"")
                self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, request)
        except OSError:
            self.close()
            raise

    @property
    def is_bound(self) -> bool:
        """Whether its interface still exists and has its name: the kernel unbinds it from one that is deleted."""
        return bool(self._socket.getsockname()[0] == self.interface)

    @property
    def mac(self) -> bytes:
        """The MAC address of its interface, which may change."""
        mac: bytes = self._socket.getsockname()[4]
        return mac

    def fileno(self) -> int:
        """Its number, for selectors."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def receive(self) -> Iterator[Message]:
        """The messages that wait; not all of them at once where they never end."""
        for _message in range(_BATCH):
            try:
                packet, (_interface, _protocol, _direction, _type, mac) = self._socket.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError:
                # ENETDOWN: the interface is down or gone; it is reported once.
                continue
            source, target = packet[8:24], packet[48:64]
            if len(target) == len(source):
                yield Message(target, source, mac)

    def solicit(self, target: bytes, source: bytes) -> None:
        """Ask all on the link who has an address."""
        body = _MESSAGE.pack(SOLICITATION, 0, 0, 0, target) + _option(_SOURCE_OPTION, self.mac)
        self._send(body, source, _SOLICITED_NODE + target[-3:])

    def advertise(self, asked: Message) -> None:
        """Answer a solicitation with the link-layer address of this interface, as a proxy (section 7.2.8)."""
        # Who checks whether an address is in use has none itself: all nodes are told (section 7.2.4).
        checks = asked.source == _UNSPECIFIED
        body = _MESSAGE.pack(ADVERTISEMENT, 0, 0, 0 if checks else _SOLICITED, asked.target)
        source = link_local(self.index) or asked.target
        destination = _ALL_NODES if checks else asked.source
        self._send(body + _option(_TARGET_OPTION, self.mac), source, destination, b"" if checks else asked.mac)

    def _send(self, body: bytes, source: bytes, destination: bytes, mac: bytes = b"") -> None:
        mac = mac or b"\x33\x33" + destination[-4:]
        with contextlib.suppress(OSError):
            self._socket.sendto(packet_of(body, source, destination), (self.interface, _IPV6, 0, 0, mac))


def packet_of(body: bytes, source: bytes, destination: bytes) -> bytes:
    """An IPv6 packet with a message of ICMPv6, whose checksum is set (RFC 4443 section 2.3)."""
    pseudo = source + destination + struct.pack("!II", len(body), _ICMPV6)
    total = sum(struct.unpack(f"!{(len(pseudo) + len(body)) // 2}H", pseudo + body))
    total = (total >> 16) + (total & 0xFFFF)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    head = _HEAD.pack(6 << 28, len(body), _ICMPV6, _HOP_LIMIT, source, destination)
    return head + body[:2] + struct.pack("!H", checksum) + body[4:]


def link_local(index: int) -> bytes:
    """The link-local address of an interface, packed; empty where it has none (/proc/net/if_inet6)."""
    for line in (read_text("/proc/net/if_inet6") or "").splitlines():
        address, own_index, _length, scope, *_rest = line.split()
        if int(own_index, 16) == index and int(scope, 16) == _LINK_LOCAL:
            return bytes.fromhex(address)
    return b""


def _option(kind: int, mac: bytes) -> bytes:
    return struct.pack("!BB6s", kind, 1, mac)


def _filter(kind: int, prefix: IPv6Network) -> Sequence[bytes]:
    """A program that passes messages of one kind from other hosts, with targets in a prefix; offsets are of IPv6."""
    checks = [(_LOAD_BYTE, 6, 0xFF, _ICMPV6), (_LOAD_BYTE, 7, 0xFF, _HOP_LIMIT), (_LOAD_BYTE, 40, 0xFF, kind)]
    words = zip(*(struct.unpack("!4I", address.packed) for address in (prefix.netmask, prefix.network_address)))
    checks += [(_LOAD_WORD, 48 + 4 * i, mask, word) for i, (mask, word) in enumerate(words) if mask]
    program = [_INSTRUCTION.pack(_LOAD_WORD, 0, 0, _DIRECTION)]
    # Each jump that fails leads to the return of nothing behind all checks.
    program.append(_INSTRUCTION.pack(_JUMP_EQUAL, 3 * len(checks) + 1, 0, _OUTGOING))
    for i, (load, offset, mask, value) in enumerate(checks):
        failed = 3 * (len(checks) - 1 - i) + 1
        program.append(_INSTRUCTION.pack(load, 0, 0, offset))
        program.append(_INSTRUCTION.pack(_AND, 0, 0, mask))
        program.append(_INSTRUCTION.pack(_JUMP_EQUAL, 0, failed, value))
    return [*program, _INSTRUCTION.pack(_RETURN, 0, 0, _WHOLE), _INSTRUCTION.pack(_RETURN, 0, 0, 0)]
