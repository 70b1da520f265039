# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The loop of every reconciler: read, plan, apply, read again and verify."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from .errors import MissingTool, NotConverged
from .lock import lock
from .paths import Paths

CREATE = "create"
CHANGE = "change"
DELETE = "delete"

_DONE = {CREATE: "created", CHANGE: "changed", DELETE: "deleted"}


@dataclass(frozen=True)
class Change:
    """A change of one object; ``before`` and ``after`` are the two sides of the diff."""

    action: str
    name: str
    before: str = ""
    after: str = ""
    detail: str = ""

    @property
    def header(self) -> str:
        """The header of the diff."""
        return self.name

    def __str__(self) -> str:
        return f"{self.name}: {self.detail or _DONE[self.action]}"


C = TypeVar("C", bound=Change)


def text_change(kind: Callable[..., C], name: str, before: str | None, after: str | None, **fields: Any) -> C:
    """The change of a text, such as the content of a file; None: it does not exist. ``fields``: others of the kind."""
    action = DELETE if after is None else CREATE if before is None else CHANGE
    return kind(action=action, name=name, before=before or "", after=after or "", **fields)


C_co = TypeVar("C_co", bound=Change, covariant=True)
S = TypeVar("S")


@dataclass(frozen=True)
class Plan(Generic[C_co]):
    """The ordered changes, the resulting objects, warnings, and further return values of the module.

    A reconciler whose apply() needs more than that has a plan of its own kind.
    """

    changes: Sequence[C_co] = ()
    result: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    return_values: Mapping[str, Any] = field(default_factory=dict)


P = TypeVar("P", bound=Plan[Any])


class Reconciler(Protocol[S, P]):
    """Reads the current state, plans from desired and current state without touching the host, applies the plan."""

    def read(self) -> S:
        """The current state."""

    def plan(self, current: S) -> P:
        """The ordered changes from the current state to the desired one; pure."""

    def apply(self, plan: P) -> None:
        """Carry out the plan."""


def converge(reconciler: Reconciler[S, P], paths: Paths, *, check: bool) -> P:
    """Bring the host to the desired state, or with ``check`` only plan that.

    Raises NotConverged when a fresh read after the changes still asks for changes.
    """
    with contextlib.nullcontext() if check else lock(paths.runtime):
        return converge_locked(reconciler, check=check)


def converge_locked(reconciler: Reconciler[S, P], *, check: bool = False) -> P:
    """As converge(), for a caller that holds the lock."""
    plan = reconciler.plan(read_foretold(reconciler) if check else read_settled(reconciler))
    if plan.changes:
        try:
            preflight(reconciler, plan)
        except MissingTool:
            # Check mode does not make the earlier task of a play that installs it.
            if not check:
                raise
    if check or not plan.changes:
        return plan
    reconciler.apply(plan)
    verify(reconciler)
    return plan


def verify(reconciler: Reconciler[S, Any]) -> None:
    """Raise NotConverged if a fresh read still asks for changes."""
    remaining = reconciler.plan(read_settled(reconciler)).changes
    if remaining:
        raise NotConverged("the host still differs after the change: " + "; ".join(map(str, remaining)))


def preflight(reconciler: Reconciler[S, P], plan: P) -> None:
    """Raise VirtnetError for what apply() would refuse before it changes anything.

    Only a reconciler that cannot tell from the state alone has a method ``preflight``, which changes nothing.
    """
    test: Callable[[P], None] | None = getattr(reconciler, "preflight", None)
    if test is not None:
        test(plan)


def read_settled(reconciler: Reconciler[S, Any]) -> S:
    """The current state, or the next one where a service is starting or stopping.

    Only a reconciler of such services has a method ``read_settled``. It waits, so check mode does not use it.
    """
    read: Callable[[], S] = getattr(reconciler, "read_settled", reconciler.read)
    return read()


def read_foretold(reconciler: Reconciler[S, Any]) -> S:
    """The current state as the tasks before this one would leave it; in check mode they have made nothing.

    Only a reconciler whose plan depends on what other tasks make has a method ``read_foretold``.
    """
    read: Callable[[], S] = getattr(reconciler, "read_foretold", reconciler.read)
    return read()


def describe(values: Mapping[str, Any]) -> str:
    """A mapping as the text of a diff: lines of ``key: value``, and a line for each item of a list."""
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
    """The differences between two mappings in a line: ``mtu 1500 -> 9000, stp false -> true``."""
    return ", ".join(
        f"{key} {_scalar(before.get(key))} -> {_scalar(value)}"
        for key, value in after.items()
        if before.get(key) != value
    )
