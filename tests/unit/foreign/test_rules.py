# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of scripts as options: packets are put to them, in whatever words they are written."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.rules import forward_options, mode_options
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.links import Link
from unit.foreign.others_host import bridge, host

ADDRESSES = [ipaddress.ip_interface("192.168.80.1/24")]
NAT_TABLE = "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
FILTER_TABLE = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
BR0 = bridge("br0", "192.168.80.1/24")


def mode(saved: str = "", **more: Any) -> dict[str, Any]:
    options, notes = mode_options("br0", ADDRESSES, host(BR0, Link("wg0", 9), saved=saved, **more))
    assert not notes
    return options


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("-s 192.168.80.0/24 -j MASQUERADE", {"mode": "nat"}),
        ("-s 192.168.80.0/24 -o eth0 -j MASQUERADE", {"mode": "nat", "uplink": "eth0"}),
        ("-s 192.168.80.0/24 ! -o br0 -j MASQUERADE", {"mode": "nat"}),
        ("-s 192.168.80.0/24 ! -d 192.168.80.0/24 -j MASQUERADE", {"mode": "nat"}),
        ("-o eth0 -j MASQUERADE", {"mode": "nat", "uplink": "eth0"}),
        ("-o wg+ -j MASQUERADE", {"mode": "nat", "uplink": "wg0"}),
        ("-o wg+ -j MASQUERADE\n-A POSTROUTING -o eth0 -j MASQUERADE", {"mode": "nat", "uplink": ["eth0", "wg0"]}),
        (
            "-s 192.168.80.0/24 -o eth0 -j SNAT --to-source 203.0.113.5",
            {"mode": "nat", "uplink": "eth0", "nat": {"source": {"start": "203.0.113.5", "end": "203.0.113.5"}}},
        ),
        (
            "-p tcp -j SNAT --to-source 203.0.113.5-203.0.113.7:2000-3000",
            {
                "mode": "nat",
                "nat": {
                    "source": {"start": "203.0.113.5", "end": "203.0.113.7"},
                    "ports": {"start": 2000, "end": 3000},
                },
            },
        ),
        ("-s 192.168.81.0/24 -j MASQUERADE", {"mode": "routed"}),
    ],
)
def test_rules_of_iptables(rule: str, expected: dict[str, Any]) -> None:
    assert mode(f"{NAT_TABLE}-A POSTROUTING {rule}\nCOMMIT\n") == expected


def test_a_rule_in_a_chain_of_a_firewall_is_found_behind_its_jump() -> None:
    saved = f"{NAT_TABLE}:MINE - [0:0]\n-A POSTROUTING -s 192.168.0.0/16 -j MINE\n-A MINE -o eth0 -j MASQUERADE\n"
    assert mode(saved) == {"mode": "nat", "uplink": "eth0"}


def test_rules_of_nft() -> None:
    statements = [
        {"match": {"op": "in", "left": {"meta": {"key": "oifname"}}, "right": "eth0"}},
        {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}},
                   "right": {"prefix": {"addr": "192.168.80.0", "len": 24}}}},
        {"counter": {"packets": 0, "bytes": 0}},
        {"masquerade": None},
    ]  # fmt: skip
    statements[0]["match"]["op"] = "=="  # type: ignore[index]
    nft = [
        {"table": {"family": "inet", "name": "mine"}},
        {"chain": {"family": "inet", "table": "mine", "name": "post", "type": "nat", "hook": "postrouting", "prio": 100,
                   "policy": "accept"}},
        {"rule": {"family": "inet", "table": "mine", "chain": "post", "handle": 4, "expr": statements}},
    ]  # fmt: skip
    assert mode(nft=nft) == {"mode": "nat", "uplink": "eth0"}
    statements[-1] = {"snat": {"family": "ip", "addr": {"range": ["203.0.113.5", "203.0.113.6"]}}}
    source = {"source": {"start": "203.0.113.5", "end": "203.0.113.6"}}
    assert mode(nft=nft) == {"mode": "nat", "uplink": "eth0", "nat": source}


