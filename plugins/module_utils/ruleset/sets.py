# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Elements of nft sets and maps, indexed: the sets of our own table have an element per network. Pure."""

from __future__ import annotations

import bisect
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Union

from ..core.options import Address
from .packet import SPELLINGS

ADDRESSES = (ipaddress.IPv4Address, ipaddress.IPv6Address)

# Elements of sets and maps by name; None: the elements were not listed.
Sets = Mapping[str, Union[Sequence[Any], None]]


class _Index(NamedTuple):
    """Elements by the first part of their key: a single value, an interval by its low end, or anything else."""

    exact: dict[Any, list[Any]]
    intervals: dict[int, list[Any]]
    low_ends: list[int]
    others: list[Any]


class Elements(list[Any]):
    """Elements of a set or map as nft lists them."""

    def candidates(self, value: Any, *, is_map: bool = False) -> Sequence[Any]:
        """A superset of the elements whose key a value equals, in any order; of a map as pairs of key and value."""
        first = value[0] if isinstance(value, tuple) else value
        if isinstance(first, bool) or not isinstance(first, (str, int, *ADDRESSES)):
            return self
        index = self._map_index if is_map else self._set_index
        matching = [*index.others, *index.exact.get(SPELLINGS.get(first, first), ())]
        number = integer_of(first)
        if number is not None and index.low_ends:
            # Intervals of one set do not overlap. Intervals as a part of a key may: they are among the others.
            low_end = index.low_ends[max(0, bisect.bisect_right(index.low_ends, number) - 1)]
            matching += index.intervals[low_end]
        return matching

    @cached_property
    def _map_index(self) -> _Index:
        return _index((element[0], element) for element in self)

    @cached_property
    def _set_index(self) -> _Index:
        return _index((element, element) for element in self)


def _index(elements_by_key: Iterable[tuple[Any, Any]]) -> _Index:
    exact: dict[Any, list[Any]] = {}
    intervals: dict[int, list[Any]] = {}
    others: list[Any] = []
    for key, element in elements_by_key:
        key = key["elem"].get("val") if isinstance(key, dict) and "elem" in key else key
        is_concatenation = isinstance(key, dict) and "concat" in key
        first = key["concat"][0] if is_concatenation else key
        low_end = None if is_concatenation else _low_end(first)
        if isinstance(first, int) or (isinstance(first, str) and not first.endswith("*") and not first.isdecimal()):
            value = address_of(first) or first
            exact.setdefault(SPELLINGS.get(value, value), []).append(element)
        elif low_end is not None:
            intervals.setdefault(low_end, []).append(element)
        else:
            others.append(element)
    return _Index(exact, intervals, sorted(intervals), others)


def _low_end(part: Any) -> int | None:
    if isinstance(part, dict) and "prefix" in part:
        return integer_of(part["prefix"]["addr"])
    return integer_of(part["range"][0]) if isinstance(part, dict) and "range" in part else None


def candidates(data: Any, sets: Sets, value: Any, *, is_map: bool = False) -> Sequence[Any] | None:
    """The elements of a named or anonymous set or map that a value may equal; None: the elements are unknown."""
    if isinstance(data, str) and data.startswith("@"):
        named = sets.get(data[1:])
        return named.candidates(value, is_map=is_map) if isinstance(named, Elements) else named
    if isinstance(data, dict) and "set" in data:
        elements = data["set"]
        return elements if isinstance(elements, list) else [elements]
    return None


def integer_of(part: Any) -> int | None:
    """A number, or an address as a number; None for anything else."""
    number = address_of(part) if isinstance(part, str) else part
    return int(number) if isinstance(number, (int, *ADDRESSES)) and not isinstance(number, bool) else None


def address_of(text: Any) -> Address | None:
    """Text as an address; None for anything else."""
    try:
        return ipaddress.ip_address(text) if isinstance(text, str) else None
    except ValueError:
        return None
