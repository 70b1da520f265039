# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends UDP datagrams from port 40000: udp_flows.py ADDRESS COUNT [PORT]

Each goes to a port of its own, from 1024 on, and so is a flow of its own. With PORT all go to that port.
"""

from __future__ import annotations

import socket
import sys

address, count = sys.argv[1], int(sys.argv[2])
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("", 40000))
fixed = int(sys.argv[3]) if sys.argv[3:] else None
for number in range(count):
    sock.sendto(b"?", (address, fixed or 1024 + number))
