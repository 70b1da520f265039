# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks that meet somebody else's subnet while they run."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.network_history import NetworkHistory
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.lease_file import parse
from ansible_collections.virtnet.linux.plugins.module_utils.ipam.allocator import AllocationSettings
from ansible_collections.virtnet.linux.plugins.module_utils.ipam.subnets import Pool, SubnetInUse
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.links import Link
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import Network, read_network
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.leases import leases_of
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.restore import HostState
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.state import AddressSpace
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.subnet_conflicts import (
    conflicts,
    plan_moves,
)


def network(name: str, address: str, *, auto: bool = True) -> Network:
    return read_network(Options({"name": name, "ipv4": {"address": address, "auto": auto}}), "host")


def taken(subnet: str, *, avoid_only: bool = False, interface: str = "eth0") -> SubnetInUse:
    return SubnetInUse(ipaddress.IPv4Network(subnet), f"the route {subnet}", interface, avoid_only)


def moves(networks: list[Network], occupied: list[SubnetInUse], rejected: list[str] = [], **more: Any) -> Any:  # noqa: B006
    host = HostState(
        {one.name: one for one in networks},
        networks,
        {one.name: NetworkHistory(rejected_subnets=rejected) for one in networks},
        {},
    )
    conflicting = conflicts(networks, occupied, {one.bridge.name for one in networks}, {})
    planned, unresolved = plan_moves(
        conflicting, host, AddressSpace(occupied, settings=more.get("settings", AllocationSettings()))
    )
    return {move.new.name: str(move.new.ipv4.address) for move in planned}, unresolved


LAB = network("lab", "192.168.0.1/24")
DMZ = network("dmz", "192.168.1.1/24")
FIXED = network("fixed", "192.168.9.1/24", auto=False)


def test_an_overlap_is_a_conflict_in_both_directions_except_on_our_bridges() -> None:
    every = [LAB, DMZ, FIXED]
    occupied = [taken("192.168.0.128/25"), taken("192.168.1.0/24", interface="vn-dmz"), taken("192.168.8.0/21")]
    assert [one.network.name for one in conflicts(every, occupied, {"vn-dmz"}, {})] == ["lab", "fixed"]


def test_a_part_of_the_prefix_of_the_uplink_is_no_conflict() -> None:
    ipv6 = {"address": "2001:db8:1:2:f::1/80", "ra": False, "ndp_proxy": True}
    options = {"name": "dmz", "mode": "routed", "uplink": "eth0", "ipv4": {"address": "none"}, "ipv6": ipv6}
    dmz = read_network(Options(options), "host")
    links = {name: Link(name, i, addresses=["2001:db8:1:2::2/64"]) for i, name in enumerate(("eth0", "eth1"))}
    subnet = ipaddress.ip_network("2001:db8:1:2::/64")
    for interface, expected in (("eth0", []), ("eth1", [dmz])):
        found = conflicts([dmz], [SubnetInUse(subnet, "the route", interface)], set(), links)
        assert [one.network for one in found] == expected
    links["eth0"] = replace(links["eth0"], name="enp1s0", alternative_names=("eth0",))
    links["enp1s0"] = links.pop("eth0")
    assert conflicts([dmz], [SubnetInUse(subnet, "the route", "enp1s0")], set(), links) == []


def test_networks_with_the_same_conflict_move_to_different_subnets_with_their_ranges() -> None:
    moved, unresolved = moves([LAB, DMZ], [taken("192.168.0.0/23")])
    assert moved == {"lab": "192.168.2.1/24", "dmz": "192.168.3.1/24"} and unresolved == []
    new = LAB.with_address(ipaddress.IPv4Interface("192.168.2.1/24"))
    assert [(str(one.start), one.lease_time) for one in new.ipv4.ranges] == [("192.168.2.2", "10m")]


def test_a_network_with_a_fixed_address_stays_and_its_conflict_is_reported() -> None:
    moved, unresolved = moves([FIXED], [taken("192.168.9.0/24")])
    assert moved == {}
    assert unresolved == [
        "network 'fixed' (192.168.9.0/24) overlaps the route 192.168.9.0/24; "
        "it has a fixed address and stays: give it another, or auto"
    ]


def six(address: str, *, auto: bool = True) -> Network:
    options = {"name": "six", "ipv4": {"address": "192.168.7.1/24"}, "ipv6": {"address": address, "auto": auto}}
    return read_network(Options(options), "host")


@pytest.mark.parametrize(
    ("one", "occupied", "new_address", "reason"),
    [
        (six("fd12:1::1/64"), ["fd12:1::/64"], "fd12:1:0:1::1/64", ""),
        (six("fd12:1::1/64"), ["fd12:1::/64", "fd12:1:0:1::80/121"], "fd12:1:0:2::1/64", ""),
        (six("fd12:1::1/64"), ["fd12::/16"], "", "and so would every other /64 of the host's fd12:1::/48"),
        (
            six("fd12:1::1/64", auto=False),
            ["fd12:1::/64"],
            "",
            "(fd12:1::/64) overlaps the route fd12:1::/64; it has a",
        ),
    ],
)
def test_ipv6_moves_within_the_prefix_of_the_host(
    one: Network, occupied: list[str], new_address: str, reason: str
) -> None:
    in_use = [SubnetInUse(ipaddress.IPv6Network(cidr), f"the route {cidr}", "eth0") for cidr in occupied]
    host = HostState({"six": one}, [one], {}, {})
    conflicting = conflicts([one], in_use, set(), {})
    planned, unresolved = plan_moves(
        conflicting, host, AddressSpace(in_use, prefix=ipaddress.IPv6Network("fd12:1::/48"))
    )
    assert [str(move.new.ipv6.address) for move in planned] == ([new_address] if new_address else [])
    assert [str(move.new.ipv4.address) for move in planned] == (["192.168.7.1/24"] if new_address else [])
    assert reason in "".join(unresolved)


