# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks a UDP service and prints its answer, or "refused": udp_ask.py ADDRESS PORT [SOURCE_PORT]"""

from __future__ import annotations

import socket
import sys

TIMEOUT = 20.0

address, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as sock:
    sock.settimeout(TIMEOUT)
    if sys.argv[3:]:
        sock.bind(("", int(sys.argv[3])))
    sock.connect((address, port))
    sock.send(b"?")
    try:
        print(sock.recv(100).decode())
    except ConnectionRefusedError:
        print("refused")
