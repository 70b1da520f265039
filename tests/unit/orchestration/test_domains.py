# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The domains of networks that name none: chosen when they are defined, kept afterwards, nobody else's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.network_history import NetworkHistory
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.network.domains import domain_candidates
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import read_network
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.definition_changes import NetworksPlan
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.desired_state import (
    ENTRIES,
    FRAGMENTS,
)
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.domains import read_searched_domains
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.reconciler import Networks
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.state import State
from hypothesis import given
from hypothesis import strategies as st

HOST = "0123456789abcdef0123456789abcdef"
LAB: dict[str, Any] = {"name": "lab"}


def plan(*items: dict[str, Any], state: State | None = None) -> NetworksPlan:
    networks = [read_network(options, HOST) for options in Options({"networks": list(items)}).each("networks")]
    planned = Networks(networks, False, Paths("/nowhere")).plan(state or State())
    assert isinstance(planned, NetworksPlan)
    return planned


def domains(planned: NetworksPlan) -> dict[str, str | None]:
    return {str(one["name"]): one["dns"]["domain"] for one in planned.result}


def stored(*items: dict[str, Any]) -> State:
    """The host after a run with these networks."""
    return State(definitions={one["name"]: read_network(Options(one), HOST) for one in plan(*items).result})


def stored_without_domain(*items: dict[str, Any]) -> State:
    """The host after a run with these networks by a version without automatic domains."""
    definitions = stored(*items).definitions
    return State(definitions={name: network.with_domain(None) for name, network in definitions.items()})


def test_a_new_network_that_names_no_domain_gets_its_name_below_internal() -> None:
    planned = plan(LAB, {"name": "dmz", "dns": {"domain": None}}, {"name": "own", "dns": {"domain": "own.example"}})
    assert domains(planned) == {"lab": "lab.internal", "dmz": "dmz.internal", "own": "own.example"}


def test_a_domain_whose_queries_a_network_forwards_is_not_chosen() -> None:
    forwarders = [{"domain": "corp.internal", "address": "10.0.0.53"}]
    (domain,) = domains(plan({"name": "corp", "dns": {"forwarders": forwarders}})).values()
    assert domain and domain != "corp.internal" and domain.endswith(".internal")


def test_guests_and_the_host_learn_the_automatic_domain_and_others_do_not_ask_for_it_elsewhere() -> None:
    specs = plan(LAB).specs
    (fragment,), (entry,) = specs[FRAGMENTS], specs[ENTRIES]
    assert (fragment["domain"], fragment["local_only"], entry["domain"]) == ("lab.internal", True, "lab.internal")


@pytest.mark.parametrize(
    "network",
    [
        {**LAB, "dns": {"domain": ""}},
        {**LAB, "dns": {"enabled": False}},
        {**LAB, "mode": "open", "ipv4": {"address": "none"}},
        {**LAB, "mode": "bridged", "bridge": {"name": "br0"}, "state": "inactive"},
        {"xml": "<network><name>lab</name><forward mode='nat'/><ip address='10.9.0.1' prefix='24'/></network>"},
    ],
)
def test_a_network_without_a_use_for_a_domain_has_none(network: dict[str, Any]) -> None:
    state = State(has_libvirt=True)
    assert not domains(plan(network, state=state))["lab"]
    definitions = {one["name"]: read_network(Options(one), HOST) for one in plan(network, state=state).result}
    assert plan(network, state=replace(state, definitions=definitions)).changes == []


def test_xml_with_a_domain_keeps_it() -> None:
    xml = "<network><name>lab</name><domain name='x.test'/><ip address='10.9.0.1' prefix='24'/></network>"
    assert domains(plan({"xml": xml})) == {"lab": "x.test"}


def test_a_second_run_keeps_the_automatic_domain() -> None:
    assert plan(LAB, state=stored(LAB)).changes == []
    assert domains(plan({"name": "dmz"}, state=stored(LAB))) == {"lab": "lab.internal", "dmz": "dmz.internal"}


@pytest.mark.parametrize("dns", [{}, {"domain": ""}])
def test_a_network_that_is_stored_without_a_domain_keeps_none(dns: dict[str, Any]) -> None:
    state = stored_without_domain(LAB)
    again = plan({**LAB, "dns": dns}, {"name": "new"}, state=state)
    assert domains(again) == {"lab": None, "new": "new.internal"}
    assert [change.network for change in again.changes] == ["new"]


