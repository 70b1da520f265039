# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads and monitors the database of Open vSwitch over the socket of its server (RFC 7047).

Changes are made by ``ovs-vsctl`` (bridges.py), which waits until ovs-vswitchd has applied them.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..core.errors import CommandFailed, NotRunning

_DATABASE = "Open_vSwitch"
# Seconds.
_TIMEOUT = 10.0
_CHUNK = 1 << 16
# Characters of one message: the columns that are read have less than a thousand for a port and its interface.
_LARGEST = 16 * 1024 * 1024

Row = Mapping[str, Any]
Tables = Mapping[str, Sequence[Row]]
Columns = Mapping[str, Sequence[str]]

START = "start it: systemctl start openvswitch-switch"


class Connection:
    """A connection to the server; raises NotRunning where there is none."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(_TIMEOUT)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        try:
            # The programs of Open vSwitch use the same variable (ovs-vsctl(8)).
            self._socket.connect(os.path.join(os.environ.get("OVS_RUNDIR") or "/run/openvswitch", "db.sock"))
        except OSError as error:
            self._socket.close()
            raise NotRunning(f"Open vSwitch's ovsdb-server does not run ({error.strerror}); {START}") from None

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def request(self, method: str, parameters: Sequence[Any]) -> Any:
        """Send one request, return its result; raises NotRunning, CommandFailed.

        On some distributions the server runs as a user of its own. Whatever it sends, the request ends in time.
        """
        deadline = time.monotonic() + _TIMEOUT
        try:
            self._send({"method": method, "params": parameters, "id": method})
            while time.monotonic() < deadline:
                for message in self._messages():
                    if message.get("id") != method or "result" not in message:
                        continue
                    if message.get("error"):
                        raise CommandFailed(f"Open vSwitch's database cannot be read: {message['error']}")
                    return message["result"]
            raise TimeoutError("timed out")
        except (OSError, ValueError) as error:
            raise NotRunning(f"Open vSwitch's ovsdb-server does not answer ({error}); {START}") from None

    def watch(self, tables: Columns) -> None:
        """Monitor these columns; has_changed() tells of changes."""
        columns_of = {
            table: {"columns": list(columns), "select": {"initial": False}} for table, columns in tables.items()
        }
        self.request("monitor", [_DATABASE, None, columns_of])
        self._socket.setblocking(False)

    def has_changed(self) -> bool:
        """Read the messages: whether a monitored column changed; raises NotRunning when the server has stopped."""
        changed = False
        try:
            for message in self._messages():
                changed = changed or message.get("method") == "update"
        except BlockingIOError:
            pass
        except (OSError, ValueError) as error:
            raise NotRunning(f"Open vSwitch's ovsdb-server closed the connection ({error})") from None
        return changed

    def _send(self, message: Mapping[str, Any]) -> None:
        self._socket.sendall(json.dumps(message).encode())

    def _messages(self) -> Iterator[Mapping[str, Any]]:
        """The messages that have arrived completely."""
        data = self._socket.recv(_CHUNK)
        if not data:
            raise OSError("the connection was closed")
        self._text += self._decoder.decode(data)
        if len(self._text) > _LARGEST:
            raise OSError(f"it sent more than {_LARGEST} characters without a complete message")
        decoder = json.JSONDecoder()
        while self._text:
            try:
                message, end = decoder.raw_decode(self._text)
            except RecursionError as error:
                raise OSError("it sent a message that is nested too deeply") from error
            except ValueError:
                return
            self._text = self._text[end:].lstrip()
            if not isinstance(message, dict):
                raise OSError("it sent something that is not a message")
            if message.get("method") == "echo":
                # RFC 7047 section 4.1.11: the server closes a connection that does not answer.
                self._send({"result": message.get("params", []), "error": None, "id": message.get("id")})
            else:
                yield message


def select(tables: Columns) -> Tables:
    """Read tables in one transaction, with plain values: sets as lists, maps as dicts, uuids as text.

    Raises NotRunning, CommandFailed.
    """
    operations = [
        {"op": "select", "table": table, "where": [], "columns": list(columns)} for table, columns in tables.items()
    ]
    with contextlib.closing(Connection()) as connection:
        results = connection.request("transact", [_DATABASE, *operations])
    for result in results:
        if result.get("error"):
            raise CommandFailed(f"Open vSwitch's database cannot be read: {result.get('details', result['error'])}")
    return {
        table: [{name: _plain(value) for name, value in row.items()} for row in result.get("rows", ())]
        for table, result in zip(tables, results)
    }


def _plain(value: Any) -> Any:
    """A plain value; a set is written ["set", [...]] unless it has one element (RFC 7047 section 5.1)."""
    if isinstance(value, list) and len(value) == 2:
        kind, content = value
        if kind == "set":
            return [_plain(item) for item in content]
        if kind == "map":
            return {str(_plain(key)): _plain(item) for key, item in content}
        if kind in ("uuid", "named-uuid"):
            return content
    return value


def many(value: Any) -> list[Any]:
    """The elements of a column that holds a set."""
    return value if isinstance(value, list) else [value]


def optional(value: Any, default: Any = None) -> Any:
    """The value of a column that may be empty."""
    values = many(value)
    return values[0] if values else default
