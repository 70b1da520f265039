# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Subnets: pools, and which subnet of them is free. What is taken is read in occupied.py."""

from __future__ import annotations

import hashlib
import ipaddress
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Union

from ..core.options import Options

Subnet = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

DEFAULT_LENGTH = 24

# Where a host starts in a pool. Hosts that are nested in one another start at different places, so that they do not
# meet even before the inner one has an uplink that would tell it what the outer one took.
DOWN = "down"  # bare metal: from the last but one (192.168.254.0/24)
UP = "up"  # a virtual machine: from the first (192.168.0.0/24)
MIDDLE = "middle"  # a container, whatever its host is: up from the middle (192.168.128.0/24)
ORDERS = (DOWN, UP, MIDDLE)


@dataclass(frozen=True)
class Occupied:
    """A subnet that is taken, by what, and on which interface.

    ``soft``: a route to somewhere else (the aggregate of a VPN, say), better avoided, but it may be overlapped.
    """

    network: Subnet
    what: str
    interface: str = ""
    soft: bool = False


@dataclass(frozen=True)
class Pool:
    """A range of addresses that is cut into subnets of one prefix length."""

    network: ipaddress.IPv4Network
    length: int = DEFAULT_LENGTH


DEFAULT_POOLS = (Pool(ipaddress.IPv4Network("192.168.0.0/16")),)


@dataclass(frozen=True)
class Share:
    """Which of a pool's subnets are for this host to choose from: every ``of``-th, from the ``position``-th on.

    So hosts that choose at the same moment, without knowing of each other, choose differently.
    """

    position: int = 0
    of: int = 1


def read_pools(options: Options, name: str) -> Sequence[Pool]:
    """Pools as CIDR strings, or mappings of ``subnet`` and ``prefix``; raises InvalidOption."""
    pools = []
    for i, item in enumerate(options.items(name)):
        path = f"{options.at(name)}[{i}]"
        one = Options(item if isinstance(item, dict) else {"subnet": item}, path)
        cidr = one.ipv4_cidr("subnet")
        length = one.integer("prefix", max(DEFAULT_LENGTH, cidr.network.prefixlen), least=8, most=30)
        one.reject_unknown()
        if length < cidr.network.prefixlen:
            one.error("prefix", f"{length} is larger than the pool {cidr.network} itself")
        pools.append(Pool(cidr.network, length))
    return tuple(pools) or DEFAULT_POOLS


def overlapping(network: Subnet, occupied: Iterable[Occupied], own: str = "") -> Occupied | None:
    """The first that overlaps in either direction, except what is on the interface ``own``."""
    for one in occupied:
        if one.network.overlaps(network) and (not own or one.interface != own):
            return one
    return None


class Free:
    """Finds free subnets; knows what is occupied as merged intervals, so that many can be chosen quickly."""

    def __init__(self, occupied: Iterable[Subnet], order: str = UP, share: Share = Share()) -> None:  # noqa: B008
        self._order = order
        self._share = share
        self._starts: list[int] = []
        self._ends: list[int] = []
        for first, last in sorted(_bounds(network) for network in occupied):
            if self._ends and first <= self._ends[-1] + 1:
                self._ends[-1] = max(self._ends[-1], last)
            else:
                self._starts.append(first)
                self._ends.append(last)

    def first(self, pools: Sequence[Pool]) -> ipaddress.IPv4Network | None:
        """The first free subnet of the first pool that has one, or None."""
        for pool in pools:
            low, high = _bounds(pool.network)
            size = 1 << (32 - pool.length)
            found = self._first(low, (high - low + 1) // size, size)
            if found is not None:
                return ipaddress.IPv4Network((found, pool.length))
        return None

    def first_of(self, prefix: ipaddress.IPv6Network) -> ipaddress.IPv6Network | None:
        """The first free /64 of a prefix, from its first on, or None."""
        low, high = _bounds(prefix)
        found = self._first(low, (high - low + 1) >> 64, 1 << 64)
        return None if found is None else ipaddress.IPv6Network((found, 64))

    def _first(self, base: int, count: int, size: int) -> int | None:
        for start, end, step in _passes(self._order, count):
            index = start
            while index != end:
                index = self._mine(index, step)
                if (end - index) * step <= 0:
                    break
                first = base + index * size
                blocker = self._blocker(first, first + size - 1)
                if blocker is None:
                    return first
                # On to the next one behind what is in the way.
                low, high = blocker
                index = (high - base) // size + 1 if step > 0 else (low - base) // size - 1
                if (end - index) * step <= 0:
                    break
        return None

    def _mine(self, index: int, step: int) -> int:
        """The next index that is of our share, this one included."""
        while index % self._share.of != self._share.position:
            index += step
        return index

    def _blocker(self, first: int, last: int) -> tuple[int, int] | None:
        at = bisect_right(self._starts, last) - 1
        if at < 0 or self._ends[at] < first:
            return None
        return self._starts[at], self._ends[at]


def _passes(order: str, count: int) -> Iterator[tuple[int, int, int]]:
    """In which ranges of subnets to look (start, end, step)."""
    if order == DOWN and count > 1:
        yield count - 2, -1, -1
        yield count - 1, count, 1
    elif order == MIDDLE:
        yield count // 2, count, 1
        yield 0, count // 2, 1
    else:
        yield 0, count, 1


def _bounds(network: Subnet) -> tuple[int, int]:
    return int(network.network_address), int(network.broadcast_address)


def host_prefix(identity: str) -> ipaddress.IPv6Network:
    """The host's ULA prefix (RFC 4193 section 3.2): fd00::/8, and 40 bits that no other host is likely to have.

    The bits are a hash of the machine's identity instead of the time of day (section 3.2.2 leaves the method open as
    long as it is pseudo-random), so that a host that is set up again gets the prefix that it had.
    """
    digest = hashlib.sha256(f"virtnet.linux ula {identity}".encode()).digest()
    return ipaddress.IPv6Network((int.from_bytes(b"\xfd" + digest[:5] + bytes(10), "big"), 48))
