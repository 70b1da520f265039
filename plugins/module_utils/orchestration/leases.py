# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The leases of guests, from the lease files of dnsmasq."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.paths import Paths
from ..core.untrusted import UnusableFile
from ..dnsmasq.config_reader import HostReader, read_config
from ..dnsmasq.lease_file import MOST_LEASES, Leases, lease_limit, system_leases
from ..dnsmasq.lease_file import read_leases as read_lease_file
from ..dnsmasq.private_files import SHARED_INSTANCES, Layout, unit_name
from ..dnsmasq.system_config import Config
from ..dnsmasq.system_service import UNIT, SystemDnsmasq
from ..network.model import Network

# The share of the leases that a dnsmasq may give from which `virtnet check` reports it.
_NEARLY_FULL = 0.8


@dataclass(frozen=True)
class Lease:
    """One line of the file; ``expires`` in seconds since the epoch, 0 for never. DHCPv6 has a DUID and no MAC."""

    network: str
    ip: str
    mac: str
    name: str
    client_id: str
    expires: int

    def as_options(self, now: float) -> dict[str, Any]:
        """As modules return it; ``remaining`` in seconds, null for never."""
        remaining = max(0, self.expires - int(now)) if self.expires else None
        duid = ":" in self.ip
        return {
            "ip": self.ip,
            "mac": self.mac or None,
            "duid": self.client_id if duid else None,
            "client_id": None if duid else self.client_id or None,
            "hostname": self.name or None,
            "expires": self.expires or None,
            "remaining": remaining,
        }


@dataclass(frozen=True)
class LeaseReport:
    """Leases, and why others may be missing: a sentence for each file that is not read."""

    leases: Sequence[Lease] = ()
    problems: Sequence[str] = ()


def read_leases(networks: Sequence[Network], paths: Paths, now: float | None = None) -> LeaseReport:
    """The leases of the networks that have not expired, sorted by network and address.

    A network that moves to another dnsmasq has its leases in two files: the one that expires last counts. A file that
    cannot be used is one of the problems; the others are read.
    """
    moment = time.time() if now is None else now
    latest: dict[str, Lease] = {}
    problems = []
    for file in lease_files(networks, paths):
        try:
            leases = read_lease_file(file)
        except UnusableFile as error:
            problems.append(f"leases are not complete: {error}")
            continue
        for lease in leases_of(networks, leases):
            if lease.ip not in latest or _end(lease) > _end(latest[lease.ip]):
                latest[lease.ip] = lease
    current = [lease for lease in latest.values() if _end(lease) > moment]
    ordered = sorted(current, key=lambda lease: (lease.network, ":" in lease.ip, ipaddress.ip_address(lease.ip).packed))
    return LeaseReport(ordered, problems)


def _end(lease: Lease) -> float:
    return lease.expires or float("inf")


def lease_files(networks: Iterable[Network], paths: Paths) -> list[str]:
    """Where dnsmasq keeps leases of networks: the system's, by its command line and configuration, and private ones."""
    return [system_leases(_system_config(paths), paths.root), *map(Layout(paths).leases, _instances(networks))]


def _system_config(paths: Paths) -> Config:
    return read_config(SystemDnsmasq(paths.root).status().command, HostReader(), paths.dnsmasq_fragments)


def _instances(networks: Iterable[Network]) -> list[str]:
    """The private instances that there may be.

    An instance is named after its one network, or serves all that share it. No other file of their folder, which is the
    user dnsmasq's, is read.
    """
    return [*SHARED_INSTANCES, *sorted(network.name for network in networks)]


def nearly_full(networks: Iterable[Network], paths: Paths, now: float | None = None) -> list[str]:
    """A sentence for each dnsmasq that has given most of the leases that it may give: soon guests get none.

    A dnsmasq has one limit for all its networks together, and for leases that are not of our networks. It does not
    start with more leases in its file.
    """
    moment = time.time() if now is None else now
    config, layout = _system_config(paths), Layout(paths)
    limit = lease_limit(config)
    raised = f"write dhcp-lease-max={2 * limit} into {config.main_file}"
    files = [(UNIT, system_leases(config, paths.root), limit, f"{raised}, or use dnsmasq.instance: private")]
    files += [
        (unit_name(name), layout.leases(name), MOST_LEASES, "give its networks a shorter lease_time")
        for name in _instances(networks)
    ]
    sentences = []
    for unit, path, most, cure in files:
        given = _count(path, moment)
        if given >= most * _NEARLY_FULL:
            sentences.append(f"{unit} has given {given} of {most} leases, which is its limit (dhcp-lease-max); {cure}")
    return sentences


def _count(path: str, now: float) -> int:
    """How many leases of a file have not expired; a file that cannot be used is reported by read_leases()."""
    try:
        return sum(not lease.expiry or lease.expiry > now for lease in read_lease_file(path).leases)
    except UnusableFile:
        return 0


def leases_of(networks: Iterable[Network], leases: Leases) -> Iterator[Lease]:
    """The leases of the networks' subnets in a lease file."""
    subnets = [(subnet, network.name) for network in networks for subnet in network.subnets]
    for lease in leases.leases:
        # Hardware other than Ethernet has its type before the address.
        mac = lease.known_by.rpartition("-")[2] if lease.address.version == 4 else ""
        for subnet, name in subnets:
            if lease.address in subnet:
                yield Lease(name, str(lease.address), mac, lease.name, lease.client, lease.expiry)
