# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rule asks of a packet: yes, no, or not to be told. Asked in doubt, a rule neither drops nor saves anybody."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset.match import Elements, match, value
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset.packet import NOTHING, UNKNOWN, Packet

TCP = Packet(
    ipaddress.ip_address("192.168.77.10"), ipaddress.ip_address("203.0.113.9"), "tcp", "vn-lab", "eth0", 40000, 80
)
ASKED = Packet(
    ipaddress.ip_address("fd00::1"), ipaddress.ip_address("fd00::2"), "icmpv6", kind="echo-request", ipv6=True
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
    ("left", "op", "right", "told"),
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
        # The headers of a frame of IP on a bridge; such of others it has not.
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
def test_a_rule_asks(left: Any, op: str, right: Any, told: bool | None) -> None:
    assert match({"left": left, "op": op, "right": right}, TCP, SETS) is told


@pytest.mark.parametrize("right", ["echo-request", "128", {"set": ["nd-neighbor-solicit", "128"]}])
def test_types_of_icmp_have_names_and_numbers(right: Any) -> None:
    kind = {"payload": {"protocol": "icmpv6", "field": "type"}}
    asked = {"left": {"meta": {"key": "l4proto"}}, "op": "==", "right": "icmpv6"}
    assert match(asked, ASKED, {}) is True
    assert match({"left": kind, "op": "==", "right": right}, ASKED, {}) is True
    assert match({"left": kind, "op": "==", "right": right}, replace(ASKED, kind="nd-router-advert"), {}) is False


def test_what_is_not_tracked_has_no_mark_and_what_is_not_known_may_have_any() -> None:
    asked = {"left": ct("mark"), "op": "==", "right": 0}
    assert match(asked, replace(TCP, state="untracked"), {}) is False
    assert match(asked, replace(TCP, state=""), {}) is None
    assert match(asked, replace(TCP, ct_mark=None), {}) is None


def test_a_packet_of_the_other_family_never_meets_a_rule_of_one() -> None:
    assert match({"left": SADDR, "op": "!=", "right": "10.0.0.1"}, ASKED, {}) is False


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"set": [["vn-lab", 7], ["vn-other", 8]]}, 7),
        ({"set": [["vn-other", 8]]}, NOTHING),
        ("@unlisted", UNKNOWN),
    ],
)
def test_a_map_gives_what_it_has_for_the_packet(data: Any, told: Any) -> None:
    found = value({"map": {"key": IIF, "data": data}}, TCP, SETS)
    assert found is told or found == told


def test_a_packet_is_told_by_what_tells_it_from_others() -> None:
    assert str(TCP) == "tcp 192.168.77.10->203.0.113.9 40000->80 vn-lab->eth0 new"
    assert str(ASKED) == "icmpv6 fd00::1->fd00::2 echo-request -->- new"
