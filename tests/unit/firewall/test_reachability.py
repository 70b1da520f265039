# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What real rulesets, listed on a host with the network `lab`, do to its packets, and the commands that help.

The kernel tests prove that the evaluator does as the kernel.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.flows import GuestNetwork, flows_of
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.reachability import (
    DROPPED,
    MAY_BE_DROPPED,
    PASSES,
    REFUSED,
    Diagnosis,
    Finding,
    drop_messages,
    evaluate_flow,
    foreign_drops,
)
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.way_out import NO_ROUTE, NO_WAY_BACK, WayOut
from ansible_collections.virtnet.linux.plugins.module_utils.nft.elements import Rules
from ansible_collections.virtnet.linux.plugins.module_utils.nft.policy import read_policy
from ansible_collections.virtnet.linux.plugins.module_utils.nft.port_forwards import Forward
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset import iptables, nft_json
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset.model import Chain, Rule, Table

LISTINGS = Path(__file__).with_name("rulesets")
FORWARD = Forward("tcp", 8080, 8080, "192.168.77.10", 80)
LAB = GuestNetwork.from_rules(Rules("lab", "vn-lab", "nat", ("eth0",), ("192.168.77.0/24",), forwards=(FORWARD,)))
OUT, INTO, DNS, DHCP = (
    "guest to outside",
    f"outside to guest ({FORWARD})",
    "guest to host: DNS",
    "guest to host: DHCP",
)
MARK = "-m connmark --mark 0x100000/0x100000 -j ACCEPT"


def listed(name: str) -> list[Table]:
    tables = nft_json.parse((LISTINGS / "ours.json").read_text())
    for path in sorted(LISTINGS.glob(f"{name}.*")):
        if path.suffix == ".json":
            tables += nft_json.parse(path.read_text())
        else:
            tool = path.suffix[1:]
            tables += iptables.parse(path.read_text(), "ip6" if tool.startswith("ip6") else "ip", tool)
    return tables


def findings(name: str, network: GuestNetwork = LAB) -> dict[str, Finding]:
    ruleset = listed(name)
    return {flow.name: evaluate_flow(ruleset, flow) for flow in flows_of(network)}


