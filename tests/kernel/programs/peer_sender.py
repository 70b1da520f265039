# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the connections that peer_printer.py waits for: peer_sender.py ADDRESS COUNT FIRST_SOURCE_PORT"""

from __future__ import annotations

import socket
import sys

address, count, first = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for number in range(count):
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        sock = socket.socket(socket.AF_INET, kind)
        sock.bind(("", first + number))
        sock.connect((address, 9000))
        sock.send(b"?")
