# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Has the kernel compute the checksums of what a device sends: checksums_in_software.py DEVICE

The same as `ethtool -K DEVICE tx off`.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
import sys

# linux/ethtool.h
SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17

value = array.array("B", struct.pack("II", ETHTOOL_STXCSUM, 0))
request = struct.pack("16sP", sys.argv[1].encode(), value.buffer_info()[0])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    fcntl.ioctl(sock, SIOCETHTOOL, request)
