# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Receives datagrams and answers none: silent_udp_service.py ADDRESS PORT. Prints "ready" once it can receive."""

from __future__ import annotations

import socket
import sys
import threading

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind((sys.argv[1], int(sys.argv[2])))
    print("ready", flush=True)
    threading.Event().wait()