def test_a_domain_that_is_named_no_more_becomes_the_automatic_one() -> None:
    state = stored({**LAB, "dns": {"domain": "lab.example"}})
    assert domains(plan(LAB, state=state)) == {"lab": "lab.internal"}
    assert domains(plan(LAB, state=stored({**LAB, "dns": {"domain": ""}}))) == {"lab": "lab.internal"}


def test_a_network_that_gets_a_name_server_later_gets_a_domain_with_it() -> None:
    state = stored({**LAB, "dns": {"enabled": False}})
    assert domains(plan(LAB, state=state)) == {"lab": "lab.internal"}


def test_networks_with_similar_names_get_different_domains_in_any_order() -> None:
    names = ["a_b", "a.b", "A-B", "a-b"]
    items = [{"name": name} for name in names]
    chosen = domains(plan(*items))
    assert chosen == domains(plan(*reversed(items)))
    assert chosen["a-b"] == "a-b.internal" and len(set(chosen.values())) == 4
    # One that comes later takes the domain of none.
    later = plan({"name": "Lab"}, state=stored(LAB))
    assert domains(later)["lab"] == "lab.internal" and domains(later)["Lab"] not in ("lab.internal", None)


def test_a_domain_that_another_network_names_is_not_chosen() -> None:
    chosen = domains(plan({"name": "own", "dns": {"domain": "lab.internal"}}, LAB))
    assert chosen["lab"] not in ("lab.internal", "", None)
    state = stored({"name": "own", "dns": {"domain": "lab.internal"}})
    assert domains(plan(LAB, state=state)) == chosen


@pytest.mark.parametrize("searched", ["lab.internal", "corp.lab.internal"])
def test_a_domain_in_which_the_host_finds_names_of_others_is_not_chosen(searched: str) -> None:
    assert domains(plan(LAB, state=State(searched=[searched])))["lab"] not in ("lab.internal", None)
    assert domains(plan(LAB, state=State(searched=["internal", "other.internal"])))["lab"] == "lab.internal"


def test_a_network_whose_definition_is_lost_gets_the_domain_that_the_host_still_searches() -> None:
    state = State(searched=["lab.internal"], history={"lab": NetworkHistory({"vn-lab": "52:54:00:00:00:01"})})
    assert domains(plan(LAB, state=state)) == {"lab": "lab.internal"}


@pytest.mark.parametrize("name", ["google", "docker", "virtnet"])
def test_a_domain_of_clouds_container_engines_and_private_instances_is_not_chosen(name: str) -> None:
    assert domains(plan({"name": name}))[name] not in (f"{name}.internal", None)


def test_searched_domains_are_those_of_the_host_without_ours(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").write_text("search Corp.internal. lab.internal\nnameserver 10.0.0.53\n")
    (tmp_path / "run/virtnet").mkdir(parents=True)
    assert read_searched_domains(Paths(str(tmp_path))) == {"corp.internal", "lab.internal"}
    entry = '[{"interface": "vn-lab", "addresses": ["192.168.0.1"], "domain": "lab.internal"}]'
    (Path(Paths(str(tmp_path)).runtime) / "resolver-entries").write_text(entry)
    assert read_searched_domains(Paths(str(tmp_path))) == {"corp.internal"}
    (tmp_path / "etc/resolv.conf").unlink()
    assert read_searched_domains(Paths(str(tmp_path))) == set()
    (tmp_path / "etc/resolv.conf").mkdir()
    assert read_searched_domains(Paths(str(tmp_path))) == set()


def test_plain_names_of_records_are_names_of_the_automatic_domain() -> None:
    dns = {"hosts": [{"ip": "10.9.0.9", "names": ["nas"]}], "cname": [{"name": "files", "target": "nas"}]}
    network = {**LAB, "ipv4": {"address": "10.9.0.1/24"}, "dns": dns, "dnsmasq": {"instance": "system"}}
    (result,) = plan(network).result
    assert result["dns"]["hosts"][0]["names"] == ["nas.lab.internal"]
    assert result["dns"]["cname"] == [{"name": "files.lab.internal", "target": "nas.lab.internal"}]
    outside = {**network, "dns": {"hosts": [{"ip": "10.9.0.9", "names": ["nas.example"]}]}}
    with pytest.raises(InvalidOption, match=r"networks\[0\].dns.hosts\[0\].names\[0\]: nas.example is outside"):
        plan(outside)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}", fullmatch=True))
def test_every_name_of_a_network_gives_valid_domains(name: str) -> None:
    candidates = domain_candidates(name)
    assert len(set(candidates)) == len(candidates)
    for domain in candidates:
        assert Options({"domain": domain}).domain("domain") == domain
        assert domain.count(".") == 1 and "_" not in domain and not domain.startswith("-") and "-." not in domain
