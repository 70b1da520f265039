# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How every part works: read, plan, apply, read again and verify."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from .errors import NotConverged
from .lock import lock
from .paths import Paths

CREATE = "create"
CHANGE = "change"
DELETE = "delete"

_DONE = {CREATE: "created", CHANGE: "changed", DELETE: "deleted"}


@dataclass(frozen=True)
class Change:
    """One thing that becomes different; ``before`` and ``after`` are the two sides of the diff."""

    action: str
    name: str
    before: str = ""
    after: str = ""
    detail: str = ""

    @property
    def header(self) -> str:
        """What stands over the diff."""
        return self.name

    def __str__(self) -> str:
        return f"{self.name}: {self.detail or _DONE[self.action]}"


C = TypeVar("C", bound=Change)
C_co = TypeVar("C_co", bound=Change, covariant=True)
S = TypeVar("S")


@dataclass(frozen=True)
class Plan(Generic[C_co]):
    """What will be done, in order, and what the part holds afterwards; ``more`` are further return values."""

    changes: Sequence[C_co] = ()
    holds: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    more: Mapping[str, Any] = field(default_factory=dict)


class Part(Protocol[S, C]):
    """Reads the host, plans without touching it, applies."""

    def read(self) -> S:
        """The present state."""

    def plan(self, current: S) -> Plan[C]:
        """The ordered changes from the present state to the wanted one; pure."""

    def apply(self, changes: Sequence[C]) -> None:
        """Make the changes."""


def converge(part: Part[S, C], paths: Paths, *, check: bool) -> Plan[C]:
    """Bring a part to its wanted state, or with ``check`` only say what that would take.

    Raises NotConverged when a fresh read after the changes still asks for changes.
    """
    with contextlib.nullcontext() if check else lock(paths.runtime):
        return settle(part, check=check)


def settle(part: Part[S, C], *, check: bool = False) -> Plan[C]:
    """As converge(), for who holds the lock already."""
    plan = part.plan(part.read())
    if check or not plan.changes:
        return plan
    part.apply(plan.changes)
    left = part.plan(part.read()).changes
    if left:
        raise NotConverged("the host still differs after the change: " + "; ".join(str(change) for change in left))
    return plan


def describe(values: Mapping[str, Any]) -> str:
    """A mapping as lines for a diff: one ``key: value`` each, lists as items, in the order given."""
    lines: list[str] = []
    for key, value in values.items():
        if isinstance(value, (list, tuple)):
            lines.append(f"{key}:" if value else f"{key}: []")
            lines.extend(f"  - {_scalar(item)}" for item in value)
        else:
            lines.append(f"{key}: {_scalar(value)}")
    return "".join(line + "\n" for line in lines)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_scalar(item)}" for key, item in value.items()) + "}"
    return "null" if value is None else str(value)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What differs between two mappings as a sentence: ``mtu 1500 -> 9000, stp off -> on``."""
    return ", ".join(
        f"{key} {_scalar(before.get(key))} -> {_scalar(value)}"
        for key, value in after.items()
        if before.get(key) != value
    )
