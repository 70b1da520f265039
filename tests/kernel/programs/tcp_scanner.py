# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the TCP ports of an address that are open: tcp_scanner.py ADDRESS, ports as a JSON list on stdin.

A closed port refuses at once; only packets that are dropped take the time.
"""

from __future__ import annotations

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

TIMEOUT = 3.0


def is_open(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(TIMEOUT)
        return sock.connect_ex((sys.argv[1], port)) == 0


ports = json.load(sys.stdin)
with ThreadPoolExecutor(20) as pool:
    print(*(port for port, answered in zip(ports, pool.map(is_open, ports), strict=True) if answered))
