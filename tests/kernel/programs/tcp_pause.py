# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends half of its data, waits for a line on stdin, and sends the rest: tcp_pause.py ADDRESS

Prints "ready" after the first half, and at the end what the service answered.
"""

from __future__ import annotations

import socket
import sys

with socket.create_connection((sys.argv[1], 8001), timeout=60) as sock:
    sock.sendall(b"x" * 1000)
    print("ready", flush=True)
    sys.stdin.readline()
    sock.sendall(b"x" * 1000)
    sock.shutdown(socket.SHUT_WR)
    print(sock.recv(100).decode(), flush=True)
