# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that no guest gets by requesting them, and which networks share a private dnsmasq because of their names."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.placement import Placement
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.private_files import SHARED
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.reserved_names import (
    WELL_KNOWN,
    of_records,
    plain_rows,
    reserved_lines,
    reserved_names,
    static_names,
    static_rows,
)
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.spec import FragmentSpec
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.target import separate_by_domain
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import read_network

WEB = {"mac": "52:54:00:00:00:01", "name": "Web", "ip": "10.0.1.5"}
DB = {"id": "red", "name": "db"}
BY_NAME = {"name": "printer", "ip": "10.0.1.6"}


def spec(name: str = "lab", **more: Any) -> FragmentSpec:
    ranges = [{"start": "10.0.1.20", "end": "10.0.1.30"}]
    options = {"name": name, "interface": f"vn-{name}", "address": "10.0.1.1/24", "ranges": ranges, **more}
    return FragmentSpec.from_options(Options(options, "fragments[0]"))


def beyond_well_known(network: FragmentSpec, ipv6_names: bool = False) -> set[str]:
    names = set(reserved_names(network, ipv6_names))
    assert names >= set(WELL_KNOWN)
    return names - set(WELL_KNOWN)


def lines_of(network: FragmentSpec, *, full_names_only: bool) -> list[str]:
    names = reserved_names(network, False, full_names_only=full_names_only)
    return list(reserved_lines(network, names, full_names_only=full_names_only))


def test_static_hosts_with_an_address_are_rows_by_full_and_plain_name() -> None:
    network = spec(domain="lab.test", hosts=[WEB, DB, BY_NAME])
    assert [row for _option, row in static_rows(network)] == [
        "10.0.1.5 Web.lab.test Web",
        "10.0.1.6 printer.lab.test printer",
    ]
    assert [row for _option, row in static_rows(spec(hosts=[WEB]))] == ["10.0.1.5 Web"]


def test_records_of_the_domain_have_their_plain_names_in_a_private_instance() -> None:
    names = {
        "hosts": [
            {"ip": "10.0.1.9", "names": ["api", "console.lab.test", "api.other.test", "a.b.lab.test", "lab.test"]},
            {"ip": "10.9.0.1", "names": ["outside", "localhost"]},
            {"ip": "10.0.1.10", "names": ["web", "db", "nas"]},
        ]
    }
    network = spec(domain="lab.test", names=names, hosts=[WEB, DB])
    inside = ["10.0.1.9 api console", "10.0.1.10 nas"]
    assert [row for _option, row in plain_rows(network, is_shared=True)] == inside
    rows = [row for _option, row in plain_rows(network, is_shared=False)]
    assert rows == [inside[0], "10.9.0.1 outside", inside[1]]
    assert not list(plain_rows(spec(names={"hosts": [{"ip": "10.0.1.9", "names": ["api"]}]}), is_shared=False))


@pytest.mark.parametrize("name", ["my_db.lab.test", "My_db.other.example", "my_db"])
def test_a_static_host_has_the_first_label_of_its_name_in_the_domain_of_the_network(name: str) -> None:
    host = {"mac": WEB["mac"], "name": name}
    assert static_names(spec(domain="lab.test", hosts=[host])) == {"my_db", "my_db.lab.test"}
    assert beyond_well_known(spec(domain="lab.test", hosts=[host])) == {"my_db"}
    rows = [row.lower() for _option, row in static_rows(spec(domain="lab.test", hosts=[{**host, "ip": "10.0.1.5"}]))]
    assert rows == ["10.0.1.5 my_db.lab.test my_db"]


@pytest.mark.parametrize(
    "names",
    [
        {"hosts": [{"ip": "10.0.1.9", "names": ["web"]}]},
        {"cname": [{"name": "web", "target": "other"}]},
    ],
)
def test_a_record_takes_precedence_over_a_static_host_of_the_same_name(names: dict[str, Any]) -> None:
    rows = [row for _option, row in static_rows(spec(domain="lab.test", hosts=[WEB], names=names))]
    assert rows == ["10.0.1.5 Web"]


def test_only_names_without_an_address_of_each_family_need_more_than_a_row() -> None:
    network = spec(domain="lab.test", hosts=[WEB, DB, BY_NAME])
    assert beyond_well_known(network) == {"db"}
    assert beyond_well_known(network, ipv6_names=True) == {"db", "web"}
    record = {"hosts": [{"ip": "10.0.1.9", "names": ["nas", "x.y.lab.test"]}, {"ip": "fd00::9", "names": ["six"]}]}
    assert beyond_well_known(spec(domain="lab.test", names=record), ipv6_names=True) == {"nas", "six"}


