# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The database of Open vSwitch, as its server tells it over its socket (RFC 7047): read, and watched.

Changes go through ``ovs-vsctl`` (openvswitch.py), which waits until ovs-vswitchd has made them.
"""

from __future__ import annotations

import codecs
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..core.errors import CommandFailed, NotRunning

_DATABASE = "Open_vSwitch"
_PATIENCE = 10.0
_CHUNK = 1 << 16
# Characters of one message: a port and its interface have less than a thousand in the columns that are read.
_LARGEST = 16 * 1024 * 1024

Row = Mapping[str, Any]
Tables = Mapping[str, Sequence[Row]]
Columns = Mapping[str, Sequence[str]]

START = "start it: systemctl start openvswitch-switch"


def socket_path() -> str:
    """Where the server listens; the variable is that of Open vSwitch's own programs (ovs-vsctl(8))."""
    return os.path.join(os.environ.get("OVS_RUNDIR") or "/run/openvswitch", "db.sock")


class Connection:
    """A connection to the server; raises NotRunning where there is none."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(_PATIENCE)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        try:
            self._socket.connect(socket_path())
        except OSError as error:
            self._socket.close()
            raise NotRunning(f"Open vSwitch's ovsdb-server does not run ({error.strerror}); {START}") from None

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_what: object) -> None:
        self.close()

    def fileno(self) -> int:
        """The descriptor, for who waits for news."""
        return self._socket.fileno()

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def request(self, method: str, parameters: Sequence[Any]) -> Any:
        """One request and its result; raises NotRunning, CommandFailed.

        The server runs as a user of its own on some distributions: whatever it sends, this ends in time.
        """
        deadline = time.monotonic() + _PATIENCE
        try:
            self._send({"method": method, "params": parameters, "id": method})
            while time.monotonic() < deadline:
                for message in self._messages():
                    if message.get("id") == method and "result" in message:
                        return _result(message)
            raise TimeoutError("timed out")
        except (OSError, ValueError) as error:
            raise NotRunning(f"Open vSwitch's ovsdb-server does not answer ({error}); {START}") from None

    def watch(self, tables: Columns) -> None:
        """Ask for news of these columns, for heard()."""
        wanted = {table: {"columns": list(columns), "select": {"initial": False}} for table, columns in tables.items()}
        self.request("monitor", [_DATABASE, None, wanted])
        self._socket.setblocking(False)

    def heard(self) -> bool:
        """Whether there is news, once there is something to read; raises NotRunning when the server has gone."""
        news = False
        try:
            for message in self._messages():
                news = news or message.get("method") == "update"
        except BlockingIOError:
            pass
        except (OSError, ValueError) as error:
            raise NotRunning(f"Open vSwitch's ovsdb-server has gone ({error})") from None
        return news

    def _send(self, message: Mapping[str, Any]) -> None:
        self._socket.sendall(json.dumps(message).encode())

    def _messages(self) -> Iterator[Mapping[str, Any]]:
        """What has come, whole messages only."""
        data = self._socket.recv(_CHUNK)
        if not data:
            raise OSError("the connection was closed")
        self._text += self._decoder.decode(data)
        if len(self._text) > _LARGEST:
            raise OSError(f"it sent more than {_LARGEST} characters that are no message")
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
                raise OSError("it sent what is no message")
            if message.get("method") == "echo":
                # Section 4.1.11: whoever does not answer is taken for dead.
                self._send({"result": message.get("params", []), "error": None, "id": message.get("id")})
            else:
                yield message


def _result(message: Mapping[str, Any]) -> Any:
    if message.get("error"):
        raise CommandFailed(f"Open vSwitch's database refused to be read: {message['error']}")
    return message["result"]


def select(tables: Columns) -> Tables:
    """Tables as they are at one moment; raises NotRunning, CommandFailed."""
    operations = [
        {"op": "select", "table": table, "where": [], "columns": list(columns)} for table, columns in tables.items()
    ]
    with Connection() as connection:
        found = connection.request("transact", [_DATABASE, *operations])
    return parse(list(tables), found)


def parse(tables: Sequence[str], results: Sequence[Mapping[str, Any]]) -> Tables:
    """The results of selects, with plain values: sets as lists, maps as mappings, uuids as text. Pure."""
    for result in results:
        if result.get("error"):
            raise CommandFailed(f"Open vSwitch's database refused to be read: {result.get('details', result['error'])}")
    return {
        table: [{name: _plain(value) for name, value in row.items()} for row in result.get("rows", ())]
        for table, result in zip(tables, results)
    }


def _plain(value: Any) -> Any:
    """Section 5.1: a set is written ["set", [...]], unless it has one element."""
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
    """The elements of a column that is a set."""
    return value if isinstance(value, list) else [value]


def one(value: Any, default: Any = None) -> Any:
    """The value of a column that may have none."""
    found = many(value)
    return found[0] if found else default
