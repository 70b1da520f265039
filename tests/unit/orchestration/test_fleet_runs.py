# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of a fleet, host by host: the filter, the module's plan, and what the next run is then answered."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from ansible.utils.display import Display
from ansible_collections.virtnet.linux.plugins.filter.fleet import fleet
from ansible_collections.virtnet.linux.plugins.module_utils.core.network_history import NetworkHistory
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.ipam.allocator import AllocationSettings, read_fleet
from ansible_collections.virtnet.linux.plugins.module_utils.ipam.subnets import Pool, Share
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import read_network
from ansible_collections.virtnet.linux.plugins.module_utils.network.store import updated_history
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.reconciler import Networks
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.state import State

IDENTITY = "0123456789abcdef0123456789abcdef"
POOL = [Pool(ipaddress.IPv4Network("192.168.0.0/16"))]


@pytest.fixture(autouse=True)
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(Display, "warning", lambda _self, text: found.append(text))
    return found


class Fleet:
    """Hosts with their lists and what they store; ``lies``: what a host answers instead."""

    def __init__(self, lists: Mapping[str, list[dict[str, Any]]], pools: list[Pool] = POOL) -> None:
        self.lists = dict(lists)
        self.pools = pools
        self.lies: dict[str, Any] = {}
        self.states = {host: State() for host in lists}

    def answer(self, host: str) -> Any:
        stored = [one.as_options() for one in self.states[host].definitions.values()]
        told = [{"name": one["name"], "state": "active", "mode": one["mode"], "definition": one} for one in stored]
        return self.lies.get(host, {"networks": told})

    def run(self, only: Iterable[str] = (), renumber: bool = False) -> int:
        """All hosts at once, as forks do, or those of ``--limit``; how many definitions changed."""
        hosts = sorted(only or self.lists)
        hostvars = {host: {"virtnet_networks": self.lists[host], "virtnet_held": self.answer(host)} for host in hosts}
        return sum(self._run(host, fleet(hostvars, host, hosts, bool(only), renumber=renumber)) for host in hosts)

    def _run(self, host: str, option: Mapping[str, Any]) -> int:
        state = self.states[host]
        told = read_fleet(Options({"fleet": option}), "fleet")
        listed = list(Options({"networks": self.lists[host]}).each("networks"))
        wanted = [read_network(one, IDENTITY) for one in listed]
        done = Networks(wanted, False, Paths("/nowhere"), self.pools, told).plan(state)
        definitions = {one["name"]: read_network(Options(one), IDENTITY) for one in done.result}
        memory = {
            name: updated_history(state.history.get(name, NetworkHistory()), one)
            for name, one in {**state.definitions, **definitions}.items()
        }
        share = told.share or state.settings.share
        self.states[host] = State(
            definitions=definitions,
            history={**state.history, **memory},
            settings=AllocationSettings(tuple(self.pools), share),
        )
        return sum(1 for change in done.changes if change.network)

    def subnets(self, *hosts: str) -> list[str]:
        return [str(one.subnet) for host in hosts for one in self.states[host].definitions.values()]


LAB = {"name": "lab"}
HONEST = ["a", "b", "c", "d"]


def settled() -> Fleet:
    found = Fleet({host: [LAB] for host in (*HONEST, "e")})
    found.run()
    return found


def lie(*addresses: str) -> dict[str, Any]:
    listed = [
        {"name": f"n{i}", "state": "active", "mode": "nat", "definition": {"ipv4": {"address": one}}}
        for i, one in enumerate(addresses)
    ]
    return {"networks": listed}


def test_honest_hosts_get_subnets_of_their_own_and_a_second_run_changes_nothing(warnings: list[str]) -> None:
    found = settled()
    assert len(set(found.subnets(*found.lists))) == 5
    assert found.run() == found.run(["b", "c"]) == found.run(["e"]) == 0
    assert warnings == []


