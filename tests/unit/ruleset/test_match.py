# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an expression matches a packet: yes, no or unknown."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset.match import match, value
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset.packet import ABSENT, UNKNOWN, Packet
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset.sets import Elements

TCP = Packet(
    ipaddress.ip_address("192.168.77.10"), ipaddress.ip_address("203.0.113.9"), "tcp", "vn-lab", "eth0", 40000, 80
)
ECHO = Packet(
    ipaddress.ip_address("fd00::1"), ipaddress.ip_address("fd00::2"), "icmpv6", icmp_type="echo-request", ipv6=True
)
SADDR, DADDR = ({"payload": {"protocol": "ip", "field": name}} for name in ("saddr", "daddr"))
DPORT = {"payload": {"protocol": "tcp", "field": "dport"}}
FLAGS = {"payload": {"protocol": "tcp", "field": "flags"}}
IIF = {"meta": {"key": "iifname"}}
MARK = {"meta": {"key": "mark"}}
SETS: dict[str, Any] = {
    "hosts": Elements(["192.168.77.9", {"prefix": {"addr": "192.168.77.10", "len": 31}}]),
    "pairs": Elements([{"concat": ["vn-lab", {"prefix": {"addr": "192.168.77.0", "len": 24}}]}]),
    "over": Elements([{"elem": {"val": "vn-lab", "limit": {"rate": 9, "per": "second", "inv": True}}}]),
    "limited": Elements([{"elem": {"val": "vn-lab", "limit": {"rate": 9, "per": "second"}}}]),
    "counted": Elements([{"elem": {"val": "vn-lab", "counter": {"packets": 9, "bytes": 9}}}]),
    "unlisted": None,
}


def ct(key: str) -> dict[str, Any]:
    return {"ct": {"key": key}}


