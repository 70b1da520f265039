# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The output of ``nft -j list`` as a ruleset (libnftables-json(5)). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .model import ACCEPT, Chain, Rule, Table
from .sets import Elements


def parse(text: str, *, terse: bool = False) -> list[Table]:
    """``nft -j list ruleset``; ``terse``: the elements of sets were not listed (-t).

    Raises ValueError and KeyError for any other text.
    """
    tables: dict[tuple[str, str], Table] = {}
    for item in json.loads(text)["nftables"] if text.strip() else ():
        ((kind, data),) = item.items()
        if kind == "table":
            tables[data["family"], data["name"]] = Table(data["family"], data["name"])
        elif kind in ("chain", "rule", "set", "map"):
            _add(tables[data["family"], data["table"]], kind, data, terse=terse)
    return list(tables.values())


def _add(table: Table, kind: str, data: Mapping[str, Any], *, terse: bool) -> None:
    if kind == "chain":
        table.chains[data["name"]] = Chain(
            table.family,
            table.name,
            data["name"],
            kind=data.get("type", ""),
            hook=data.get("hook", ""),
            priority=int(data.get("prio", 0)),
            policy=data.get("policy", ACCEPT),
        )
    elif kind == "rule":
        table.chains[data["chain"]].rules.append(Rule(data["expr"], data["handle"]))
    else:
        table.sets[data["name"]] = None if terse else Elements(data.get("elem", ()))
