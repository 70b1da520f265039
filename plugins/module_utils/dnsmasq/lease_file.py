# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lease files of dnsmasq: reading, combining, writing.

The format is that of dnsmasq's src/lease.c, lease_update_file(): lines of ``EXPIRY MAC ADDRESS NAME CLIENT-ID``, and
after a line ``duid SERVER-ID`` those of DHCPv6, ``EXPIRY [T]IAID ADDRESS NAME CLIENT-DUID``. An expiry of 0 is never.

dnsmasq's user writes the file, and guests choose the names in it: an attacker who controls either can write anything
there. So a line counts as a lease only if dnsmasq could have written each of its fields.
"""

from __future__ import annotations

import io
import ipaddress
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Union

from ..core.errors import VirtnetError
from ..core.families import LEASE_FILES, read_distribution
from ..core.files import list_folder, make_folder
from ..core.options import Address
from ..core.untrusted import UnusableFile, read_untrusted_text, replace_untrusted, unusable_reason
from .system_config import Config

Subnet = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

# The limit of a private instance (dhcp-lease-max in private_files.py), and that of the system's dnsmasq, unless its
# administrator sets another one (dnsmasq.8).
MOST_LEASES = 65536
_DEFAULT_LEASE_MAX = 1000
# The longest line: 20 digits, a hardware address of 16 octets with its type, an IPv6 address, a name of 255 characters
# and a client identifier of 255 octets, each octet "xx:".
_LONGEST_LINE = 1200
LEASE_FILE_LIMIT = MOST_LEASES * _LONGEST_LINE
# One more line has the server's identity. Twice the number leaves room for leases of another dnsmasq.
_MOST_LINES = 2 * MOST_LEASES

# The last second of the year 9999: Python's datetime has no later one.
_LATEST = 253402300799
_LONGEST_NAME = 255

_OCTETS = "[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})"
_EXPIRY = re.compile("[0-9]{1,12}")
_ADDRESS = re.compile("[0-9A-Fa-f.:]{2,45}")
# A hardware type other than Ethernet precedes the address: 06-52:54:...
_HARDWARE = re.compile(f"(?:[0-9A-Fa-f]{{2}}-)?{_OCTETS}{{0,15}}")
_IAID = re.compile("T?[0-9]{1,10}")
CLIENT = re.compile(f"{_OCTETS}{{0,254}}")
_SERVER_LINE = re.compile(f"duid {_OCTETS}{{0,254}}")
# dnsmasq's src/util.c, legal_hostname() and check_name(): it checks the first label of a guest's name and adds the
# domain, whose labels may start with '_' or '-'.
_HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}(?:\.[A-Za-z0-9_-]{1,63})*")


@dataclass(frozen=True)
class Lease:
    """One line of a lease file.

    ``expiry`` is in seconds since the epoch, 0 for never. ``known_by`` is a hardware address, or the IAID of DHCPv6.
    ``name`` and ``client`` are '' if the lease has none.
    """

    expiry: int
    known_by: str
    address: Address
    name: str
    client: str

    @property
    def line(self) -> str:
        """The line of the file."""
        words = (self.expiry, self.known_by, self.address, self.name or "*", self.client or "*")
        return " ".join(map(str, words))

    def within(self, subnets: Iterable[Subnet]) -> bool:
        """Whether the address is in one of these subnets."""
        return any(self.address in subnet for subnet in subnets)

    def outlasts(self, other: Lease) -> bool:
        """Whether this lease expires later."""
        return (self.expiry or math.inf) > (other.expiry or math.inf)


@dataclass(frozen=True)
class Leases:
    """The content of a lease file; ``duid`` is the line with the server's identity, or ''."""

    leases: Sequence[Lease] = ()
    duid: str = ""

    def text(self) -> str:
        """The content as text."""
        ipv4 = [lease.line for lease in self.leases if lease.address.version == 4]
        ipv6 = [lease.line for lease in self.leases if lease.address.version == 6]
        return "".join(f"{line}\n" for line in [*ipv4, *([self.duid] if self.duid else []), *ipv6])

    def joined_by(self, other: Leases, subnets: Sequence[Subnet]) -> Leases:
        """These leases and another server's in some subnets; of two for one address, the one that expires later."""
        leases = {lease.address: lease for lease in self.leases}
        added = [lease for lease in other.leases if lease.within(subnets)]
        for lease in added:
            present = leases.get(lease.address)
            if present is None or lease.outlasts(present):
                leases[lease.address] = lease
        # A guest renews its DHCPv6 lease with the server that has the same identity (RFC 8415 section 18.2.4).
        return Leases(list(leases.values()), self.duid or (other.duid if added else ""))


