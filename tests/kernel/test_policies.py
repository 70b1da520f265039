# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies of networks, tested with real packets."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.frames import in_namespace
from kernel.nft_testbed import address_of, network, plug, serving_testbed, subnet_of
from kernel.testbed import OUTSIDE, UPLINK, NamespaceTestbed, script

A, B = "192.168.30", "192.168.31"
FAMILIES = [(A, B), ("fd00:a", "fd00:b")]
# 100 changes with 11, as VIRTNET_EVERY_CASE has them.
CHANGES_OF_ALL = 11 if os.environ.get("VIRTNET_EVERY_CASE") else 2
WEB = {"protocol": "tcp", "port": 8000}


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[NamespaceTestbed]:
    yield from serving_testbed(tmp_path)


def policed(subnet: str, mode: str = "nat", **policy: Any) -> dict[str, Any]:
    return network("a", subnet, mode, policy=policy)


def chains_of(testbed: NamespaceTestbed) -> str:
    """The handles of the chains: a table that is replaced has other ones."""
    return testbed.host.run("nft", "-a", "-t", "list", "table", "inet", "virtnet")


@pytest.mark.parametrize("target", ["nat", "isolated", "routed"])
@pytest.mark.parametrize(("a", "b"), FAMILIES)
def test_an_entry_opens_one_port_of_a_network_and_nothing_else(
    testbed: NamespaceTestbed, a: str, b: str, target: str
) -> None:
    desired = [policed(a, allow=[{"network": "b", **WEB}]), network("b", b, target)]
    assert testbed.task("nft", desired)["changes"]
    guest, other = plug(testbed, "a", a), plug(testbed, "b", b)
    if target == "isolated":
        # Its guests need no route.
        other.run("ip", "route", "flush", "default")
    seen = address_of(b, 1) if target == "isolated" else address_of(a, 2)
    assert guest.ask(address_of(b, 2)) == seen
    assert guest.ask(address_of(b, 2), protocol="udp") == ""
    assert guest.ask(address_of(b, 2), 8001) == ""
    # The other network gets no way back.
    assert other.ask(address_of(a, 2)) == ""
    if ":" not in a:
        assert guest.ask(OUTSIDE) == UPLINK
    assert testbed.task("nft", desired)["changes"] == []


@pytest.mark.parametrize(("a", "b"), FAMILIES)
def test_a_source_that_is_not_the_networks_own_passes_no_entry(testbed: NamespaceTestbed, a: str, b: str) -> None:
    testbed.task("nft", [policed(a, allow=[{"network": "b"}]), network("b", b)])
    guest = plug(testbed, "a", a)
    plug(testbed, "b", b)
    assert guest.ask(address_of(b, 2)) == address_of(a, 2)
    forged = "203.0.113.77/32" if "." in a else "2001:db8::77/128"
    guest.run("ip", "address", "add", forged, "dev", "eth0", *(["nodad"] if ":" in forged else []))
    assert guest.ask(address_of(b, 2), source=forged.partition("/")[0]) == ""


def test_one_guest_may_not_reach_a_subnet_that_others_reach(testbed: NamespaceTestbed) -> None:
    testbed.task("nft", [policed(A, deny=[{"from": f"{A}.2", "to": "203.0.113.0/24"}])])
    refused, other = plug(testbed, "a", A), plug(testbed, "a", A, 3)
    assert refused.ask(OUTSIDE) == ""
    assert other.ask(OUTSIDE) == UPLINK
    # Its own network and the host stay.
    assert refused.ask(f"{A}.3") == f"{A}.2"
    assert refused.pings(f"{A}.1")


