# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guests of a fleet, from the answers of its hosts. Pure."""

from __future__ import annotations

import ipaddress
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
        """Its variables in the inventory."""
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
    """The guests of one host, in the order of its networks, static hosts first.

    The time is linear in what the host answers.
    """
    guests: list[Guest] = []
    for network in answer.networks:
        machines = _Machines(answer.host, network)
        for entry in (*network.definition.ipv4.hosts, *network.definition.ipv6.hosts):
            machines.add_static(entry)
        for lease in network.leases:
            machines.add_lease(lease)
        guests += [one.guest for one in (*machines.static, *machines.leased)]
    return guests


@dataclass
class _Machine:
    """A guest with all of its addresses, and whether a lease has its MAC address or DUID."""

    guest: Guest
    seen: set[Address] = field(default_factory=set)
    has_mac: bool = False
    has_duid: bool = False

    def add_address(self, address: Address | None) -> None:
        """A host of a network has a unicast address that is neither the loopback's nor unspecified."""
        if address is None or address in self.seen:
            return
        self.seen.add(address)
        if not (address.is_loopback or address.is_multicast or address.is_unspecified):
            self.guest.addresses.append(str(address))


class _Machines:
    """The guests of one network.

    A lease is a static host's by what dnsmasq knows that one by. A guest chooses the name that it asks for, so the name
    counts only where the definition knows the static host by nothing else. DHCPv6 leases have no MAC address (RFC 8415
    section 11): one of a static host known by its MAC address is found by the address that is reserved for it.
    """

    def __init__(self, host: str, network: Network) -> None:
        self.static: list[_Machine] = []
        self.leased: list[_Machine] = []
        self._host = host
        self._network = network
        # Of static hosts, by what they are known by.
        self._by_mac: dict[str, _Machine] = {}
        self._by_id: dict[str, _Machine] = {}
        self._by_address: dict[Address, _Machine] = {}
        self._by_name: dict[str, _Machine] = {}
        # Of all other guests.
        self._leased_by_id: dict[str, _Machine] = {}
        self._without_mac: dict[str, _Machine] = {}
        self._without_duid: dict[str, _Machine] = {}

    def _new(self, machines: list[_Machine]) -> _Machine:
        machine = _Machine(Guest(self._host, self._network.name, "", domain=self._network.definition.domain))
        machines.append(machine)
        return machine

    def add_static(self, entry: StaticHost) -> None:
        """A static host of one IP version; one guest with that of the other where MAC address or name agree."""
        name = _label(entry.name)
        namesake = self._by_name.get(name)
        if namesake is not None and entry.mac and namesake.has_mac:
            namesake = None
        machine = self._by_mac.get(entry.mac) or namesake or self._new(self.static)
        guest = machine.guest
        guest.static = True
        if name and not guest.named:
            guest.name, guest.named = name, True
        guest.mac = guest.mac or entry.mac
        guest.key = guest.key or entry.mac or entry.id or name
        machine.add_address(entry.ip)
        machine.has_mac = machine.has_mac or bool(entry.mac)
        machine.has_duid = machine.has_duid or bool(entry.id)
        if name:
            self._by_name.setdefault(name, machine)
        for mac in filter(None, (entry.mac, *entry.other_macs)):
            self._by_mac.setdefault(mac, machine)
        if entry.id:
            # A word is the bytes of its letters, as which leases show it (src/option.c and src/lease.c of dnsmasq).
            for client in (entry.id, ":".join(f"{byte:02x}" for byte in entry.id.encode())):
                self._by_id.setdefault(client, machine)
        if entry.ip:
            self._by_address.setdefault(entry.ip, machine)

    def add_lease(self, lease: Lease) -> None:
        """A lease of a static host, else of another guest."""
        machine = self._owner(lease)
        if machine is None:
            machine = self._same_machine(lease) or self._new(self.leased)
            self._remember(machine, lease)
        guest = machine.guest
        guest.leased = True
        guest.name = guest.name or _label(lease.hostname)
        guest.mac = guest.mac or lease.mac
        guest.expires = guest.expires or lease.expires
        guest.key = guest.key or lease.mac or lease.duid or lease.client_id or str(lease.ip)
        machine.add_address(lease.ip)

    def _owner(self, lease: Lease) -> _Machine | None:
        if lease.mac in self._by_mac:
            return self._by_mac[lease.mac]
        others = [self._by_id.get(lease.duid), self._by_id.get(lease.client_id), self._by_address.get(lease.ip)]
        namesake = self._by_name.get(_label(lease.hostname))
        if namesake is not None and not (namesake.has_mac or namesake.has_duid):
            others.append(namesake)
        # Who has a MAC address in the definition does not have a lease of another one.
        return next((one for one in others if one is not None and not (lease.mac and one.has_mac)), None)

    def _same_machine(self, lease: Lease) -> _Machine | None:
        """Another guest that has a lease under the same MAC address or DUID, or of the other IP version and name."""
        known = lease.mac or lease.duid
        if known in self._leased_by_id:
            return self._leased_by_id[known]
        return (self._without_mac if lease.mac else self._without_duid).get(_label(lease.hostname))

    def _remember(self, machine: _Machine, lease: Lease) -> None:
        machine.has_mac = machine.has_mac or bool(lease.mac)
        machine.has_duid = machine.has_duid or bool(lease.duid)
        for known in filter(None, (lease.mac, lease.duid)):
            self._leased_by_id.setdefault(known, machine)
        name = machine.guest.name or _label(lease.hostname)
        for has, lacking in ((machine.has_mac, self._without_mac), (machine.has_duid, self._without_duid)):
            if has and lacking.get(name) is machine:
                del lacking[name]
            elif not has and name:
                lacking.setdefault(name, machine)


def _label(name: str) -> str:
    """A name without a domain, as dnsmasq takes it (strip_hostname() in src/util.c)."""
    return name.partition(".")[0].lower()
