# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of sections and assignments: keyfiles of NetworkManager, files of systemd. Pure.

Any text can be parsed: a line that is no section, assignment or comment is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_SECTION = re.compile(r"\[([^\[\]]+)\]")
_NUMBER = re.compile(r"[0-9]{1,9}")
_TRUE = ("1", "yes", "y", "true", "t", "on")
_FALSE = ("0", "no", "n", "false", "f", "off")


@dataclass
class Section:
    """One section with its assignments in order."""

    name: str
    assignments: list[tuple[str, str]] = field(default_factory=list)

    def values(self, key: str) -> list[str]:
        """All values of a key; an empty one clears those before it (systemd.syntax(7))."""
        values: list[str] = []
        for name, value in self.assignments:
            if name == key:
                values = [*values, value] if value else []
        return values

    def value(self, key: str, default: str = "") -> str:
        """The last value of a key."""
        return next(reversed(self.values(key)), default)

    def integer(self, key: str) -> int | None:
        """A whole number of at most nine digits; None for any other text."""
        text = self.value(key)
        return int(text) if _NUMBER.fullmatch(text) else None

    def words(self, key: str) -> list[str]:
        """The words of all values of a key."""
        return [word for value in self.values(key) for word in value.split()]

    def boolean(self, key: str, default: bool = False) -> bool:
        """A key that is true or false, by parse_boolean() of systemd; the default for any other text."""
        word = self.value(key).lower()
        return True if word in _TRUE else False if word in _FALSE else default


class Sections:
    """The sections of a file, or of several that extend each other."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.sections = [section for text in texts for section in _parse(text)]

    def all(self, *names: str) -> list[Section]:
        """Each section of these names."""
        return [section for section in self.sections if section.name in names]

    def one(self, *names: str) -> Section:
        """The sections of these names, taken as one."""
        return Section(names[0], [pair for section in self.all(*names) for pair in section.assignments])


def _parse(text: str) -> Iterator[Section]:
    section = Section("")
    # A line that ends with a backslash continues (systemd.syntax(7)).
    for line in re.sub(r"\\\n", " ", text).split("\n"):
        row = line.strip()
        match = _SECTION.fullmatch(row)
        if match:
            yield section
            section = Section(match[1].strip())
        elif row and row[0] not in "#;":
            key, equals, value = row.partition("=")
            if equals:
                section.assignments.append((key.strip(), value.strip()))
    yield section
