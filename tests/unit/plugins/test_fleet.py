# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter that tells a host of the others: what counts, what does not, and what is warned of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from ansible.errors import AnsibleUndefinedVariable
from ansible.utils.display import Display
from ansible_collections.virtnet.linux.plugins.filter.fleet import fleet
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.ipam.allocator import read_fleet
from ansible_collections.virtnet.linux.plugins.plugin_utils.fleet_claims import MOST_CLAIMS
from hypothesis import given, settings
from hypothesis import strategies as st

HOSTS = ["b", "a", "c"]


def network(name: str, address: str, auto: bool = True) -> dict[str, Any]:
    definition = {"ipv4": {"address": address, "auto": auto}}
    return {"name": name, "state": "active", "mode": "nat", "definition": definition}


def holds(**networks: tuple[str, bool]) -> dict[str, Any]:
    return {"networks": [network(name, address, auto) for name, (address, auto) in networks.items()]}


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(Display, "warning", lambda _self, text: found.append(text))
    return found


def test_every_host_has_a_place_of_its_own_whatever_the_order() -> None:
    variables: dict[str, Any] = {host: {} for host in HOSTS}
    assert [fleet(variables, host, HOSTS)["position"] for host in ("a", "b", "c")] == [0, 1, 2]
    assert fleet(variables, "b", list(reversed(HOSTS))) == {"position": 1, "of": 3, "held": []}
    assert fleet(variables, "b", ["b"], True) == {"held": []}


def test_networks_move_only_for_what_the_administrator_fixed(warnings: list[str]) -> None:
    variables: dict[str, Any] = {
        "a": {"virtnet_held": holds(lab=("192.168.1.1/24", True), none=("none", False))},
        "b": {"virtnet_held": holds(lab=("192.168.2.1/24", True), old=("192.168.3.1/24", False))},
        "c": {"virtnet_networks": [{"name": "x", "ipv4": {"address": "10.0.0.1/24"}}, {"name": "y"}]},
    }
    fixed = {"host": "c", "network": "x", "subnet": "10.0.0.1/24", "first": True}
    lab_b = {"host": "b", "network": "lab", "subnet": "192.168.2.1/24", "first": False}
    old_b = {"host": "b", "network": "old", "subnet": "192.168.3.1/24", "first": False}
    lab_a = {"host": "a", "network": "lab", "subnet": "192.168.1.1/24", "first": False}
    assert fleet(variables, "a", HOSTS)["held"] == [lab_b, old_b, fixed]
    assert fleet(variables, "b", HOSTS)["held"] == [lab_a, fixed]
    assert warnings == []


def test_what_the_list_fixes_or_removes_takes_the_place_of_what_is_stored() -> None:
    listed = [{"name": "lab", "ipv4": {"address": "10.0.0.1/24"}}, {"name": "old", "state": "absent"}]
    told = holds(lab=("192.168.1.1/24", True), old=("192.168.2.1/24", True), more=("192.168.3.1/24", True))
    variables: dict[str, Any] = {"a": {}, "b": {"virtnet_networks": listed, "virtnet_held": told}}
    held = fleet(variables, "a", ["a", "b"])["held"]
    assert [(one["network"], one["subnet"], one["first"]) for one in held] == [
        ("lab", "10.0.0.1/24", True),
        ("more", "192.168.3.1/24", False),
    ]


def same(*hosts: str) -> dict[str, Any]:
    return {host: {"virtnet_held": holds(lab=("192.168.1.1/24", True))} for host in hosts}


def test_two_hosts_that_hold_the_same_both_stay_and_both_are_named(warnings: list[str]) -> None:
    variables = same("a", "b")
    for me in ("a", "b"):
        assert [one["first"] for one in fleet(variables, me, ["a", "b"])["held"]] == [False]
    assert len(warnings) == 2
    mine, its = "network 'lab' of host a (192.168.1.0/24)", "network 'lab' of host b (192.168.1.0/24)"
    assert warnings[0].startswith(f"{mine} overlaps {its}; no host's networks move")
    assert "Give one of them a fixed ipv4.address" in warnings[0]
    assert warnings[1].startswith(f"{its} overlaps {mine}; no host's networks move")


