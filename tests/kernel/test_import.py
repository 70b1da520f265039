# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks that others run are imported, from real bridges, rules and servers, and go on as ours."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from kernel.engine_client import PROGRAMS
from kernel.polling import wait_until
from kernel.testbed import PROBE
from torture.host import COLLECTIONS, OUTSIDE, SCRIPTS, UPLINK, Host, differences, new_host
from torture.plans import site, teardown
from torture.scenario import changes, error_of
from unit.foreign.test_networkd import NETDEV, NETWORK
from unit.foreign.test_networkmanager import PROFILE

MAC = "52:54:00:00:00:10"
GUEST = "192.168.80.10"
IMPORT = [["virt_network_info", {"gather": "foreign"}]]
LAB = {
    "name": "br0",
    "mode": "nat",
    "uplink": "eth0",
    "bridge": {"name": "br0"},
    "ipv4": {
        "address": "192.168.80.1/24",
        "dhcp": {
            "ranges": [{"start": "192.168.80.100", "end": "192.168.80.199", "lease_time": "12h"}],
            "hosts": [{"mac": MAC, "name": "web", "ip": GUEST}],
        },
    },
    "ipv6": {"address": "fd00:80::1/64", "ra_names": False},
    "routes": [{"to": "10.50.0.0/16", "via": GUEST}],
    "nat": {"ipv6": False},
    "port_forwards": [{"port": 8443, "to": GUEST, "to_port": 443}],
    "dns": {"domain": "lab.example", "hosts": [{"ip": "192.168.80.9", "names": ["printer.lab.example"]}]},
}


@pytest.fixture
def host() -> Iterator[Host]:
    with new_host(serving=False) as host:
        yield host


def script(host: Host, *words: str) -> None:
    host.run("sh", str(PROGRAMS / "script_network.sh"), *words)


def imported(host: Host) -> dict[str, Any]:
    """The networks of others by name."""
    result = host.run_tasks(IMPORT)
    assert error_of(result) == ""
    (answer,) = result["answers"]
    assert not answer.get("warnings") and not answer["changed"]
    return {network["name"]: network for network in answer["foreign"]}


def probe(host: Host, namespace: str, *words: str) -> str:
    return host.run(sys.executable, "-S", str(PROBE), *words, namespace=namespace, check=False).stdout.strip()


def serve(host: Host, namespace: str, port: int) -> None:
    process = host.start(sys.executable, "-S", str(PROBE), "serve", str(port), namespace=namespace)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"


def lease(host: Host) -> str:
    """The address that DHCP gives the guest."""
    command = ("udhcpc", "-f", "-q", "-n", "-t", "20", "-T", "1", "-i", "eth0", "-s", f"{host.disk}/bin/udhcpc-script")
    host.run(*command, namespace="guest")
    (link,) = json.loads(host.run("ip", "-4", "-j", "address", "show", "eth0", namespace="guest").stdout)
    return str(link["addr_info"][0]["local"])


def assert_guest_is_served(host: Host) -> None:
    """Address, NAT, port forward and names, as they are of the script's network and of ours."""
    wait_until(lambda: lease(host) == GUEST)
    assert probe(host, "guest", "ask", "tcp", OUTSIDE, "8000") == UPLINK
    assert probe(host, "outside", "ask", "tcp", UPLINK, "8443") == OUTSIDE
    for name, address in (("printer.lab.example", "192.168.80.9"), ("web.lab.example", GUEST)):
        answer = host.run("dig", "+short", "+time=3", name, "@192.168.80.1", namespace="guest").stdout
        assert answer.split() == [address]


def plug(host: Host) -> None:
    host.run("install", "-m", "755", f"{SCRIPTS}/udhcpc.sh", f"{host.disk}/bin/udhcpc-script")
    host.run("ip", "netns", "add", "guest")
    host.run("ip", "link", "add", "tap0", "type", "veth", "peer", "name", "eth0", "address", MAC, "netns", "guest")
    for words in (["lo"], ["eth0"]):
        host.run("ip", "link", "set", *words, "up", namespace="guest")
    host.run("ip", "link", "set", "tap0", "master", "br0", "up")


