# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How other firewalls are configured; a second run changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core import command
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.integrations import plan, remaining_drops
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.integrations_read import (
    Firewalls,
    parse_ufw,
    parse_zone,
    read,
    zone_files,
)
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.zones import RunningZones, parse_zones
from ansible_collections.virtnet.linux.plugins.module_utils.nft.elements import Rules
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset.model import Chain, Rule, Table

# ufw 0.36.2.
RULES = """\
### tuple ### allow any 53 0.0.0.0/0 any 0.0.0.0/0 in_vn-lab comment=766972746e65742e6c696e7578
-A ufw-user-input -i vn-lab -p tcp --dport 53 -j ACCEPT
### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in_eth0 comment=77656273697465
### tuple ### route:allow any any 0.0.0.0/0 any 0.0.0.0/0 out_vn_a.b comment=766972746e65742e6c696e7578
"""


def commands(bridges: set[str], current: Firewalls, redirected: frozenset[str] = frozenset()) -> list[str]:
    changes = plan(bridges, current, Paths(), redirected=redirected)
    return [" ".join(command) for change in changes for command in change.commands]


def test_our_rules_are_found_among_those_of_ufw() -> None:
    assert parse_ufw(RULES) == [("allow", "53", "in_vn-lab"), ("route:allow", "any", "out_vn_a.b")]


def test_firewalls_that_do_not_exist_are_not_configured() -> None:
    assert plan({"vn-lab"}, Firewalls(), Paths()) == []


