# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an nft expression matches a packet: yes, no or unknown. Pure.

The expressions are those of libnftables-json(5), as ``nft -j list ruleset`` prints them.
"""

from __future__ import annotations

import functools
import ipaddress
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .packet import ABSENT, FIELDS, SPELLINGS, UNKNOWN, Packet, Status, Tristate
from .sets import ADDRESSES, Sets, address_of, candidates, integer_of

# An element with one of these matches some packets only: how many depends on earlier packets (nft(8)).
_LIMITS = {"limit", "quota", "ct count"}

_OPERATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "<<": operator.lshift,
    ">>": operator.rshift,
}


def value(expression: Any, packet: Packet, sets: Sets) -> Any:
    """The value of an expression for this packet, or UNKNOWN, or ABSENT."""
    if not isinstance(expression, dict):
        return expression
    if len(expression) != 1:
        return UNKNOWN
    ((kind, data),) = expression.items()
    if kind == "concat":
        parts = tuple(value(part, packet, sets) for part in data)
        return ABSENT if ABSENT in parts else parts
    if kind in _OPERATIONS:
        return _bitwise(kind, [value(part, packet, sets) for part in data])
    if kind == "map":
        return _map_lookup(data, packet, sets)
    read_field = FIELDS.get(kind)
    return UNKNOWN if read_field is None else read_field(data, packet)


def _bitwise(kind: str, operands: Sequence[Any]) -> Any:
    if ABSENT in operands:
        return ABSENT
    flags = [_flags(operand) for operand in operands]
    if kind in ("&", "|") and None not in flags:
        return functools.reduce(_OPERATIONS[kind], flags)
    numbers = [integer_of(operand) for operand in operands]
    if None in numbers:
        return UNKNOWN
    result = functools.reduce(_OPERATIONS[kind], numbers)
    return type(operands[0])(result) if isinstance(operands[0], ADDRESSES) else result


def _flags(operand: Any) -> frozenset[str] | None:
    """An operand as names of flags, or None if it is something else."""
    if isinstance(operand, frozenset):
        return operand
    if isinstance(operand, list) and all(isinstance(name, str) for name in operand):
        return frozenset(operand)
    return frozenset({operand}) if isinstance(operand, str) and operand.isalpha() else None


def _map_lookup(data: Mapping[str, Any], packet: Packet, sets: Sets) -> Any:
    key = value(data.get("key"), packet, sets)
    if key is ABSENT:
        return ABSENT
    elements = candidates(data.get("data"), sets, key, is_map=True)
    if elements is None:
        return UNKNOWN
    answers = [(equal(key, element_key, sets), result) for element_key, result in elements]
    for matched, result in answers:
        if matched:
            return result
    return UNKNOWN if any(matched is None for matched, _result in answers) else ABSENT


def match(data: Mapping[str, Any], packet: Packet, sets: Sets) -> Tristate:
    """Whether a packet satisfies a ``match`` statement."""
    left, op, right = value(data.get("left"), packet, sets), data.get("op", "=="), data.get("right")
    if left is ABSENT:
        return False
    if isinstance(right, dict) and set(right) & {"&", "|", "^", "meta", "ct"}:
        right = value(right, packet, sets)
        right = sorted(right) if isinstance(right, frozenset) else right
    if left is UNKNOWN or right is UNKNOWN:
        return None
    if op in ("in", "!"):
        return _match_flags(left, op, right)
    if op in ("<", ">", "<=", ">="):
        return _compare(left, op, right)
    answer = equal(left, right, sets)
    return answer if op == "==" else _negate(answer)


def _negate(answer: Tristate) -> Tristate:
    return None if answer is None else not answer


def _match_flags(left: Any, op: str, right: Any) -> Tristate:
    """``in``: whether one of the flags is set; ``!``: whether none is."""
    flags = [right] if isinstance(right, str) else right if isinstance(right, list) else None
    if flags is None:
        return None
    if isinstance(left, Status):
        answer = left.has_any(flags)
    elif isinstance(left, frozenset):
        answer = bool(left & set(flags))
    else:
        return None
    return answer if op == "in" else _negate(answer)


def _compare(left: Any, op: str, right: Any) -> Tristate:
    low, high = integer_of(left), integer_of(right)
    if low is None or high is None:
        return None
    return {"<": low < high, ">": low > high, "<=": low <= high, ">=": low >= high}[op]


def any_of(answers: Iterable[Tristate]) -> Tristate:
    """Whether one of these is true; unknown if none is true and one is unknown."""
    unknown = False
    for answer in answers:
        if answer:
            return True
        unknown = unknown or answer is None
    return None if unknown else False


def equal(left: Any, right: Any, sets: Sets) -> Tristate:
    """Whether a value equals this element, or an element of this set."""
    if left is UNKNOWN or isinstance(left, Status):
        return None
    if isinstance(right, str) and right.startswith("@") or isinstance(right, dict) and "set" in right:
        elements = candidates(right, sets, left)
        return None if elements is None else any_of(equal(left, element, sets) for element in elements)
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
    if isinstance(left, ADDRESSES):
        address = address_of(right)
        return right == "*" or (None if address is None else left == address)
    if isinstance(left, int):
        return left == int(right) if str(right).isdecimal() else None
    return _equal_word(str(left), str(right))


def _equal_to_mapping(left: Any, right: Mapping[str, Any], sets: Sets) -> Tristate:
    if "elem" in right:
        return _equal_to_element(left, right["elem"], sets)
    if "concat" in right:
        if not isinstance(left, tuple) or len(left) != len(right["concat"]):
            return None
        answers = [equal(left_part, right_part, sets) for left_part, right_part in zip(left, right["concat"])]
        return False if False in answers else None if None in answers else True
    if "prefix" in right:
        network = ipaddress.ip_network(f"{right['prefix']['addr']}/{right['prefix']['len']}", strict=False)
        return left in network if isinstance(left, ADDRESSES) else None
    if "range" in right:
        low, high = (integer_of(bound) for bound in right["range"])
        number = integer_of(left)
        return None if low is None or high is None or number is None else low <= number <= high
    return None


def _equal_to_element(left: Any, element: Mapping[str, Any], sets: Sets) -> Tristate:
    """An element with a limit. The packet is taken to be a single one: it is never over a limit (``inv``)."""
    answer = equal(left, element.get("val"), sets)
    limits = [element[name] for name in sorted(_LIMITS & element.keys())]
    if not answer or not limits:
        return answer
    return False if all(isinstance(limit, Mapping) and limit.get("inv") for limit in limits) else None


def _equal_word(left: str, right: str) -> Tristate:
    if right == left or right == "*":
        return True
    if right.endswith("\\*"):
        return left.startswith(right[:-2]) and left.endswith("*")
    if right.endswith("*"):
        return left.startswith(right[:-1])
    return SPELLINGS.get(right) == left
