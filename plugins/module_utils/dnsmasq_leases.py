# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leases that go with a network from one dnsmasq to another.

The format is that of dnsmasq's src/lease.c, lease_update_file(): lines of ``EXPIRY MAC ADDRESS NAME CLIENT-ID``, and
after a line ``duid SERVER-ID`` those of DHCPv6, ``EXPIRY [T]IAID ADDRESS NAME CLIENT-DUID``. An expiry of 0 is never.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Union

from .dnsmasq_config import Config
from .errors import VirtnetError
from .files import make_folder, read_text, written_anew

Subnet = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

# Debian and upstream; Fedora.
_DEFAULTS = ("var/lib/misc/dnsmasq.leases", "var/lib/dnsmasq/dnsmasq.leases")


@dataclass(frozen=True)
class Lease:
    """One line of a lease file."""

    expiry: int
    address: Address
    line: str

    def within(self, subnets: Iterable[Subnet]) -> bool:
        """Whether it is one of these subnets."""
        return any(self.address in subnet for subnet in subnets)

    @property
    def _end(self) -> float:
        return self.expiry or float("inf")

    def outlasts(self, other: Lease) -> bool:
        """Whether it ends later."""
        return self._end > other._end


@dataclass(frozen=True)
class Leases:
    """What a lease file holds; ``duid`` is the line with the server's own identity, or ''."""

    leases: Sequence[Lease] = ()
    duid: str = ""

    def text(self) -> str:
        """The file."""
        lines = [lease.line for lease in self.leases if lease.address.version == 4]
        later = [lease.line for lease in self.leases if lease.address.version == 6]
        return "".join(f"{line}\n" for line in [*lines, *([self.duid] if self.duid else []), *later])

    def without(self, subnets: Sequence[Subnet]) -> Leases:
        """What stays when these subnets have gone."""
        return Leases([lease for lease in self.leases if not lease.within(subnets)], self.duid)

    def joined_by(self, other: Leases, subnets: Sequence[Subnet]) -> Leases:
        """With another server's leases of these subnets; of two for one address the one that lasts longer."""
        kept = {lease.address: lease for lease in self.leases}
        came = [lease for lease in other.leases if lease.within(subnets)]
        for lease in came:
            mine = kept.get(lease.address)
            if mine is None or lease.outlasts(mine):
                kept[lease.address] = lease
        # A guest renews its DHCPv6 lease with the server that it knows by its identity (RFC 8415 section 18.2.4).
        return Leases(list(kept.values()), self.duid or (other.duid if came else ""))


def parse(text: str) -> Leases:
    """The leases of a file; a line that is none, as after a power cut, is left out, as dnsmasq does."""
    found = []
    duid = ""
    for line in text.splitlines():
        words = line.split(" ")
        if words[0] == "duid":
            duid = line
        elif len(words) >= 5 and words[0].isdigit():
            try:
                found.append(Lease(int(words[0]), ipaddress.ip_address(words[2]), line))
            except ValueError:
                continue
    return Leases(found, duid)


def read_leases(path: str) -> Leases:
    """The leases of a file that may not be there."""
    return parse(read_text(path) or "")


def waiting(folder: str) -> list[str]:
    """Files of leases that wait for the dnsmasq that is to have them."""
    try:
        return sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".leases"))
    except FileNotFoundError:
        return []


def write_leases(path: str, leases: Leases, like: str) -> None:
    """Replace a lease file whose dnsmasq is stopped; a new one belongs to whom the file ``like`` belongs to."""
    temporary = f"{path}.virtnet-tmp"
    try:
        make_folder(os.path.dirname(path))
        status = os.stat(path if os.path.exists(path) else like)
        with written_anew(temporary, status.st_mode & 0o644) as stream:
            os.fchown(stream.fileno(), status.st_uid, status.st_gid)
            stream.write(leases.text())
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise VirtnetError(f"cannot write {error.filename or path}: {error.strerror}") from error


def system_leases(config: Config, root: str) -> str:
    """Where the system's dnsmasq keeps its leases."""
    for setting in config.named("dhcp-leasefile"):
        if setting.value:
            return setting.value
    known = [os.path.join(root, path) for path in _DEFAULTS]
    return next((path for path in known if os.path.exists(path)), known[0])
