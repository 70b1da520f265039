# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks as a mapping by name: the same as a list, for the module and for whatever reads the inventory's variable."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.filter.fleet import fleet
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import Network, read_network
from ansible_collections.virtnet.linux.plugins.module_utils.tasks.module import requested_objects
from ansible_collections.virtnet.linux.plugins.plugin_utils.replies import declared_hosts

HOST = "0123456789abcdef0123456789abcdef"
DMZ = {"mode": "routed", "ipv4": {"address": "10.0.0.1/24"}}


def read(networks: Any) -> list[Network]:
    return [read_network(one, HOST) for one in requested_objects({"networks": networks}, "networks")]


def refused(networks: Any) -> str:
    with pytest.raises(InvalidOption) as caught:
        read(networks)
    return str(caught.value)


def test_a_mapping_is_the_list_of_its_values_with_their_keys_as_names() -> None:
    mapping = read({"lab": {}, "dmz": DMZ})
    listed = read([{"name": "lab"}, {"name": "dmz", **DMZ}])
    assert [one.as_options() for one in mapping] == [one.as_options() for one in listed]
    assert read({}) == []


def test_the_shortest_network_is_a_name_alone() -> None:
    assert [one.name for one in read({"lab": None})] == ["lab"]


def test_the_name_may_be_repeated_and_a_contradicting_one_is_refused() -> None:
    assert [one.name for one in read({"lab": {"name": "lab"}})] == ["lab"]
    assert refused({"lab": {"name": "dmz"}}) == (
        "networks.lab.name: 'dmz' contradicts the key 'lab', which is the name of the network; remove name"
    )


def test_an_error_names_the_network_by_its_key() -> None:
    assert refused({"lab": {"ipv4": {"address": "x"}}}).startswith("network 'lab': networks.lab.ipv4.address: 'x' ")
    assert refused({"name": "lab"}) == "networks.name: 'lab' is not a mapping of options"
    assert refused({"a/b": None}).startswith("networks.a/b.name: 'a/b' is not")


@pytest.mark.parametrize("networks", ["lab", "{lab: {}}", 7])
def test_what_is_neither_list_nor_mapping_is_refused(networks: Any) -> None:
    problem = "is neither a list of networks nor a mapping by name; write '- name: lab' or 'lab:' below it"
    assert refused(networks) == f"networks: {networks!r} {problem}"


def test_the_filter_fleet_reads_a_mapping() -> None:
    held = {"networks": [{"name": "old", "state": "active", "mode": "nat", "definition": stored("192.168.9.1/24")}]}
    networks = {"dmz": DMZ, "lab": None, "old": {"state": "absent"}, "bad": 7, "x": {**DMZ, "name": "y"}}
    found = fleet({"a": {}, "b": {"virtnet_networks": networks, "virtnet_held": held}}, "a", ["a", "b"])["held"]
    assert found == [{"host": "b", "network": "dmz", "subnet": "10.0.0.1/24", "first": True}]


def stored(address: str) -> dict[str, Any]:
    return {"ipv4": {"address": address, "auto": True}}


def test_static_hosts_are_read_from_a_mapping() -> None:
    hosts = {"ipv4": {"dhcp": {"hosts": [{"name": "Web"}]}}}
    assert list(declared_hosts({"lab": hosts, "dmz": None, "x": {**hosts, "name": "y"}})) == [("lab", "web")]
