# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mode bridged: an existing bridge is registered with libvirt, and nothing else is made."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.network_history import NetworkHistory
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.links import Link
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt_xml.convert import from_xml
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import read_network
from ansible_collections.virtnet.linux.plugins.module_utils.network.store import updated_history
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.desired_state import specs_for
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.reconciler import Networks
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.restore import (
    HostState,
    desired_networks,
    missing_ports,
)
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.state import State
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.status import dump

SITE = {"name": "site", "mode": "bridged", "bridge": {"name": "br0"}}
LINKS = {"br0": Link("br0", 7, kind="bridge", up=True), "eth0": Link("eth0", 2)}


def read(**more: Any) -> Any:
    return read_network(Options({**SITE, **more}), "host")


def plan(*items: dict[str, Any], **state: Any) -> Any:
    networks = [read_network(options, "host") for options in Options({"networks": list(items)}).each("networks")]
    return Networks(networks, False, Paths("/nowhere")).plan(State(**{"links": LINKS, **state}))


def test_only_a_registration_is_made() -> None:
    network = read(libvirt={"virtualport": {"parameters": {"profileid": "p"}}}, isolate_guests=True)
    specs = specs_for([network], {})
    assert {kind: list(of_kind) for kind, of_kind in specs.items() if kind != "registrations"} == {
        "bridges": [],
        "rules": [],
        "fragments": [],
        "entries": [],
    }
    (registration,) = specs["registrations"]
    assert (registration["bridge"], registration["isolate_guests"]) == ("br0", True)
    assert registration["libvirt"]["virtualport"] == {"parameters": {"profileid": "p"}}


def test_a_network_that_becomes_bridged_loses_its_own_bridge_and_rules() -> None:
    history = {"site": updated_history(NetworkHistory({"vn-site": "52:54:00:00:00:01"}), read())}
    assert history["site"].bridges == {"vn-site": "52:54:00:00:00:01"}
    specs = specs_for([read()], history)
    assert [bridge["name"] for bridge in specs["bridges"] if bridge["state"] == "absent"] == ["vn-site"]
    assert specs["rules"] == [{"name": "site", "state": "absent"}]
    assert specs["fragments"] == [{"name": "site", "state": "absent"}]
    assert specs["entries"] == [{"interface": "vn-site", "state": "absent"}]


def test_the_registration_names_open_vswitch() -> None:
    network = read(bridge={"name": "ovs0", "type": "openvswitch"})
    assert specs_for([network], {})["registrations"][0]["libvirt"]["virtualport"] == {"type": "openvswitch"}
    assert plan({**SITE, "bridge": {"name": "eth0", "type": "openvswitch"}}).changes


def test_the_definition_of_a_network_on_a_bridge_of_open_vswitch_is_read_back() -> None:
    network = read(bridge={"name": "ovs0", "type": "openvswitch"})
    assert read_network(Options(network.as_options()), "host") == network


def test_a_definition_is_the_same_after_its_xml() -> None:
    network = read(libvirt={"portgroups": [{"name": "a", "vlan": {"tags": [{"id": 5}]}}]})
    assert read_network(Options(network.as_options()), "host") == network
    assert read_network(Options(from_xml(dump(network))), "host") == network


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"bridge": None}, "bridge.name: is required with mode bridged"),
        ({"bridge": {"name": "br0", "stp": True}}, "bridge.stp"),
        ({"bridge": {"name": "br0", "ports": ["eth1"]}}, "bridge.ports"),
        ({"bridge": {"name": "br0", "stp": "maybe"}}, "bridge.stp: 'maybe' is neither true nor false"),
        ({"ipv4": {"address": "10.0.0.1/24"}}, "ipv4.address"),
        ({"ipv4": {"dhcp": {"ranges": [{"start": "10.0.0.2", "end": "10.0.0.3"}]}}}, "ipv4.dhcp.ranges"),
        ({"ipv6": {"address": "auto"}}, "ipv6.address"),
        ({"dns": {"domain": "a.test"}}, "dns.domain"),
        ({"uplink": "eth0"}, "uplink"),
        ({"port_forwards": [{"port": 80, "to": "10.0.0.2"}]}, "port_forwards"),
        ({"libvirt": {"register": False}}, "libvirt.register"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_options_without_a_meaning_are_refused_by_path(more: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        read(**more)
    assert str(caught.value).startswith(f"network 'site': {path}"), str(caught.value)


@pytest.mark.parametrize(
    ("items", "state", "message"),
    [
        ([SITE], {"links": {}}, "bridge.name: 'br0' does not exist; create it first"),
        ([{**SITE, "bridge": {"name": "br1"}}], {}, "did you mean 'br0'?"),
        ([{**SITE, "bridge": {"name": "eth0"}}], {}, "bridge.name: 'eth0' is not a bridge"),
        ([SITE], {"has_libvirt": False}, "mode: 'bridged' does nothing but tell libvirt"),
        (
            [SITE],
            {"history": {"lab": NetworkHistory({"br0": ""})}},
            "bridge.name: 'br0' is the bridge of network 'lab'",
        ),
        ([SITE, {"name": "lab", "bridge": {"name": "br0"}}], {}, "bridge.name: 'br0' is the bridge of network 'lab'"),
    ],
)
def test_the_bridge_has_to_exist(items: list[dict[str, Any]], state: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        plan(*items, **state)
    assert message in str(caught.value)


def test_two_networks_may_share_a_bridge_and_a_stopped_one_needs_none() -> None:
    assert len(plan(SITE, {**SITE, "name": "other"}).changes) == 2
    assert plan({**SITE, "state": "inactive"}, links={}).changes


def test_an_existing_bridge_does_not_mark_the_network_as_started_by_hand() -> None:
    networks = [read(autostart=False)]
    assert [network.state for network in desired_networks(networks, LINKS, {})] == ["inactive"]
    assert [network.state for network in desired_networks(networks, LINKS, {"site": "started"})] == ["active"]


def test_a_bridge_that_was_removed_is_reported() -> None:
    host_state = HostState({"site": read()}, [read()], {}, {})
    assert list(missing_ports(host_state)) == [
        "network 'site': bridge br0 does not exist, and mode bridged does not create it"
    ]
