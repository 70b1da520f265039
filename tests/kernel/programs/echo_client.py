# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends each line of stdin to port 22 and prints what comes back: echo_client.py ADDRESS

Until the server listens it tries again.
"""

from __future__ import annotations

import socket
import sys
import time


def connect(address: str) -> socket.socket:
    for _ in range(100):
        try:
            return socket.create_connection((address, 22), timeout=60)
        except ConnectionRefusedError:
            time.sleep(0.1)
    return socket.create_connection((address, 22), timeout=60)


connection = connect(sys.argv[1])
for line in sys.stdin:
    connection.sendall(line.encode())
    print(connection.recv(100).decode().strip(), flush=True)
