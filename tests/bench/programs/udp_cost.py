# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the CPU time of a sent UDP datagram in nanoseconds: udp_cost.py KIND ADDRESS COUNT PORT

KIND "established" sends all in one flow that has got an answer; "new" sends each to another port, from 10000 on; any
other sends 400 flows to one port, each from a port of its own. Prints "ready" and waits for a line on stdin first.
"""

from __future__ import annotations

import socket
import sys
import time

DATA = bytes(22)
FLOWS = 400


def bound(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("", port))
    return sock


def wait_for_start() -> float:
    print("ready", flush=True)
    sys.stdin.readline()
    return time.process_time()


kind, address, count, port = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if kind == "established":
    sock = bound(40000)
    sock.settimeout(20)
    sock.sendto(DATA, (address, port))
    sock.recv(100)
    sock.connect((address, port))
    began = wait_for_start()
    for _ in range(count):
        sock.send(DATA)
elif kind == "new":
    sock = bound(40000)
    targets = [(address, 10000 + number) for number in range(count)]
    began = wait_for_start()
    for target in targets:
        sock.sendto(DATA, target)
else:
    count = FLOWS
    socks = [bound(41000 + number) for number in range(count)]
    began = wait_for_start()
    for sock in socks:
        sock.sendto(DATA, (address, port))
print((time.process_time() - began) / count * 1e9)
