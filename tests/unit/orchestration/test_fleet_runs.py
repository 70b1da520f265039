# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of a fleet, host by host: the filter, the module's plan, and what the hosts answer to the next run."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from ansible.utils.display import Display
from ansible_collections.virtnet.linux.plugins.filter.fleet import fleet as fleet_option
from ansible_collections.virtnet.linux.plugins.module_utils.core.network_history import NetworkHistory
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.ipam.allocator import AllocationSettings, read_fleet
from ansible_collections.virtnet.linux.plugins.module_utils.ipam.subnets import Pool, Share
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import read_network
from ansible_collections.virtnet.linux.plugins.module_utils.network.runtime import SETTINGS
from ansible_collections.virtnet.linux.plugins.module_utils.network.store import updated_history
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.reconciler import Networks
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.state import State

IDENTITY = "0123456789abcdef0123456789abcdef"
POOL = [Pool(ipaddress.IPv4Network("192.168.0.0/16"))]


@pytest.fixture(autouse=True)
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []
    monkeypatch.setattr(Display, "warning", lambda _self, text: texts.append(text))
    return texts


class Fleet:
    """Hosts with their lists and what they store; ``lies``: what a host answers instead."""

    def __init__(self, lists: Mapping[str, list[dict[str, Any]]], pools: list[Pool] = POOL) -> None:
        self.lists = dict(lists)
        self.pools = pools
        self.lies: dict[str, Any] = {}
        self.states = {host: State() for host in lists}

    def answer(self, host: str) -> Any:
        stored = [network.as_options() for network in self.states[host].definitions.values()]
        networks = [{"name": one["name"], "state": "active", "mode": one["mode"], "definition": one} for one in stored]
        return self.lies.get(host, {"networks": networks})

    def run(self, only: Iterable[str] = (), renumber: bool = False) -> int:
        """All hosts at once, as forks do, or those of ``--limit``; how many definitions changed."""
        hosts = sorted(only or self.lists)
        hostvars = {host: {"virtnet_networks": self.lists[host], "virtnet_held": self.answer(host)} for host in hosts}
        return sum(
            self._run(host, fleet_option(hostvars, host, hosts, bool(only), renumber=renumber)) for host in hosts
        )

    def _run(self, host: str, option: Mapping[str, Any]) -> int:
        state = self.states[host]
        others = read_fleet(Options({"fleet": option}), "fleet")
        listed = list(Options({"networks": self.lists[host]}).each("networks"))
        wanted = [read_network(one, IDENTITY) for one in listed]
        planned = Networks(wanted, False, Paths("/nowhere"), self.pools, others).plan(state)
        definitions = {one["name"]: read_network(Options(one), IDENTITY) for one in planned.result}
        history = {
            name: updated_history(state.history.get(name, NetworkHistory()), one)
            for name, one in {**state.definitions, **definitions}.items()
        }
        share = others.share or state.settings.share
        self.states[host] = State(
            definitions=definitions,
            history={**state.history, **history},
            settings=AllocationSettings(tuple(self.pools), share),
        )
        return len(planned.changed_networks - {SETTINGS})

    def subnets(self, *hosts: str) -> list[str]:
        return [str(one.subnet) for host in hosts for one in self.states[host].definitions.values()]


LAB = {"name": "lab"}
HONEST = ["a", "b", "c", "d"]


def settled() -> Fleet:
    fleet = Fleet({host: [LAB] for host in (*HONEST, "e")})
    fleet.run()
    return fleet


def lie(*addresses: str) -> dict[str, Any]:
    listed = [
        {"name": f"n{i}", "state": "active", "mode": "nat", "definition": {"ipv4": {"address": one}}}
        for i, one in enumerate(addresses)
    ]
    return {"networks": listed}


def test_honest_hosts_get_subnets_of_their_own_and_a_second_run_changes_nothing(warnings: list[str]) -> None:
    fleet = settled()
    assert len(set(fleet.subnets(*fleet.lists))) == 5
    assert fleet.run() == fleet.run(["b", "c"]) == fleet.run(["e"]) == 0
    assert warnings == []


