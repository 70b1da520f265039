# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface of the providers of the host's resolver, and what they share. Pure.

A provider stores texts of ours by name: an entry of resolvconf, a file, the settings of a link. The desired texts
follow from all entries and from the host, so that a change is a difference of texts.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Union

if TYPE_CHECKING:
    from .spec import EntrySpec

OPENRESOLV = "openresolv"
DEBIAN = "resolvconf"
RESOLVED = "systemd-resolved"
NETWORK_MANAGER = "networkmanager"
PLAIN = "plain"
PROVIDER_NAMES = (OPENRESOLV, DEBIAN, RESOLVED, NETWORK_MANAGER, PLAIN)
# The provider that owns resolv.conf.
AUTO = "auto"

Subnet = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
# By name: what a provider stores for us.
ProviderTexts = Mapping[str, str]


@dataclass(frozen=True)
class ResolverState:
    """The state of the host's resolver.

    ``owner``: the provider that owns /etc/resolv.conf, empty for an unknown one; ``owner_description`` is for messages.
    ``servers``, ``options`` and ``text`` are those of the file.
    ``supports_split_dns``: the owner tells a local resolver which server knows which domain.
    ``unusable_reason``: why the owner cannot be used now. ``loopback_program``: the program that is the first server if
    that has a loopback address; empty if unknown. ``write_fault``: why the file cannot be changed.
    """

    owner: str = PLAIN
    owner_description: str = "a file that no program manages"
    servers: Sequence[str] = ()
    options: Sequence[str] = ()
    text: str = ""
    supports_split_dns: bool = False
    unusable_reason: str = ""
    loopback_program: str = ""
    write_fault: str = ""
    installed: frozenset[str] = field(default_factory=frozenset)


class Provider(Protocol):
    """One way to add entries to the host's resolver."""

    name: str

    def read(self, root: str, interfaces: Sequence[str]) -> ProviderTexts:
        """The current texts of ours; ``interfaces`` are those that may be ours. Changes nothing."""

    def target(self, entries: Sequence[EntrySpec], resolver: ResolverState) -> ProviderTexts:
        """The desired texts; pure."""

    def apply(self, root: str, changes: Mapping[str, str | None]) -> None:
        """Set these texts; None deletes one. Raises VirtnetError."""


def is_loopback(server: str) -> bool:
    """Whether a server has a loopback address, but is not systemd-resolved (systemd-resolved.service(8))."""
    try:
        address = ipaddress.ip_address(server)
    except ValueError:
        return False
    return address.is_loopback and not is_stub(server)


def is_stub(server: str) -> bool:
    """Whether a server is the stub of systemd-resolved (systemd-resolved.service(8))."""
    return server in ("127.0.0.53", "127.0.0.54")


def reverse_zones(subnet: Subnet) -> list[str]:
    """The reverse zones of a subnet; no zone contains an address outside of the subnet.

    A subnet that does not end at the boundary of a label has several zones: at most 128 (IPv4) or 8 (IPv6).
    """
    # A label is an octet (RFC 1035 section 3.5) or a nibble (RFC 3596 section 2.5).
    bits = 8 if subnet.version == 4 else 4
    length = -(-subnet.prefixlen // bits) * bits
    host_labels = (subnet.max_prefixlen - length) // bits
    parts = subnet.subnets(new_prefix=length)
    return [part.network_address.reverse_pointer.split(".", host_labels)[-1] for part in parts]


def sequential_servers(entries: Sequence[EntrySpec]) -> list[EntrySpec]:
    """The entries whose servers can be queried one after another.

    The server of an isolated network refuses all names but its own. A libc then queries the next server. But a dnsmasq
    that forwards reads the same file, and returns the refusal to a client that uses EDNS (seen with 2.90). So such a
    server can be used only without one that forwards, whether the host queries that one or not.
    """
    any_forwards = any(entry.forwards for entry in entries)
    return [entry for entry in entries if entry.queried_by_host and (entry.forwards or not any_forwards)]


def first_servers(entries: Sequence[EntrySpec]) -> list[str]:
    """The servers of ours that a libc is to query before all others; at most two.

    A libc queries three servers (resolv.conf(5), MAXNS) and takes the first answer that is no refusal. So at least one
    of the host's own servers has to be among the three. A server that forwards answers for all names, so one is enough.
    """
    ordered = sorted(sequential_servers(entries), key=lambda entry: (not entry.serves_all_networks, entry.interface))
    return [entry.addresses[0] for entry in ordered][: 1 if any(entry.forwards for entry in ordered) else 2]


def domains(entries: Sequence[EntrySpec]) -> list[str]:
    """The domains of the networks, for the end of the search list."""
    return sorted({entry.domain for entry in entries if entry.domain})