def test_a_static_host_of_both_families_needs_only_rows() -> None:
    ipv6 = {"address": "fd00::1/64", "hosts": [{"mac": WEB["mac"], "name": "Web", "ip": "fd00::5"}]}
    network = spec(hosts=[WEB], ipv6=ipv6)
    assert beyond_well_known(network, ipv6_names=True) == set()
    assert [row for _option, row in static_rows(network)] == ["10.0.1.5 Web", "fd00::5 Web"]


def test_a_guest_cannot_get_a_reserved_name_by_adding_a_domain() -> None:
    lines = lines_of(spec(hosts=[DB]), full_names_only=False)
    assert "dhcp-name-match=set:virtnet-reserved,db" in lines
    assert "dhcp-name-match=set:virtnet-reserved,db.*" in lines
    assert lines[-1] == "dhcp-ignore-names=tag:vn-lab,tag:virtnet-reserved"


def test_names_in_separate_domains_are_reserved_by_the_networks_of_a_domain() -> None:
    lines = lines_of(spec(domain="lab.test", hosts=[DB]), full_names_only=True)
    assert {line.partition(",")[0] for line in lines[:-1]} == {"dhcp-name-match=set:reserved-lab.test"}
    assert lines[-1] == "dhcp-ignore-names=tag:vn-lab,tag:reserved-lab.test"


def test_a_record_of_the_other_family_does_not_replace_the_row_of_a_static_host() -> None:
    names = {"hosts": [{"ip": "fd00::9", "names": ["web"]}]}
    network = spec(domain="lab.test", hosts=[WEB], names=names)
    assert [row for _option, row in static_rows(network)] == ["10.0.1.5 Web.lab.test Web"]
    assert beyond_well_known(network) == set()
    assert beyond_well_known(network, ipv6_names=True) == {"web"}


def test_all_names_are_reserved_without_a_file_of_names() -> None:
    assert "web" in reserved_names(spec(domain="lab.test", hosts=[WEB]), False, rows=False)


def test_a_name_of_the_administrator_gets_no_row_and_stays_reserved() -> None:
    network = spec(domain="lab.test", hosts=[WEB])
    assert static_names(network) == {"web", "web.lab.test"}
    assert [row for _option, row in static_rows(network, {"web"})] == ["10.0.1.5 Web.lab.test"]
    assert "web" in reserved_names(network, False, administrator_names={"web"})


def test_rows_of_static_hosts_own_no_names() -> None:
    assert of_records("# x\n10.0.1.9 nas\n# Static hosts\n10.0.1.5 web\n") == "# x\n10.0.1.9 nas\n"
    assert of_records("# x\n") == "# x\n"


@pytest.mark.parametrize(
    ("with_domains", "expected"),
    [
        ({}, {"a": SHARED, "b": SHARED, "plain": "plain"}),
        ({SHARED: True}, {"a": SHARED, "b": SHARED, "plain": "plain"}),
        ({SHARED: False}, {"a": "a", "b": "b", "plain": SHARED}),
    ],
)
def test_one_instance_is_for_networks_with_a_domain_or_for_those_without(
    with_domains: dict[str, bool], expected: dict[str, str]
) -> None:
    """``with_domains``: whether unnamed networks that share it already have domains, by instance."""
    placements = [
        Placement(spec("a", domain="a.test"), SHARED),
        Placement(spec("plain"), SHARED),
        Placement(spec("b", domain="b.test"), SHARED),
    ]
    assert {
        placement.spec.name: placement.instance for placement in separate_by_domain(placements, with_domains)
    } == expected
    own = [Placement(spec("c"), "c"), Placement(spec("d"), "")]
    assert [placement.instance for placement in separate_by_domain(own, with_domains)] == ["c", ""]
    if not with_domains:
        plain = [Placement(spec("c"), SHARED), Placement(spec("d"), SHARED)]
        assert [placement.instance for placement in separate_by_domain(plain, with_domains)] == [SHARED, SHARED]


def test_the_systems_dnsmasq_is_refused_for_an_isolated_network_with_a_name_server() -> None:
    with pytest.raises(InvalidOption, match=r"upstream: is false.*use instance: private"):
        spec(upstream=False, instance="system")
    assert spec(upstream=False, dns=False, instance="system")
    options = {"name": "lab", "mode": "isolated", "dnsmasq": {"instance": "system"}}
    with pytest.raises(InvalidOption, match=r"dnsmasq.instance: 'system' would answer guests of an isolated network"):
        read_network(Options(dict(options), "networks[0]"), "id")
    read_network(Options({**options, "dns": {"enabled": False}}, "networks[0]"), "id")
