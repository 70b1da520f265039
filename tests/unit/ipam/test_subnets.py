# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Free subnets."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.ipam.allocator import SubnetAllocator
from ansible_collections.virtnet.linux.plugins.module_utils.ipam.subnets import (
    DEFAULT_POOLS,
    DOWN,
    MIDDLE,
    ORDERS,
    UP,
    FreeSubnets,
    Pool,
    Share,
    SubnetInUse,
    host_prefix,
    read_pools,
)
from hypothesis import given
from hypothesis import strategies as st

SMALL = Pool(ipaddress.IPv4Network("192.168.0.0/20"))

subnets = st.builds(
    lambda address, length: ipaddress.IPv4Network((address, length), strict=False),
    st.integers(int(ipaddress.IPv4Address("192.167.250.0")), int(ipaddress.IPv4Address("192.168.20.0"))),
    st.integers(16, 32),
)


def candidates(order: str, share: Share) -> list[ipaddress.IPv4Network]:
    """The subnets of the small pool in the order in which a host tries them."""
    every = list(SMALL.network.subnets(new_prefix=24))
    middle = len(every) // 2
    ordered = {
        UP: every,
        DOWN: [*every[-2::-1], every[-1]],
        MIDDLE: [*every[middle:], *every[:middle]],
    }[order]
    return [subnet for subnet in ordered if every.index(subnet) % share.of == share.position]


shares = st.integers(1, 5).flatmap(lambda of: st.builds(Share, st.integers(0, of - 1), st.just(of)))


@given(st.lists(subnets), st.sampled_from(ORDERS), shares)
def test_choice_is_the_first_that_overlaps_nothing(
    in_use: list[ipaddress.IPv4Network], order: str, share: Share
) -> None:
    expected = next(
        (subnet for subnet in candidates(order, share) if not any(subnet.overlaps(used) for used in in_use)), None
    )
    assert FreeSubnets(in_use, order, share).first([SMALL]) == expected


@given(st.lists(subnets), st.sampled_from(ORDERS), st.integers(0, 40))
def test_networks_never_overlap_are_stable_and_exhaust_cleanly(
    in_use: list[ipaddress.IPv4Network], order: str, count: int
) -> None:
    foreign = [SubnetInUse(subnet, f"the route {subnet}") for subnet in in_use]
    chosen: list[ipaddress.IPv4Network] = []
    free = [subnet for subnet in candidates(order, Share()) if not any(subnet.overlaps(used) for used in in_use)]
    for _ in range(count):
        own = [SubnetInUse(subnet, "ours") for subnet in chosen]
        allocator = SubnetAllocator([*foreign, *own], pools=[SMALL], order=order)
        if len(chosen) == len(free):
            with pytest.raises(InvalidOption, match="no free subnet is left in 192.168.0.0/20"):
                allocator.allocate("")
            return
        address = allocator.allocate("")
        assert not any(address.network.overlaps(subnet) for subnet in [*in_use, *chosen])
        assert allocator.allocate(str(address)) == address
        chosen.append(address.network)
    assert chosen == free[:count]


@given(shares, st.sampled_from(ORDERS), st.lists(subnets), st.lists(subnets))
def test_hosts_with_different_shares_never_choose_the_same(
    share: Share, order: str, mine: list[ipaddress.IPv4Network], theirs: list[ipaddress.IPv4Network]
) -> None:
    other = Share((share.position + 1) % share.of, share.of)
    a, b = FreeSubnets(mine, order, share).first([SMALL]), FreeSubnets(theirs, order, other).first([SMALL])
    assert share.of == 1 or a is None or a != b


def test_nested_hosts_start_at_different_places() -> None:
    chosen = [str(FreeSubnets([], order).first(DEFAULT_POOLS)) for order in (DOWN, UP, MIDDLE)]
    assert chosen == ["192.168.254.0/24", "192.168.0.0/24", "192.168.128.0/24"]


def test_prefix_of_a_host_is_a_unique_local_one_and_stable() -> None:
    prefix = host_prefix("0123456789abcdef")
    assert prefix == host_prefix("0123456789abcdef") != host_prefix("1123456789abcdef")
    assert prefix.prefixlen == 48 and prefix.subnet_of(ipaddress.IPv6Network("fd00::/8"))
    first = FreeSubnets([]).first_of(prefix)
    assert first is not None and first.prefixlen == 64 and first.subnet_of(prefix)
    assert FreeSubnets([first]).first_of(prefix) == ipaddress.IPv6Network((int(first.network_address) + (1 << 64), 64))


def test_second_pool_serves_when_the_first_is_used_up() -> None:
    other = Pool(ipaddress.IPv4Network("10.1.0.0/16"), 20)
    assert FreeSubnets([SMALL.network]).first([SMALL, other]) == ipaddress.IPv4Network("10.1.0.0/20")


def test_pools_are_cidrs_or_mappings() -> None:
    pools = read_pools(Options({"pools": ["10.0.0.0/16", {"subnet": "10.9.0.0/16", "prefix": 28}]}))
    assert [(str(pool.network), pool.length) for pool in pools] == [("10.0.0.0/16", 24), ("10.9.0.0/16", 28)]


@pytest.mark.parametrize("pool", ["10.0.0.0", {"subnet": "10.0.0.0/16", "prefix": 12}, {"prefix": 24}, "fd00::/48"])
def test_what_is_no_pool_is_refused(pool: object) -> None:
    with pytest.raises(InvalidOption, match=r"pools\[0\]"):
        read_pools(Options({"pools": [pool]}))