def test_check_mode_sees_ufw_and_docker_before_nft_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    (tmp_path / "etc/ufw").mkdir(parents=True)
    programs.mkdir()
    (tmp_path / "etc/ufw/ufw.conf").write_text("ENABLED=yes\n")
    for name, code in (("ufw", 0), ("iptables", 0), ("ip6tables", 1)):
        (programs / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setattr(command, "SEARCH_PATH", str(programs))
    found = read(Paths(str(tmp_path)))
    assert (found.ufw_enabled, dict(found.docker)) == (True, {"iptables": False})


def test_docker_gets_one_rule_that_is_removed_with_the_last_bridge() -> None:
    rule = "DOCKER-USER -m connmark --mark 0x100000/0x100000 -m comment --comment virtnet.linux -j ACCEPT"
    assert commands({"a", "b"}, Firewalls(docker={"iptables-nft": False})) == [f"iptables-nft -w -I {rule}"]
    assert commands({"a", "b"}, Firewalls(docker={"iptables-nft": True})) == []
    assert commands(set(), Firewalls(docker={"iptables-nft": True})) == [f"iptables-nft -w -D {rule}"]


def test_ufw_gets_rules_of_each_bridge_and_loses_those_of_removed_bridges() -> None:
    ours = frozenset({("allow", "53", "in_old")})
    added = commands({"vn-lab"}, Firewalls(ufw=ours, ufw_enabled=True))
    assert added[0] == "ufw delete allow in on old to any port 53"
    assert "ufw allow in on vn-lab to any port 67 proto udp comment virtnet.linux" in added
    assert "ufw route allow out on vn-lab comment virtnet.linux" in added
    assert len(added) == 6
    # While it is disabled, rules are only deleted.
    assert commands({"vn-lab"}, Firewalls(ufw=ours)) == ["ufw delete allow in on old to any port 53"]
    assert commands(set(), Firewalls(ufw=frozenset({("route:allow", "any", "in_old")}))) == [
        "ufw route delete allow in on old"
    ]


def test_ports_of_a_private_dnsmasq_are_opened_for_bridges_that_are_redirected_to_them() -> None:
    networks = {"vn-lab", "vn-b"}
    current = Firewalls(ufw_enabled=True, firewalld=True)
    changes = plan(networks, current, Paths(), redirected={"vn-lab"})
    words = [" ".join(command) for change in changes for command in change.commands]
    assert [line for line in words if "230" in line] == [
        "ufw allow in on vn-lab to any port 23053 comment virtnet.linux",
        "ufw allow in on vn-lab to any port 23067 proto udp comment virtnet.linux",
    ]
    (zone,) = [file.content for change in changes for file in change.files if file.path == zone_files(Paths())[0]]
    assert zone is not None and '<port port="23067" protocol="udp"/>' in zone
    without = [file.content or "" for change in plan(networks, current, Paths()) for file in change.files]
    assert not any("<port" in text for text in without)


# As firewalld 2.3 prints it.
ZONE_INFO = """\
virtnet (active)
  target: default
  ingress-priority: 0
  interfaces: vn-lab
  sources:
  services: dhcp dhcpv6 dns tftp
  ports: 23053/tcp 23053/udp
  protocols: icmp ipv6-icmp
  forward: no
  rich rules:
"""


def test_firewalld_is_reloaded_only_when_the_zone_is_added_or_removed_or_lets_in_less() -> None:
    running = Firewalls(firewalld=True)
    (change,) = plan({"vn-lab"}, running, Paths())
    assert [file.path for file in change.files] == sorted(zone_files(Paths()))
    assert list(change.commands) == [["firewall-cmd", "--reload"]]
    bound, opened = parse_zone(ZONE_INFO)
    configured = replace(running, zone={f.path: f.content or "" for f in change.files}, bound=bound, opened=opened)
    assert plan({"vn-lab"}, configured, Paths()) == []
    assert commands({"vn-lab", "vn-b"}, configured) == ["firewall-cmd --zone=virtnet --change-interface=vn-b"]
    assert commands({"vn-lab"}, configured, frozenset({"vn-lab"})) == [
        "firewall-cmd --zone=virtnet --add-port=23067/udp"
    ]
    (opening,) = plan({"vn-lab"}, configured, Paths(), redirected={"vn-lab"})
    with_ports = replace(configured, zone={**configured.zone, **{f.path: f.content or "" for f in opening.files}})
    assert commands({"vn-lab"}, with_ports) == ["firewall-cmd --reload"]
    (removal,) = plan(set(), configured, Paths())
    assert [file.content for file in removal.files] == [None] * 3
    assert list(removal.commands) == [["firewall-cmd", "--reload"]]
    # While it is stopped, the files stay, and are removed with the networks.
    stopped = replace(configured, firewalld=False, bound=None, opened=frozenset())
    assert plan({"vn-lab"}, stopped, Paths()) == []
    assert [list(change.commands) for change in plan(set(), stopped, Paths())] == [[]]


def test_what_the_running_zone_of_firewalld_no_longer_has_is_added_again() -> None:
    bound, opened = parse_zone(ZONE_INFO.replace("dns ", "").replace("icmp ", "").replace("vn-lab", ""))
    files = plan({"vn-lab"}, Firewalls(firewalld=True), Paths())[0].files
    changed = Firewalls(firewalld=True, zone={f.path: f.content or "" for f in files}, bound=bound, opened=opened)
    (change,) = plan({"vn-lab"}, changed, Paths())
    assert [" ".join(command) for command in change.commands] == [
        "firewall-cmd --zone=virtnet --change-interface=vn-lab",
        "firewall-cmd --zone=virtnet --add-protocol=icmp",
        "firewall-cmd --zone=virtnet --add-service=dns",
    ]
    assert change.detail == "the running zone is as its file"


# As firewalld 1.3 prints it, with fewer lines.
ALL_ZONES = """\
guests (active)
  target: ACCEPT
  interfaces: vn-lab vn-b
  rich rules:
\trule family="ipv4" source address="192.0.2.9" reject

other
  interfaces:

public (default, active)
  interfaces: eth0
  sources: 192.0.2.0/24
"""


def test_bridges_are_bound_to_the_zones_of_the_users_choice() -> None:
    running = parse_zones(ALL_ZONES)
    assert running == RunningZones(
        ["guests", "other", "public"], {"vn-lab": "guests", "vn-b": "guests", "eth0": "public"}
    )
    current = Firewalls(firewalld=True, zones=running)

    def bound(bridges: set[str], zones: dict[str, str], recorded: dict[str, str]) -> list[str]:
        changes = plan(bridges, current, Paths(), zones=zones, recorded=recorded)
        return [" ".join(command) for change in changes for command in change.commands]

    assert bound({"vn-lab"}, {"vn-lab": "guests"}, {}) == []
    assert bound({"vn-lab"}, {"vn-lab": "other"}, {}) == ["firewall-cmd --zone=other --change-interface=vn-lab"]
    assert bound({"vn-lab"}, {"vn-lab": "gone"}, {}) == []
    # Of a removed network; one that was in no zone of ours is left alone.
    assert bound(set(), {}, {"vn-lab": "guests"}) == ["firewall-cmd --zone=guests --remove-interface=vn-lab"]
    assert bound(set(), {}, {"vn-lab": "other"}) == []
    # Our own zone is loaded with a bridge that loses another one.
    removed = "firewall-cmd --zone=guests --remove-interface=vn-lab"
    assert bound({"vn-lab"}, {}, {"vn-lab": "guests"}) == [removed, "firewall-cmd --reload"]
    # A reload ends what is bound at run time.
    assert bound({"vn-lab", "vn-b"}, {"vn-b": "guests"}, {"vn-lab": "guests", "vn-b": "guests"}) == [
        removed,
        "firewall-cmd --reload",
        "firewall-cmd --zone=guests --change-interface=vn-b",
    ]


def test_a_bridge_that_gets_another_zone_is_moved_at_once() -> None:
    bound, opened = parse_zone(ZONE_INFO.replace("vn-lab", "vn-lab vn-b"))
    running = Firewalls(firewalld=True, zones=RunningZones(["guests"], {"vn-lab": "virtnet", "vn-b": "virtnet"}))
    files = plan({"vn-lab", "vn-b"}, running, Paths())[0].files
    current = replace(running, zone={f.path: f.content or "" for f in files}, bound=bound, opened=opened)
    changes = plan({"vn-lab", "vn-b"}, current, Paths(), zones={"vn-b": "guests"})
    assert [list(change.commands) for change in changes] == [
        [],
        [["firewall-cmd", "--zone=guests", "--change-interface=vn-b"]],
    ]


def warnings(current: Firewalls, networks: list[Rules], *, integrate: bool) -> list[str]:
    return remaining_drops(current, networks, integrate=integrate, marks=True)


LAB = Rules("lab", "vn-lab", "nat", subnets=("192.168.77.0/24",))


def chain(hook: str, *statements: object, tool: str = "", table: str = "mine", **others: Chain) -> Table:
    base = Chain("ip", table, "c", tool, "filter", hook, policy="drop", rules=[Rule(list(statements), 1, "text")])
    return Table("ip", table, tool, chains={"c": base, **others})


@pytest.mark.parametrize("hook", ["forward", "input"])
def test_a_chain_that_drops_is_named_with_the_command_that_helps(hook: str) -> None:
    never = {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth7"}}
    (message,) = warnings(Firewalls(tables=[chain(hook, never, {"accept": None})]), [LAB], integrate=True)
    assert "dropped by the policy of chain c of table ip mine" in message
    assert message.endswith("nft insert rule ip mine c 'ct mark & 0x00100000 != 0 accept'")
    # The rule that the command adds, as nft lists it.
    marked = {"match": {"op": "!=", "left": {"&": [{"ct": {"key": "mark"}}, 0x100000]}, "right": 0}}
    assert warnings(Firewalls(tables=[chain(hook, marked, {"accept": None})]), [LAB], integrate=True) == []


def test_a_chain_that_drops_may_drop_where_a_rule_is_unknown() -> None:
    (message,) = warnings(
        Firewalls(tables=[chain("forward", {"unheard-of": {}}, {"accept": None})]), [LAB], integrate=True
    )
    assert "may be dropped by the policy of chain c" in message
    # An unknown rule that drops is reported by `virtnet check` only.
    unknown = chain("forward", {"unheard-of": {}}, {"drop": None})
    unknown.chains["c"].policy = "accept"
    assert warnings(Firewalls(tables=[unknown]), [LAB], integrate=True) == []


def test_chains_of_configured_firewalls_are_not_named() -> None:
    user = {"DOCKER-USER": Chain("ip", "filter", "DOCKER-USER", "iptables-nft")}
    docker = Firewalls(tables=[chain("forward", {"counter": None}, tool="iptables-nft", table="filter", **user)])
    assert warnings(docker, [LAB], integrate=True) == []
    (message,) = warnings(docker, [LAB], integrate=False)
    assert message.endswith("iptables-nft -I DOCKER-USER -m connmark --mark 0x100000/0x100000 -j ACCEPT")