def test_a_network_of_a_script_goes_on_as_ours(host: Host) -> None:
    script(host, "up")
    plug(host)
    serve(host, "outside", 8000)
    serve(host, "guest", 443)
    assert_guest_is_served(host)

    # The host itself makes an address by the advertisements of its dnsmasq, which is none of the network.
    wait_until(lambda: "dynamic" in host.run("ip", "-6", "address", "show", "dev", "br0", "-tentative").stdout)
    before = host.snapshot()
    found = imported(host)
    assert differences(before, host.snapshot()) == []
    assert host.run("ls", "/run/command-was-run", check=False).returncode != 0
    assert found["br0"]["options"] == LAB
    assert (found["br0"]["source"], found["br0"]["notes"]) == ("script", [])

    networks = [network["options"] for network in found.values()]
    assert "br0" in error_of(host.run_tasks(site(networks)))

    script(host, "down")
    assert error_of(host.run_tasks(site(networks))) == ""
    host.run("ip", "link", "set", "tap0", "master", "br0", "up")
    assert_guest_is_served(host)
    assert changes(host.run_tasks(site(networks))) == []
    assert imported(host) == {}
    assert error_of(host.run_tasks(teardown())) == ""


DOCK = ("52:54:00:00:00:11", "52:54:00:00:00:12")
# What scripts write besides.
MORE = f"""
enable-ra
ra-param=br0,mtu:1400,high,60,1200
dhcp-host={",".join(DOCK)},dock,192.168.80.11
dhcp-option=252,"\\n"
dhcp-option=121,10.9.0.0/16,192.168.80.9,0.0.0.0/0,192.168.80.1
server=/corp.example/{OUTSIDE}#5353
server=/corp.example/{OUTSIDE}#5354
address=/apps.lab.example/192.168.80.10
address=/apps.lab.example/192.168.80.11
"""
_ADVERTISED = ("Stateful address conf.", "Router preference", "Router lifetime", "Prefix", "Autonomous address conf.",
               "Valid time", "MTU")  # fmt: skip


def answers(host: Host, mac: str) -> dict[str, Any]:
    """What a guest with this MAC address gets: DHCP options, what advertisements say, the addresses of names."""
    host.run("ip", "link", "set", "eth0", "address", mac, namespace="guest")
    script = f"{host.disk}/bin/udhcpc-options"
    host.run("tee", script, stdin='#!/bin/sh\n[ "$1" = bound ] || exit 0\nenv -0 >/run/given\n')
    host.run("chmod", "755", script)
    command = ("udhcpc", "-f", "-q", "-n", "-t", "20", "-T", "1", "-i", "eth0", "-O", "staticroutes", "-O", "wpad")
    host.run(*command, "-s", script, namespace="guest")
    given = dict(one.partition("=")[::2] for one in host.run("cat", "/run/given").stdout.split("\0"))
    rows: list[str] = []

    def solicit() -> bool:
        command = ("rdisc6", "-1", "-r", "3", "-w", "1000", "eth0")
        rows[:] = host.run(*command, namespace="guest", check=False).stdout.splitlines()
        return any("Router lifetime" in row for row in rows)

    # A new address of the link can be used when no other guest has it.
    wait_until(solicit, 20)
    advertised = {name.strip(): value.strip() for name, _colon, value in (row.partition(":") for row in rows)}
    names = ("web.apps.lab.example", "apps.lab.example", "www.corp.example", "printer.lab.example")
    asked = {name: host.run("dig", "+short", "+time=3", name, "@192.168.80.1").stdout for name in names}
    return {
        "dhcp": {name: given.get(name) for name in ("ip", "hostname", "staticroutes", "wpad", "domain")},
        "advertised": {name: advertised.get(name) for name in _ADVERTISED},
        "names": {name: sorted(answer.split()) for name, answer in asked.items()},
    }


def test_what_guests_of_a_script_get_they_get_of_ours(host: Host) -> None:
    host.sh("mkdir -p /etc/script.d")
    host.run("tee", "/etc/script.d/more.conf", stdin=MORE)
    script(host, "up", "fd00:80::100,fd00:80::1ff,64,2h")
    plug(host)
    plain = ("--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--pid-file=")
    for port in ("5353", "5354"):
        host.start("dnsmasq", *plain, f"--port={port}", "--address=/corp.example/10.1.2.3", namespace="outside")
    before = {mac: answers(host, mac) for mac in DOCK}
    for found in before.values():
        assert found["dhcp"] == {
            "ip": "192.168.80.11",
            "hostname": "dock",
            "staticroutes": "10.9.0.0/16 192.168.80.9 0.0.0.0/0 192.168.80.1",
            "wpad": "\n",
            "domain": "lab.example",
        }
        assert found["advertised"]["Autonomous address conf."] == "No"
        assert found["advertised"]["Router preference"] == "high"
        assert found["names"]["web.apps.lab.example"] == ["192.168.80.10", "192.168.80.11"]
        assert found["names"]["www.corp.example"] == ["10.1.2.3"]

    network = imported(host)["br0"]
    assert network["notes"] == []
    assert network["options"]["ipv6"]["slaac"] is False
    assert_playbook_writes(host, [network["options"]])
    script(host, "down")
    assert error_of(host.run_tasks(site([network["options"]]))) == ""
    host.run("ip", "link", "set", "tap0", "master", "br0", "up")
    assert {mac: answers(host, mac) for mac in DOCK} == before