def is_host_name(text: str) -> bool:
    """Whether dnsmasq accepts a guest's name as a host name."""
    return len(text) <= _LONGEST_NAME and _HOST_NAME.fullmatch(text) is not None


def read_lease(fields: Sequence[str]) -> Lease | None:
    """The lease in the five fields of a line; None if dnsmasq would not write one of them.

    A name that is no host name is left out of the lease.
    """
    expiry, known_by, address, name, client = fields
    if not (_EXPIRY.fullmatch(expiry) and _ADDRESS.fullmatch(address) and int(expiry) <= _LATEST):
        return None
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    known = _HARDWARE if ip.version == 4 else _IAID
    if not known.fullmatch(known_by) or not (client == "*" or CLIENT.fullmatch(client)):
        return None
    return Lease(int(expiry), known_by, ip, name if is_host_name(name) else "", "" if client == "*" else client)


def parse(text: str) -> Leases:
    """The leases in the text of a file. Lines that are no lease, as after a power cut, are ignored as by dnsmasq."""
    leases, duid = [], ""
    # Line by line, since a list of the lines of a file with line breaks alone would take gigabytes.
    for row in io.StringIO(text, newline="\n"):
        line = row.rstrip("\n")
        fields = line.split(" ", 5)
        lease = read_lease(fields[:5]) if len(fields) >= 5 else None
        if lease is not None:
            leases.append(lease)
        elif _SERVER_LINE.fullmatch(line):
            duid = line
    return Leases(leases, duid)


def read_leases(path: str) -> Leases:
    """The leases in a file, none if it does not exist; raises UnusableFile."""
    text = read_untrusted_text(path, LEASE_FILE_LIMIT) or ""
    if text.count("\n") > _MOST_LINES:
        raise UnusableFile(path, f"has more than {_MOST_LINES} lines, so it is not dnsmasq's; move it away")
    return parse(text)


def lease_file_fault(path: str) -> str:
    """Why a lease file cannot be used, as a sentence; '' for nothing. The file is not opened."""
    return unusable_reason(path, LEASE_FILE_LIMIT)


def pending_lease_files(folder: str) -> list[str]:
    """Lease files that were taken over from libvirt, and that no dnsmasq of ours has got yet."""
    return [os.path.join(folder, name) for name in list_folder(folder, ".leases")]


def write_leases(path: str, leases: Leases, owner_like: str) -> None:
    """Replace a lease file while its dnsmasq is stopped; the new file gets the owner of the file ``owner_like``.

    Raises VirtnetError naming the file.
    """
    try:
        make_folder(os.path.dirname(path))
    except OSError as error:
        raise VirtnetError(f"cannot write {error.filename or path}: {error.strerror}") from error
    replace_untrusted(path, leases.text(), owner_like)


def system_leases(config: Config, root: str) -> str:
    """The path of the lease file of the system's dnsmasq."""
    for setting in config.named("dhcp-leasefile"):
        if setting.value:
            return setting.value
    # A dnsmasq that is not from the distribution's package may have the other one.
    defaults = [os.path.join(root, path) for path in (read_distribution(root).leases, *LEASE_FILES)]
    return next((path for path in defaults if os.path.lexists(path)), defaults[0])


def lease_limit(config: Config) -> int:
    """How many leases the system's dnsmasq gives, for all networks together."""
    limits = [setting.value or "" for setting in config.named("dhcp-lease-max")]
    return next((int(value) for value in reversed(limits) if value.isdecimal()), _DEFAULT_LEASE_MAX)
