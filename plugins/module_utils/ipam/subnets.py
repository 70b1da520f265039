# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pools of subnets, and the search for a free subnet in them. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Union

from ..core import kinds
from ..core.fields import option, read_all, required
from ..core.options import Options

Subnet = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

DEFAULT_LENGTH = 24

# Where a host starts in a pool. A host and the virtual machines and containers on it start at different places. So they
# do not choose the same subnet, even before the inner host has an uplink by which it sees the subnets of the outer one.
DOWN = "down"  # bare metal: from the last but one (192.168.254.0/24)
UP = "up"  # a virtual machine: from the first (192.168.0.0/24)
MIDDLE = "middle"  # a container, whatever its host is: up from the middle (192.168.128.0/24)
ORDERS = (DOWN, UP, MIDDLE)


@dataclass(frozen=True)
class SubnetInUse:
    """A subnet that is in use: by what, and on which interface.

    ``avoid_only``: a route to another network (for example all subnets of a VPN). It may be overlapped if no other
    subnet is free.
    """

    network: Subnet
    used_by: str
    interface: str = ""
    avoid_only: bool = False


@dataclass(frozen=True)
class Pool:
    """A range of addresses that is divided into subnets of one prefix length."""

    network: ipaddress.IPv4Network
    length: int = DEFAULT_LENGTH


@dataclass(frozen=True)
class PoolOptions:
    """A pool as the user writes it; without ``prefix``, its subnets have DEFAULT_LENGTH, or its own length."""

    subnet: ipaddress.IPv4Interface = required(kinds.ipv4_cidr)
    prefix: int | None = option(kinds.integer(8, 30), None)


DEFAULT_POOLS = (Pool(ipaddress.IPv4Network("192.168.0.0/16")),)


@dataclass(frozen=True)
class Share:
    """The subnets of a pool that this host chooses from: every ``of``-th, from the ``position``-th on.

    So hosts that choose at the same time choose different subnets, although they do not know of each other.
    """

    position: int = 0
    of: int = 1


def read_pools(options: Options) -> Sequence[Pool]:
    """Read the option ``pools``: CIDR strings, or mappings of ``subnet`` and ``prefix``; raises InvalidOption."""
    pools = []
    for i, item in enumerate(options.items("pools")):
        pool = Options(item if isinstance(item, dict) else {"subnet": item}, f"{options.at('pools')}[{i}]")
        given = read_all(PoolOptions, pool)
        network = given.subnet.network
        length = max(DEFAULT_LENGTH, network.prefixlen) if given.prefix is None else given.prefix
        if length < network.prefixlen:
            pool.error("prefix", f"a /{length} is larger than the pool {network}")
        pools.append(Pool(network, length))
    return tuple(pools) or DEFAULT_POOLS


def first_overlapping(network: Subnet, in_use: Iterable[SubnetInUse], own: str = "") -> SubnetInUse | None:
    """The first subnet that overlaps this one; those on the interface ``own`` do not count."""
    for subnet in in_use:
        if subnet.network.overlaps(network) and (not own or subnet.interface != own):
            return subnet
    return None


class FreeSubnets:
    """Finds free subnets. It keeps the subnets in use as merged intervals, so that it can find many quickly."""

    def __init__(self, in_use: Iterable[Subnet], order: str = UP, share: Share = Share()) -> None:  # noqa: B008
        self._order = order
        self._share = share
        self._starts: list[int] = []
        self._ends: list[int] = []
        for first, last in sorted(_bounds(network) for network in in_use):
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
            address = self._first(low, (high - low + 1) // size, size)
            if address is not None:
                return ipaddress.IPv4Network((address, pool.length))
        return None

    def first_of(self, prefix: ipaddress.IPv6Network) -> ipaddress.IPv6Network | None:
        """The first free /64 of a prefix, or None."""
        low, high = _bounds(prefix)
        address = self._first(low, (high - low + 1) >> 64, 1 << 64)
        return None if address is None else ipaddress.IPv6Network((address, 64))

    def _first(self, base: int, count: int, size: int) -> int | None:
        """The address of the first free subnet among ``count`` subnets of this size from ``base`` on."""
        for start, end, step in _passes(self._order, count):
            index = start
            while (end - index) * step > 0:
                if index % self._share.of != self._share.position:
                    index += step
                    continue
                first = base + index * size
                blocker = self._blocker(first, first + size - 1)
                if blocker is None:
                    return first
                # Continue after the interval that blocks this subnet.
                low, high = blocker
                index = (high - base) // size + 1 if step > 0 else (low - base) // size - 1
        return None

    def _blocker(self, first: int, last: int) -> tuple[int, int] | None:
        """The interval in use that overlaps these addresses."""
        at = bisect_right(self._starts, last) - 1
        if at < 0 or self._ends[at] < first:
            return None
        return self._starts[at], self._ends[at]


def _passes(order: str, count: int) -> Iterator[tuple[int, int, int]]:
    """The ranges of subnets to search (start, end, step), in order."""
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
    """The host's ULA prefix (RFC 4193 section 3.2): fd00::/8, and 40 bits that hardly any other host has.

    The bits are a hash of the machine's identity, not of the time of day (section 3.2.2 allows any pseudo-random
    method). So a host that is installed again gets the same prefix.
    """
    digest = hashlib.sha256(f"virtnet.linux ula {identity}".encode()).digest()
    return ipaddress.IPv6Network((int.from_bytes(b"\xfd" + digest[:5] + bytes(10), "big"), 48))
