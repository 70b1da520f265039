# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guard hears of Open vSwitch, which may come and go while the guard runs."""

from __future__ import annotations

import contextlib
import selectors
import time

from ..core.errors import VirtnetError
from ..openvswitch.bridges import WATCHED
from ..openvswitch.ovsdb import Connection

# So often it is looked whether Open vSwitch is there again, while bridges need it.
_RETRY = 2.0

LOST, NEWS, BACK = "lost", "news", "back"


class SwitchWatch:
    """A connection to Open vSwitch's database, as long as bridges of it are to be guarded."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._connection: Connection | None = None
        self._again = 0.0

    def keep(self, *, wanted: bool) -> str:
        """Connect where that is due, or let go; BACK when there is a new connection."""
        if not wanted:
            self.close()
            self._again = 0.0
        elif self._connection is None and self._again <= time.monotonic():
            self._again = time.monotonic() + _RETRY
            with contextlib.suppress(VirtnetError):
                connection = Connection()
                try:
                    connection.watch(WATCHED)
                except VirtnetError:
                    connection.close()
                    raise
                self._selector.register(connection.fileno(), selectors.EVENT_READ)
                self._connection = connection
                return BACK
        return ""

    def heard(self) -> str:
        """LOST, NEWS, or nothing."""
        if self._connection is None:
            return ""
        try:
            return NEWS if self._connection.has_changed() else ""
        except VirtnetError:
            self.close()
            return LOST

    def due(self) -> float | None:
        """When to look again, on the clock of time.monotonic(); None for whenever something comes."""
        return self._again if self._again and self._connection is None else None

    def close(self) -> None:
        """Let go."""
        if self._connection is not None:
            self._selector.unregister(self._connection.fileno())
            self._connection.close()
            self._connection = None
