# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profiles of NetworkManager that share a connection, as nm-settings-keyfile(5) has them."""

from __future__ import annotations

from ansible_collections.virtnet.linux.plugins.module_utils.foreign.model import HostRoute
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.networkmanager import shared_networks
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.links import Link
from unit.foreign.others_host import bridge, fit, host, server

PATH = "etc/NetworkManager/system-connections/lab.nmconnection"
PROFILE = """[connection]
id=Lab network
uuid=9a0b2a3c-7a53-4d0e-8c53-4b7b7e0a0c11
type=bridge
autoconnect=false
interface-name=nmbr0
permissions=
zone=trusted

[ethernet]
mtu=1400

[bridge]
mac-address=52:54:00:AA:BB:01
multicast-snooping=false
stp=false

[ipv4]
address1=10.99.0.1/24
method=shared
shared-dhcp-lease-time=7200
shared-dhcp-range=10.99.0.50,10.99.0.90

[ipv6]
addr-gen-mode=default
method=disabled

[proxy]
"""
PORT = """[connection]
id=port
uuid=0d5b8b1f-9c43-4a39-8a43-6ad64f7c1a02
type=ethernet
controller=nmbr0
interface-name=eth1
port-type=bridge
"""
# As NetworkManager starts it (nm-dnsmasq-manager.c, create_dm_cmd_line()).
RUNNING = (
    "conf-file=/dev/null", "no-hosts", "keep-in-foreground", "bind-interfaces", "except-interface=lo",
    "clear-on-reload", "strict-order", "listen-address=10.42.0.1", "dhcp-range=10.42.0.10,10.42.0.254,60m",
    "dhcp-leasefile=/var/lib/NetworkManager/dnsmasq-nmbr0.leases", "pid-file=/run/nm-dnsmasq-nmbr0.pid",
    "dhcp-option=option:dns-server,10.42.0.1", "dhcp-option=option:router,10.42.0.1", "dhcp-lease-max=50",
)  # fmt: skip


def test_a_profile_that_does_not_run() -> None:
    (network,) = fit(*shared_networks({PATH: PROFILE, "etc/port": PORT}, host()))
    assert network.options == {
        "name": "Lab-network",
        "state": "inactive",
        "autostart": False,
        "mode": "nat",
        "bridge": {
            "name": "nmbr0",
            "mac": "52:54:00:AA:BB:01",
            "mtu": 1400,
            "multicast_snooping": False,
            "ports": ["eth1"],
        },
        "ipv4": {
            "address": "10.99.0.1/24",
            "dhcp": {"ranges": [{"start": "10.99.0.50", "end": "10.99.0.90"}], "lease_time": "7200"},
        },
        "dns": {"domain": ""},
    }
    assert network.notes[0] == f"the profile {PATH} makes the bridge; delete it before a network of ours has it"
    assert network.notes[1:] == ["its firewalld zone is trusted; no option names one"]


def test_a_profile_that_runs_has_the_addresses_that_were_chosen_and_its_dnsmasq() -> None:
    text = "[connection]\nid=nmbr0\ntype=bridge\ninterface-name=nmbr0\n[ipv4]\nmethod=shared\n[ipv6]\nmethod=shared\n"
    facts = host(bridge("nmbr0", "10.42.0.1/24"), servers=[server(*RUNNING)])
    (network,) = fit(*shared_networks({PATH: text}, facts))
    assert network.options == {
        "name": "nmbr0",
        "mode": "nat",
        "bridge": {"name": "nmbr0", "stp": True, "forward_delay": 15},
        "ipv4": {
            "address": "10.42.0.1/24",
            "dhcp": {"ranges": [{"start": "10.42.0.10", "end": "10.42.0.254", "lease_time": "60m"}]},
        },
        "dns": {"domain": ""},
    }
    assert "prefix delegated" in network.notes[1]


def test_an_address_that_is_not_chosen_yet_is_chosen_here_too() -> None:
    text = "[connection]\nid=nmbr0\ntype=bridge\ninterface-name=nmbr0\n[ipv4]\nmethod=shared\n"
    (network,) = fit(*shared_networks({PATH: text}, host()))
    assert network.options["ipv4"] == {"address": "auto"}
    assert "chooses its subnet" in network.notes[1]


def test_ipv6_of_a_profile_is_not_hidden() -> None:
    text = PROFILE.replace("method=disabled", "method=manual\naddress1=fd00:99::1/64")
    (network,) = fit(*shared_networks({PATH: text}, host()))
    assert network.options["ipv6"] == {"address": "fd00:99::1/64", "ra": False}
    assert network.options["nat"] == {"ipv6": False}


def test_profiles_that_stay() -> None:
    wifi = "[connection]\nid=Hotspot\ntype=wifi\ninterface-name=wlan0\n[wifi]\nmode=ap\n[ipv4]\nmethod=shared\n"
    other = "[connection]\nid=office\ntype=bridge\ninterface-name=br1\n[ipv4]\nmethod=manual\naddress1=10.0.0.1/24\n"
    (network,) = fit(*shared_networks({"etc/a": wifi, "etc/b": other}, host()))
    assert (network.name, network.bridge) == ("Hotspot", "wlan0")
    assert "of type wifi" in network.stays
    way_out = [HostRoute("default", "10.99.0.254", "nmbr0")]
    (network,) = fit(*shared_networks({PATH: PROFILE}, host(bridge("nmbr0", "10.99.0.1/24"), routes=way_out)))
    assert "own way out" in network.stays


def test_of_two_profiles_with_one_uuid_the_first_counts() -> None:
    copy = PROFILE.replace("10.99.0", "10.98.0")
    (network,) = fit(*shared_networks({PATH: PROFILE, "run/x": copy}, host(Link("eth1", 9))))
    assert network.options["ipv4"]["address"] == "10.99.0.1/24"