def test_a_network_with_conflicts_in_both_families_moves_with_both() -> None:
    options = {"name": "both", "ipv4": {"address": "192.168.0.1/24", "auto": True}}
    one = read_network(Options({**options, "ipv6": {"address": "fd12:1::1/64", "auto": True}}), "host")
    in_use = [
        taken("192.168.0.0/24"),
        SubnetInUse(ipaddress.IPv6Network("fd12:1::/64"), "the route fd12:1::/64", "eth0"),
    ]
    host = HostState({"both": one}, [one], {}, {})
    conflicting = conflicts([one], in_use, set(), {})
    planned, _unresolved = plan_moves(
        conflicting, host, AddressSpace(in_use, prefix=ipaddress.IPv6Network("fd12:1::/48"))
    )
    assert list(map(str, planned)) == [
        "network 'both' (192.168.0.0/24) overlaps the route 192.168.0.0/24, so it moves to 192.168.1.0/24",
        "network 'both' (fd12:1::/64) overlaps the route fd12:1::/64, so it moves to fd12:1:0:1::/64",
    ]
    assert list(map(str, planned[-1].new.subnets)) == ["192.168.1.0/24", "fd12:1:0:1::/64"]


def test_a_route_to_elsewhere_moves_a_network_only_if_that_helps() -> None:
    half = taken("192.168.0.0/17", avoid_only=True, interface="tun0")
    assert moves([LAB], [half])[0] == {"lab": "192.168.128.1/24"}
    whole = taken("192.168.0.0/16", avoid_only=True, interface="tun0")
    moved, unresolved = moves([LAB], [whole])
    assert moved == {} and "and so would every other subnet of its pools" in unresolved[0]


def test_a_network_without_a_free_subnet_stays_and_the_reason_is_reported() -> None:
    small = AllocationSettings((Pool(ipaddress.IPv4Network("192.168.0.0/24")),))
    moved, unresolved = moves([LAB], [taken("192.168.0.0/24")], settings=small)
    assert moved == {} and "there is nowhere to move: no free subnet is left in 192.168.0.0/24" in unresolved[0]


def test_a_network_does_not_move_back_to_a_rejected_subnet() -> None:
    assert moves([DMZ], [taken("192.168.1.0/24")], rejected=["192.168.0.0/24"])[0] == {"dmz": "192.168.2.1/24"}


def test_leases_are_those_of_our_subnets() -> None:
    text = (
        "1790000000 52:54:00:00:00:01 192.168.0.7 web 01:52:54:00:00:00:01\n"
        "0 06-52:54:00:00:00:02 192.168.1.7 * *\n"
        "1790000000 52:54:00:00:00:03 10.0.0.7 other *\n"
        "duid 00:01:00:01\n"
        "1790000000 123456 fd00::7 six 00:01\n"
    )
    leases = [(one.network, one.ip, one.mac, one.name, one.client_id) for one in leases_of([LAB, DMZ], parse(text))]
    assert leases == [
        ("lab", "192.168.0.7", "52:54:00:00:00:01", "web", "01:52:54:00:00:00:01"),
        ("dmz", "192.168.1.7", "52:54:00:00:00:02", "", ""),
    ]


def test_leases_of_both_families_have_the_values_that_virsh_shows() -> None:
    six = read_network(
        Options({"name": "six", "ipv4": {"address": "10.6.0.1/24"}, "ipv6": {"address": "fd00:6::1/64"}}), "x"
    )
    text = (
        "1000 06-52:54:00:00:00:01 10.6.0.9 * *\n0 52:54:00:00:00:02 10.6.0.10 web 01:52:54:00:00:00:02\n"
        "duid 00:01:00:01:32:94\n1100 T8653 fd00:6::9 web 00:03:00:01:52:54:00:00:00:02\n1100 9 fd00:7::9 * 00\ncut off"
    )
    values = [one.as_options(990.5) for one in leases_of([six], parse(text))]
    assert [(one["ip"], one["mac"], one["hostname"], one["remaining"]) for one in values] == [
        ("10.6.0.9", "52:54:00:00:00:01", None, 10),
        ("10.6.0.10", "52:54:00:00:00:02", "web", None),
        ("fd00:6::9", None, "web", 110),
    ]
    assert (values[1]["client_id"], values[1]["duid"]) == ("01:52:54:00:00:00:02", None)
    assert (values[2]["client_id"], values[2]["duid"]) == (None, "00:03:00:01:52:54:00:00:00:02")
