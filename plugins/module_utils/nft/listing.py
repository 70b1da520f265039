# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parses nft's listing of the table ``inet virtnet`` (libnftables-json(5))."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.protocols import PROTOCOLS
from .chains import sets_mark
from .policy_sets import policy_set
from .sets import KEY_TYPES, OWNED, Elements

_PROTOCOLS = {str(number): name for number, name in PROTOCOLS.items()}
# Which part of an element is the protocol.
_PROTOCOL_PART = {name: types.index("inet_proto") for name, types in KEY_TYPES.items() if "inet_proto" in types}


@dataclass(frozen=True)
class Table:
    """The loaded table: the comments of the rules by chain, a digest of all chains, and the elements.

    ``hits``: packets and bytes that elements of policies have counted.
    """

    comments: Mapping[str, Sequence[str]] = field(default_factory=dict)
    digest: str = ""
    elements: Elements = field(default_factory=dict)
    hits: Mapping[str, Mapping[tuple[str, ...], tuple[int, int]]] = field(default_factory=dict)

    @property
    def marks(self) -> bool:
        """Whether connections get the mark for other firewalls."""
        return any(sets_mark(comment) for rules in self.comments.values() for comment in rules)


def parse(text: str) -> Table:
    """The output of ``nft -j list table inet virtnet``; raises ValueError for any other text."""
    comments: dict[str, list[str]] = {}
    elements: dict[str, dict[tuple[str, ...], str]] = {}
    hits: dict[str, dict[tuple[str, ...], tuple[int, int]]] = {}
    expressions: list[Any] = []
    for item in json.loads(text)["nftables"]:
        if "chain" in item:
            chain = item["chain"]
            comments.setdefault(chain["name"], [])
            expressions.append({key: chain.get(key) for key in ("name", "type", "hook", "prio", "policy")})
        elif "rule" in item:
            rule = item["rule"]
            comments.setdefault(rule["chain"], []).append(rule.get("comment", ""))
            expressions.append([rule["chain"], [_without_count(statement) for statement in rule["expr"]]])
        elif "set" in item or "map" in item:
            listed = item.get("set") or item["map"]
            name = listed["name"]
            pairs = [(_parse_element(name, element), _hits(element)) for element in listed.get("elem", ())]
            elements[name] = dict(pair for pair, _counted in pairs)
            if policy_set(name):
                hits[name] = {key: counted for (key, _value), counted in pairs}
    digest = hashlib.sha256(json.dumps(expressions, sort_keys=True).encode()).hexdigest()
    return Table(comments, digest, elements, hits)


def _without_count(statement: Any) -> Any:
    """A statement without what its counter has counted."""
    return {"counter": None} if isinstance(statement, Mapping) and "counter" in statement else statement


def _hits(element: Any) -> tuple[int, int]:
    counter = element["elem"].get("counter") if isinstance(element, dict) and "elem" in element else None
    return (counter["packets"], counter["bytes"]) if counter else (0, 0)


def _parse_element(name: str, element: Any) -> tuple[tuple[str, ...], str]:
    """The key and the value of an element of this set or map; in some sets the comment is the first part of the key."""
    value, comment = "", ""
    if isinstance(element, list):
        element, data = element
        value = _parse_value(data)
    if isinstance(element, dict) and "elem" in element:
        comment = element["elem"].get("comment", "")
        if "limit" in element["elem"]:
            value = _parse_limit(element["elem"]["limit"])
        element = element["elem"]["val"]
    of_policy = policy_set(name)
    if of_policy:
        try:
            return of_policy.listed(_parse_parts(element)), ""
        except ValueError:
            return (of_policy.bridge, *_parse_parts(element)), ""
    key = tuple(
        _PROTOCOLS.get(part, part) if i == _PROTOCOL_PART.get(name) else part
        for i, part in enumerate(_parse_parts(element))
    )
    return ((comment, *key), value) if name in OWNED else (key, value or comment)


def _parse_limit(limit: Mapping[str, Any]) -> str:
    """A limit in the syntax of nft: scripts are written in it, since nft does not accept its own JSON of a limit."""
    over = "over " if limit.get("inv") else ""
    return f"limit rate {over}{limit['rate']}/{limit.get('per')} burst {limit.get('burst')} packets"


def _parse_parts(value: Any) -> tuple[str, ...]:
    return tuple(map(_parse_part, value["concat"] if isinstance(value, dict) and "concat" in value else [value]))


def _parse_value(data: Any) -> str:
    if isinstance(data, dict) and "concat" not in data and "range" not in data:
        ((verdict, target),) = data.items()
        return f"{verdict} {target['target']}" if isinstance(target, dict) else str(verdict)
    return " . ".join(_parse_parts(data))


def _parse_part(part: Any) -> str:
    if isinstance(part, dict) and "prefix" in part:
        return f"{part['prefix']['addr']}/{part['prefix']['len']}"
    if isinstance(part, dict) and "range" in part:
        return "-".join(map(str, part["range"]))
    return str(part) if isinstance(part, (str, int)) else json.dumps(part, sort_keys=True)
