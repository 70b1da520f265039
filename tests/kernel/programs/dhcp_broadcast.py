# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends a broadcast from port 67 of a link, as a DHCP server does; the argument is the link."""

from __future__ import annotations

import socket
import sys

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, sys.argv[1].encode())
server.bind(("", 67))
server.sendto(bytes(300), ("255.255.255.255", 68))
