# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parts of pages with figures: medians with their spread, ratios, tables in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence


def short(value: float) -> str:
    """A number with three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.095 else f"{value:.3f}"


def spread(values: Sequence[float]) -> str:
    """The median, the minimum and the maximum."""
    if len(values) == 1:
        return f"{short(values[0])} (1 round)"
    return f"{short(statistics.median(values))} ({short(min(values))}–{short(max(values))})"


def times(theirs: Sequence[float], ours: Sequence[float]) -> str:
    """The ratio of another tool's figure to ours; '' if one is unknown."""
    base = statistics.median(ours) if ours else 0.0
    return f"×{short(statistics.median(theirs) / base)}" if theirs and base else ""


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"
