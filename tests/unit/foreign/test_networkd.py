# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bridges that systemd-networkd serves, as systemd.network(5) and systemd.netdev(5) have them."""

from __future__ import annotations

from ansible_collections.virtnet.linux.plugins.module_utils.foreign.model import Foreign, HostFacts
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.networkd import NetworkdFiles, networkd_networks
from unit.foreign.others_host import bridge, fit, host

FOLDER = "etc/systemd/network"
NETDEV = """[NetDev]
Name=vmbr0
Kind=bridge
MTUBytes=1400
MACAddress=52:54:00:aa:bb:02

[Bridge]
MulticastSnooping=no
STP=yes
ForwardDelaySec=4s
"""
NETWORK = """# Guests
[Match]
Name=vmbr0

[Network]
Address=10.77.0.1/24
Address=fd00:77::1/64
DHCPServer=yes
IPMasquerade=both
IPv6SendRA=yes
ConfigureWithoutCarrier=yes

[DHCPServer]
PoolOffset=100
PoolSize=50
DefaultLeaseTimeSec=2h
DNS=10.77.0.53 \\
    10.77.0.54

[DHCPServerStaticLease]
MACAddress=52:54:00:00:00:10
Address=10.77.0.10

[DHCPServerStaticLease]
MACAddress=52:54:00:00:00:11
Address=10.77.0.11

[Route]
Destination=10.50.0.0/16
Gateway=10.77.0.10
Metric=50
"""
PORT = "[Match]\nName=enp2s0 en*3\n[Network]\nBridge=vmbr0\n"
# systemd's own, for the bridges of systemd-nspawn --network-zone.
ZONE = """[Match]
Kind=bridge
Name=vz-*

[Network]
Address=0.0.0.0/24
LinkLocalAddressing=yes
DHCPServer=yes
IPMasquerade=both
"""


def networks(facts: HostFacts, **units: str) -> list[Foreign]:
    texts = {f"{FOLDER}/{name.replace('__', '.').replace('_', '-')}": text for name, text in units.items()}
    return fit(*networkd_networks(NetworkdFiles(texts), facts))


def test_a_bridge_with_all_that_has_an_option() -> None:
    (network,) = networks(host(), vmbr0__netdev=NETDEV, vmbr0__network=NETWORK, port__network=PORT)
    assert network.options == {
        "name": "vmbr0",
        "state": "inactive",
        "mode": "nat",
        "bridge": {
            "name": "vmbr0",
            "mac": "52:54:00:aa:bb:02",
            "mtu": 1400,
            "stp": True,
            "forward_delay": 4,
            "multicast_snooping": False,
            "ports": ["enp2s0"],
        },
        "ipv4": {
            "address": "10.77.0.1/24",
            "dhcp": {
                "ranges": [{"start": "10.77.0.100", "end": "10.77.0.149"}],
                "lease_time": "7200",
                "hosts": [
                    {"mac": "52:54:00:00:00:10", "ip": "10.77.0.10"},
                    {"mac": "52:54:00:00:00:11", "ip": "10.77.0.11"},
                ],
                "options": {"dns-server": "10.77.0.53,10.77.0.54"},
            },
        },
        "ipv6": {"address": "fd00:77::1/64"},
        "routes": [{"to": "10.50.0.0/16", "via": "10.77.0.10", "metric": 50}],
        "dns": {"domain": ""},
    }
    assert [note.partition(":")[0] for note in network.notes] == [
        "vmbr0.network and its .netdev make the bridge; remove them before a network of ours has it",
        "networkd has no name server",
    ]


def test_modes() -> None:
    def mode(network: str, facts: HostFacts | None = None) -> object:
        text = f"[Match]\nName=vmbr0\n[Network]\nAddress=10.77.0.1/24\n{network}"
        (found,) = networks(facts or host(), vmbr0__netdev=NETDEV, vmbr0__network=text)
        return found.options["mode"]

    assert mode("IPMasquerade=ipv4\n") == "nat"
    assert mode("IPMasquerade=yes\n") == "nat"
    assert mode("IPMasquerade=no\nIPForward=yes\n") == "routed"
    assert mode("IPv4Forwarding=yes\n") == "routed"
    assert mode("DHCPServer=yes\n") == "isolated"
    # What runs counts more than a file that says nothing about it.
    assert mode("", host(bridge("vmbr0", "10.77.0.1/24"))) == "routed"


