# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The subnets in use on a host, read from the kernel and from the files of other programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.ipam import in_use
from ansible_collections.virtnet.linux.plugins.module_utils.ipam.subnets import SubnetInUse

LIBVIRT = """<!--
WARNING: THIS IS AN AUTO-GENERATED FILE.
-->
<network>
  <name>default</name>
  <forward mode='nat'/>
  <bridge name='virbr0' stp='on' delay='0'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'><dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp>
  </ip>
  <ip family='ipv6' address='fd00::1' prefix='64'/>
  <route address='10.7.0.0' prefix='16' gateway='192.168.122.2'/>
</network>
"""


def as_tuples(subnets: Iterable[SubnetInUse]) -> list[tuple[str, str, bool]]:
    return [(str(subnet.network), subnet.used_by, subnet.avoid_only) for subnet in subnets]


def test_networks_of_libvirt_by_their_addresses_and_routes() -> None:
    assert as_tuples(in_use.parse_libvirt(LIBVIRT, "default")) == [
        ("192.168.122.0/24", "libvirt's network 'default' (192.168.122.0/24)", False),
        ("10.7.0.0/16", "libvirt's network 'default' (10.7.0.0/16)", True),
    ]
    live = f"<networkstatus><class_id bitmap='0-2'/>{LIBVIRT.partition('-->')[2]}</networkstatus>"
    assert next(in_use.parse_libvirt(live, "default")).interface == "virbr0"


@pytest.mark.parametrize(
    "text",
    [
        "<network><ip address='x' prefix='24'/></network>",
        "<network><ip address='10.0.0.1' prefix='99'/></network>",
        "<network",
        "",
        "<domain/>",
        '<!DOCTYPE n [<!ENTITY a "10.0.0.1"><!ENTITY b "&a;&a;">]><network><ip address="&b;" prefix="24"/></network>',
    ],
)
def test_a_file_without_a_usable_subnet_is_no_error(text: str) -> None:
    assert list(in_use.parse_libvirt(text, "x")) == []
    assert list(in_use.parse_podman(text, "x")) == []


def test_networks_of_podman_in_both_formats() -> None:
    netavark = {"name": "a", "network_interface": "podman1", "subnets": [{"subnet": "10.89.0.0/24", "gateway": "x"}]}
    cni = {"plugins": [{"type": "bridge", "ipam": {"ranges": [[{"subnet": "10.88.4.0/24"}]]}}]}
    assert [str(subnet.network) for subnet in in_use.parse_podman(json.dumps(netavark), "a")] == ["10.89.0.0/24"]
    assert [str(subnet.network) for subnet in in_use.parse_podman(json.dumps(cni), "b")] == ["10.88.4.0/24"]


def test_subnets_of_routes_on_a_link_are_in_use_and_those_behind_a_gateway_are_avoided() -> None:
    routes = [
        {"dst": "default", "gateway": "10.1.0.254", "dev": "eth0"},
        {"dst": "10.1.0.0/24", "dev": "eth0", "scope": "link"},
        {"dst": "10.0.0.0/8", "gateway": "10.1.0.9", "dev": "eth0", "table": "7"},
        {"dst": "192.168.0.0/16", "dev": "wg0", "scope": "link"},
        {"dst": "172.16.0.0/12", "nexthops": [{"gateway": "10.1.0.1", "dev": "eth0"}]},
        {"dst": "128.0.0.0/1", "dev": "tun0"},
        {"type": "local", "dst": "10.1.0.1", "dev": "eth0"},
        {"type": "unreachable", "dst": "10.66.0.0/16"},
        {"dst": "192.168.7.9", "dev": "tap0"},
    ]
    assert [(str(route.network), route.avoid_only, route.interface) for route in in_use.parse_routes(routes)] == [
        ("10.1.0.254/32", False, "eth0"),
        ("10.1.0.0/24", False, "eth0"),
        ("10.0.0.0/8", True, "eth0"),
        ("192.168.0.0/16", False, "wg0"),
        ("172.16.0.0/12", True, ""),
        ("10.66.0.0/16", True, ""),
        ("192.168.7.9/32", False, "tap0"),
    ]


def test_servers_the_connection_and_settings_of_docker(tmp_path: Path) -> None:
    for path, text in {
        "etc/resolv.conf": "search x\nnameserver 192.168.5.53\nnameserver 127.0.0.1\nnameserver 192.168.0.1\n",
        "etc/libvirt/qemu/networks/default.xml": LIBVIRT,
        "etc/containers/networks/a.json": json.dumps({"subnets": [{"subnet": "10.89.0.0/24"}]}),
        "etc/docker/daemon.json": json.dumps(
            {"bip": "172.26.0.1/16", "default-address-pools": [{"base": "10.5.0.0/16"}]}
        ),
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    environment = {"SSH_CONNECTION": "192.168.9.4 51234 10.0.0.2 22"}
    read = in_use.read_subnets_in_use(str(tmp_path), environment, ["192.168.0.1"])
    subnets = {str(subnet.network): subnet for subnet in read}
    assert subnets["192.168.5.53/32"].used_by == "the name server 192.168.5.53"
    assert subnets["192.168.9.4/32"].used_by == "the other end of this SSH connection 192.168.9.4"
    assert {"192.168.122.0/24", "10.89.0.0/24", "172.26.0.0/16"} < set(subnets)
    assert "192.168.0.1/32" not in subnets
    assert [str(subnet.network) for subnet in in_use.read_avoided_subnets(str(tmp_path))] == ["10.5.0.0/16"]
