# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leases that go with a network from one dnsmasq to another.

The format is that of dnsmasq's src/lease.c, lease_update_file(): lines of ``EXPIRY MAC ADDRESS NAME CLIENT-ID``, and
after a line ``duid SERVER-ID`` those of DHCPv6, ``EXPIRY [T]IAID ADDRESS NAME CLIENT-DUID``. An expiry of 0 is never.

The file is dnsmasq's, and names in it are the guests': whoever broke into either can write anything there. So a lease
counts only where each of its words is what dnsmasq would have written.
"""

from __future__ import annotations

import io
import ipaddress
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Union

from ..core.errors import VirtnetError
from ..core.files import make_folder
from ..core.untrusted import UnusableFile, read_untrusted_text, replace_untrusted, unusable_reason
from .system_config import Config

Subnet = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

# Debian and upstream; Fedora.
_DEFAULTS = ("var/lib/misc/dnsmasq.leases", "var/lib/dnsmasq/dnsmasq.leases")


# A private instance gives so many leases at most (private_files.py, dhcp-lease-max); the system's dnsmasq 1000 unless
# its administrator says more (dnsmasq.8).
_MOST_LEASES = 65536
# The longest line: 20 digits, a hardware address of 16 octets with its type, an IPv6 address, a name of 255 characters
# and a client identifier of 255 octets, each octet "xx:".
_LONGEST_LINE = 1200
LEASE_FILE_LIMIT = _MOST_LEASES * _LONGEST_LINE
# Beside leases there is one line, with the server's identity; twice as many lines leave room for another dnsmasq's.
_MOST_LINES = 2 * _MOST_LEASES

# The last second of the year 9999: what comes later no calendar of Python's can show.
_LATEST = 253402300799
_LONGEST_NAME = 255

_OCTETS = "[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})"
_EXPIRY = re.compile("[0-9]{1,12}")
_ADDRESS = re.compile("[0-9A-Fa-f.:]{2,45}")
# A hardware type other than Ethernet stands before the address: 06-52:54:...
HARDWARE = re.compile(f"(?:[0-9A-Fa-f]{{2}}-)?{_OCTETS}{{0,15}}")
IAID = re.compile("T?[0-9]{1,10}")
CLIENT = re.compile(f"{_OCTETS}{{0,254}}")
_SERVER_LINE = re.compile(f"duid {_OCTETS}{{0,254}}")
# legal_hostname() and check_name() in dnsmasq's src/util.c: it looks at the first label of a guest's name, and adds the
# domain, whose labels may start with '_' or '-'.
_HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}(?:\.[A-Za-z0-9_-]{1,63})*")


@dataclass(frozen=True)
class Lease:
    """One line of a lease file. ``known_by``: a hardware address, or the IAID of DHCPv6; name and client '' if none.

    ``expiry`` in seconds since the epoch, 0 for never.
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


def is_host_name(text: str) -> bool:
    """Whether a guest's name is one that dnsmasq takes for a host's."""
    return len(text) <= _LONGEST_NAME and _HOST_NAME.fullmatch(text) is not None


def read_lease(words: Sequence[str]) -> Lease | None:
    """A lease of the five words of a line, or None where one of them is not what dnsmasq writes.

    A name that is no host's is left out of the lease; one for DHCPv6 has a hardware address in no place of its own.
    """
    expiry, known_by, address, name, client = words
    if not (_EXPIRY.fullmatch(expiry) and _ADDRESS.fullmatch(address) and int(expiry) <= _LATEST):
        return None
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    known = HARDWARE if ip.version == 4 else IAID
    if not known.fullmatch(known_by) or not (client == "*" or CLIENT.fullmatch(client)):
        return None
    return Lease(int(expiry), known_by, ip, name if is_host_name(name) else "", "" if client == "*" else client)


def parse(text: str) -> Leases:
    """The leases of a file; a line that is none, as after a power cut, is left out, as dnsmasq does. Raises nothing."""
    found = list(_leases(text))
    duids = [line for line in _lines(text) if line.startswith("duid ") and _SERVER_LINE.fullmatch(line)]
    return Leases(found, duids[-1] if duids else "")


def _lines(text: str) -> Iterator[str]:
    # No list of them all: a file of line breaks alone would take gigabytes.
    return (line.rstrip("\n") for line in io.StringIO(text, newline="\n"))


def _leases(text: str) -> Iterator[Lease]:
    for line in _lines(text):
        words = line.split(" ", 5)
        lease = read_lease(words[:5]) if len(words) >= 5 else None
        if lease is not None:
            yield lease


def read_leases(path: str) -> Leases:
    """The leases of a file that may not be there; raises UnusableFile."""
    text = read_untrusted_text(path, LEASE_FILE_LIMIT) or ""
    if text.count("\n") > _MOST_LINES:
        raise UnusableFile(path, f"has more than {_MOST_LINES} lines, so it is not dnsmasq's; move it away")
    return parse(text)


def lease_file_fault(path: str) -> str:
    """Why a lease file cannot be used, or ''; the file is not opened."""
    return unusable_reason(path, LEASE_FILE_LIMIT)


def pending_lease_files(folder: str) -> list[str]:
    """Files of leases that wait for the dnsmasq that is to have them."""
    try:
        return sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".leases"))
    except FileNotFoundError:
        return []


def write_leases(path: str, leases: Leases, like: str) -> None:
    """Replace a lease file whose dnsmasq is stopped; a new one belongs to whom the file ``like`` belongs to.

    Raises VirtnetError naming the file.
    """
    try:
        make_folder(os.path.dirname(path))
    except OSError as error:
        raise VirtnetError(f"cannot write {error.filename or path}: {error.strerror}") from error
    replace_untrusted(path, leases.text(), like)


def system_leases(config: Config, root: str) -> str:
    """Where the system's dnsmasq keeps its leases."""
    for setting in config.named("dhcp-leasefile"):
        if setting.value:
            return setting.value
    known = [os.path.join(root, path) for path in _DEFAULTS]
    return next((path for path in known if os.path.lexists(path)), known[0])
