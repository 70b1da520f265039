# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guard logs: each event once, and each lasting state once until it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..orchestration.restore import log_line


def as_sentence(text: str) -> str:
    """A text with a capital letter and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


class Journal:
    """Writes lines; a state that lasts is written when it begins or changes, not each time that it is seen.

    ``log`` writes a line in any case.
    """

    def __init__(self, log: Callable[[str], None] = log_line) -> None:
        self.log = log
        self._last: dict[str, str] = {}

    def log_each(self, texts: Iterable[str]) -> None:
        """Write each text as a sentence."""
        for text in texts:
            self.log(as_sentence(text))

    def log_if_changed(self, topic: str, line: str) -> None:
        """Write a line unless it is the last one of its topic; an empty line ends the topic's state silently."""
        if self._last.get(topic, "") != line:
            self._last[topic] = line
            if line:
                self.log(line)

    def log_state(self, topic: str, texts: Iterable[str]) -> None:
        """As log_if_changed(), with all texts as sentences in one line."""
        self.log_if_changed(topic, " ".join(map(as_sentence, texts)))

    def repair_failed(self, part: str, error: str, delay: float) -> None:
        """Write that a part could not be repaired; the same again only if the error or the delay is another."""
        self.log_if_changed(part, f"Could not repair {part}: {error} The next attempt is in {delay:g} s.")

    def recovered(self, part: str) -> None:
        """Write that a part whose repair failed is as defined again."""
        self._last.pop(part, None)
        self.log(f"The {part} are as defined again.")
