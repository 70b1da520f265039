# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""UDP packets that are sent one after another, and which of them arrive before the last one does.

All run on one processor, so that the kernel keeps the order of the packets; the last one goes to a port that every
ruleset under test accepts. So no test waits for packets that must not arrive.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys

LAST_PORT = 9
PORTS = (53, 67, 1000, 2000, 3000)
TIMEOUT = 60.0


def bound_socket(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((address, port))
    sock.setblocking(False)
    return sock


def read_all(sockets: list[socket.socket]) -> list[tuple[socket.socket, bytes, tuple[object, ...]]]:
    """All packets that have arrived."""
    packets = []
    for sock in sockets:
        with contextlib.suppress(BlockingIOError):
            while True:
                packets.append((sock, *sock.recvfrom(100)))
    return packets


def sink(*addresses: str) -> None:
    """Answers each packet; prints those that arrived before the last."""
    last_sockets = [bound_socket(address, LAST_PORT) for address in addresses]
    sockets = [bound_socket(address, port) for address in addresses for port in PORTS]
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select(last_sockets, [], [])
        last_packets = [(sock, *sock.recvfrom(100)) for sock in ready]
        arrived = read_all(sockets)
        for sock, data, peer in [*arrived, *last_packets]:
            # An answer that the host's own rules drop is an error.
            with contextlib.suppress(OSError):
                sock.sendto(data, peer)
        print(json.dumps(sorted(int(data) for _, data, _ in arrived)), flush=True)


def source() -> None:
    """For each line, a list of [source, port, target, port]: sends packets; prints which were answered."""
    for line in sys.stdin:
        packets = json.loads(line)
        sockets = {
            (own, sport): bound_socket(own, sport) for own, sport in {(own, sport) for own, sport, _, _ in packets}
        }
        for number, (own, sport, target, dport) in enumerate(packets):
            # A packet that the host rejects counts as one that does not arrive.
            with contextlib.suppress(OSError):
                sockets[own, sport].sendto(str(number).encode(), (target, dport))
        own, _, target, _ = packets[0]
        last = bound_socket(own, 0)
        last.sendto(b"0", (target, LAST_PORT))
        ready, _, _ = select.select([last], [], [], TIMEOUT)
        print(json.dumps(sorted(int(data) for _, data, _ in read_all(list(sockets.values())))) if ready else "lost")
        sys.stdout.flush()
        for sock in (*sockets.values(), last):
            sock.close()


if __name__ == "__main__":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    verb, *rest = sys.argv[1:]
    sink(*rest) if verb == "sink" else source()
