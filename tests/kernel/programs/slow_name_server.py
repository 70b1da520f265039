# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers datagrams at port 53 of an address half a second later: slow_name_server.py ADDRESS

Prints "ready" when it listens.
"""

from __future__ import annotations

import socket
import sys
import threading

sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 53))
print("ready", flush=True)
while True:
    query, client = sock.recvfrom(100)
    threading.Timer(0.5, sock.sendto, (query, client)).start()
