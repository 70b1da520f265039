# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plans that are disturbed: an installation, a first run, a change, a removal, a teardown, as the roles do them."""

from __future__ import annotations

from typing import Any

Network = dict[str, Any]
Tasks = list[list[Any]]

NAT: Network = {
    "name": "nat",
    "ipv4": {
        "address": "192.168.30.1/24",
        "dhcp": {"hosts": [{"mac": "52:54:00:00:00:01", "name": "web", "ip": "192.168.30.10"}]},
    },
    "ipv6": {"address": "fd00:30::1/64"},
    "dns": {"domain": "nat.test", "hosts": [{"ip": "192.168.30.11", "names": ["db"]}]},
    "port_forwards": [{"protocol": "tcp", "port": 8080, "to": "web", "to_port": 80}],
    "bandwidth": {"inbound": {"average": 90000}, "outbound": {"average": 90000}},
    "dnsmasq": {"instance": "private"},
}
ISOLATED: Network = {"name": "iso", "mode": "isolated", "ipv4": {"address": "192.168.31.1/24"}}
ROUTED: Network = {
    "name": "routed",
    "mode": "routed",
    "ipv4": {"address": "192.168.32.1/24"},
    "routes": [{"to": "10.50.0.0/24", "via": "192.168.32.50"}],
}
FIRST = [NAT, ISOLATED, ROUTED]
CHANGED: list[Network] = [
    {
        **NAT,
        "ipv4": {**NAT["ipv4"], "address": "192.168.40.1/24", "dhcp": {}},
        "port_forwards": [{"protocol": "udp", "port": 5353, "to": "192.168.40.20"}],
        "bandwidth": {},
    },
    {**ISOLATED, "mode": "nat", "ipv6": {"address": "fd00:31::1/64"}, "isolate_guests": True},
    {**ROUTED, "bridge": {"mtu": 1400}, "routes": []},
]

_PARTS: Tasks = [
    ["bridge", {"from": "bridges"}],
    ["nft_nat", {"from": "rules"}],
    ["dnsmasq_fragment", {"from": "fragments"}],
    ["resolvconf_entry", {"from": "entries"}],
    ["libvirt_network", {"from": "registrations"}],
]


def site(networks: list[Network], *, purge: bool = False) -> Tasks:
    """The tasks of the play site.yml."""
    define = ["virt_network", {"networks": networks, "purge": purge}]
    return [define, *([name, dict(parameters)] for name, parameters in _PARTS)]


def installation() -> Tasks:
    """The engine, its folders and its services; there is no systemd that would start them."""
    return [["host", {"state": "present", "guard": True}]]


def teardown() -> Tasks:
    """The tasks of the play teardown.yml."""
    return [
        ["host", {"state": "stopped", "guard": True}],
        ["libvirt_adopt", {"state": "returned"}],
        ["libvirt_network", {"networks": [], "purge": True}],
        ["resolvconf_entry", {"entries": [], "purge": True}],
        ["dnsmasq_fragment", {"fragments": [], "purge": True}],
        ["bridge", {"bridges": [], "purge": True}],
        ["nft_nat", {"networks": [], "purge": True}],
        ["host", {"state": "absent", "guard": True}],
    ]


# The bystander's network, which always exists.
BYSTANDER: Network = {"name": "beside", "ipv4": {"address": "192.168.50.1/24"}}


def plans(*with_bystander: Network) -> dict[str, Tasks]:
    """Each plan starts where the one before ends; if the bystander's network exists, teardown keeps it."""
    remaining = [{"name": "nat", "state": "absent"}, CHANGED[1], CHANGED[2]]
    return {
        **({} if with_bystander else {"installation": installation()}),
        "first run": site([*FIRST, *with_bystander]),
        "change": site([*CHANGED, *with_bystander]),
        "removal": site([*remaining, *with_bystander]),
        "teardown": site(list(with_bystander), purge=True) if with_bystander else teardown(),
    }
