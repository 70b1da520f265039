# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listens for TCP connections and accepts none: tcp_listener.py ADDRESS PORT"""

from __future__ import annotations

import socket
import sys
import threading

with socket.create_server((sys.argv[1], int(sys.argv[2]))):
    threading.Event().wait()
