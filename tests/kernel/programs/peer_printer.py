# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the source of connections to port 9000, one by UDP and one by TCP in turn: peer_printer.py COUNT

Prints "ready" first, then an address and a port on each line.
"""

from __future__ import annotations

import socket
import sys

udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 9000))
tcp = socket.create_server(("", 9000))
print("ready", flush=True)
for _ in range(int(sys.argv[1])):
    print(*udp.recvfrom(100)[1], flush=True)
    print(*tcp.accept()[1], flush=True)
