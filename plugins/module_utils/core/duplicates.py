# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check that no object is given twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from .errors import InvalidOption


class Spec(Protocol):
    """An object that a user gave; ``path`` is where."""

    @property
    def path(self) -> str:
        """The path of its options, '' if the task names a single object."""


S = TypeVar("S", bound=Spec)


def refuse_duplicates(specs: Iterable[S], name_of: Callable[[S], str], *, option: str, noun: str) -> None:
    """Raise InvalidOption for an object with the name of an earlier one; ``option`` is the option with the name."""
    seen: dict[str, S] = {}
    for spec in specs:
        name = name_of(spec)
        if name in seen:
            raise InvalidOption(
                f"{spec.path}.{option}" if spec.path else option,
                f"{name!r} is named twice, also by {seen[name].path}; name each {noun} once",
            )
        seen[name] = spec
