# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Delays of the repairs of parts that break again and again. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

# This many repairs of the same object within the window cause no delay. Each further one doubles the delay.
_FREE_REPAIRS = 4
_WINDOW = 60.0
_MAX_DELAY = 300.0


@dataclass
class Backoff:
    """Decides from earlier repairs and failures when a part may be repaired next."""

    _repairs: dict[str, list[float]] = field(default_factory=dict)
    _failures: dict[str, int] = field(default_factory=dict)
    _blocked_until: dict[str, float] = field(default_factory=dict)

    def repaired(self, part: str, objects: Iterable[str], now: float) -> list[str]:
        """Record the objects of a part that were repaired; returns a sentence for each that delays the next repair."""
        self._failures.pop(part, None)
        sentences = []
        for name in objects:
            earlier = self._repairs.get(name, ())
            # The delay itself is no proof that the object stays intact, so the window grows with it.
            window = _WINDOW + 2 * self._delay(len(earlier))
            repairs = [*(time for time in earlier if now - time < window), now]
            self._repairs[name] = repairs
            delay = self._delay(len(repairs))
            if delay:
                self._blocked_until[part] = max(self.blocked_until(part), now + delay)
                sentences.append(f"{name} broke {len(repairs)} times; its next repair is put off by {delay:g} s")
        return sentences

    def failed(self, part: str, now: float) -> float:
        """Record a repair that failed; returns the seconds until the next attempt."""
        failures = self._failures.get(part, 0) + 1
        self._failures[part] = failures
        delay = min(2.0 ** min(failures - 1, 16), _MAX_DELAY)
        self._blocked_until[part] = now + delay
        return delay

    def succeeded(self, part: str) -> bool:
        """Record that a part needed no repair; returns whether this ends a series of failures."""
        return self._failures.pop(part, None) is not None

    def reset(self, part: str) -> None:
        """Allow an attempt at once: the reason why repairs of a part failed is gone."""
        self._failures.pop(part, None)
        self._blocked_until.pop(part, None)

    def blocked_until(self, part: str) -> float:
        """The time before which a part is not repaired."""
        return self._blocked_until.get(part, 0.0)

    @staticmethod
    def _delay(repairs: int) -> float:
        return 0.0 if repairs <= _FREE_REPAIRS else min(2.0 ** min(repairs - _FREE_REPAIRS, 16), _MAX_DELAY)
