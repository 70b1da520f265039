# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guests of a fleet, from what its hosts answer. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.virtnet.linux.plugins.plugin_utils.answer_values import Address
from ansible_collections.virtnet.linux.plugins.plugin_utils.answers import Answer, Lease, Network, StaticHost


@dataclass
class Guest:
    """One machine on one network of one host, known by its MAC address, DUID, client id, name or address."""

    host: str
    network: str
    key: str
    name: str = ""
    mac: str = ""
    domain: str = ""
    addresses: list[str] = field(default_factory=list)
    expires: int | None = None
    static: bool = False
    """Whether the definition of the network lists it."""
    leased: bool = False
    named: bool = False
    """Whether the definition gives it its name; else the guest chose the name."""

    def address(self, family: int) -> str:
        """The first address of a family, 4 or 6, else of the other; empty where there is none."""
        own = [one for one in self.addresses if ipaddress.ip_address(one).version == family]
        return next(iter([*own, *self.addresses]), "")

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


def guests_of(answer: Answer) -> list[Guest]:
    """The guests of one host, in the order of its networks, static hosts first."""
    found: list[Guest] = []
    for network in answer.networks:
        static = list(_static_guests(answer.host, network))
        leased: list[_Known] = []
        for lease in network.leases:
            owner = next((one for one in static if one.owns(lease)), None)
            if owner is None:
                owner = next((one for one in leased if one.is_same_machine(lease)), None)
            if owner is None:
                owner = _Known(Guest(answer.host, network.name, "", domain=network.definition.domain))
                leased.append(owner)
            owner.add_lease(lease)
        found += [one.guest for one in [*static, *leased]]
    return found


@dataclass
class _Known:
    """A guest, and by what its leases are found."""

    guest: Guest
    macs: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    reserved: set[Address] = field(default_factory=set)

    def owns(self, lease: Lease) -> bool:
        """Whether a lease is this static host's, by what dnsmasq knows it by.

        A guest chooses the name that it asks for. The name counts only where the definition knows the static host by
        nothing else. DHCPv6 leases have no MAC address (RFC 8415 section 11); one of a static host known by its MAC
        address is found by the address that is reserved for it.
        """
        if lease.mac and self.macs:
            return lease.mac in self.macs
        by_id = {lease.duid, lease.client_id} - {""}
        if by_id & self.ids or lease.ip in self.reserved:
            return True
        return not (self.macs or self.ids) and bool(lease.hostname) and _label(lease) == self.guest.name

    def is_same_machine(self, lease: Lease) -> bool:
        """Whether a lease is of the guest that has this one, where no definition lists either."""
        if lease.mac and self.macs:
            return lease.mac in self.macs
        if lease.duid and self.ids:
            return lease.duid in self.ids
        return bool(lease.hostname) and _label(lease) == self.guest.name

    def add_static(self, entry: StaticHost) -> None:
        guest = self.guest
        guest.static = True
        if entry.name and not guest.named:
            guest.name, guest.named = entry.name.lower(), True
        if entry.mac:
            self.macs.add(entry.mac)
            guest.mac = guest.mac or entry.mac
        if entry.id:
            # A word is the bytes of its letters, as which leases show it (src/option.c and src/lease.c of dnsmasq).
            self.ids |= {entry.id, ":".join(f"{byte:02x}" for byte in entry.id.encode())}
        if entry.ip:
            self.reserved.add(entry.ip)
        guest.key = guest.key or entry.mac or entry.id or guest.name
        self._add_address(entry.ip)

    def add_lease(self, lease: Lease) -> None:
        guest = self.guest
        guest.leased = True
        guest.name = guest.name or _label(lease)
        guest.mac = guest.mac or lease.mac
        guest.expires = guest.expires or lease.expires
        guest.key = guest.key or lease.mac or lease.duid or lease.client_id or str(lease.ip)
        if not guest.static:
            self.macs |= {lease.mac} - {""}
            self.ids |= {lease.duid} - {""}
        self._add_address(lease.ip)

    def _add_address(self, address: Address | None) -> None:
        """A host of a network has a unicast address that is neither the loopback's nor any one's."""
        odd = address is None or address.is_loopback or address.is_multicast or address.is_unspecified
        if not odd and str(address) not in self.guest.addresses:
            self.guest.addresses.append(str(address))


def _label(lease: Lease) -> str:
    """The name that a guest asked for, without a domain, as dnsmasq takes it (strip_hostname() in src/util.c)."""
    return lease.hostname.partition(".")[0].lower()


def _static_guests(host: str, network: Network) -> Iterator[_Known]:
    """Static hosts of both IP versions; one guest where MAC address or name agree."""
    found: list[_Known] = []
    for entry in _entries(network):
        name = entry.name.lower()
        known = next(
            (
                one
                for one in found
                if (entry.mac in one.macs)
                or (name and one.guest.name == name and not (entry.mac and one.macs))
            ),
            None,
        )  # fmt: skip
        if known is None:
            known = _Known(Guest(host, network.name, "", domain=network.definition.domain))
            found.append(known)
        known.add_static(entry)
    yield from found


def _entries(network: Network) -> Iterable[StaticHost]:
    return [*network.definition.ipv4.hosts, *network.definition.ipv6.hosts]
