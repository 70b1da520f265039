# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""DNS records as lines for dnsmasq, and the names that only one network may have. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..core.options import Interface
from ..dhcp.dnsmasq_syntax import Setting, quoted, read_lines
from ..resolver.provider import reverse_zones
from .hosts_files import as_host_record
from .records import Names

# Zones in one line; each has at most 73 characters.
_ZONES_PER_LINE = 12


def host_rows(names: Names) -> Iterator[tuple[str, str]]:
    """The names of addresses as rows of hosts(5), each with its option."""
    for i, host in enumerate(names.hosts):
        yield f"hosts[{i}]", f"{host.ip} {' '.join(host.names)}"


def record_lines(names: Names) -> Iterator[tuple[str, str]]:
    """All other records, which dnsmasq reads only when it starts; each line with its option."""
    for i, srv in enumerate(names.srv):
        target = f",{srv.target},{srv.port},{srv.priority},{srv.weight}" if srv.target else ""
        yield f"srv[{i}]", f"srv-host={srv.name}{target}"
    for i, txt in enumerate(names.txt):
        yield f"txt[{i}]", f"txt-record={txt.name},{','.join(map(quoted, txt.value))}"
    for i, alias in enumerate(names.cname):
        yield f"cname[{i}]", f"cname={alias.name},{alias.target}"
    for i, wildcard in enumerate(names.wildcards):
        # Since 2.86, dnsmasq forwards queries for other types unless the domain is local too (dnsmasq.8, --address).
        yield f"wildcards[{i}]", f"local=/{wildcard.name}/"
        yield from ((f"wildcards[{i}]", f"address=/{wildcard.name}/{ip}") for ip in wildcard.ips)
    for i, forwarder in enumerate(names.forwarders):
        if forwarder.domain:
            # "#": the servers for all other queries.
            yield f"forwarders[{i}]", f"server=/{forwarder.domain}/{forwarder.server if forwarder.address else '#'}"


def instance_lines(names: Names) -> Iterator[tuple[str, str]]:
    """Settings of a whole instance, so for private instances only; each line with its option."""
    if names.ttl is not None:
        # dnsmasq.8: also for leases, unless dhcp-ttl is another one; a lease that ends earlier has the shorter time.
        yield "names.ttl", f"local-ttl={names.ttl}"
    servers = [(i, forwarder.server) for i, forwarder in enumerate(names.forwarders) if not forwarder.domain]
    if servers:
        yield "names.forwarders", "no-resolv"
    for i, server in servers:
        yield f"names.forwarders[{i}]", f"server={server}"


def reverse_zone_lines(bridge: Interface) -> Iterator[str]:
    """Lines by which dnsmasq does not forward queries for the names of the addresses of a subnet.

    Between two levels of the reverse tree a subnet needs several zones.
    """
    zones = reverse_zones(bridge.network)
    for start in range(0, len(zones), _ZONES_PER_LINE):
        yield f"local=/{'/'.join(zones[start : start + _ZONES_PER_LINE])}/"


@dataclass(frozen=True)
class NameOwnership:
    """A DNS name of a network. Two networks may have it only with the same value ``shared``, which is not ''."""

    kind: str
    name: str
    shared: str = ""

    def conflicts_with(self, other: NameOwnership) -> bool:
        """Whether two networks cannot have these names, which have the same key."""
        return not self.shared or self.shared != other.shared

    @property
    def key(self) -> tuple[str, str]:
        """Equal for ownerships of the same record type and name."""
        return self.kind, self.name


def aliases_in(setting: Setting) -> dict[str, str]:
    """The aliases of a setting and their target, in lower case; dnsmasq.8: ``cname=ALIAS,[ALIAS,]TARGET[,TTL]``."""
    fields = [field.lower() for field in setting.fields] if setting.name == "cname" else []
    if len(fields) > 2 and fields[-1].isdecimal():
        fields.pop()
    return dict.fromkeys(fields[:-1], fields[-1]) if fields else {}


def ownerships_in(content: str, file: str) -> Iterator[NameOwnership]:
    """The names in the lines of a fragment; ``file`` is its name."""
    servers: dict[str, list[str]] = {}
    for setting in read_lines(content, file):
        fields = setting.fields
        if setting.name == "host-record":
            kind = "AAAA" if ":" in fields[-1] else "A"
            yield from (NameOwnership(kind, name) for name in fields[:-1])
        elif setting.name == "cname":
            yield from (NameOwnership(kind, fields[0]) for kind in ("CNAME", "A", "AAAA"))
        elif setting.name in ("txt-record", "srv-host"):
            yield NameOwnership(setting.name, fields[0])
        elif setting.name == "address":
            yield NameOwnership("wildcard", (setting.value or "").split("/")[1])
        elif setting.name == "server" and (setting.value or "").startswith("/"):
            _before, domain, server = (setting.value or "").split("/", 2)
            servers.setdefault(domain, []).append(server)
    # Networks that name several servers of a domain share it only if they name the same ones in the same order.
    yield from (NameOwnership("forwarder", domain, " ".join(listed)) for domain, listed in servers.items())


def ownerships_of(names: Names) -> Iterator[tuple[str, NameOwnership]]:
    """The names of a network, each with its option."""
    hosts = ((option, as_host_record(row)) for option, row in host_rows(names))
    by_option: dict[str, list[str]] = {}
    first_of_domain: dict[str, str] = {}
    for option, line in (*hosts, *record_lines(names)):
        # The servers of one domain belong together; an error names the first one.
        domain = line.split("/")[1] if line.startswith("server=") else option
        by_option.setdefault(first_of_domain.setdefault(domain, option), []).append(line)
    for option, lines in by_option.items():
        yield from ((option, ownership) for ownership in ownerships_in("\n".join(lines), option))
