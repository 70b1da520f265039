# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first two packets of an SCTP association (RFC 9260), by raw sockets: not every kernel supports SCTP."""

from __future__ import annotations

import select
import socket
import struct
import sys

_PROTOCOL = 132
_INIT, _INIT_ACK = 1, 2
_OWN = 5000


def crc32c(data: bytes) -> int:
    """The checksum of RFC 9260, appendix A."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def packet(source: int, destination: int, tag: int, kind: int) -> bytes:
    """A packet with one chunk, INIT or INIT ACK (with an empty cookie)."""
    cookie = b"" if kind == _INIT else struct.pack("!HH4x", 7, 8)
    chunk = struct.pack("!BBHIIHHI", kind, 0, 20 + len(cookie), 7, 1 << 16, 1, 1, 1) + cookie
    head = struct.pack("!HHI", source, destination, tag)
    return head + struct.pack("<I", crc32c(head + bytes(4) + chunk)) + chunk


def read(data: bytes) -> tuple[str, int, int, int]:
    """Sender, source port, destination port and kind of chunk; raises ValueError for a wrong checksum."""
    payload = data[(data[0] & 15) * 4 :]
    source, destination = struct.unpack_from("!HH", payload)
    if struct.unpack_from("<I", payload, 8)[0] != crc32c(payload[:8] + bytes(4) + payload[12:]):
        raise ValueError("wrong checksum")
    return socket.inet_ntoa(data[12:16]), source, destination, payload[12]


def answer(port: int) -> None:
    """Answer one INIT and print its source."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, _PROTOCOL)
    print("ready", flush=True)
    while True:
        sender, source, destination, kind = read(sock.recv(4096))
        if destination == port and kind == _INIT:
            sock.sendto(packet(port, source, 7, _INIT_ACK), (sender, 0))
            print(sender, flush=True)
            return


def ask(address: str, port: int) -> None:
    """Send INIT until there is an answer, and print the address and the port of the answer."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, _PROTOCOL)
    for _ in range(60):
        sock.sendto(packet(_OWN, port, 0, _INIT), (address, 0))
        while select.select([sock], [], [], 1)[0]:
            sender, source, destination, kind = read(sock.recv(4096))
            if destination == _OWN and kind == _INIT_ACK:
                print(sender, source)
                return


if __name__ == "__main__":
    answer(int(sys.argv[2])) if sys.argv[1] == "answer" else ask(sys.argv[2], int(sys.argv[3]))
