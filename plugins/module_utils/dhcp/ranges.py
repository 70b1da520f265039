# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The addresses that DHCP hands out on one subnet, of either family: ranges and lease times. No input or output."""

from __future__ import annotations

import bisect
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from ..core import kinds
from ..core.fields import Documented, Kind, OptionTable, option, required
from ..core.options import Address, Interface, Options, repr_short

if TYPE_CHECKING:
    from .static_hosts import Host

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

# dnsmasq.8, --dhcp-range: seconds, or with m, h, d, w; at least two minutes; or infinite.
_TIME = re.compile(r"([0-9]{1,10})([smhdw]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SHORTEST_LEASE = 120
# RFC 2131 section 3.3: the largest number of four bytes is infinity. dnsmasq cuts larger ones.
INFINITY = 0xFFFFFFFF

DEFAULT_LEASE_TIME = "1h"
# For networks with an automatic subnet, which may change.
MOVING_LEASE_TIME = "10m"

ADDRESS: Kind[Address] = Kind(lambda options, name: options.address(name), write=str)


@dataclass(frozen=True)
class Range(OptionTable):
    """Addresses that DHCP hands out, first and last included."""

    start: Address = required(ADDRESS)
    end: Address = required(ADDRESS)
    lease_time: str = option(kinds.text(), DEFAULT_LEASE_TIME, documented=Documented.BY_OTHERS)


def lease_time(options: Options, name: str, default: str) -> str:
    """A lease time as dnsmasq writes it; raises InvalidOption."""
    if not options.given(name):
        options.raw(name, None)
        return default
    text = options.text(name).strip().lower()
    if text == "infinite":
        return text
    seconds = seconds_of(text)
    if seconds is None:
        options.error(name, f"{repr_short(text)} is not a lease time; write 45m, 12h, 7d, seconds, or infinite")
    if seconds < _SHORTEST_LEASE:
        options.error(name, f"{repr_short(text)} is shorter than two minutes, the least that dnsmasq gives")
    if seconds >= INFINITY:
        options.error(
            name, f"{repr_short(text)} is longer than {INFINITY - 1} seconds; use a shorter time, or infinite"
        )
    return text


def seconds_of(text: str) -> int | None:
    """The seconds of a time as dnsmasq writes it, None for any other text."""
    match = _TIME.fullmatch(text)
    return None if match is None else int(match[1]) * _SECONDS[match[2]]


def read_ranges(
    options: Options,
    name: str,
    address: Interface | None,
    lease: str = DEFAULT_LEASE_TIME,
    *,
    version: int = 4,
) -> list[Range]:
    """Ranges inside the subnet of ``address`` that do not overlap; raises InvalidOption.

    One may contain the host's own address, which dnsmasq never gives to a client (its src/dhcp.c, src/dhcp6.c).
    """
    ranges: list[Range] = []
    # Disjoint ranges, sorted: a new range that overlaps any of them overlaps a neighbour.
    ordered: list[tuple[int, int]] = []
    for item in options.each(name):
        start, end = item.address("start", version=version), item.address("end", version=version)
        ranges.append(Range(start, end, lease_time(item, "lease_time", lease)))
        item.reject_unknown()
        if int(end) < int(start):
            item.error("end", f"{end} comes before the start {start}; swap them")
        if address is None:
            item.error("start", f"a range needs a fixed ipv{version}.address; with auto, leave ranges out")
        for key, value in (("start", start), ("end", end)):
            refuse_outside(item, key, value, address)
        if start == end == address.ip:
            item.error("start", f"{start} is the host's own address, and the range has no other; add some")
        ends = (int(start), int(end))
        at = bisect.bisect_left(ordered, ends)
        for first, last in ordered[max(at - 1, 0) : at + 1]:
            if first <= ends[1] and ends[0] <= last:
                kind = type(start)
                item.error("start", f"{start} - {end} overlaps the range {kind(first)} - {kind(last)}")
        ordered.insert(at, ends)
    return ranges


def only_static_hosts(options: Options, hosts: Sequence[Host], *, fixed: bool, version: int = 4) -> bool:
    """Whether ``ranges`` is written as an empty list, so that nobody but static hosts gets an address.

    ``fixed``: the subnet is not chosen automatically. Raises InvalidOption for a list that cannot be served so.
    """
    if not options.given("ranges") or options.items("ranges"):
        return False
    if not fixed:
        options.error(
            "ranges",
            f"is empty, for static hosts alone, which needs a fixed ipv{version}.address; give one, or leave it out",
        )
    for i, host in enumerate(hosts):
        if host.ip is None:
            options.error(f"hosts[{i}].ip", "is required where there are no ranges to take an address from")
    return True


def refuse_outside(item: Options, key: str, value: Address, address: Interface) -> None:
    """Refuse an address that no guest of the subnet can have; raises InvalidOption."""
    network = address.network
    if value not in network:
        item.error(key, f"{value} is outside the subnet {network}; use an address of it")
    first, last = _usable(network)
    if not first <= int(value) <= last:
        what = "the network or broadcast address" if value.version == 4 else "the anycast address of all routers"
        item.error(key, f"{value} is {what} of {network}; use one between them")


def _usable(network: Network) -> tuple[int, int]:
    """First and last address for guests: with IPv6 the first belongs to all routers (RFC 4291 section 2.6.1)."""
    first, last = int(network.network_address), int(network.broadcast_address)
    if network.num_addresses <= 2:
        return first, last
    return first + 1, last - 1 if network.version == 4 else last


def default_ranges(address: Interface, lease: str = DEFAULT_LEASE_TIME) -> list[Range]:
    """All addresses of the subnet except the host's: one range, or one before and one after that address."""
    network = address.network
    if network.num_addresses <= 2:
        return []
    (first, last), own = _usable(network), int(address.ip)
    ends = [(first, own - 1), (own + 1, last)]
    kind = type(address.ip)
    return [Range(kind(start), kind(end), lease) for start, end in ends if start <= end]