def test_by_default_only_what_is_allowed_passes_and_denied_entries_come_first(testbed: NamespaceTestbed) -> None:
    policy = {
        "default": "deny",
        "allow": [{"to": "203.0.113.0/24", "protocol": "tcp", "port": "7000-9000"}, {"protocol": "icmp"}],
        "deny": [{"to": OUTSIDE, "protocol": "tcp", "port": 8001}],
    }
    testbed.task("nft", [policed(A, **policy)])
    guest = plug(testbed, "a", A)
    testbed.outside.serve(8010)
    assert guest.ask(OUTSIDE) == UPLINK
    assert guest.ask(OUTSIDE, 8010) == UPLINK
    assert guest.ask(OUTSIDE, protocol="udp") == ""
    assert guest.pings(OUTSIDE)
    with in_namespace(guest), socket.socket() as client, pytest.raises(OSError, match="No route|unreachable|refused"):
        client.settimeout(5)
        client.connect((OUTSIDE, 8001))


@pytest.mark.parametrize("a", [A, "fd00:a"])
def test_a_host_open_to_services_alone_has_no_other_port_for_guests(testbed: NamespaceTestbed, a: str) -> None:
    testbed.host.serve()
    testbed.host.serve(53)
    guest = plug(testbed, "a", a)
    testbed.task("nft", [policed(a, to_host="services")])
    assert guest.ask(address_of(a, 1)) == ""
    if "." in a:
        assert guest.ask(UPLINK) == ""
        assert guest.ask(OUTSIDE) == UPLINK
    assert guest.ask(address_of(a, 1), 53, "udp") == address_of(a, 2)
    guest.run("ip", "neighbour", "flush", "all")
    assert guest.pings(address_of(a, 1))
    testbed.task("nft", [policed(a, to_host=["dns", {"protocol": "tcp", "port": 8000}])])
    assert guest.ask(address_of(a, 1)) == address_of(a, 2)
    assert guest.ask(address_of(a, 1), protocol="udp") == ""


def test_a_change_ends_the_flows_that_it_refuses_and_no_other(testbed: NamespaceTestbed) -> None:
    web, ssh = ({"network": "b", "protocol": "tcp", "port": port} for port in (8000, 8001))
    entries = [web, {"to": OUTSIDE, "protocol": "tcp"}]
    testbed.task("nft", [policed(A, default="deny", allow=[*entries, ssh]), network("b", B)])
    guest = plug(testbed, "a", A)
    plug(testbed, "b", B)
    with in_namespace(guest):
        kept = socket.create_connection((f"{B}.2", 8001), 5)
        away = socket.create_connection((f"{B}.2", 8001), 5)
        outside = socket.create_connection((OUTSIDE, 8001), 5)
    before = chains_of(testbed)
    more = {"network": "b", "protocol": "tcp", "port": 8002}
    with kept, away, outside:
        for client in (kept, away, outside):
            client.sendall(b"?")
        testbed.task("nft", [policed(A, default="deny", allow=[*entries, ssh, more]), network("b", B)])
        # Elements alone change.
        assert chains_of(testbed) == before
        listed = testbed.host.run("cat", "/proc/net/nf_conntrack", check=False) or _connections(testbed)
        assert listed.count("dport=8001") == 3
        testbed.task("nft", [policed(A, default="deny", allow=[*entries, more]), network("b", B)])
        assert chains_of(testbed) == before
        listed = testbed.host.run("cat", "/proc/net/nf_conntrack", check=False) or _connections(testbed)
        assert f"dst={OUTSIDE}" in listed
        assert f"dst={B}.2" not in listed


def test_no_packet_is_lost_while_policies_change(testbed: NamespaceTestbed) -> None:
    plug(testbed, "b", B)
    guest = plug(testbed, "a", A)
    allowed = {"to": f"{B}.2", "network": "b", "protocol": "udp"}
    policies: list[dict[str, Any]] = [
        {"allow": [allowed]},
        {"allow": [allowed, {"network": "b", "protocol": "tcp", "port": 443}]},
        {"allow": [allowed], "deny": [{"to": "198.51.100.0/24"}]},
        {"allow": [allowed], "default": "deny", "to_host": "services"},
        {"allow": [allowed], "default": "deny", "log": True},
    ]
    testbed.task("nft", [policed(A, **policies[0]), network("b", B)])
    flow = guest.start(*script("udp_every_millisecond"), f"{B}.2", "8000")
    assert flow.stdin is not None and flow.stdout is not None
    assert flow.stdout.readline() == "ready\n"
    for policy in (*policies[1:], *policies) * CHANGES_OF_ALL:
        assert testbed.task("nft", [policed(A, **policy), network("b", B)])["changes"]
    sent, lost, lost_of_new_flows = json.loads(flow.communicate("end\n", timeout=60)[0])
    assert sent > 100
    assert (lost, lost_of_new_flows) == (0, 0)


