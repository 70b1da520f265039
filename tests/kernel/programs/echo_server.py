# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Accepts one connection at port 22 and returns all that comes."""

from __future__ import annotations

import socket

connection, _ = socket.create_server(("", 22), reuse_port=True).accept()
while data := connection.recv(100):
    connection.sendall(data)