def test_ipv6_is_hidden_only_if_the_file_says_so() -> None:
    text = NETWORK.replace("both", "ipv4").replace("IPv6SendRA=yes", "")
    (network,) = networks(host(), vmbr0__netdev=NETDEV, vmbr0__network=text)
    assert network.options["nat"] == {"ipv6": False}
    assert network.options["ipv6"] == {"address": "fd00:77::1/64", "ra": False}


def test_the_folder_of_the_administrator_and_drop_ins_count() -> None:
    texts = {
        f"{FOLDER}/b.network": NETWORK,
        "usr/lib/systemd/network/b.network": NETWORK.replace("10.77", "10.78"),
        "usr/lib/systemd/network/b.netdev": NETDEV,
        f"{FOLDER}/b.network.d/20.conf": "[DHCPServer]\nPoolSize=10\n",
        "usr/lib/systemd/network/b.network.d/10.conf": "[DHCPServer]\nPoolSize=20\nPoolOffset=7\n",
    }
    (network,) = fit(*networkd_networks(NetworkdFiles(texts), host()))
    assert network.options["ipv4"]["address"] == "10.77.0.1/24"
    assert network.options["ipv4"]["dhcp"]["ranges"] == [{"start": "10.77.0.7", "end": "10.77.0.16"}]


def test_what_is_not_sent_is_not_sent_by_ours() -> None:
    text = NETWORK.replace("PoolSize=50", "EmitRouter=no\nEmitDNS=no\nNTP=_server_address")
    (network,) = networks(host(), vmbr0__netdev=NETDEV, vmbr0__network=text)
    assert network.options["ipv4"]["dhcp"]["options"] == {"dns-server": "", "router": ""}


def test_a_masked_file_is_none() -> None:
    texts = {f"{FOLDER}/b.network": "", "usr/lib/systemd/network/b.network": NETWORK, f"{FOLDER}/b.netdev": NETDEV}
    assert networkd_networks(NetworkdFiles(texts), host()) == []


def test_an_address_that_networkd_chooses_is_that_of_the_running_bridge() -> None:
    text = NETWORK.replace("Address=10.77.0.1/24", "Address=0.0.0.0/24").replace("Address=10.77.0.1", "")
    facts = host(bridge("vmbr0", "10.42.8.1/24"))
    (network,) = networks(facts, vmbr0__netdev=NETDEV, vmbr0__network=text)
    assert network.options["ipv4"]["address"] == "10.42.8.1/24"


def test_bridges_that_stay() -> None:
    (zone,) = networks(host(bridge("vz-lab", "10.42.8.1/24")), zone__network=ZONE)
    assert "another program makes the bridge" in zone.stays
    client = "[Match]\nName=vmbr0\n[Network]\nDHCP=yes\nDHCPServer=yes\n"
    (uplink,) = networks(host(), vmbr0__netdev=NETDEV, vmbr0__network=client)
    assert "connects the host itself" in uplink.stays


def test_a_bridge_is_matched_as_networkd_does_it() -> None:
    only = {"vmbr0__netdev": NETDEV}
    assert networks(host(), **only, a__network=NETWORK.replace("Name=vmbr0", "Name=!vmbr0 vmbr1")) == []
    assert networks(host(), **only, a__network=NETWORK.replace("Name=vmbr0", "Name=vmbr0\nHost=other")) == []
    assert networks(host(), **only, a__network=NETWORK.replace("Name=vmbr0", "Kind=bond")) == []
    (network,) = networks(host(), **only, a__network=NETWORK.replace("Name=vmbr0", "Name=vm* x\nType=bridge"))
    assert network.bridge == "vmbr0"
    # The first file that matches is the one that counts.
    unmanaged = "[Match]\nName=vmbr0\n[Link]\nUnmanaged=yes\n"
    assert networks(host(), **only, _0__network=unmanaged, _5__network=NETWORK) == []
