# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server of FTP that knows active mode alone: ``ftp_server.py NAME``, which is the only file that it lists."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import sys


class Session(socketserver.StreamRequestHandler):
    """A control connection (RFC 959, and EPRT of RFC 2428)."""

    def handle(self) -> None:
        target = ("", 0)
        self._reply("220 ready")
        for line in self.rfile:
            command, _space, argument = line.decode().strip().partition(" ")
            if command == "PORT":
                parts = argument.split(",")
                target = ".".join(parts[:4]), int(parts[4]) * 256 + int(parts[5])
            if command == "NLST":
                self._reply("150 here it comes")
                self._list(target)
            self._reply("230 welcome" if command == "USER" else "221 bye" if command == "QUIT" else "200 done")
            if command == "QUIT":
                return

    def _list(self, target: tuple[str, int]) -> None:
        with contextlib.suppress(OSError), socket.create_connection(target, timeout=1) as data:
            data.sendall(f"{sys.argv[1]}\r\n".encode())

    def _reply(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class Server(socketserver.ThreadingTCPServer):
    """Each control connection has a thread; one that fails ends alone."""

    allow_reuse_address = True
    daemon_threads = True


with Server(("", 21), Session) as server:
    print("ready", flush=True)
    server.serve_forever()
