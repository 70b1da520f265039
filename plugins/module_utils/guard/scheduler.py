# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides what the guard does when. Pure: times are arguments, in seconds of any steady clock."""

from __future__ import annotations

from collections.abc import Iterable

from ..orchestration.desired_state import RULES
from .backoff import Backoff
from .view import CONFLICT, FIREWALLS

# Seconds that the guard waits for further events: one repair handles a burst of them.
_BURST = 0.03
# Seconds that a conflict must last, so that an uplink that flaps moves no network; and those without a change of other
# firewalls, which start in many steps.
_SETTLE_TIME = 0.5
# Seconds after which conflicts and other firewalls are examined even if events keep coming.
_MAX_SETTLE_TIME = 5.0
# Other firewalls may change all the time: to examine them takes at most this share of the time of a processor.
_FIREWALLS_SHARE = 0.1
# Seconds that a network keeps its new subnet after a conflict, whatever overlaps it.
_MOVE_PAUSE = 30.0


class Scheduler:
    """When each part is to be repaired, conflicts are to be resolved, and the run of a playbook is to be checked."""

    def __init__(self) -> None:
        self.backoff = Backoff()
        self._due: dict[str, float] = {}
        # The first event since CONFLICT or FIREWALLS was due.
        self._first_events: dict[str, float] = {}
        self._firewalls_not_before = 0.0
        self._moves_paused: dict[str, float] = {}

    def request(self, parts: Iterable[str], now: float) -> None:
        """Have parts repaired as soon as the burst of events is over.

        With CONFLICT conflicts are resolved, with FIREWALLS other firewalls are examined.
        """
        for part in parts:
            if part in (CONFLICT, FIREWALLS):
                first = self._first_events.setdefault(part, now)
                self._due[part] = min(now + _SETTLE_TIME, first + _MAX_SETTLE_TIME)
            else:
                self._due[part] = min(now + _BURST, self._due.get(part, now + _BURST))

    def request_at(self, part: str, time: float) -> None:
        """Have a part repaired, conflicts resolved or a run checked (RUN), at a time and not before."""
        self._due[part] = time

    def take_due(self, now: float) -> frozenset[str]:
        """What is due; it is not due again until it is requested again."""
        due = frozenset(part for part in self._due if self._time_of(part) <= now)
        for part in due:
            del self._due[part]
            self._first_events.pop(part, None)
        return due

    def next_time(self) -> float | None:
        """When something is due next; None if nothing is."""
        return min(map(self._time_of, self._due), default=None)

    def _time_of(self, part: str) -> float:
        if part == FIREWALLS:
            return max(self._due[part], self.backoff.blocked_until(RULES), self._firewalls_not_before)
        return max(self._due[part], self.backoff.blocked_until(part))

    def failed(self, part: str, now: float) -> float:
        """Record a repair that failed, and schedule the next attempt; returns the seconds until then."""
        delay = self.backoff.failed(part, now)
        self._due[part] = now + delay
        return delay

    def examined_firewalls(self, seconds: float, now: float) -> None:
        """Record that other firewalls were examined, which took some seconds."""
        self._firewalls_not_before = now + seconds / _FIREWALLS_SHARE

    def pause_moves(self, network: str, now: float) -> None:
        """Have a network keep its subnet for a while, since it was moved just now."""
        self._moves_paused[network] = now + _MOVE_PAUSE

    def paused_moves(self, now: float) -> dict[str, float]:
        """The networks that keep their subnet, and until when."""
        return {network: until for network, until in self._moves_paused.items() if until > now}
