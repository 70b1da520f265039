# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Patience with what breaks again and again. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

# So often within the window a thing may break before its repair is put off, each time twice as long.
_FREE = 4
_WINDOW = 60.0
_LONGEST = 300.0

# So long a conflict has to last; an uplink that flaps makes no network move.
_PERSISTS = 0.5
# Where news of conflicts do not end, it is looked all the same.
_ENOUGH = 5.0


@dataclass
class Unrest:
    """News of conflicts that keep coming: when to look at what came of them."""

    _first: float | None = None

    def heard(self, now: float) -> float:
        """Note that there was news; returns the time to look."""
        self._first = now if self._first is None else self._first
        return min(now + _PERSISTS, self._first + _ENOUGH)

    def looked(self) -> None:
        """What comes from now on is another story."""
        self._first = None


@dataclass
class Backoff:
    """When what was repaired: decides when the next repair of the same part may be."""

    _times: dict[str, list[float]] = field(default_factory=dict)
    _failures: dict[str, int] = field(default_factory=dict)
    _until: dict[str, float] = field(default_factory=dict)

    def repaired(self, kind: str, things: Iterable[str], now: float) -> list[str]:
        """Note what was repaired; returns sentences on what is put off."""
        self._failures.pop(kind, None)
        said = []
        for thing in things:
            # What it was put off for does not count as calm.
            window = _WINDOW + 2 * self._delay(len(self._times.get(thing, ())))
            times = [*(one for one in self._times.get(thing, ()) if now - one < window), now]
            self._times[thing] = times
            delay = self._delay(len(times))
            if delay:
                self._until[kind] = max(self._until.get(kind, 0.0), now + delay)
                said.append(f"{thing} broke {len(times)} times; its next repair is put off by {delay:g} s")
        return said

    def failed(self, kind: str, now: float) -> float:
        """Note a repair that failed; returns after how many seconds to try again."""
        count = self._failures.get(kind, 0) + 1
        self._failures[kind] = count
        delay = min(2.0 ** min(count - 1, 16), _LONGEST)
        self._until[kind] = now + delay
        return delay

    def went_well(self, kind: str) -> bool:
        """Note that there was nothing to do; whether that ends a row of failures."""
        return self._failures.pop(kind, None) is not None

    def forget(self, kind: str) -> None:
        """What kept repairs of a part from working is over."""
        self._failures.pop(kind, None)
        self._until.pop(kind, None)

    def until(self, kind: str) -> float:
        """Before this time a part is not repaired."""
        return self._until.get(kind, 0.0)

    @staticmethod
    def _delay(count: int) -> float:
        return 0.0 if count <= _FREE else min(2.0 ** min(count - _FREE, 16), _LONGEST)