def test_networks_of_several_owners_at_once(host: Host) -> None:
    host.sh(
        """
        mkdir -p /etc/NetworkManager/system-connections /etc/systemd/network /etc/containers/networks
        ip link add docker0 type bridge
        ip address add 172.17.0.1/16 dev docker0
        ip link add labbr type bridge
        echo '{"name": "lab", "network_interface": "labbr"}' >/etc/containers/networks/lab.json
        nft add table inet mine
        nft add chain inet mine post '{ type nat hook postrouting priority srcnat; }'
        nft add rule inet mine post ip saddr 10.9.0.0/24 oifname '!=' '"br1"' snat ip to 203.0.113.2
        nft add chain inet mine forw '{ type filter hook forward priority 0; }'
        nft add rule inet mine forw iifname '"br2"' drop
        ip link add br1 type bridge
        ip address add 10.9.0.1/24 dev br1
        ip link add br2 type bridge
        ip address add 10.10.0.1/24 dev br2
        ip link add br3 type bridge
        sysctl -qw net.ipv4.ip_forward=1
        """
    )
    for path, text in (
        ("/etc/NetworkManager/system-connections/lab.nmconnection", PROFILE),
        ("/etc/systemd/network/vmbr0.netdev", NETDEV),
        ("/etc/systemd/network/vmbr0.network", NETWORK),
    ):
        host.run("tee", path, stdin=text)
    found = imported(host)
    assert {name: one["source"] for name, one in found.items()} == {
        "docker0": "docker",
        "lab": "podman",
        "Lab-network": "NetworkManager",
        "vmbr0": "systemd-networkd",
        "br1": "script",
        "br2": "script",
        "br3": "script",
    }
    modes = {name: one["options"]["mode"] for name, one in found.items() if one["options"]}
    assert modes == {"Lab-network": "nat", "vmbr0": "nat", "br1": "nat", "br2": "isolated"}
    assert found["br1"]["options"]["nat"] == {"source": {"start": "203.0.113.2", "end": "203.0.113.2"}}
    assert {name for name, one in found.items() if one["stays"]} == {"docker0", "lab", "br3"}
    assert_playbook_writes(host, [one["options"] for one in found.values() if one["options"]])


def assert_playbook_writes(host: Host, networks: list[Any]) -> None:
    """import.yml writes these networks, and writes nothing when it runs again."""
    words = ["env", f"ANSIBLE_COLLECTIONS_PATH={COLLECTIONS}", "ANSIBLE_HOME=/run/ansible", "ansible-playbook"]
    words += ["-c", "local", "-i", "localhost,", "-e", "virtnet_import_file=/run/networks.yml"]
    words += ["-e", f"ansible_python_interpreter={sys.executable}", "virtnet.linux.import"]
    for changed in (1, 0):
        output = host.run(*words).stdout
        assert f"ok=2    changed={changed} " in output, output
    written = yaml.safe_load(host.sh("cat /run/networks.yml"))
    assert written == {"all": {"hosts": {"localhost": {"virtnet_networks": networks}}}}


def test_a_program_without_rights_or_of_another_namespace_is_not_taken_for_the_server(host: Host) -> None:
    host.sh("ip link add br1 type bridge && ip address add 10.9.0.1/24 dev br1")
    wait = "print('ready', flush=True); input()"
    pretend = f'import os, sys; os.execv(sys.executable, ["dnsmasq", "-Sc", "{wait}", *sys.argv[1:]])'
    words = (sys.executable, "-Sc", pretend, "--interface=br1", "--dhcp-range=10.9.0.50,10.9.0.60")
    without_rights = ("setpriv", "--bounding-set=-net_admin")
    for namespace, command in (("", (*without_rights, *words)), ("outside", words)):
        process = host.start(*command, namespace=namespace)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    assert imported(host)["br1"]["options"]["ipv4"]["dhcp"] == {"enabled": False}
    process = host.start(*words)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    assert imported(host)["br1"]["options"]["ipv4"]["dhcp"]["ranges"] == [{"start": "10.9.0.50", "end": "10.9.0.60"}]
