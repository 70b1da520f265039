# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Return values of virt_network_info on the hosts of a fleet, of any size."""

from __future__ import annotations

from typing import Any

MODES = ("nat", "routed", "isolated", "open", "nat", "bridged")
DROPPED = {
    "network": "dmz",
    "way": "guest to outside",
    "family": "ipv4",
    "verdict": "dropped",
    "wanted": True,
    "by": [
        {
            "family": "ip",
            "table": "filter",
            "chain": "FORWARD",
            "hook": "forward",
            "rule": None,
            "tool": "nft",
            "cure": "nft insert rule ip filter FORWARD 'meta mark & 0x1 accept'",
        }
    ],
}


def network(number: int, guests: int = 2, **values: Any) -> dict[str, Any]:
    """One network with guests that have leases."""
    prefix = f"10.{number // 250}.{number % 250}."
    forwards = [{"protocol": "tcp", "port": 8000 + number, "to": "guest0", "to_port": 80}] if number % 3 == 0 else []
    leases = [
        {
            "ip": f"{prefix}{10 + guest}",
            "mac": f"52:54:00:{number // 256:02x}:{number % 256:02x}:{guest:02x}",
            "duid": None,
            "hostname": f"guest{guest}",
            "expires": 1795265677,
        }
        for guest in range(guests)
    ]
    return {
        "name": f"net{number}",
        "state": "active",
        "autostart": True,
        "mode": MODES[number % len(MODES)],
        "bridge": f"vn-net{number}",
        "addresses": [prefix + "1/24"],
        "ports": [f"vnet{guest}" for guest in range(guests)],
        "conflicts": [],
        "packets": [],
        "leases": leases,
        "definition": {
            "ipv4": {"address": prefix + "1/24", "dhcp": {"hosts": []}},
            "dns": {"domain": f"net{number}.example.test"},
            "uplink": "",
            "port_forwards": forwards,
        },
        **values,
    }


def answers(hosts: int, networks: int) -> dict[str, dict[str, Any]]:
    """A fleet in which hosts have few or many guests."""
    per_host = networks // hosts
    return {
        f"hv{host:02}": {"networks": [network(i, i * 7 % 15) for i in range(host * per_host, (host + 1) * per_host)]}
        for host in range(hosts)
    }
