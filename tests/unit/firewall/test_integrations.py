# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the firewalls of others are asked, and that nothing is asked twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.integrations import plan, warnings
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.integrations_read import (
    Firewalls,
    parse_ufw,
    zone_files,
)
from ansible_collections.virtnet.linux.plugins.module_utils.nft.elements import Rules
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset.evaluate import Chain, Rule, Table

# ufw 0.36.2.
RULES = """\
### tuple ### allow any 53 0.0.0.0/0 any 0.0.0.0/0 in_vn-lab comment=766972746e65742e6c696e7578
-A ufw-user-input -i vn-lab -p tcp --dport 53 -j ACCEPT
### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in_eth0 comment=77656273697465
### tuple ### route:allow any any 0.0.0.0/0 any 0.0.0.0/0 out_vn_a.b comment=766972746e65742e6c696e7578
"""


def done(bridges: set[str], current: Firewalls) -> list[str]:
    return [" ".join(command) for change in plan(bridges, current, Paths()) for command in change.commands]


def test_rules_of_ours_are_told_from_others_in_ufw() -> None:
    assert parse_ufw(RULES) == [("allow", "53", "in_vn-lab"), ("route:allow", "any", "out_vn_a.b")]


def test_nothing_is_asked_of_what_is_not_there() -> None:
    assert plan({"vn-lab"}, Firewalls(), Paths()) == []


def test_docker_gets_one_rule_and_loses_it() -> None:
    rule = "DOCKER-USER -m connmark --mark 0x100000/0x100000 -m comment --comment virtnet.linux -j ACCEPT"
    assert done({"a", "b"}, Firewalls(docker={"iptables-nft": False})) == [f"iptables-nft -w -I {rule}"]
    assert done({"a", "b"}, Firewalls(docker={"iptables-nft": True})) == []
    assert done(set(), Firewalls(docker={"iptables-nft": True})) == [f"iptables-nft -w -D {rule}"]


def test_ufw_gets_rules_for_each_bridge_and_loses_those_of_bridges_that_are_gone() -> None:
    ours = frozenset({("allow", "53", "in_old")})
    asked = done({"vn-lab"}, Firewalls(ufw=ours, ufw_enabled=True))
    assert asked[0] == "ufw delete allow in on old to any port 53"
    assert "ufw allow in on vn-lab to any port 67 proto udp comment virtnet.linux" in asked
    assert "ufw route allow out on vn-lab comment virtnet.linux" in asked
    assert len(asked) == 6
    # Switched off, it only loses.
    assert done({"vn-lab"}, Firewalls(ufw=ours)) == ["ufw delete allow in on old to any port 53"]
    assert done(set(), Firewalls(ufw=frozenset({("route:allow", "any", "in_old")}))) == [
        "ufw route delete allow in on old"
    ]


def test_firewalld_is_reloaded_for_a_new_zone_only() -> None:
    running = Firewalls(firewalld=True)
    (change,) = plan({"vn-lab"}, running, Paths())
    assert [file.path for file in change.files] == sorted(zone_files(Paths()))
    assert list(change.commands) == [["firewall-cmd", "--reload"]]
    there = replace(running, zone={f.path: f.content or "" for f in change.files}, bound=frozenset({"vn-lab"}))
    assert plan({"vn-lab"}, there, Paths()) == []
    assert done({"vn-lab", "vn-b"}, there) == ["firewall-cmd --zone=virtnet --change-interface=vn-b"]
    (gone,) = plan(set(), there, Paths())
    assert [file.content for file in gone.files] == [None] * 3
    assert list(gone.commands) == [["firewall-cmd", "--reload"]]
    # Stopped, it keeps what it has, and loses it with the networks.
    stopped = replace(there, firewalld=False, bound=None)
    assert plan({"vn-lab"}, stopped, Paths()) == []
    assert [list(change.commands) for change in plan(set(), stopped, Paths())] == [[]]


LAB = Rules("lab", "vn-lab", "nat", subnets=("192.168.77.0/24",))


def chain(hook: str, *statements: object, tool: str = "", table: str = "mine", **others: Chain) -> Table:
    base = Chain("ip", table, "c", tool, "filter", hook, policy="drop", rules=[Rule(list(statements), 1, "text")])
    return Table("ip", table, tool, chains={"c": base, **others})


@pytest.mark.parametrize("hook", ["forward", "input"])
def test_a_chain_that_drops_is_named_with_the_line_that_helps(hook: str) -> None:
    never = {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth7"}}
    (said,) = warnings(Firewalls(tables=[chain(hook, never, {"accept": None})]), [LAB], asked=True)
    assert "dropped by the policy of chain c of table ip mine" in said
    assert said.endswith("nft insert rule ip mine c 'ct mark & 0x00100000 != 0 accept'")
    # The line, as nft lists it.
    marked = {"match": {"op": "!=", "left": {"&": [{"ct": {"key": "mark"}}, 0x100000]}, "right": 0}}
    assert warnings(Firewalls(tables=[chain(hook, marked, {"accept": None})]), [LAB], asked=True) == []


def test_a_chain_that_drops_unless_a_rule_nobody_can_tell_accepts_may_drop() -> None:
    (said,) = warnings(Firewalls(tables=[chain("forward", {"unheard-of": {}}, {"accept": None})]), [LAB], asked=True)
    assert "may be dropped by the policy of chain c" in said
    # A rule that nobody can tell, and that drops, is for `virtnet check` to tell.
    doubtful = chain("forward", {"unheard-of": {}}, {"drop": None})
    doubtful.chains["c"].policy = "accept"
    assert warnings(Firewalls(tables=[doubtful]), [LAB], asked=True) == []


def test_chains_of_those_who_were_asked_are_not_named() -> None:
    user = {"DOCKER-USER": Chain("ip", "filter", "DOCKER-USER", "iptables-nft")}
    docker = Firewalls(tables=[chain("forward", {"counter": None}, tool="iptables-nft", table="filter", **user)])
    assert warnings(docker, [LAB], asked=True) == []
    (said,) = warnings(docker, [LAB], asked=False)
    assert said.endswith("iptables-nft -I DOCKER-USER -m connmark --mark 0x100000/0x100000 -j ACCEPT")
