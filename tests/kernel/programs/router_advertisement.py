# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends one router advertisement to all nodes (RFC 4861 section 4.2): router_advertisement.py DEVICE PREFIX"""

from __future__ import annotations

import socket
import struct
import sys

ROUTER_ADVERTISEMENT, HOP_LIMIT, LIFETIME = 134, 64, 1800
PREFIX_INFORMATION, PREFIX_LENGTH, ON_LINK_AND_AUTONOMOUS, PREFIX_LIFETIME = 3, 64, 0xC0, 3600
ALL_NODES = "ff02::1"

device = socket.if_nametoindex(sys.argv[1])
header = struct.pack("!BBHBBHII", ROUTER_ADVERTISEMENT, 0, 0, HOP_LIMIT, 0, LIFETIME, 0, 0)
# Its length is in units of 8 octets.
option = struct.pack("!BBBB", PREFIX_INFORMATION, 4, PREFIX_LENGTH, ON_LINK_AND_AUTONOMOUS)
option += struct.pack("!III", PREFIX_LIFETIME, PREFIX_LIFETIME, 0) + socket.inet_pton(socket.AF_INET6, sys.argv[2])
with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
    # A receiver takes only advertisements that no router has forwarded.
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, device)
    sock.sendto(header + option, (ALL_NODES, 0, 0, device))
