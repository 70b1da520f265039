# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every provider of the host's resolver has to do, and what they share. Pure.

A provider holds things of ours by name, each as text: an entry of resolvconf, a file, the settings of a link. What it
shall hold is a function of all entries and of the host, so that a change is a difference of texts.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Union

OPENRESOLV = "openresolv"
DEBIAN = "resolvconf"
RESOLVED = "systemd-resolved"
NETWORK_MANAGER = "networkmanager"
PLAIN = "plain"
PROVIDER_NAMES = (OPENRESOLV, DEBIAN, RESOLVED, NETWORK_MANAGER, PLAIN)
# Whoever is found to own resolv.conf.
AUTO = "auto"

# Bits of a label of a reverse zone: an octet (RFC 1035 section 3.5), a nibble (RFC 3596 section 2.5).
_LABEL_BITS = {4: 8, 6: 4}
_ROOT = {4: "in-addr.arpa", 6: "ip6.arpa"}

Subnet = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Held = Mapping[str, str]


@dataclass(frozen=True)
class Entry:
    """One network for the resolver.

    ``forwards``: its server resolves other names too; ``everyone``: it knows the names of the other networks as well;
    ``asked``: the host shall ask it. One that is not may still forward to the host's servers.
    """

    interface: str
    addresses: Sequence[str] = ()
    domain: str = ""
    zones: Sequence[str] = ()
    forwards: bool = True
    everyone: bool = False
    asked: bool = True


@dataclass(frozen=True)
class Surroundings:
    """The host's resolver as it was found.

    ``owner`` of /etc/resolv.conf is a provider, or empty where it is none that we know; ``words`` say it to the user.
    ``servers`` and ``search`` are the file's, ``text`` is all of it, ``link`` where it really lies. ``told``: a local
    resolver is told by the owner which server knows which domain. ``hindrance``: why the owner cannot be asked now.
    """

    owner: str = PLAIN
    words: str = "a file that no program manages"
    servers: Sequence[str] = ()
    search: Sequence[str] = ()
    options: Sequence[str] = ()
    text: str = ""
    link: str = "/etc/resolv.conf"
    told: bool = False
    hindrance: str = ""
    installed: frozenset[str] = field(default_factory=frozenset)

    @property
    def asks_loopback(self) -> bool:
        """Whether the host asks a resolver of its own first, other than systemd-resolved's stub."""
        return bool(self.servers) and is_loopback(self.servers[0])


class Provider(Protocol):
    """One way to tell the host's resolver of networks."""

    name: str

    def read(self, root: str, interfaces: Sequence[str]) -> Held:
        """What of ours it holds, by name; ``interfaces`` are those that may be ours. Cheap, changes nothing."""

    def target(self, entries: Sequence[Entry], around: Surroundings) -> Held:
        """What it shall hold; pure."""

    def apply(self, root: str, changes: Mapping[str, str | None]) -> None:
        """Make it hold these texts; None: no longer. Raises VirtnetError."""


def is_loopback(server: str) -> bool:
    """A loopback address that is not one of systemd-resolved's (systemd-resolved.service(8))."""
    try:
        address = ipaddress.ip_address(server)
    except ValueError:
        return False
    return address.is_loopback and not is_stub(server)


def is_stub(server: str) -> bool:
    """An address at which systemd-resolved answers (systemd-resolved.service(8))."""
    return server in ("127.0.0.53", "127.0.0.54")


def reverse_zones(subnet: Subnet) -> list[str]:
    """The zones of the names of a subnet's addresses, none of which holds an address outside of it.

    A subnet that does not end at a label's boundary has several: at most 128 (IPv4) or 8 (IPv6).
    """
    bits = _LABEL_BITS[subnet.version]
    length = -(-subnet.prefixlen // bits) * bits
    found = []
    for part in subnet.subnets(new_prefix=length):
        plain = f"{int(part.network_address):0{part.max_prefixlen}b}"[:length]
        labels = [int(plain[i : i + bits], 2) for i in range(0, length, bits)]
        words = [str(label) if bits == 8 else f"{label:x}" for label in reversed(labels)]
        found.append(".".join([*words, _ROOT[subnet.version]]))
    return found


def in_turn(entries: Sequence[Entry]) -> list[Entry]:
    """Those of them whose servers can be asked one after another.

    A server that knows only its own names refuses all others. A libc goes on to the next one then, but a dnsmasq that
    forwards reads the same file, and hands a refusal on to whoever asked with EDNS (seen with 2.90). So it can be there
    only without one that forwards, whether the host asks that or not.
    """
    forwarding = any(one.forwards for one in entries)
    return [one for one in entries if one.asked and (one.forwards or not forwarding)]


def first_servers(entries: Sequence[Entry]) -> list[str]:
    """The servers of ours that a libc shall ask before all others; at most two.

    A libc asks three servers (resolv.conf(5), MAXNS) and takes the first word that is no refusal, so at least one of
    the host's own has to stay in reach. One that forwards decides about all names.
    """
    order = sorted(in_turn(entries), key=lambda one: (not one.everyone, one.interface))
    return [one.addresses[0] for one in order][: 1 if any(one.forwards for one in order) else 2]


def domains(entries: Sequence[Entry]) -> list[str]:
    """The networks' domains, for the end of the search list."""
    return sorted({one.domain for one in entries if one.domain})