def test_a_rule_with_a_condition_that_is_not_known_brings_a_note() -> None:
    saved = f"{NAT_TABLE}-A POSTROUTING -m owner --uid-owner 3 -j MASQUERADE\n"
    options, notes = mode_options("br0", ADDRESSES, host(BR0, saved=saved))
    assert options["mode"] == "nat"
    assert notes == [f"the rule that hides guests' addresses may be for some packets only: {saved.splitlines()[-1]}"]


def test_without_nat_the_forward_chains_and_sysctls_decide() -> None:
    assert mode() == {"mode": "routed"}
    assert mode(forwarding=frozenset({"eth0"})) == {"mode": "isolated"}
    assert mode(FILTER_TABLE) == {"mode": "isolated"}
    assert mode(f"{FILTER_TABLE}-A FORWARD -i br0 -j ACCEPT\n") == {"mode": "routed"}


def forwards(rule: str) -> tuple[list[dict[str, Any]], list[str]]:
    return forward_options("br0", ADDRESSES, host(BR0, saved=f"{NAT_TABLE}-A PREROUTING {rule}\n"))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            "-p tcp -m tcp --dport 8443 -j DNAT --to-destination 192.168.80.10:443",
            [{"port": 8443, "to": "192.168.80.10", "to_port": 443}],
        ),
        (
            "-i eth0 -p tcp -m tcp --dport 22 -j DNAT --to-destination 192.168.80.10",
            [{"port": 22, "to": "192.168.80.10"}],
        ),
        (
            "-d 203.0.113.2/32 -p udp -m udp --dport 53 -j DNAT --to-destination 192.168.80.10",
            [{"protocol": "udp", "address": "203.0.113.2", "port": 53, "to": "192.168.80.10"}],
        ),
        (
            "-p tcp -m multiport --dports 80,443,6000:6010 --comment x -j DNAT --to-destination 192.168.80.9",
            [
                {"port": 80, "to": "192.168.80.9"},
                {"port": 443, "to": "192.168.80.9"},
                {"port_range": {"start": 6000, "end": 6010}, "to": "192.168.80.9"},
            ],
        ),
        ("-p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.1:80", []),
    ],
)
def test_port_forwards(rule: str, expected: list[dict[str, Any]]) -> None:
    assert forwards(rule) == (expected, [])


def test_port_forwards_in_a_map_are_pointed_out() -> None:
    key = {"payload": {"protocol": "tcp", "field": "dport"}}

    def notes(data: Any, elements: Any = ()) -> list[str]:
        nft = [
            {"table": {"family": "ip", "name": "mine"}},
            {"chain": {"family": "ip", "table": "mine", "name": "pre", "type": "nat", "hook": "prerouting",
                       "prio": -100, "policy": "accept"}},
            {"map": {"family": "ip", "table": "mine", "name": "fwd", "type": "inet_service", "map": "ipv4_addr",
                     "elem": list(elements)}},
            {"rule": {"family": "ip", "table": "mine", "chain": "pre", "handle": 4,
                      "expr": [{"dnat": {"addr": {"map": {"key": key, "data": data}}}}]}},
        ]  # fmt: skip
        found, told = forward_options("br0", ADDRESSES, host(BR0, nft=nft))
        assert not found
        return told

    told = ["port forwards in a map are not read, add them to port_forwards"]
    assert notes({"set": [[7000, "192.168.80.13"]]}) == told
    assert notes("@fwd", [[7000, "192.168.80.13"]]) == told
    assert notes("@fwd", [["@fwd", "10.0.0.13"], [{"range": [1, 2]}, {"concat": ["192.168.80.13", 80]}]]) == told
    assert notes("@fwd", [["@fwd", "10.0.0.13"]]) == []


@pytest.mark.parametrize(
    "condition", ["-s 198.51.100.0/24", "-m mac --mac-source 52:54:00:00:00:01", "-m mark --mark 1"]
)
def test_a_port_forward_with_a_condition_is_not_taken_for_one_without(condition: str) -> None:
    found, notes = forwards(f"{condition} -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.168.80.10:80")
    assert not found
    (note,) = notes
    assert condition.split()[-1] in note
