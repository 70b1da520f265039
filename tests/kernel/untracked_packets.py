# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Payloads without a connection or with errors in their headers: one of each kind that a guest may send."""

from __future__ import annotations

import struct

from kernel.frames import checksum, ipv4_packet, ipv6_packet, with_checksum
from kernel.sctp import crc32c

TCP, UDP, ICMP, ICMPV6, SCTP = 6, 17, 1, 58, 132
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
SCAN = {"NULL": 0, "FIN": FIN, "XMAS": FIN | PSH | URG}


def tcp(source: str, target: str, port: int, flags: int, *, bad_checksum: bool = False, offset: int = 5) -> bytes:
    """A segment without data (RFC 9293 section 3.1); ``offset``: header length in 32-bit words."""
    segment = struct.pack("!HHIIBBHHH", 40000 + port, port, 7, 0, offset << 4, flags, 8192, 0, 0)
    segment = with_checksum(segment, 16, source, target, TCP)
    return segment[:16] + bytes([segment[16] ^ 0x55]) + segment[17:] if bad_checksum else segment


def udp(source: str, target: str, *, bad_checksum: bool = False, length: int = 12) -> bytes:
    """A datagram of 4 bytes; ``length``: the length in its header."""
    datagram = with_checksum(struct.pack("!HHHH4s", 4000, 4000, length, 0, b"odd!"), 6, source, target, UDP)
    return datagram[:6] + bytes([datagram[6] ^ 0x55]) + datagram[7:] if bad_checksum else datagram


def icmp(source: str, target: str, kind: int, code: int, rest: bytes) -> bytes:
    """A message of ICMP or of ICMPv6, by the family of the addresses."""
    message = struct.pack("!BBH", kind, code, 0) + rest
    if ":" in source:
        return with_checksum(message, 2, source, target, ICMPV6)
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def unreachable(source: str, target: str, inner: bytes) -> bytes:
    """A port unreachable error, with the packet that it refers to (RFC 792, RFC 4443 section 3.1)."""
    return icmp(source, target, *((1, 4) if ":" in source else (3, 3)), bytes(4) + inner)


def embedded_udp(source: str, target: str, port: int, from_port: int) -> bytes:
    """The part of a UDP packet that an error contains: the header and 4 arbitrary bytes."""
    inner = with_checksum(struct.pack("!HHHH4s", from_port, port, 12, 0, b"odd!"), 6, source, target, UDP)
    return (ipv6_packet if ":" in source else ipv4_packet)(source, target, UDP, inner)


def sctp(kind: int, length: int) -> bytes:
    """One chunk of a kind (RFC 9260 section 3.2) with this length in its header."""
    head, chunk = struct.pack("!HHI", 5000, 5001, 7), struct.pack("!BBH12x", kind, 3, length)
    return head + struct.pack("<I", crc32c(head + bytes(4) + chunk)) + chunk


def untracked_payloads(source: str, target: str) -> dict[str, tuple[int, bytes]]:
    """Protocol and payload of each: none of them starts a connection for conntrack."""
    payloads = {name: (TCP, tcp(source, target, 80, flags)) for name, flags in SCAN.items()}
    payloads |= {
        "RST": (TCP, tcp(source, target, 81, RST)),
        "SYN ACK": (TCP, tcp(source, target, 82, SYN | ACK)),
        "SYN FIN": (TCP, tcp(source, target, 83, SYN | FIN)),
        "TCP checksum": (TCP, tcp(source, target, 84, SYN, bad_checksum=True)),
        "TCP header": (TCP, tcp(source, target, 85, SYN, offset=15)),
        "UDP checksum": (UDP, udp(source, target, bad_checksum=True)),
        "UDP length": (UDP, udp(source, target, length=200)),
        "SCTP data": (SCTP, sctp(0, 16)),
        "SCTP length": (SCTP, sctp(1, 2)),
        "ICMP answer": (
            ICMPV6 if ":" in source else ICMP,
            icmp(source, target, 129 if ":" in source else 0, 0, b"\0\1\0\1"),
        ),
        "ICMP error": (
            ICMPV6 if ":" in source else ICMP,
            unreachable(source, target, embedded_udp(target, source, 4444, 5555)),
        ),
    }
    if ":" in source:
        # Neighbour discovery and multicast listeners, which netfilter does not track at all.
        payloads |= {
            f"ICMPv6 {kind}": (ICMPV6, icmp(source, target, kind, 0, bytes(20))) for kind in (130, 131, 133, 135, 136)
        }
    return payloads