_LIES = {
    "a pool": lie("192.168.0.1/16"),
    "everything": lie("0.0.0.0/0", "128.0.0.1/8", "192.0.0.1/8"),
    "the subnets of others": lie(*(f"192.168.{i}.1/24" for i in range(4))),
    "each subnet of the pool": lie(*(f"192.168.{i}.1/24" for i in range(256))),
    "65536 subnets": lie(*(f"192.{i // 256}.{i % 256}.1/24" for i in range(65536))),
    "halves of the pool": lie("192.168.0.1/17", "192.168.128.1/17"),
}


@pytest.mark.parametrize("answer", _LIES.values(), ids=_LIES)
def test_no_answer_moves_networks_of_other_hosts_or_blocks_new_ones(answer: Any) -> None:
    fleet = settled()
    before = fleet.subnets(*HONEST)
    fleet.lies["e"] = answer
    assert fleet.run(renumber=False) == fleet.run(["a", "e"]) == 0
    for host in HONEST:
        fleet.lists[host] = [LAB, {"name": "new"}, {"name": "more"}]
    assert fleet.run() == 8
    after = fleet.subnets(*HONEST)
    assert set(before) <= set(after)
    assert len(set(after)) == 12
    assert fleet.run() == 0


def test_hosts_with_the_same_subnet_keep_it_until_one_is_fixed_or_added_again(warnings: list[str]) -> None:
    fleet = Fleet({"a": [LAB], "b": [LAB]})
    fleet.run(["a"])
    fleet.run(["b"])
    assert fleet.subnets("a", "b") == ["192.168.0.0/24"] * 2
    assert fleet.run() == 0
    assert len([one for one in warnings if "of host a" in one and "of host b" in one]) == 2
    warnings.clear()
    fleet.lists["b"] = [{**LAB, "state": "absent"}]
    fleet.run()
    fleet.lists["b"] = [LAB]
    assert fleet.run() == 1
    assert fleet.subnets("a", "b") == ["192.168.0.0/24", "192.168.1.0/24"]
    assert fleet.run() == 0
    assert warnings == []


def test_the_later_of_two_hosts_with_the_same_subnet_moves_if_the_administrator_asks(
    warnings: list[str],
) -> None:
    fleet = Fleet({"a": [LAB], "b": [LAB]})
    fleet.run(["a"])
    fleet.run(["b"])
    assert fleet.run(renumber=True) == 1
    assert fleet.subnets("a", "b") == ["192.168.0.0/24", "192.168.1.0/24"]
    assert fleet.run() == 0
    assert warnings == []


def test_a_fixed_subnet_moves_networks_with_automatic_ones(warnings: list[str]) -> None:
    fleet = settled()
    taken = fleet.subnets("a")[0]
    fleet.lists["e"] = [{"name": "lab", "ipv4": {"address": str(ipaddress.IPv4Network(taken)[1]) + "/24"}}]
    assert fleet.run() == 2
    assert fleet.subnets("e") == [taken]
    assert len(set(fleet.subnets(*fleet.lists))) == 5
    assert fleet.run() == 0
    assert warnings == []


def test_a_new_host_gets_a_free_subnet() -> None:
    fleet = settled()
    before = fleet.subnets(*fleet.lists)
    fleet.lists["aa"], fleet.states["aa"] = [LAB, {"name": "dmz"}], State()
    assert fleet.run() == 2
    assert len(set(fleet.subnets(*fleet.lists))) == 7
    assert fleet.subnets(*HONEST, "e") == before
    assert fleet.states["aa"].settings.share == Share(1, 6)


def test_claims_beyond_the_share_count_while_subnets_are_free() -> None:
    pools = [Pool(ipaddress.IPv4Network("192.168.0.0/20"))]
    fleet = Fleet({"a": [{"name": f"n{i}"} for i in range(7)], "b": [LAB]}, pools)
    fleet.run()
    fleet.lists["a"] = [{"name": f"n{i}"} for i in range(12)]
    fleet.run()
    assert len(set(fleet.subnets("a", "b"))) == 13
    fleet.lists["b"] = [LAB, {"name": "dmz"}, {"name": "web"}]
    assert fleet.run() == 2
    assert len(set(fleet.subnets("a", "b"))) == 15
