# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What nft lists of our table, as data (libnftables-json(5))."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .chains import OWNED, Elements


@dataclass(frozen=True)
class Table:
    """What the kernel holds: the chains' comments, a digest of their rules, and the elements."""

    comments: Mapping[str, Sequence[str]] = field(default_factory=dict)
    digest: str = ""
    elements: Elements = field(default_factory=dict)


def parse(text: str) -> Table:
    """``nft -j list table inet virtnet`` as data; raises ValueError where it is not that."""
    comments: dict[str, list[str]] = {}
    elements: dict[str, dict[tuple[str, ...], str]] = {}
    expressions: list[Any] = []
    for item in json.loads(text)["nftables"]:
        if "chain" in item:
            chain = item["chain"]
            comments.setdefault(chain["name"], [])
            expressions.append({key: chain.get(key) for key in ("name", "type", "hook", "prio", "policy")})
        elif "rule" in item:
            rule = item["rule"]
            comments.setdefault(rule["chain"], []).append(rule.get("comment", ""))
            expressions.append([rule["chain"], rule["expr"]])
        elif "set" in item or "map" in item:
            one = item.get("set") or item["map"]
            owned = one["name"] in OWNED
            elements[one["name"]] = dict(_parse_element(element, owned=owned) for element in one.get("elem", ()))
    digest = hashlib.sha256(json.dumps(expressions, sort_keys=True).encode()).hexdigest()
    return Table(comments, digest, elements)


def _parse_element(element: Any, *, owned: bool) -> tuple[tuple[str, ...], str]:
    value, comment = "", ""
    if isinstance(element, list):
        element, data = element
        value = _parse_value(data)
    if isinstance(element, dict) and "elem" in element:
        comment = element["elem"].get("comment", "")
        if "limit" in element["elem"]:
            value = _parse_limit(element["elem"]["limit"])
        element = element["elem"]["val"]
    key = tuple(map(_parse_part, _parts(element)))
    return ((comment, *key), value) if owned else (key, value or comment)


def _parse_limit(limit: Mapping[str, Any]) -> str:
    """As nft writes it, since its JSON of a set's element cannot be fed back."""
    over = "over " if limit.get("inv") else ""
    return f"limit rate {over}{limit['rate']}/{limit.get('per')} burst {limit.get('burst')} packets"


def _parts(value: Any) -> Sequence[Any]:
    return value["concat"] if isinstance(value, dict) and "concat" in value else [value]


def _parse_value(data: Any) -> str:
    if isinstance(data, dict) and "concat" not in data and "range" not in data:
        ((word, target),) = data.items()
        return f"{word} {target['target']}" if isinstance(target, dict) else str(word)
    return " . ".join(map(_parse_part, _parts(data)))


def _parse_part(part: Any) -> str:
    if isinstance(part, dict) and "prefix" in part:
        return f"{part['prefix']['addr']}/{part['prefix']['len']}"
    if isinstance(part, dict) and "range" in part:
        return "-".join(map(str, part["range"]))
    return str(part) if isinstance(part, (str, int)) else json.dumps(part, sort_keys=True)
