# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who has which address: the leases that dnsmasq has written down."""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .dnsmasq_config import HostReader, read_config
from .dnsmasq_leases import system_leases
from .dnsmasq_service import SystemDnsmasq
from .files import read_text
from .network import Network
from .paths import Paths


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


def read_leases(networks: Sequence[Network], paths: Paths, now: float | None = None) -> list[Lease]:
    """The leases of the networks that have not run out, by network and address.

    A network that went to another dnsmasq left its leases behind as well as taking them along: the latest counts.
    """
    moment = time.time() if now is None else now
    latest: dict[str, Lease] = {}
    for file in lease_files(paths):
        for one in parse_leases(read_text(file) or "", networks):
            if one.ip not in latest or _end(one) > _end(latest[one.ip]):
                latest[one.ip] = one
    return sorted(
        (one for one in latest.values() if _end(one) > moment),
        key=lambda one: (one.network, ":" in one.ip, ipaddress.ip_address(one.ip).packed),
    )


def _end(lease: Lease) -> float:
    return lease.expires or float("inf")


def lease_files(paths: Paths) -> list[str]:
    """Where dnsmasq keeps its leases: the system's, by its command line and configuration, and private ones."""
    service = SystemDnsmasq(paths.root).status()
    config = read_config(service.command, HostReader(), paths.dnsmasq_fragments)
    private = [name for name in HostReader().names(paths.private_leases) if name.endswith(".leases")]
    return [system_leases(config, paths.root), *(os.path.join(paths.private_leases, name) for name in sorted(private))]


def parse_leases(text: str, networks: Iterable[Network]) -> Iterator[Lease]:
    """The leases of the networks' subnets (lease_update_file() in dnsmasq's src/lease.c).

    Lines of ``expiry mac address name client-id``; after a line ``duid server-id``, with DHCPv6, of
    ``expiry [T]iaid address name client-duid``. "*" stands for what is not known.
    """
    subnets = [(subnet, network.name) for network in networks for subnet in network.subnets]
    for line in text.splitlines():
        words = line.split()
        if len(words) < 5 or not words[0].isdecimal():
            continue
        try:
            address = ipaddress.ip_address(words[2])
        except ValueError:
            continue
        # A hardware type other than Ethernet stands before the address: 06-52:54:...
        mac = words[1].rpartition("-")[2] if address.version == 4 else ""
        host, client = ("" if word == "*" else word for word in words[3:5])
        for subnet, name in subnets:
            if address in subnet:
                yield Lease(name, str(address), mac, host, client, int(words[0]))
