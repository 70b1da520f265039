"""libvirt lists the networks in their states."""

from __future__ import annotations

import json

from lxml import etree


def test_networks_are_listed_in_their_states(virsh) -> None:
    assert virsh.networks() == {
        "lab": "active yes yes",
        "resting": "inactive no yes",
        "passing": "active no no",
        "from-xml": "active yes yes",
        "site": "active yes yes",
    }


def test_libvirt_gets_the_bridge_only(virsh) -> None:
    lab = virsh.xml("lab")
    assert lab.find("forward").get("mode") == "bridge"
    assert lab.find("bridge").attrib == {"name": "vn-lab"}
    assert lab.find("ip") is None
    assert virsh.xml("from-xml").findtext("uuid") == "3e3fce45-4f53-4fa7-bb32-11f34168b82b"
    assert virsh.xml("from-xml").find("bridge").get("name") == "br-xml"


def test_a_bridge_of_the_host_is_registered_and_nothing_more(virsh) -> None:
    site = virsh.xml("site")
    assert site.find("bridge").attrib == {"name": "br0"}
    assert site.find("portgroup").attrib == {"name": "trusted", "trustGuestRxFilters": "yes"}
    assert "inet" not in virsh.host.run(["ip", "-br", "-4", "address", "show", "br0"])
    assert '"br0"' not in virsh.host.run(["nft", "list", "table", "inet", "virtnet"])
    shown = virsh.host.run(["/usr/local/lib/virtnet/virtnet", "list"])
    assert [line.split()[1:7] for line in shown.splitlines() if " site " in line] == [
        ["active", "yes", "yes", "bridged", "br0", "-"]
    ]


def test_portgroups_and_metadata_exist(virsh) -> None:
    lab = virsh.xml("lab")
    assert lab.find("portgroup").attrib == {"name": "fast", "default": "yes"}
    assert lab.find("portgroup/bandwidth/inbound").attrib == {"average": "1000", "peak": "4000"}
    assert lab.findtext("metadata/{urn:example:note}of") == "kept"


def test_uuid_is_that_of_the_definition(virsh) -> None:
    stored = json.loads(virsh.host.run(["cat", "/etc/virtnet/networks/lab.json"]))
    assert virsh.run("net-uuid", "lab").strip() == stored["uuid"]
    assert virsh.run("net-name", stored["uuid"]).strip() == "lab"


def test_bridges_are_ours(virsh) -> None:
    assert "10.70.0.1/24" in virsh.host.run(["ip", "-br", "address", "show", "vn-lab"])
    assert "10.71.0.1/24" in virsh.host.run(["ip", "-br", "address", "show", "br-xml"])


def test_the_virtnet_command_shows_the_whole_network_as_xml(virsh) -> None:
    network = etree.fromstring(virsh.host.run(["/usr/local/lib/virtnet/virtnet", "xml", "from-xml"]))
    assert network.find("forward").get("mode") == "route"
    assert network.find("ip").attrib == {"family": "ipv4", "address": "10.71.0.1", "prefix": "24"}
    assert network.find("ip/dhcp/range").attrib == {"start": "10.71.0.100", "end": "10.71.0.199"}
