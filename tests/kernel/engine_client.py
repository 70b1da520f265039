# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs programs of tests/kernel/programs that import the engine: as commands, or faster, by a server.

The start of Python and the imports take longer than most tasks. Each test process has a server
(programs/engine_server.py), which does these once and forks for each run. Tests of what a start does, and of signals,
run the command.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PROGRAMS = Path(__file__).with_name("programs")
# Variables that the server itself has. It has no others: the engine looks for some in those of its parents.
_OF_SERVER = ("PYTHON", "COVERAGE", "LC_", "LANG")


def engine_script(name: str) -> tuple[str, ...]:
    """The command that runs a program of tests/kernel/programs that imports the engine; its coverage is measured."""
    return (sys.executable, str(PROGRAMS / f"{name}.py"))


def run_engine(
    name: str,
    *arguments: str,
    stdin: str = "",
    network: str = "",
    mounts: str = "",
    environment: Mapping[str, str] | None = None,
    timeout: float,
) -> subprocess.CompletedProcess[str]:
    """Run a program as ``engine_script`` does, in the network and mount namespaces of these files."""
    variables = {**os.environ, **(environment or {})}
    command = [str(PROGRAMS / f"{name}.py"), *arguments]
    request = {"command": command, "environment": variables, "network": network, "mounts": mounts}
    with (
        tempfile.TemporaryFile("w+") as source,
        tempfile.TemporaryFile("w+") as output,
        tempfile.TemporaryFile("w+") as errors,
    ):
        source.write(stdin)
        source.seek(0)
        status = _run(json.dumps(request), _connection(variables["PATH"]), (source, output, errors), timeout)
        for file in (output, errors):
            file.seek(0)
        return subprocess.CompletedProcess(command, status, output.read(), errors.read())


def _connection(path: str) -> socket.socket:
    """The connection to the server with this PATH."""
    with _LOCK:
        if path not in _SERVERS:
            _SERVERS[path] = _start_server(path)
        return _SERVERS[path].connection


def _run(request: str, server: socket.socket, files: tuple[IO[str], ...], timeout: float) -> int:
    """Send a request; returns the exit status, or -1 of a program that was killed. Raises TimeoutExpired."""
    reader, writer = os.pipe()
    try:
        try:
            socket.send_fds(server, [request.encode()], [*(file.fileno() for file in files), writer])
        finally:
            os.close(writer)
        deadline = time.monotonic() + timeout
        # The process ID, and the exit status.
        lines = b""
        while lines.count(b"\n") < 2:
            if not select.select([reader], [], [], max(deadline - time.monotonic(), 0))[0]:
                if lines:
                    os.kill(int(lines), signal.SIGKILL)
                raise subprocess.TimeoutExpired(request, timeout)
            piece = os.read(reader, 64)
            if not piece:
                return -1
            lines += piece
        return int(lines.split()[1])
    finally:
        os.close(reader)


@dataclass(frozen=True)
class _Server:
    """A running server, and the connection to it."""

    process: subprocess.Popen[bytes]
    connection: socket.socket


# By the PATH that they have: the engine reads it when it is imported.
_SERVERS: dict[str, _Server] = {}
_LOCK = threading.Lock()


def _start_server(path: str) -> _Server:
    environment = {name: value for name, value in os.environ.items() if name.startswith(_OF_SERVER)}
    environment["PATH"] = path
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with there:
        # A session of its own: Ctrl-C is for the tests, and the server ends with them.
        process = subprocess.Popen(
            [sys.executable, str(PROGRAMS / "engine_server.py")],
            stdin=there.fileno(), stdout=subprocess.DEVNULL, env=environment, start_new_session=True,
        )  # fmt: skip
    return _Server(process, here)


def stop_servers() -> None:
    """End the servers in order, so that their coverage is written. They end with this process in any case."""
    while _SERVERS:
        _path, server = _SERVERS.popitem()
        server.connection.close()
        server.process.wait(60)
