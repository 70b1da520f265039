# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether connections get the mark for other firewalls (nft/chains.py). Pure.

Most hosts need none, and it disturbs others that route by the marks of connections: so it is set only where a rule of
another firewall matches it, or is to match it. Commands that let packets pass name bridges where it is not set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..nft.chains import MARK
from ..ruleset.model import Ruleset
from .integrations_read import Firewalls


def is_needed(current: Firewalls, *, integrate: bool, is_set: bool) -> bool:
    """Whether connections need the mark.

    ``integrate``: Docker gets its rule. ``is_set``: they have it. It stays while another firewall has a chain for
    forwarded packets: Docker removes its chains when it restarts, and adds them again.
    """
    if integrate and current.docker:
        return True
    return (is_set and _filters_forwarded(current.tables)) or _matches_mark(current.tables)


def _filters_forwarded(tables: Ruleset) -> bool:
    chains = (chain for table in tables for chain in table.chains.values())
    return any(chain.kind == "filter" and chain.hook == "forward" and chain.family != "bridge" for chain in chains)


def _matches_mark(tables: Ruleset) -> bool:
    rules = (rule for table in tables for chain in table.chains.values() for rule in chain.rules)
    return any(_is_our_mark(statement) for rule in rules for statement in rule.statements)


def _is_our_mark(statement: Any) -> bool:
    """Whether a statement compares the mark of connections with ours."""
    if not isinstance(statement, dict) or not {"match", "any"} & statement.keys():
        return False
    parts = list(_parts(statement))
    return {"key": "mark"} in [part.get("ct") for part in parts if isinstance(part, dict)] and MARK in parts


def _parts(expression: Any) -> Iterator[Any]:
    yield expression
    values: Sequence[Any] = ()
    if isinstance(expression, Mapping):
        values = list(expression.values())
    elif isinstance(expression, (list, tuple)):
        values = expression
    for value in values:
        yield from _parts(value)