def test_the_administrator_lets_the_later_host_move_once(warnings: list[str]) -> None:
    variables = same("a", "b")
    firsts = {me: fleet(variables, me, ["a", "b"], renumber=True)["held"][0]["first"] for me in ("a", "b")}
    assert firsts == {"a": False, "b": True}
    assert warnings == []


@pytest.mark.parametrize("address", ["192.168.1.1/24", "192.168.1.1"])
def test_a_network_that_moves_for_a_fixed_address_is_not_warned_of(address: str, warnings: list[str]) -> None:
    variables = same("a", "b")
    variables["b"]["virtnet_networks"] = [{"name": "lab", "ipv4": {"address": address}}]
    assert [one["first"] for one in fleet(variables, "a", ["a", "b"])["held"]] == [True]
    fleet(variables, "b", ["a", "b"])
    assert warnings == []


def test_hosts_outside_a_limited_play_are_not_asked(warnings: list[str]) -> None:
    assert fleet(same("a", "b"), "b", ["b"], True) == {"held": []}
    assert warnings == []


@pytest.mark.parametrize(
    "subnet", ["192.168.0.1/16", "192.168.7.1/24", "10.0.0.1/8", "128.0.0.1/8"], ids=lambda one: one.replace("/", "-")
)
def test_a_claim_moves_no_network_of_another_host(subnet: str, warnings: list[str]) -> None:
    """The subnets of a pool, of another host, and of more than any host has."""
    variables = same("a", "b")
    variables["b"]["virtnet_held"] = holds(evil=(subnet, False))
    assert [one["first"] for one in fleet(variables, "a", ["a", "b"])["held"]] == [False]
    assert all("host b" in one for one in warnings)


@pytest.mark.parametrize(
    "address", ["0.0.0.0/0", "0.0.0.1/0", "1.2.3.4/7", "224.0.0.1/24", "127.0.0.1/8", "192.168.1.0/24", "0.0.0.0/8"]
)
def test_an_address_that_no_network_can_have_does_not_count(address: str, warnings: list[str]) -> None:
    told = {"networks": [network("evil", address, False), network("lab", "192.168.9.1/24")]}
    held = fleet({"a": {}, "b": {"virtnet_held": told}}, "a", ["a", "b"])["held"]
    assert [one["network"] for one in held] == ["lab"]
    assert warnings == [f"host b: claims {address} for network 'evil', which no network of guests can have"]


_BROKEN: list[Any] = [
    {"networks": [{"name": "lab", "state": "active", "mode": "nat"}]},
    {"networks": [network("lab", "evil")]},
    {"networks": [{**network("lab", "192.168.1.1/24"), "ports": 3}]},
    {"networks": [network("lab", "fd00::1/64")]},
    {"networks": [network("lab", "192.168.1.1/24\x00")]},
    {"networks": [network(f"n{i}", f"10.{i // 256}.{i % 256}.1/24") for i in range(5000)]},
    {"networks": [network("{{ lookup('pipe', 'id') }}", "192.168.1.1/24")]},
    {"networks": {"lab": network("lab", "192.168.1.1/24")}},
    {"networks": [network("lab", float("nan"))]},  # type: ignore[arg-type]
    {"failed": True, "msg": "it is cut off"},
    ["a"],
    "text",
]


@pytest.mark.parametrize("told", _BROKEN, ids=range(len(_BROKEN)))
def test_what_is_wrong_with_one_answer_is_that_hosts_error(told: Any, warnings: list[str]) -> None:
    variables = {"a": {}, "b": {"virtnet_held": told}, "c": {"virtnet_held": holds(lab=("192.168.5.1/24", True))}}
    held = fleet(variables, "a", HOSTS)["held"]
    assert [one["host"] for one in held] == ["c"]
    (text,) = warnings
    assert text.startswith("host b: what it holds is not known: ")
    assert text.isprintable() and len(text) < 300


