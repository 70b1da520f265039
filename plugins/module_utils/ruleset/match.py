# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an expression of nft matches a packet: yes, no, or it cannot be told. Pure.

The expressions are those of libnftables-json(5), as ``nft -j list ruleset`` prints them.
"""

from __future__ import annotations

import bisect
import ipaddress
import operator
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Union

from .packet import ETHER, FIELDS, ICMP, NOTHING, PROTOCOLS, UNKNOWN, Address, Match, Packet, Status

_ADDRESSES = (ipaddress.IPv4Address, ipaddress.IPv6Address)
Index = tuple[dict[Any, list[Any]], list[int], dict[int, list[Any]], list[Any]]

# Elements of sets and maps by name; None where they were not listed.
Sets = Mapping[str, Union[Sequence[Any], None]]

# An element that carries one of these is there for some packets only, by how many have been before (nft(8)).
_LIMITS = {"limit", "quota", "ct count"}

_OPERATIONS = {"&": operator.and_, "|": operator.or_, "^": operator.xor, "<<": operator.lshift, ">>": operator.rshift}


class Elements(list[Any]):
    """Elements of a set or map as nft lists them, found by what they begin with: sets of ours have some per network."""

    def near(self, wanted: Any, *, keyed: bool = False) -> Sequence[Any]:
        """Those that a value may be equal to, in any order; ``keyed``: of a map, with the key before the value."""
        first = wanted[0] if isinstance(wanted, tuple) else wanted
        if isinstance(first, bool) or not isinstance(first, (str, int, *_ADDRESSES)):
            return self
        exact, lows, intervals, others = self._keys if keyed else self._members
        found = [*others, *exact.get(_canonical(first), ())]
        number = _number(first)
        if number is not None and lows:
            # Intervals of one set do not overlap; those that are a part of a key may, and are among the others.
            low = lows[max(0, bisect.bisect_right(lows, number) - 1)]
            found += intervals[low]
        return found

    @cached_property
    def _keys(self) -> Index:
        return _index((one[0], one) for one in self)

    @cached_property
    def _members(self) -> Index:
        return _index((one, one) for one in self)


def _index(pairs: Iterable[tuple[Any, Any]]) -> Index:
    """By the first part of each key: elements with that very value; with an interval, by its low end; all others."""
    exact: dict[Any, list[Any]] = {}
    intervals: dict[int, list[Any]] = {}
    others: list[Any] = []
    for key, element in pairs:
        key = key["elem"].get("val") if isinstance(key, dict) and "elem" in key else key
        whole = not (isinstance(key, dict) and "concat" in key)
        first = key if whole else key["concat"][0]
        low = _low_end(first) if whole else None
        if isinstance(first, int) or (isinstance(first, str) and not first.endswith("*") and not first.isdecimal()):
            exact.setdefault(_canonical(_address(first) or first), []).append(element)
        elif low is not None:
            intervals.setdefault(low, []).append(element)
        else:
            others.append(element)
    return exact, sorted(intervals), intervals, others


def _low_end(part: Any) -> int | None:
    if isinstance(part, dict) and "prefix" in part:
        return _number(part["prefix"]["addr"])
    return _number(part["range"][0]) if isinstance(part, dict) and "range" in part else None


def _canonical(part: Any) -> Any:
    for names in (PROTOCOLS, ICMP, ETHER):
        part = names.get(part, part) if isinstance(part, str) else part
    return part


def value(expression: Any, packet: Packet, sets: Sets) -> Any:
    """What an expression is of this packet, or UNKNOWN, or NOTHING."""
    if not isinstance(expression, dict):
        return expression
    if len(expression) != 1:
        return UNKNOWN
    ((kind, data),) = expression.items()
    if kind == "concat":
        parts = tuple(value(part, packet, sets) for part in data)
        return NOTHING if NOTHING in parts else parts
    if kind in _OPERATIONS:
        return _computed(kind, [value(part, packet, sets) for part in data])
    if kind == "map":
        return _looked_up(data, packet, sets)
    read = FIELDS.get(kind)
    return UNKNOWN if read is None else read(data, packet)


def _computed(kind: str, parts: Sequence[Any]) -> Any:
    if NOTHING in parts:
        return NOTHING
    sets = [_flags(part) for part in parts]
    if all(one is not None for one in sets) and kind in ("&", "|"):
        whole = sets[0] or frozenset()
        for one in sets[1:]:
            whole = whole & (one or frozenset()) if kind == "&" else whole | (one or frozenset())
        return whole
    numbers = [_number(part) for part in parts]
    if any(number is None for number in numbers):
        return UNKNOWN
    whole_number = numbers[0] or 0
    for number in numbers[1:]:
        whole_number = _OPERATIONS[kind](whole_number, number or 0)
    if isinstance(parts[0], _ADDRESSES):
        return type(parts[0])(whole_number)
    return whole_number


def _flags(part: Any) -> frozenset[str] | None:
    if isinstance(part, frozenset):
        return part
    if isinstance(part, list) and all(isinstance(word, str) for word in part):
        return frozenset(part)
    return frozenset({part}) if isinstance(part, str) and part.isalpha() else None


def _number(part: Any) -> int | None:
    if isinstance(part, bool):
        return None
    if isinstance(part, int):
        return part
    if isinstance(part, _ADDRESSES):
        return int(part)
    if isinstance(part, str):
        address = _address(part)
        return None if address is None else int(address)
    return None


def _address(text: Any) -> Address | None:
    try:
        return ipaddress.ip_address(text) if isinstance(text, str) else None
    except ValueError:
        return None


def elements(data: Any, sets: Sets, wanted: Any, *, keyed: bool = False) -> Sequence[Any] | None:
    """What of a set or map, named or written in place, a value may be equal to; None where that is not known."""
    if isinstance(data, str) and data.startswith("@"):
        named = sets.get(data[1:])
        return named.near(wanted, keyed=keyed) if isinstance(named, Elements) else named
    if isinstance(data, dict) and "set" in data:
        found = data["set"]
        return found if isinstance(found, list) else [found]
    return None


def _looked_up(data: Mapping[str, Any], packet: Packet, sets: Sets) -> Any:
    key = value(data.get("key"), packet, sets)
    if key is NOTHING:
        return NOTHING
    found = elements(data.get("data"), sets, key, keyed=True)
    hits = [] if found is None else [(equal(key, one[0], sets), one[1]) for one in found]
    for matched, result in hits:
        if matched:
            return result
    return UNKNOWN if found is None or any(matched is None for matched, _result in hits) else NOTHING


def match(data: Mapping[str, Any], packet: Packet, sets: Sets) -> Match:
    """Whether a statement ``match`` lets a packet on in its rule."""
    left, op, right = value(data.get("left"), packet, sets), data.get("op", "=="), data.get("right")
    if left is NOTHING:
        return False
    if isinstance(right, dict) and set(right) & {"&", "|", "^", "meta", "ct"}:
        right = value(right, packet, sets)
        right = sorted(right) if isinstance(right, frozenset) else right
    if left is UNKNOWN or right is UNKNOWN:
        return None
    if op in ("in", "!"):
        return _has_bits(left, op, right)
    if op in ("<", ">", "<=", ">="):
        return _compared(left, op, right)
    found = equal(left, right, sets)
    return found if op == "==" or found is None else not found


def _has_bits(left: Any, op: str, right: Any) -> Match:
    names = [right] if isinstance(right, str) else right if isinstance(right, list) else None
    if names is None:
        return None
    if isinstance(left, Status):
        found = left.has(names)
    elif isinstance(left, frozenset):
        found = bool(left & set(names))
    else:
        return None
    return found if op == "in" or found is None else not found


def _compared(left: Any, op: str, right: Any) -> Match:
    one, other = _number(left), _number(right)
    if one is None or other is None:
        return None
    return {"<": one < other, ">": one > other, "<=": one <= other, ">=": one >= other}[op]


def any_of(answers: Iterable[Match]) -> Match:
    """Whether one of these matches."""
    doubtful = False
    for answer in answers:
        if answer:
            return True
        doubtful = doubtful or answer is None
    return None if doubtful else False


def equal(left: Any, right: Any, sets: Sets) -> Match:
    """Whether a value is this element, or one of this set."""
    if left is UNKNOWN or isinstance(left, Status):
        return None
    if isinstance(right, str) and right.startswith("@") or isinstance(right, dict) and "set" in right:
        found = elements(right, sets, left)
        return None if found is None else any_of(equal(left, one, sets) for one in found)
    if isinstance(right, dict):
        return _equal_to_mapping(left, right, sets)
    if isinstance(left, tuple):
        return None
    if isinstance(left, bool) or isinstance(right, bool):
        return None if isinstance(right, str) else bool(left) == bool(right)
    if isinstance(left, frozenset):
        if right == 0:
            return not left
        flags = _flags(right)
        return None if flags is None else left == flags
    if isinstance(left, _ADDRESSES):
        return _equal_address(left, right)
    if isinstance(left, int):
        return left == int(right) if str(right).isdecimal() else None
    return _equal_word(str(left), str(right))


def _equal_to_mapping(left: Any, right: Mapping[str, Any], sets: Sets) -> Match:
    if "elem" in right:
        return _equal_to_element(left, right["elem"], sets)
    if "concat" in right:
        if not isinstance(left, tuple) or len(left) != len(right["concat"]):
            return None
        answers = [equal(one, other, sets) for one, other in zip(left, right["concat"])]
        return False if False in answers else None if None in answers else True
    if "prefix" in right:
        network = ipaddress.ip_network(f"{right['prefix']['addr']}/{right['prefix']['len']}", strict=False)
        return left in network if isinstance(left, _ADDRESSES) else None
    if "range" in right:
        low, high = (_number(bound) for bound in right["range"])
        own = _number(left)
        return None if low is None or high is None or own is None else low <= own <= high
    return None


def _equal_to_element(left: Any, element: Mapping[str, Any], sets: Sets) -> Match:
    """What is over a limit is what comes beside many others: the packet that is asked about is not."""
    found = equal(left, element.get("val"), sets)
    limits = [element[name] for name in sorted(_LIMITS & element.keys())]
    if not found or not limits:
        return found
    return False if all(isinstance(one, Mapping) and one.get("inv") for one in limits) else None


def _equal_address(left: Address, right: Any) -> Match:
    if right == "*":
        return True
    other = _address(right)
    return None if other is None else left == other


def _equal_word(left: str, right: str) -> Match:
    if right == left or right == "*":
        return True
    if right.endswith("*"):
        return (
            left.startswith(right[:-2]) and left.endswith("*") if right.endswith("\\*") else left.startswith(right[:-1])
        )
    for names in (PROTOCOLS, ICMP, ETHER):
        if right in names and left in names.values():
            return names[right] == left
    return False
