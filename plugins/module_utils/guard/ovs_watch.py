# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watches the database of Open vSwitch, which may start and stop while the guard runs."""

from __future__ import annotations

import contextlib
import enum
import selectors
import time

from ..core.errors import VirtnetError
from ..openvswitch.bridges import WATCHED
from ..openvswitch.ovsdb import Connection

# Seconds between two attempts to connect while bridges need Open vSwitch.
_RETRY = 2.0


class OvsEvent(enum.Enum):
    """What the connection reports."""

    CHANGED = enum.auto()
    DISCONNECTED = enum.auto()


class OvsWatch:
    """A connection to the database of Open vSwitch, kept while bridges of it are guarded."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._connection: Connection | None = None
        self._retry_at = 0.0

    def maintain(self, *, needed: bool) -> bool:
        """Connect if that is due, or disconnect if no longer needed; returns whether there is a new connection."""
        if not needed:
            self.close()
            self._retry_at = 0.0
        elif self._connection is None and self._retry_at <= time.monotonic():
            self._retry_at = time.monotonic() + _RETRY
            with contextlib.suppress(VirtnetError):
                connection = Connection()
                try:
                    connection.watch(WATCHED)
                except VirtnetError:
                    connection.close()
                    raise
                self._selector.register(connection.fileno(), selectors.EVENT_READ)
                self._connection = connection
                return True
        return False

    def receive(self) -> OvsEvent | None:
        """What has happened since the last call."""
        if self._connection is None:
            return None
        try:
            return OvsEvent.CHANGED if self._connection.has_changed() else None
        except VirtnetError:
            self.close()
            return OvsEvent.DISCONNECTED

    def retry_time(self) -> float | None:
        """When to connect again, by time.monotonic(); None if connected or not needed."""
        return self._retry_at if self._retry_at and self._connection is None else None

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._selector.unregister(self._connection.fileno())
            self._connection.close()
            self._connection = None
