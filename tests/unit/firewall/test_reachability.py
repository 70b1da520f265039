# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of packets under real rulesets, as their programs listed them on a host with one network, `lab`.

That the evaluator tells what the kernel does is for the kernel tests; here it is what is said of it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.flows import Guests, ways
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.reachability import (
    DROPPED,
    MAY_BE_DROPPED,
    PASSES,
    REFUSED,
    Finding,
    judge,
    lines,
)
from ansible_collections.virtnet.linux.plugins.module_utils.nft.elements import Rules
from ansible_collections.virtnet.linux.plugins.module_utils.nft.port_forwards import Forward
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset import evaluate as ruleset
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset import iptables as iptables_save

LISTINGS = Path(__file__).with_name("rulesets")
FORWARD = Forward("tcp", 8080, 8080, "192.168.77.10", 80)
LAB = Guests.of_rules(Rules("lab", "vn-lab", "nat", "eth0", ("192.168.77.0/24",), forwards=(FORWARD,)))
OUT, INTO, DNS, DHCP = (
    "guest to outside",
    f"outside to guest ({FORWARD})",
    "guest to host: DNS",
    "guest to host: DHCP",
)
MARK = "-m connmark --mark 0x100000/0x100000 -j ACCEPT"


def listed(name: str) -> list[ruleset.Table]:
    found = ruleset.parse((LISTINGS / "ours.json").read_text())
    for path in sorted(LISTINGS.glob(f"{name}.*")):
        if path.suffix == ".json":
            found += ruleset.parse(path.read_text())
        else:
            tool = path.suffix[1:]
            found += iptables_save.parse(path.read_text(), "ip6" if tool.startswith("ip6") else "ip", tool)
    return found


def findings(name: str, guests: Guests = LAB) -> dict[str, Finding]:
    rules = listed(name)
    return {way.name: judge(rules, way) for way in ways(guests)}


# Firewall -> way -> what becomes of it, by whom, what would help. Ways that are not named pass.
EXPECTED = {
    "none": {},
    "podman": {},
    "libvirt-iptables": {},
    "libvirt-nftables": {},
    "docker": {
        way: (DROPPED, "the policy of chain FORWARD of table ip filter", f"iptables-nft -I DOCKER-USER {MARK}")
        for way in (OUT, INTO)
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
    # Its rules let five packets a second pass.
    "iptables-nft": {
        OUT: (MAY_BE_DROPPED, "the policy of chain FORWARD", f"iptables-nft -I FORWARD {MARK}"),
        INTO: (MAY_BE_DROPPED, "the policy of chain FORWARD", f"iptables-nft -I FORWARD {MARK}"),
        DNS: (DROPPED, "the policy of chain INPUT", f"iptables-nft -I INPUT {MARK}"),
        DHCP: (DROPPED, "the policy of chain INPUT", f"iptables-nft -I INPUT {MARK}"),
    },
    # nft does not list all that the rules of iptables ask for; here what it does list is enough.
    "docker-as-nft-lists-it": {
        way: (DROPPED, "the policy of chain FORWARD", "nft insert rule ip filter FORWARD 'ct mark")
        for way in (OUT, INTO)
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
def test_what_a_firewall_does_to_each_packet_is_told_with_what_would_help(name: str) -> None:
    found = findings(name)
    assert set(found) == {OUT, INTO, DNS, DHCP, "guest to guest"}
    for way, finding in found.items():
        verdict, culprit, cure = EXPECTED[name].get(way, (PASSES, "", ""))
        assert finding.verdict == verdict, way
        said = list(lines([finding], verdict))
        assert any(culprit in line and cure in line for line in said) or verdict == PASSES, (way, said)
        json.dumps(finding.as_options())


def test_every_chain_that_drops_is_named() -> None:
    chains = {(one.hook, one.chain.table, one.chain.name) for one in findings("hand")[DHCP].by}
    assert chains == {("prerouting", "frames", "c"), ("input", "mine", "in"), ("output", "mine", "out")}


def test_frames_between_guests_meet_rules_of_ip_where_the_kernel_hands_them_over() -> None:
    docker, closed = listed("docker"), replace(LAB, filtered=True)
    (way,) = [way for way in ways(closed) if way.name == "guest to guest"]
    (by,) = judge(docker, way).by
    assert by.cure == f"iptables-nft -I DOCKER-USER {MARK}"
    (unfiltered,) = [way for way in ways(LAB) if way.name == "guest to guest"]
    assert judge(docker, unfiltered).verdict == PASSES
    assert not [way for way in ways(replace(LAB, apart=True)) if way.name == "guest to guest"]


def test_an_answer_of_dhcp_belongs_to_no_connection() -> None:
    (cure,) = [one.cure for one in findings("hand")[DHCP].by if one.hook == "output"]
    assert cure == "nft insert rule inet mine out 'oifname \"vn-lab\" accept'"


def test_who_comes_unasked_is_refused_by_our_own_rules() -> None:
    closed = Guests.of_rules(Rules("lab", "vn-lab", "nat", "eth0", ("192.168.77.0/24",)))
    finding = findings("none", closed)["outside to guest"]
    assert finding.verdict == REFUSED
    assert [one.cure for one in finding.by] == [""]
    # Without our table nobody refuses.
    (way,) = [way for way in ways(closed) if way.name == "outside to guest"]
    assert judge([], way).verdict == PASSES


def test_networks_that_meet_the_same_rule_share_a_sentence() -> None:
    rules = listed("legacy")
    many = [Guests.of_rules(Rules(n, f"vn-{n}", "open", "eth0", ("192.168.77.0/24",))) for n in ("a", "b")]
    said = list(lines([judge(rules, way) for guests in many for way in ways(guests)], DROPPED))
    # Nothing of ours marks what an open network sends, so the line names its bridge.
    assert any("-I FORWARD -i vn-a -j ACCEPT" in line for line in said)
    marked = [Guests.of_rules(Rules(n, "vn-lab", "nat", "eth0", ("192.168.77.0/24",))) for n in ("a", "b")]
    said = list(lines([judge(rules, way) for guests in marked for way in ways(guests)], DROPPED))
    assert any(line.startswith(f"networks 'a', 'b': packets {OUT} (IPv4) are dropped by") for line in said)