_LIES = {
    "a pool": lie("192.168.0.1/16"),
    "everything": lie("0.0.0.0/0", "128.0.0.1/8", "192.0.0.1/8"),
    "the subnets of others": lie(*(f"192.168.{i}.1/24" for i in range(4))),
    "each subnet of the pool": lie(*(f"192.168.{i}.1/24" for i in range(256))),
    "65536 subnets": lie(*(f"192.{i // 256}.{i % 256}.1/24" for i in range(65536))),
    "halves of the pool": lie("192.168.0.1/17", "192.168.128.1/17"),
}


@pytest.mark.parametrize("told", _LIES.values(), ids=_LIES)
def test_no_answer_moves_what_others_hold_or_keeps_new_networks_from_them(told: Any) -> None:
    found = settled()
    before = found.subnets(*HONEST)
    found.lies["e"] = told
    assert found.run(renumber=False) == found.run(["a", "e"]) == 0
    for host in HONEST:
        found.lists[host] = [LAB, {"name": "new"}, {"name": "more"}]
    assert found.run() == 8
    after = found.subnets(*HONEST)
    assert set(before) <= set(after)
    assert len(set(after)) == 12
    assert found.run() == 0


def test_hosts_that_hold_the_same_stay_until_one_is_fixed_or_added_again(warnings: list[str]) -> None:
    found = Fleet({"a": [LAB], "b": [LAB]})
    found.run(["a"])
    found.run(["b"])
    assert found.subnets("a", "b") == ["192.168.0.0/24"] * 2
    assert found.run() == 0
    assert len([one for one in warnings if "of host a" in one and "of host b" in one]) == 2
    warnings.clear()
    found.lists["b"] = [{**LAB, "state": "absent"}]
    found.run()
    found.lists["b"] = [LAB]
    assert found.run() == 1
    assert found.subnets("a", "b") == ["192.168.0.0/24", "192.168.1.0/24"]
    assert found.run() == 0
    assert warnings == []


def test_the_later_of_two_hosts_that_hold_the_same_moves_where_the_administrator_asks_for_it(
    warnings: list[str],
) -> None:
    found = Fleet({"a": [LAB], "b": [LAB]})
    found.run(["a"])
    found.run(["b"])
    assert found.run(renumber=True) == 1
    assert found.subnets("a", "b") == ["192.168.0.0/24", "192.168.1.0/24"]
    assert found.run() == 0
    assert warnings == []


def test_what_the_administrator_fixes_moves_networks_that_were_chosen(warnings: list[str]) -> None:
    found = settled()
    taken = found.subnets("a")[0]
    found.lists["e"] = [{"name": "lab", "ipv4": {"address": str(ipaddress.IPv4Network(taken)[1]) + "/24"}}]
    assert found.run() == 2
    assert found.subnets("e") == [taken]
    assert len(set(found.subnets(*found.lists))) == 5
    assert found.run() == 0
    assert warnings == []


def test_a_host_that_joins_gets_a_subnet_that_nobody_holds() -> None:
    found = settled()
    before = found.subnets(*found.lists)
    found.lists["aa"], found.states["aa"] = [LAB, {"name": "dmz"}], State()
    assert found.run() == 2
    assert len(set(found.subnets(*found.lists))) == 7
    assert found.subnets(*HONEST, "e") == before
    assert found.states["aa"].settings.share == Share(1, 6)


def test_a_host_with_more_networks_than_its_share_is_heeded_while_subnets_are_left() -> None:
    pools = [Pool(ipaddress.IPv4Network("192.168.0.0/20"))]
    found = Fleet({"a": [{"name": f"n{i}"} for i in range(7)], "b": [LAB]}, pools)
    found.run()
    found.lists["a"] = [{"name": f"n{i}"} for i in range(12)]
    found.run()
    assert len(set(found.subnets("a", "b"))) == 13
    found.lists["b"] = [LAB, {"name": "dmz"}, {"name": "web"}]
    assert found.run() == 2
    assert len(set(found.subnets("a", "b"))) == 15