def _connections(testbed: NamespaceTestbed) -> str:
    return testbed.host.run("conntrack", "-L")


def test_a_port_forward_is_no_way_around_a_policy(testbed: NamespaceTestbed) -> None:
    forwards = [{"port": 8080, "to": f"{B}.2", "to_port": 8000}]
    other = network("b", B, port_forwards=forwards)
    testbed.task("nft", [policed(A, deny=[{"network": "b"}]), other])
    guest = plug(testbed, "a", A)
    plug(testbed, "b", B)
    assert testbed.outside.ask(UPLINK, 8080) == OUTSIDE
    assert guest.ask(UPLINK, 8080) == ""


def test_a_removed_element_is_repaired_and_hits_stay_without_a_change(testbed: NamespaceTestbed) -> None:
    desired = [policed(A, allow=[{"network": "b", **WEB}], deny=[{"to": "198.51.100.0/24"}]), network("b", B)]
    testbed.task("nft", desired)
    guest = plug(testbed, "a", A)
    plug(testbed, "b", B)
    assert guest.ask(f"{B}.2") == f"{A}.2"
    assert testbed.task("nft", desired)["changes"] == []
    listed = testbed.host.run("nft", "list", "set", "inet", "virtnet", "vn_allow_opn_br-a")
    assert "packets 1 " in listed
    testbed.host.run("nft", "flush", "set", "inet", "virtnet", "vn_deny4_D_br-a")
    assert testbed.task("nft", desired)["changes"]
    assert "198.51.100.0/24" in testbed.host.run("nft", "list", "set", "inet", "virtnet", "vn_deny4_D_br-a")
    assert testbed.task("nft", desired)["changes"] == []


def test_entries_of_all_kinds_are_read_back_as_they_were_loaded(testbed: NamespaceTestbed) -> None:
    a6 = "fd00:a"
    policy = {
        "default": "deny",
        "log": True,
        "to_host": ["services", {"protocol": "udp", "port": "5000-5010"}],
        "allow": [
            {"to": "0.0.0.0/0", "protocol": "tcp", "port": 443},
            {"to": "203.0.113.0/24", "protocol": "tcp"},
            {"to": "203.0.113.9", "protocol": "gre"},
            {"to": "203.0.0.0/16", "protocol": "tcp", "port": "400-500"},
            {"from": f"{A}.2", "network": "b", "to": f"{B}.7", "protocol": "sctp", "port": "1-65535"},
            {"from": f"{a6}::2", "to": "2001:db8::/32", "protocol": "icmp"},
            {"network": "b", "protocol": "icmp"},
        ],
        "deny": [{"from": f"{A}.128/25"}, {"protocol": "udp", "port": 53}, {"to": "::/0", "protocol": "udp"}],
    }
    rules = {**policed(A, **policy), "subnets": [subnet_of(A), subnet_of(a6)]}
    desired = [rules, network("b", B)]
    assert testbed.task("nft", desired)["changes"]
    assert testbed.task("nft", desired)["changes"] == []
    fewer = [{**rules, "policy": {**policy, "deny": []}}, network("b", B)]
    assert testbed.task("nft", fewer)["changes"]
    assert testbed.task("nft", fewer)["changes"] == []
    assert testbed.task("nft", [network("a", A), network("b", B)])["changes"]
    assert "vn_policed" not in testbed.host.run("nft", "list", "table", "inet", "virtnet")