# Firewall -> flow -> verdict, cause and remedy; all other flows pass.
EXPECTED = {
    "none": {},
    "podman": {},
    "libvirt-iptables": {},
    "libvirt-nftables": {},
    "docker": {
        flow: (DROPPED, "the policy of chain FORWARD of table ip filter", f"iptables-nft -I DOCKER-USER {MARK}")
        for flow in (OUT, INTO)
    },
    "firewalld": {
        OUT: (DROPPED, "chain filter_FORWARD_POLICIES of table inet firewalld", "virtnet_firewall_integration"),
        DNS: (DROPPED, "chain filter_INPUT_POLICIES of table inet firewalld", "virtnet_firewall_integration"),
        DHCP: (DROPPED, "chain filter_INPUT_POLICIES of table inet firewalld", "virtnet_firewall_integration"),
    },
    "firewalld-iptables": {
        OUT: (DROPPED, "chain FORWARD_POLICIES of table ip filter", "virtnet_firewall_integration"),
        DNS: (DROPPED, "chain INPUT_POLICIES of table ip filter", "virtnet_firewall_integration"),
        DHCP: (DROPPED, "chain INPUT_POLICIES of table ip filter", "virtnet_firewall_integration"),
    },
    "ufw": {
        OUT: (DROPPED, "the policy of chain FORWARD", "ufw route allow in on vn-lab"),
        INTO: (DROPPED, "the policy of chain FORWARD", "ufw route allow out on vn-lab"),
        DNS: (DROPPED, "the policy of chain INPUT", "ufw allow in on vn-lab to any port 53"),
        DHCP: (DROPPED, "'-A ufw-skip-to-policy-input -j DROP'", "ufw allow in on vn-lab to any port 67 proto udp"),
    },
    "legacy": {
        OUT: (DROPPED, "the policy of chain FORWARD", f"iptables-legacy -I FORWARD {MARK}"),
        INTO: (DROPPED, "the policy of chain FORWARD", f"iptables-legacy -I FORWARD {MARK}"),
        DNS: (DROPPED, "the policy of chain INPUT", f"iptables-legacy -I INPUT {MARK}"),
        DHCP: (DROPPED, "the policy of chain INPUT", f"iptables-legacy -I INPUT {MARK}"),
    },
    # Its rules accept five packets a second.
    "iptables-nft": {
        OUT: (MAY_BE_DROPPED, "the policy of chain FORWARD", f"iptables-nft -I FORWARD {MARK}"),
        INTO: (MAY_BE_DROPPED, "the policy of chain FORWARD", f"iptables-nft -I FORWARD {MARK}"),
        DNS: (DROPPED, "the policy of chain INPUT", f"iptables-nft -I INPUT {MARK}"),
        DHCP: (DROPPED, "the policy of chain INPUT", f"iptables-nft -I INPUT {MARK}"),
    },
    # nft does not list the arguments of iptables extensions; this ruleset can be evaluated without them.
    "docker-as-nft-lists-it": {
        flow: (DROPPED, "the policy of chain FORWARD", "nft insert rule ip filter FORWARD 'ct mark")
        for flow in (OUT, INTO)
    },
    "hand": {
        OUT: (
            DROPPED,
            "chain before of table inet mine",
            "nft insert rule inet mine before 'iifname \"vn-lab\" accept'",
        ),
        INTO: (
            DROPPED,
            "chain way of table inet mine",
            "nft insert rule inet mine way 'ct mark & 0x00100000 != 0 accept'",
        ),
        DNS: (MAY_BE_DROPPED, "chain in of table inet mine", "nft insert rule inet mine in 'ct mark & 0x00100000"),
        DHCP: (DROPPED, "chain c of table bridge frames", "nft insert rule bridge frames c"),
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_flow_has_a_verdict_a_cause_and_a_remedy(name: str) -> None:
    by_flow = findings(name)
    assert set(by_flow) == {OUT, INTO, DNS, DHCP, "guest to guest"}
    for flow, finding in by_flow.items():
        verdict, cause, remedy = EXPECTED[name].get(flow, (PASSES, "", ""))
        assert finding.verdict == verdict, flow
        messages = list(drop_messages([finding], verdict))
        assert any(cause in line and remedy in line for line in messages) or verdict == PASSES, (flow, messages)
        json.dumps(finding.as_options())


@pytest.mark.parametrize(
    ("tests", "deliberate"),
    [
        ([("==", "eth0")], True),
        ([("!=", "wg0")], True),
        ([("!=", "wg0"), ("!=", {"meta": {"key": "mark"}}, 51820)], True),
        ([("==", "eth0"), ("==", {"payload": {"protocol": "ip", "field": "saddr"}}, "192.168.77.5")], False),
        ([("==", "eth0"), ("==", {"meta": {"key": "iifname"}}, "vn-lab")], False),
        ([], False),
    ],
)
def test_no_command_opens_the_kill_switch_of_a_vpn(tests: list[tuple[Any, ...]], deliberate: bool) -> None:
    oifname = {"meta": {"key": "oifname"}}
    matches = [
        {"match": {"op": op, "left": rest[0] if len(rest) == 2 else oifname, "right": rest[-1]}} for op, *rest in tests
    ]
    rule = Rule([*matches, {"counter": None}, {"drop": None}], 1, "as listed")
    chain = Chain("inet", "vpn", "way", kind="filter", hook="forward", rules=[rule])
    (flow,) = [flow for flow in flows_of(LAB) if flow.name == OUT]
    causes = evaluate_flow([Table("inet", "vpn", chains={"way": chain})], flow).causes
    assert ("kill switch" in causes[0].remedy if causes else False) == deliberate


def test_every_chain_that_drops_is_named() -> None:
    chains = {(cause.hook, cause.chain.table, cause.chain.name) for cause in findings("hand")[DHCP].causes}
    assert chains == {("prerouting", "frames", "c"), ("input", "mine", "in"), ("output", "mine", "out")}


def test_frames_between_guests_pass_the_chains_of_ip_with_br_netfilter() -> None:
    docker, filtered = listed("docker"), replace(LAB, filtered=True)
    (flow,) = [flow for flow in flows_of(filtered) if flow.name == "guest to guest"]
    (cause,) = evaluate_flow(docker, flow).causes
    assert cause.remedy == f"iptables-nft -I DOCKER-USER {MARK}"
    (unfiltered,) = [flow for flow in flows_of(LAB) if flow.name == "guest to guest"]
    assert evaluate_flow(docker, unfiltered).verdict == PASSES
    assert not [flow for flow in flows_of(replace(LAB, isolated_guests=True)) if flow.name == "guest to guest"]


def test_a_dhcp_reply_is_a_new_connection_to_conntrack() -> None:
    (remedy,) = [cause.remedy for cause in findings("hand")[DHCP].causes if cause.hook == "output"]
    assert remedy == "nft insert rule inet mine out 'oifname \"vn-lab\" accept'"


def test_packets_from_outside_are_refused_by_our_own_rules() -> None:
    closed = GuestNetwork.from_rules(Rules("lab", "vn-lab", "nat", ("eth0",), ("192.168.77.0/24",)))
    finding = findings("none", closed)["outside to guest"]
    assert finding.verdict == REFUSED
    assert [cause.remedy for cause in finding.causes] == [""]
    # Without our table they pass.
    (flow,) = [flow for flow in flows_of(closed) if flow.name == "outside to guest"]
    assert evaluate_flow([], flow).verdict == PASSES


def messages_of(ruleset: list[Table], networks: list[GuestNetwork]) -> list[str]:
    findings = [evaluate_flow(ruleset, flow) for network in networks for flow in flows_of(network)]
    return list(drop_messages(findings, DROPPED))


def test_networks_dropped_by_the_same_rule_share_a_message() -> None:
    ruleset = listed("legacy")
    unmarked = [
        GuestNetwork.from_rules(Rules(n, f"vn-{n}", "open", ("eth0",), ("192.168.77.0/24",))) for n in ("a", "b")
    ]
    messages = messages_of(ruleset, unmarked)
    # Our table does not mark connections of an open network: the command names its bridge.
    assert any("-I FORWARD -i vn-a -j ACCEPT" in line for line in messages)
    # The reply needs one too.
    assert any(OUT in line and "-I FORWARD -o vn-a -j ACCEPT" in line for line in messages)
    assert any(OUT in line and "-I FORWARD -i vn-a -j ACCEPT" in line for line in messages)
    marked = [GuestNetwork.from_rules(Rules(n, "vn-lab", "nat", ("eth0",), ("192.168.77.0/24",))) for n in ("a", "b")]
    messages = messages_of(ruleset, marked)
    assert any(line.startswith(f"networks 'a', 'b': packets {OUT} (IPv4) are dropped by") for line in messages)


POLICY_CHAIN = Chain("inet", "virtnet", "vn_policy_deny_vn-lab", rules=[Rule([{"reject": None}])])


def with_policy(hook: str, network: GuestNetwork = LAB) -> dict[str, Finding]:
    """The findings where a policy refuses all packets of a hook, and another firewall all that are forwarded."""
    jump = Rule([{"jump": {"target": POLICY_CHAIN.name}}])
    base = Chain("inet", "virtnet", "base", kind="filter", hook=hook, priority=-10, rules=[jump])
    other = Chain("inet", "other", "forward", kind="filter", hook="forward", policy="drop")
    ruleset = [
        Table("inet", "virtnet", chains={base.name: base, POLICY_CHAIN.name: POLICY_CHAIN}),
        Table("inet", "other", chains={other.name: other}),
    ]
    return {flow.name: evaluate_flow(ruleset, flow) for flow in flows_of(network)}


def test_what_a_policy_refuses_is_a_note_and_no_fault_whatever_others_do_to_it() -> None:
    found = with_policy("forward")
    assert (found[OUT].verdict, found[OUT].flow.allowed) == (REFUSED, False)
    assert [cause.chain.name for cause in found[OUT].causes] == [POLICY_CHAIN.name]
    diagnosis = Diagnosis([found[OUT]])
    assert diagnosis.problems == []
    assert diagnosis.notes == ["network 'lab': packets guest to outside (IPv4) are refused by its policy"]


def test_services_that_a_policy_closes_to_guests_are_a_note() -> None:
    found = with_policy("input")
    assert Diagnosis([found[DNS], found[DHCP]]).notes == [
        "network 'lab': packets guest to host: DNS (IPv4), guest to host: DHCP (IPv4) are refused by its policy"
    ]
    assert found[OUT].verdict == DROPPED


@pytest.mark.parametrize(
    ("policy", "silent"),
    [
        ({"default": "deny"}, {OUT}),
        ({"default": "deny", "allow": [{"to": "9.9.9.0/24", "protocol": "tcp", "port": 443}]}, set()),
        ({"deny": [{"from": "192.168.77.0/25"}]}, {OUT}),
        ({"to_host": []}, {DNS, DHCP}),
        ({"to_host": ["dhcp"]}, {DNS}),
    ],
)
def test_a_run_names_no_firewall_that_drops_what_the_policy_refuses(policy: Any, silent: set[str]) -> None:
    dropping = [
        Table("inet", "other", chains={hook: Chain("inet", "other", hook, "", "filter", hook, policy="drop")})
        for hook in ("forward", "input")
    ]
    read = read_policy(Options(policy, "policy"), "lab", "nat")
    told = " ".join(foreign_drops(dropping, [replace(LAB, policy=read)], marks=False))
    assert {flow for flow in (OUT, DNS, DHCP) if flow not in told} == silent


def test_ways_out_that_a_policy_refuses_are_no_fault() -> None:
    ways = [
        WayOut(LAB, 4, "eth0", closed=True),
        WayOut(LAB, 4, obstacle=NO_WAY_BACK),
        WayOut(LAB, 4, obstacle=NO_ROUTE),
    ]
    refused = [replace(way, network=replace(LAB, forwards=()), unwanted=True) for way in ways]
    assert len(Diagnosis(ways=ways).problems) == 2
    assert len(Diagnosis(ways=ways).notes) == 1
    assert (Diagnosis(ways=refused).problems, Diagnosis(ways=refused).notes) == ([], [])
