# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who needs the mark of connections: whether a run sets it, by the rules that real firewalls made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.integrations_read import DOCKER_USER, Firewalls
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.reconciler import RulesReconciler, RulesState
from ansible_collections.virtnet.linux.plugins.module_utils.nft import elements as nft_elements
from ansible_collections.virtnet.linux.plugins.module_utils.nft import script as nft_script
from ansible_collections.virtnet.linux.plugins.module_utils.nft.elements import Rules
from ansible_collections.virtnet.linux.plugins.module_utils.nft.listing import Table as LoadedTable
from ansible_collections.virtnet.linux.plugins.module_utils.nft.spec import RulesSpec
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset import iptables, nft_json
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset.model import Chain, Rule, Table

LISTINGS = Path(__file__).with_name("rulesets")
LAB = Rules("lab", "vn-lab", "nat", subnets=("192.168.77.0/24",))
ELEMENTS = nft_elements.merged([nft_elements.elements_of(LAB)])


def listed(name: str) -> list[Table]:
    """The tables of a firewall, without ours."""
    tables: list[Table] = []
    for path in sorted(LISTINGS.glob(f"{name}.*")):
        tool = path.suffix[1:]
        parsed = (
            nft_json.parse(path.read_text())
            if tool == "json"
            else iptables.parse(path.read_text(), "ip6" if tool.startswith("ip6") else "ip", tool)
        )
        tables += [table for table in parsed if table.name != "virtnet"]
    return tables


def state(tables: list[Table], *, loaded: bool | None = None, version: str = "") -> RulesState:
    """``loaded``: whether the table that is loaded sets the mark; None: there is none."""
    docker = {table.tool: True for table in tables if table.tool and DOCKER_USER in table.chains}
    firewalls = Firewalls(tables=tables, docker=docker, ufw_enabled=True)
    if loaded is None:
        return RulesState(firewalls=firewalls)
    comments = nft_script.static_comments(ELEMENTS, marks=loaded)
    digests = {version or nft_script.version(ELEMENTS, marks=loaded): "digest"}
    return RulesState(LoadedTable(comments, "digest", ELEMENTS), digests, firewalls=firewalls)


def is_marked(current: RulesState, *, integrate: bool = True) -> bool:
    """Whether connections are marked after a run."""
    options = {"name": LAB.name, "bridge": LAB.bridge, "mode": LAB.mode, "subnets": list(LAB.subnets)}
    (spec,) = [RulesSpec.from_options(one) for one in Options({"networks": [options]}).each("networks")]
    plan = RulesReconciler([spec], False, Paths(), integrate=integrate).plan(current)
    if plan.table.script:
        return "ct mark set" in plan.table.script
    assert current.table is not None
    return current.table.marks


# Firewall -> whether the mark is needed where it is asked to let networks pass, and where it is not.
NEEDED = {
    "none": (False, False),
    "docker": (True, False),
    # The command that helps names the bridge.
    "hand": (False, False),
    "legacy": (False, False),
    "iptables-nft": (False, False),
    # These are asked by interface.
    "firewalld": (False, False),
    "firewalld-iptables": (False, False),
    "ufw": (False, False),
    # They drop nothing of networks.
    "podman": (False, False),
    "libvirt-nftables": (False, False),
    "libvirt-iptables": (False, False),
}


@pytest.mark.parametrize("firewall", NEEDED)
def test_the_mark_is_set_where_docker_gets_a_rule_that_matches_it(firewall: str) -> None:
    tables = listed(firewall)
    answers = tuple(is_marked(state(tables), integrate=integrate) for integrate in (True, False))
    assert answers == NEEDED[firewall]
    # The same where the table is loaded without it, as a host had it when the firewall started.
    assert is_marked(state(tables, loaded=False)) == NEEDED[firewall][0]


FORWARD = Chain("ip", "filter", "FORWARD", "iptables-nft", "filter", "forward", 0, "accept")
OTHERS = [Table("ip", "filter", "iptables-nft", {"FORWARD": FORWARD})]


def test_the_mark_stays_while_another_firewall_has_a_chain_for_forwarded_packets() -> None:
    assert is_marked(state(OTHERS, loaded=True))
    assert not is_marked(state(OTHERS, loaded=False))
    assert not is_marked(state([], loaded=True))
    incoming = replace(FORWARD, name="INPUT", hook="input")
    assert not is_marked(state([replace(OTHERS[0], chains={"INPUT": incoming})], loaded=True))


def test_the_mark_that_an_older_version_always_set_goes_where_nobody_needs_it() -> None:
    assert not is_marked(state(OTHERS, loaded=True, version="older"))


def test_docker_needs_the_mark_only_where_it_gets_its_rule() -> None:
    user = Chain("ip", "filter", DOCKER_USER, "iptables-nft")
    docker = [replace(OTHERS[0], chains={"FORWARD": FORWARD, DOCKER_USER: user})]
    assert is_marked(state(docker))
    assert not is_marked(state(docker), integrate=False)


MARK_OF_CONNECTION = {"ct": {"key": "mark"}}


@pytest.mark.parametrize(
    ("left", "right", "needed"),
    [
        ({"&": [MARK_OF_CONNECTION, 0x100000]}, 0, True),
        (MARK_OF_CONNECTION, 0x100000, True),
        # Those of others.
        ({"&": [MARK_OF_CONNECTION, 0xFF0000]}, 0x20000, False),
        (MARK_OF_CONNECTION, 2, False),
        ({"meta": {"key": "mark"}}, 0x100000, False),
    ],
)
def test_a_rule_of_others_that_matches_our_mark_needs_it(left: object, right: object, needed: bool) -> None:
    rule = Rule([{"match": {"op": "==", "left": left, "right": right}}, {"accept": None}])
    chain = replace(FORWARD, rules=[rule])
    assert is_marked(state([replace(OTHERS[0], chains={"FORWARD": chain})])) is needed


def test_a_rule_of_iptables_that_matches_our_mark_needs_it() -> None:
    saved = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m connmark --mark 0x100000/0x100000 -j ACCEPT\nCOMMIT\n"
    assert is_marked(state(iptables.parse(saved, "ip", "iptables-nft")))