@pytest.mark.parametrize(
    ("left", "op", "right", "expected"),
    [
        (SADDR, "==", "192.168.77.10", True),
        (SADDR, "!=", {"prefix": {"addr": "192.168.77.0", "len": 24}}, False),
        (DADDR, "==", {"range": ["203.0.113.1", "203.0.113.8"]}, False),
        (SADDR, "==", "@hosts", True),
        (SADDR, "==", "@unlisted", None),
        (IIF, "==", "@over", False),
        (IIF, "==", "@limited", None),
        ({"meta": {"key": "oifname"}}, "==", "@limited", False),
        (IIF, "==", "@counted", True),
        (SADDR, "==", "not an address", None),
        ({"concat": [IIF, SADDR]}, "==", "@pairs", True),
        ({"concat": [IIF, DADDR]}, "==", "@pairs", False),
        ({"concat": [IIF, SADDR, DPORT]}, "==", "@pairs", None),
        ({"&": [SADDR, "255.255.255.0"]}, "==", "192.168.77.0", True),
        (DPORT, ">", 79, True),
        (DPORT, "<=", 79, False),
        (IIF, "<", 7, None),
        (IIF, "==", "vn-*", True),
        (IIF, "==", "vn-\\*", False),
        (DPORT, "==", {"set": [22, {"elem": {"val": 80, "timeout": 9}}]}, True),
        (MARK, "==", {"|": [MARK, 1]}, False),
        ({"^": [{"&": [MARK, 0xFF]}, 1]}, "==", 1, True),
        (FLAGS, "==", "syn", True),
        (FLAGS, "==", 0, False),
        ({"&": [FLAGS, ["syn", "ack"]]}, "==", ["syn", "ack"], False),
        ({"|": [FLAGS, ["ack"]]}, "==", ["syn", "ack"], True),
        (FLAGS, "in", ["rst", "fin"], False),
        (FLAGS, "!", "rst", True),
        (ct("state"), "in", ["new", "established"], True),
        (ct("direction"), "==", "original", True),
        (ct("status"), "in", "dnat", False),
        (ct("status"), "in", ["dnat", "snat"], None),
        (ct("zone"), "==", 1, None),
        # A frame with an IP packet has no header of another protocol.
        ({"payload": {"protocol": "ether", "field": "type"}}, "==", "0x0800", True),
        ({"payload": {"protocol": "vlan", "field": "id"}}, "==", 7, False),
        ({"payload": {"protocol": "udp", "field": "dport"}}, "==", 80, False),
        ({"payload": {"protocol": "unheard-of", "field": "dport"}}, "==", 80, None),
        ({"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, "==", False, False),
        ({"fib": {"result": "type", "flags": ["saddr"]}}, "==", "local", False),
        ({"fib": {"result": "oif", "flags": ["daddr"]}}, "==", "eth0", None),
        ({"numgen": {"mode": "random", "mod": 2}}, "==", 0, None),
    ],
)
def test_match_statement(left: Any, op: str, right: Any, expected: bool | None) -> None:
    assert match({"left": left, "op": op, "right": right}, TCP, SETS) is expected


@pytest.mark.parametrize("right", ["echo-request", "128", {"set": ["nd-neighbor-solicit", "128"]}])
def test_icmp_types_by_name_and_by_number(right: Any) -> None:
    icmp_type = {"payload": {"protocol": "icmpv6", "field": "type"}}
    is_icmpv6 = {"left": {"meta": {"key": "l4proto"}}, "op": "==", "right": "icmpv6"}
    assert match(is_icmpv6, ECHO, {}) is True
    assert match({"left": icmp_type, "op": "==", "right": right}, ECHO, {}) is True
    assert (
        match({"left": icmp_type, "op": "==", "right": right}, replace(ECHO, icmp_type="nd-router-advert"), {}) is False
    )


@pytest.mark.parametrize(("name", "number"), [("tcp", 6), ("udp", 17), ("sctp", 132), ("icmpv6", 58)])
def test_protocols_by_number_as_a_host_without_their_names_lists_them(name: str, number: int) -> None:
    l4proto = {"meta": {"key": "l4proto"}}
    packet = replace(TCP, protocol=name)
    sets = {"all": Elements([4, number]), "other": Elements([4, 5])}
    assert match({"left": l4proto, "op": "==", "right": number}, packet, sets) is True
    assert match({"left": l4proto, "op": "==", "right": {"set": [4, number]}}, packet, sets) is True
    assert match({"left": l4proto, "op": "==", "right": "@all"}, packet, sets) is True
    assert match({"left": l4proto, "op": "==", "right": "@other"}, packet, sets) is False


def test_an_untracked_packet_has_no_ct_mark_and_an_unknown_connection_has_an_unknown_one() -> None:
    mark_is_zero = {"left": ct("mark"), "op": "==", "right": 0}
    assert match(mark_is_zero, replace(TCP, ct_state="untracked"), {}) is False
    assert match(mark_is_zero, replace(TCP, ct_state=""), {}) is None
    assert match(mark_is_zero, replace(TCP, ct_mark=None), {}) is None


def test_a_rule_of_one_family_never_matches_a_packet_of_the_other() -> None:
    assert match({"left": SADDR, "op": "!=", "right": "10.0.0.1"}, ECHO, {}) is False


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"set": [["vn-lab", 7], ["vn-other", 8]]}, 7),
        ({"set": [["vn-other", 8]]}, ABSENT),
        ("@unlisted", UNKNOWN),
    ],
)
def test_a_map_is_looked_up(data: Any, expected: Any) -> None:
    result = value({"map": {"key": IIF, "data": data}}, TCP, SETS)
    assert result is expected or result == expected


def test_a_packet_as_text() -> None:
    assert str(TCP) == "tcp 192.168.77.10->203.0.113.9 40000->80 vn-lab->eth0 new"
    assert str(ECHO) == "icmpv6 fd00::1->fd00::2 echo-request -->- new"
