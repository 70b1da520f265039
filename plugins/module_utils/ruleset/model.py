# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A ruleset as data: tables, chains and rules of nftables; those of iptables are given in the same form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .packet import Packet

ACCEPT = "accept"
DROP = "drop"


@dataclass(frozen=True)
class Rule:
    """``text``: the rule in the syntax of the program that made it, where it was read."""

    statements: Sequence[Any]
    handle: int = 0
    text: str = ""


@dataclass
class Chain:
    """``tool``: the program of iptables that made it, else ""; ``hook`` is "" unless it is a base chain."""

    family: str
    table: str
    name: str
    tool: str = ""
    kind: str = ""
    hook: str = ""
    priority: int = 0
    policy: str = ACCEPT
    rules: list[Rule] = field(default_factory=list)

    def __str__(self) -> str:
        return f"chain {self.name} of table {self.family} {self.table}{f' ({self.tool})' if self.tool else ''}"


@dataclass
class Table:
    """Chains and sets by name; None for a set: its elements were not listed."""

    family: str
    name: str
    tool: str = ""
    chains: dict[str, Chain] = field(default_factory=dict)
    sets: dict[str, Sequence[Any] | None] = field(default_factory=dict)


Ruleset = Sequence[Table]


@dataclass(frozen=True)
class Verdict:
    """A possible verdict on a packet in a base chain: by a rule of ``chain``, or by the policy of ``base`` (no rule).

    ``action``: accept or drop. ``certain``: this rule matches, and so do the jumps that lead to it; an earlier rule
    may still have let the packet pass. ``packet``: as it reached the verdict, with the marks that rules set.
    """

    action: str
    table: Table
    base: Chain
    chain: Chain
    rule: Rule | None
    certain: bool
    packet: Packet
