# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks of incus and LXD, of container engines, and of libvirt."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.containers import container_networks
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.incus import managed_networks
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.libvirt_networks import libvirt_networks
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.model import Foreign
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.links import Link
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt.connection import LibvirtNetwork
from unit.foreign.others_host import bridge, fit, host

BRIDGE = {
    "name": "incusbr0",
    "description": "",
    "type": "bridge",
    "managed": True,
    "status": "Created",
    "config": {
        "ipv4.address": "10.158.12.1/24",
        "ipv4.nat": "true",
        "ipv6.address": "fd42:2f4c:8d2e:1a73::1/64",
        "ipv6.nat": "true",
    },
    "used_by": ["/1.0/instances/c1", "/1.0/profiles/default"],
    "locations": ["none"],
}


def incus(config: dict[str, str], **more: Any) -> Foreign:
    item = {**BRIDGE, "config": config, **more}
    (network,) = fit(*managed_networks(json.dumps([item]), "incus", host(bridge("incusbr0"))))
    return network


def test_the_network_that_incus_makes_by_default() -> None:
    (network,) = fit(*managed_networks(json.dumps([BRIDGE]), "incus", host(bridge("incusbr0", "10.158.12.1/24"))))
    assert network.options == {
        "name": "incusbr0",
        "mode": "nat",
        "bridge": {"name": "incusbr0"},
        "ipv4": {"address": "10.158.12.1/24"},
        "ipv6": {"address": "fd42:2f4c:8d2e:1a73::1/64", "dhcp": {"enabled": True, "stateless": True}},
        "dns": {"domain": "incus"},
    }
    assert "nictype=bridged and parent=incusbr0" in network.notes[0]


def test_settings_of_incus() -> None:
    network = incus(
        {
            "bridge.hwaddr": "00:16:3e:aa:bb:cc",
            "bridge.mtu": "1400",
            "bridge.external_interfaces": "eth1, vlan5/eth0/5",
            "dns.domain": "lab.example",
            "dns.nameservers": "10.7.0.53,fd00:7::53",
            "ipv4.address": "10.7.0.1/24",
            "ipv4.dhcp.expiry": "2h",
            "ipv4.dhcp.gateway": "10.7.0.254",
            "ipv4.dhcp.ranges": "10.7.0.10-10.7.0.20, 10.7.0.30-10.7.0.40",
            "ipv4.nat": "true",
            "ipv4.nat.address": "203.0.113.9",
            "ipv6.address": "fd00:7::1/64",
            "ipv6.dhcp.stateful": "true",
            "ipv6.dhcp.ranges": "fd00:7::100-fd00:7::200",
            "raw.dnsmasq": "dhcp-script=/x",
            "user.note": "x",
            "volatile.network.ipv4.address": "x",
        },
        description="For tests",
    )
    assert network.options == {
        "name": "incusbr0",
        "mode": "nat",
        "bridge": {"name": "incusbr0", "mac": "00:16:3e:aa:bb:cc", "mtu": 1400, "ports": ["eth1"]},
        "ipv4": {
            "address": "10.7.0.1/24",
            "dhcp": {
                "ranges": [{"start": "10.7.0.10", "end": "10.7.0.20"}, {"start": "10.7.0.30", "end": "10.7.0.40"}],
                "lease_time": "2h",
                "options": {"router": "10.7.0.254", "dns-server": "10.7.0.53"},
            },
        },
        "ipv6": {
            "address": "fd00:7::1/64",
            "dhcp": {"enabled": True, "ranges": [{"start": "fd00:7::100", "end": "fd00:7::200"}]},
        },
        "nat": {"ipv6": False, "source": {"start": "203.0.113.9"}},
        "dns": {"domain": "lab.example"},
        "description": "For tests",
    }
    assert "settings without an option here: raw.dnsmasq" in network.notes


@pytest.mark.parametrize(
    ("config", "mode"),
    [
        ({"ipv4.address": "10.7.0.1/24"}, "routed"),
        ({"ipv4.address": "10.7.0.1/24", "ipv4.routing": "false"}, "isolated"),
        ({"ipv4.address": "none", "ipv6.address": "none"}, "isolated"),
        ({"ipv4.address": "none", "ipv6.address": "fd00:7::1/64", "ipv6.nat": "true"}, "nat"),
    ],
)
def test_modes_of_incus(config: dict[str, str], mode: str) -> None:
    assert incus(config).options["mode"] == mode


def test_networks_of_incus_that_stay_or_are_not_its_own() -> None:
    assert "type ovn" in incus({}, type="ovn").stays
    assert "tunnel" in incus({"tunnel.a.protocol": "vxlan"}).stays
    assert managed_networks(json.dumps([{**BRIDGE, "managed": False}]), "incus", host()) == []
    for text in ("", "{}", "[" * 100_000, "no"):
        with pytest.raises(ValueError):  # noqa: PT011
            managed_networks(text, "LXD", host())


def test_bridges_of_container_engines_are_named_and_stay() -> None:
    inspected = [
        {"Name": "site_default", "Id": "0123456789abcdef01", "Driver": "bridge", "Options": {}},
        {"Name": "web", "Id": "fe", "Driver": "bridge", "Options": {"com.docker.network.bridge.name": "webbr"}},
        {"Name": "host", "Id": "fe", "Driver": "host", "Options": None},
    ]
    podman = {
        "lab": json.dumps({"name": "lab", "network_interface": "labbr"}),
        "87-podman": json.dumps({"name": "podman", "plugins": [{"type": "bridge", "bridge": "cni-podman0"}]}),
        "broken": "{",
    }
    names = ("docker0", "br-0123456789ab", "webbr", "labbr", "cni-podman0", "podman1", "cni0", "br0")
    found = fit(*container_networks(json.dumps(inspected), podman, host(*map(bridge, names), Link("cbr0", 9))))
    assert {(one.source, one.name, one.bridge) for one in found} == {
        ("docker", "docker0", "docker0"),
        ("docker", "site_default", "br-0123456789ab"),
        ("docker", "web", "webbr"),
        ("podman", "lab", "labbr"),
        ("podman", "podman", "cni-podman0"),
        ("podman", "podman1", "podman1"),
        ("Kubernetes", "cni0", "cni0"),
    }
    assert all(f"{one.source} makes it for its containers" in one.stays for one in found)


def libvirt(xml: str, *, active: bool = True) -> Foreign:
    (network,) = fit(*libvirt_networks({"x": LibvirtNetwork("default", "", xml, xml, active, True, True)}))
    return network


def test_networks_of_libvirt() -> None:
    ip = (
        "<ip address='192.168.122.1' netmask='255.255.255.0'><dhcp><range start='192.168.122.2' end='192.168.122.254'/>"
    )
    xml = f"<network><name>default</name><forward mode='nat'/><bridge name='virbr0'/>{ip}</dhcp></ip></network>"
    network = libvirt(xml)
    assert (network.source, network.bridge) == ("libvirt", "virbr0")
    assert network.options["ipv4"] == {"address": "192.168.122.1/24"}
    assert "adopt.yml" in network.notes[0]
    assert libvirt(xml, active=False).options["state"] == "inactive"
    pool = "<network><name>default</name><forward mode='hostdev' managed='yes'><pf dev='eth3'/></forward></network>"
    assert libvirt(pool).stays.endswith("managed_by: libvirt and its XML")
