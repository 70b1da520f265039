# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guests of a fleet, from what its hosts say of their networks. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Guest:
    """One machine on one network of one host, known by its MAC address, DUID or name."""

    host: str
    network: str
    key: str
    name: str = ""
    mac: str = ""
    domain: str = ""
    addresses: list[str] = field(default_factory=list)
    expires: int | None = None
    static: bool = False
    """Whether the definition of the network names it."""
    leased: bool = False

    def address(self, family: int) -> str:
        """The first address of a family, 4 or 6, else of the other; empty where there is none."""
        own = [one for one in self.addresses if ipaddress.ip_address(one).version == family]
        return next(iter([*own, *self.addresses]), "")

    def names(self) -> Iterator[str]:
        """What it may be called, the shortest first; the last is its own in the whole fleet."""
        short = self.name or f"{self.network}-{self.key.replace(':', '-')}"
        yield short
        yield f"{short}.{self.network}"
        yield f"{short}.{self.network}.{self.host}"
        yield f"{short}.{self.key.replace(':', '-')}.{self.network}.{self.host}"

    def variables(self) -> dict[str, Any]:
        """What the inventory says of it."""
        return {
            "virtnet_host": self.host,
            "virtnet_network": self.network,
            "virtnet_mac": self.mac or None,
            "virtnet_name": self.name or None,
            "virtnet_fqdn": f"{self.name}.{self.domain}" if self.name and self.domain else None,
            "virtnet_addresses": self.addresses,
            "virtnet_static": self.static,
            "virtnet_leased": self.leased,
            "virtnet_expires": self.expires,
        }


def guests_of(host: str, networks: Iterable[Mapping[str, Any]]) -> list[Guest]:
    """The guests of one host, in the order of its networks and addresses.

    ``networks`` is what the module virt_network_info returns. A static host and its leases of both families are one
    guest where MAC address or name tell so: DHCPv6 leases have no MAC address (RFC 8415 section 11).
    """
    found: list[Guest] = []
    for network in networks:
        mine: list[Guest] = []
        for entry in _static(network["definition"]):
            _merge(mine, host, network, entry)
        for lease in network.get("leases", ()):
            _merge(mine, host, network, {**lease, "name": lease["hostname"], "leased": True})
        found += mine
    return found


def _static(definition: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for family in ("ipv4", "ipv6"):
        dhcp = (definition.get(family) or {}).get("dhcp") or {}
        for entry in dhcp.get("hosts", ()):
            yield {**entry, "static": True}


def _merge(mine: list[Guest], host: str, network: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
    mac = (entry.get("mac") or "").lower()
    name = (entry.get("name") or "").lower()
    same = (one for one in mine if (mac and one.mac == mac) or (name and one.name == name and not (mac and one.mac)))
    guest = next(same, None)
    if guest is None:
        key = mac or entry.get("duid") or entry.get("id") or name or entry["ip"]
        domain = (network["definition"].get("dns") or {}).get("domain") or ""
        guest = Guest(host, network["name"], key, domain=domain)
        mine.append(guest)
    guest.mac = guest.mac or mac
    guest.name = guest.name or name
    if entry.get("ip") and entry["ip"] not in guest.addresses:
        guest.addresses.append(entry["ip"])
    guest.static = guest.static or bool(entry.get("static"))
    guest.leased = guest.leased or bool(entry.get("leased"))
    guest.expires = guest.expires or entry.get("expires")


def named(guests: Iterable[Guest], taken: Iterable[str] = ()) -> dict[str, Guest]:
    """Each guest by the shortest name that is its own among all, and none of those taken (the hosts')."""
    everyone = list(guests)
    depth = [0] * len(everyone)
    occupied = set(taken)
    choices = [list(guest.names()) for guest in everyone]
    while True:
        names = [choices[i][depth[i]] for i in range(len(everyone))]
        often = Counter(names)
        clash = [i for i, name in enumerate(names) if often[name] > 1 or name in occupied]
        deeper = [i for i in clash if depth[i] < len(choices[i]) - 1]
        if not deeper:
            return {name: guest for name, guest in zip(names, everyone) if name not in occupied}
        for i in deeper:
            depth[i] += 1