@pytest.mark.parametrize(
    "listed",
    [
        3, "lab", {"lab": {}}, [3], [{}], [{"name": 3}], [{"name": "lab", "ipv4": 3}],
        [{"name": "lab", "ipv4": {"address": "evil"}}], [{"name": "lab", "ipv4": {"address": ["10.0.0.1/24"]}}],
    ],
)  # fmt: skip
def test_a_wrong_list_of_one_host_is_for_that_host_to_refuse(listed: Any) -> None:
    good = {"name": "dmz", "ipv4": {"address": "10.1.0.1/24"}}
    more = [*listed, good] if isinstance(listed, list) else listed
    held = fleet({"a": {}, "b": {"virtnet_networks": more}}, "a", ["a", "b"])["held"]
    assert [one["network"] for one in held] == (["dmz"] if isinstance(listed, list) else [])


class Failing(Mapping[str, Any]):
    """The variables of a host whose templates fail."""

    def __getitem__(self, name: str) -> Any:
        raise AnsibleUndefinedVariable(f"'{name}' is undefined")

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_variables_of_one_host_that_cannot_be_read_stop_no_other_host(warnings: list[str]) -> None:
    assert fleet({"a": {}, "b": Failing()}, "a", ["a", "b"])["held"] == []
    assert warnings[0].startswith("host b: its variables cannot be read: ")


def test_a_list_that_a_host_gives_itself_as_a_fact_is_not_the_administrators(warnings: list[str]) -> None:
    listed = [{"name": "evil", "ipv4": {"address": "192.168.0.1/16"}}]
    variables = {"a": {}, "b": {"virtnet_networks": listed, "ansible_facts": {"virtnet_networks": listed}}}
    (one,) = fleet(variables, "a", ["a", "b"])["held"]
    assert one["first"] is False
    assert "host b: gives itself virtnet_networks as a fact" in warnings[0]


def test_a_host_with_more_claims_than_any_has_counts_up_to_the_bound(warnings: list[str]) -> None:
    told = {"networks": [network(f"n{i:04}", f"10.{i // 256}.{i % 256}.1/24") for i in range(MOST_CLAIMS + 1)]}
    listed = [{"name": "x", "ipv4": {"address": "10.200.0.1/24"}}]
    held = fleet({"a": {}, "b": {"virtnet_held": told, "virtnet_networks": listed}}, "a", ["a", "b"])["held"]
    assert len(held) == MOST_CLAIMS + 1
    assert held[0]["network"] == "x"
    assert warnings == [f"host b: claims {MOST_CLAIMS + 1} subnets; the first {MOST_CLAIMS} count"]


def test_a_network_of_libvirts_own_holds_nothing(warnings: list[str]) -> None:
    told = {"name": "default", "state": "active", "mode": "libvirt", "definition": {"name": "default", "xml": "<x/>"}}
    assert fleet({"a": {}, "b": {"virtnet_held": {"networks": [told]}}}, "a", ["a", "b"])["held"] == []
    assert warnings == []


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["10.0.0.1/24", "lab"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "ipv4", "address", "networks", "definition", "state"]), inner)
    ),
    max_leaves=15,
)


@settings(max_examples=200)
@given(_ANY, _ANY, _ANY)
def test_whatever_a_host_answers_the_option_is_one_that_the_module_reads(listed: Any, told: Any, facts: Any) -> None:
    variables = {"a": {}, "b": {"virtnet_networks": listed, "virtnet_held": told, "ansible_facts": facts}}
    option = fleet(variables, "a", ["a", "b"])
    assert json.loads(json.dumps(option)) == option
    read_fleet(Options({"fleet": option}), "fleet")
