# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many DHCP clients at once, on one interface, each with a MAC of its own (RFC 2131, RFC 2132).

python3 dhcp_clients.py INTERFACE COUNT ROUNDS        prints {"new": [seconds of each lease], "again": a second} as JSON
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from dataclasses import dataclass

DISCOVER, OFFER, REQUEST, ACK, NAK = 1, 2, 3, 5, 6
COOKIE = b"\x63\x82\x53\x63"
BROADCAST = 0x8000
OUTSTANDING = 16
# A server that pings an address before it offers it delays a client by three seconds.
RESEND = 5.0
TIMEOUT = 120.0


@dataclass
class Client:
    number: int
    address: bytes = bytes(4)
    server: bytes = bytes(4)
    sent: float = 0.0
    step: int = DISCOVER

    def packet(self) -> bytes:
        mac = bytes([0x52, 0x54, 0x01, 0, self.number >> 8, self.number & 255])
        head = struct.pack("!BBBBIHH", 1, 1, 6, 0, 0x70000000 + self.number, 0, BROADCAST)
        options = bytes([53, 1, self.step])
        if self.step == REQUEST:
            options += bytes([50, 4]) + self.address + bytes([54, 4]) + self.server
        return head + bytes(16) + mac.ljust(16, b"\0") + bytes(192) + COOKIE + options + b"\xff"


def options(data: bytes) -> dict[int, bytes]:
    options, offset = {}, 240
    while offset < len(data) and data[offset] != 255:
        if data[offset] == 0:
            offset += 1
            continue
        options[data[offset]] = data[offset + 2 : offset + 2 + data[offset + 1]]
        offset += 2 + data[offset + 1]
    return options


def received(sock: socket.socket) -> bytes:
    """A reply of the server; zeros, which are for no client, if there is none."""
    try:
        data = sock.recv(2048)
    except TimeoutError:
        data = b""
    return data if data[:1] == b"\2" else bytes(240)


def served(sock: socket.socket, clients: list[Client]) -> list[float]:
    """Runs all clients until they have leases; the time of each, in seconds from the first packet."""
    began = time.perf_counter()
    waiting, done = clients[:], list[float]()
    under_way: dict[int, Client] = {}

    def send(client: Client) -> None:
        client.sent = time.perf_counter()
        sock.sendto(client.packet(), ("255.255.255.255", 67))

    while waiting or under_way:
        while waiting and len(under_way) < OUTSTANDING:
            client = waiting.pop()
            under_way[0x70000000 + client.number] = client
            send(client)
        now = time.perf_counter()
        if now - began > TIMEOUT:
            raise SystemExit(f"{len(done)} of {len(clients)} clients have a lease after {TIMEOUT:g} s")
        for client in [client for client in under_way.values() if now - client.sent > RESEND]:
            send(client)
        data = received(sock)
        xid = struct.unpack_from("!I", data, 4)[0]
        if xid not in under_way:
            continue
        answer = options(data)
        client, kind = under_way[xid], answer[53][0]
        if kind == OFFER and client.step == DISCOVER:
            client.address, client.server, client.step = data[16:20], answer[54], REQUEST
            send(client)
        elif kind == NAK:
            # Another client was quicker to request the address that both were offered.
            client.address, client.step = bytes(4), DISCOVER
            send(client)
        elif kind == ACK:
            done.append(time.perf_counter() - began)
            del under_way[xid]
    return done


def main() -> None:
    interface, count, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        sock.bind(("", 68))
        sock.settimeout(0.2)
        clients = [Client(number) for number in range(count)]
        new = served(sock, clients)
        began, again = time.perf_counter(), 0
        for _ in range(rounds):
            again += len(served(sock, clients))
        print(json.dumps({"new": new, "again": again / (time.perf_counter() - began)}))


if __name__ == "__main__":
    main()
