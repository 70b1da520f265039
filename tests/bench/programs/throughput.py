# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints what a client transfers in a second of wall-clock time: throughput.py KIND ADDRESS PORT SECONDS

KIND "udp": datagrams of one flow; "tcp": bytes of one connection; any other: connections, one after another.
"""

from __future__ import annotations

import socket
import sys
import time

kind, address, port, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
end, count = time.perf_counter() + seconds, 0
began = time.perf_counter()
if kind == "udp":
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((address, port))
    data = bytes(22)
    while time.perf_counter() < end:
        for _ in range(100):
            sock.send(data)
        count += 100
elif kind == "tcp":
    sock = socket.create_connection((address, port))
    data = bytes(1 << 17)
    while time.perf_counter() < end:
        count += sock.send(data)
else:
    while time.perf_counter() < end:
        with socket.create_connection((address, port)) as sock:
            while sock.recv(100):
                pass
        count += 1
print(count / (time.perf_counter() - began))
