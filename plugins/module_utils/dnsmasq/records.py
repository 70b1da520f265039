# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""DNS records and forwarders of one network: reading and validating the user's options. Pure.

All clients of the system's dnsmasq see its records, so there a record must be a name of the network's own domain.
Options that cannot be limited to one network need a private instance; private_only() lists them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core import kinds
from ..core.fields import Documented, Kind, OptionTable, option, read, required, write
from ..core.options import Address, Options, repr_short
from ..dhcp.dnsmasq_syntax import read_lines
from ..dhcp.ranges import ADDRESS

# dnsmasq(8), version 2.91. On other interfaces than the network's, its DHCP socket is not bound to one, and renewals of
# other networks' guests reach it.
_OF_OTHER_OPTIONS = frozenset(
    (
        *("interface", "except-interface", "listen-address", "bind-interfaces", "port", "dhcp-alternate-port"),
        *("no-dhcp-interface", "no-dhcpv4-interface", "no-dhcpv6-interface", "dhcp-relay", "pid-file"),
        "dhcp-leasefile",
    )
)
# With the first two, a start does not end; in a file, the others mean nothing to dnsmasq (src/option.c).
_OF_COMMAND_LINE = frozenset(("no-daemon", "keep-in-foreground", "test", "version", "help"))
# RFC 6335 section 5.1 for services; protocols likewise (RFC 2782).
_SERVICE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,13}[A-Za-z0-9])?")
_SERVICE_WORDS = "a name of at most 15 letters, digits and '-', such as ldap or tcp"
# RFC 1035 section 3.3.14: each string has a length of one byte.
_LONGEST_STRING = 255
# RFC 2181 section 8.
_LONGEST_TTL = 2**31 - 1

_SERVICE_NAME = Kind(lambda options, name: options.matching(name, _SERVICE, _SERVICE_WORDS).lower())
_SERVER: Kind[Address] = Kind(lambda options, name: options.address(name, zone=True), write=str)
_TEXTS: Kind[Sequence[str]] = Kind(lambda options, name: options.items(name), "list", elements="str", write=list)
_NUMBER = kinds.integer(0, 65535)

FOR_EVERYBODY = "would hold for everybody whom the system's dnsmasq serves"


class _Record:
    """A record or a forwarder."""

    def as_options(self) -> dict[str, Any]:
        """The options of the record that are given."""
        return {name: value for name, value in write(self).items() if value not in ("", None)}


@dataclass(frozen=True)
class HostRecord(_Record):
    """The names of one address; the PTR record has the first one."""

    ip: Address = required(ADDRESS)
    names: Sequence[str] = required(_TEXTS)


@dataclass(frozen=True)
class SrvRecord(_Record):
    """The host of a service; without ``target``: the service does not exist."""

    service: str = required(_SERVICE_NAME)
    protocol: str = required(_SERVICE_NAME)
    domain: str = option(kinds.domain, "")
    target: str = option(kinds.domain, "")
    port: int = option(_NUMBER, 0, documented=Documented.BY_OTHERS)
    priority: int = option(_NUMBER, 0)
    weight: int = option(_NUMBER, 0)

    @property
    def name(self) -> str:
        """The name of the record, such as _ldap._tcp.example.org."""
        return ".".join(part for part in (f"_{self.service}", f"_{self.protocol}", self.domain) if part)


@dataclass(frozen=True)
class TxtRecord(_Record):
    """The strings of a name."""

    name: str = required(kinds.domain)
    value: Sequence[str] = required(_TEXTS)


@dataclass(frozen=True)
class Cname(_Record):
    """An alias ``name`` of the name ``target``."""

    name: str = required(kinds.domain)
    target: str = required(kinds.domain)


@dataclass(frozen=True)
class Wildcard(_Record):
    """Addresses of all names below ``name``, and of the name itself; a name with a record of its own keeps that."""

    name: str = required(kinds.domain)
    ips: Sequence[str] = required(kinds.addresses, name="ip")


@dataclass(frozen=True)
class Forwarder(_Record):
    """The server for queries of a domain, '' for all; without address: the servers for all other queries."""

    domain: str = option(kinds.domain, "")
    address: Address | None = option(_SERVER, None)
    port: int | None = option(kinds.integer(1, 65535), None)

    @property
    def server(self) -> str:
        """The server as dnsmasq reads it."""
        return f"{self.address}" + (f"#{self.port}" if self.port else "")


@dataclass(frozen=True)
class Names(OptionTable):
    """The records and forwarders of a network.

    ``forward_plain_names``: whether queries for names without a dot are forwarded; None: as dnsmasq is configured.
    ``local_ptr``: whether queries for names of the network's addresses are never forwarded; None: as for its domain.
    ``ttl``: how many seconds clients may keep answers about leases and records; None: as dnsmasq is configured.
    """

    hosts: Sequence[HostRecord] = option(kinds.groups_by_caller(HostRecord), ())
    srv: Sequence[SrvRecord] = option(kinds.groups_by_caller(SrvRecord), ())
    txt: Sequence[TxtRecord] = option(kinds.groups_by_caller(TxtRecord), ())
    cname: Sequence[Cname] = option(kinds.groups_by_caller(Cname), ())
    wildcards: Sequence[Wildcard] = option(kinds.groups_by_caller(Wildcard), ())
    forwarders: Sequence[Forwarder] = option(kinds.groups_by_caller(Forwarder), ())
    forward_plain_names: bool | None = option(kinds.boolean, None)
    local_ptr: bool | None = option(kinds.boolean, None)
    ttl: int | None = option(kinds.integer(0, _LONGEST_TTL), None)


def read_names(options: Options, domain: str, *, local_only: bool) -> Names:
    """Read the options of Names; plain names get the network's domain. Raises InvalidOption.

    The caller has to reject unknown options.
    """
    names = read(
        Names,
        options,
        hosts=tuple(_read_host(item, domain) for item in options.each("hosts")),
        srv=tuple(_read_srv(item, domain) for item in options.each("srv")),
        txt=tuple(_read_txt(item, domain) for item in options.each("txt")),
        cname=tuple(_read_cname(item, domain) for item in options.each("cname")),
        wildcards=tuple(_read_wildcard(item, domain) for item in options.each("wildcards")),
        forwarders=tuple(_read_forwarder(item) for item in options.each("forwarders")),
    )
    _refuse_conflicts(options, names)
    for i, forwarder in enumerate(names.forwarders):
        if local_only and domain and forwarder.domain == domain:
            options.error(f"forwarders[{i}].domain", f"{domain} is kept here by local_only; set that to false")
    return names


def _name(item: Options, key: str, domain: str, default: Any = None) -> str:
    """Read a name; a name without a dot gets the network's domain."""
    text = str(item.domain(key) if default is None else item.domain(key, default))
    if text and domain and "." not in text and text != domain:
        text = f"{text}.{domain}"
    if text.rpartition(".")[2].isdecimal():
        # dnsmasq would read it as an address or a time (src/option.c, LOPT_HOST_REC and LOPT_CNAME).
        item.error(key, f"{repr_short(text)} ends with a number, which no name does; give dns.domain, or another name")
    return text


def _read_host(item: Options, domain: str) -> HostRecord:
    values = item.items("names")
    if not values:
        item.error("names", "is required: the names of the address")
    names = []
    for i, value in enumerate(values):
        part = f"names[{i}]"
        names.append(_name(Options({part: value}, item.path, item.owner), part, domain))
    record = read(HostRecord, item, names=tuple(names))
    item.reject_unknown()
    return record


def _read_srv(item: Options, domain: str) -> SrvRecord:
    # "." says that there is no such service (RFC 2782), and so does dnsmasq's srv-host without a target.
    target = "" if item.raw("target", None) == "." else _name(item, "target", domain, "")
    record = read(
        SrvRecord,
        item,
        target=target,
        service=_SERVICE_NAME.read(item, "service"),
        protocol=_SERVICE_NAME.read(item, "protocol"),
        domain=item.domain("domain", domain),
        port=item.integer("port", *([] if target else [0]), least=1 if target else 0, most=65535),
    )
    item.reject_unknown()
    return record


def _read_txt(item: Options, domain: str) -> TxtRecord:
    values = item.items("value")
    if not values:
        item.error("value", "is required: one text or several")
    strings = []
    for i, value in enumerate(values):
        part = f"value[{i}]" if len(values) > 1 else "value"
        text = str(Options({part: value}, item.path, item.owner).text(part))
        if not text or len(text.encode("utf-8")) > _LONGEST_STRING:
            item.error(part, f"{repr_short(text)} must have 1 to {_LONGEST_STRING} bytes; give longer ones as a list")
        strings.append(text)
    record = TxtRecord(_name(item, "name", domain), tuple(strings))
    item.reject_unknown()
    return record


def _read_cname(item: Options, domain: str) -> Cname:
    record = Cname(_name(item, "name", domain), _name(item, "target", domain))
    item.reject_unknown()
    if record.name == record.target:
        item.error("target", f"{record.target} is the name itself; give another one")
    return record


def _read_wildcard(item: Options, domain: str) -> Wildcard:
    text = item.text("name").removeprefix("*.")
    ips = kinds.addresses.read(item, "ip") if item.given("ip") else ()
    record = Wildcard(_name(Options({"name": text}, item.path, item.owner), "name", domain), ips)
    item.reject_unknown()
    if not ips:
        item.error("ip", "is required: the address of all names below")
    return record


def _read_forwarder(item: Options) -> Forwarder:
    forwarder = read(Forwarder, item)
    item.reject_unknown()
    if not forwarder.domain and forwarder.address is None:
        item.error("address", "is required where there is no domain")
    if forwarder.port and forwarder.address is None:
        item.error("address", "is required with a port")
    return forwarder


def _refuse_conflicts(options: Options, names: Names) -> None:
    """dnsmasq does not start with two equal aliases, and an alias has no other records (RFC 1034 section 3.6.2)."""
    known = {name: f"hosts[{i}]" for i, host in enumerate(names.hosts) for name in host.names}
    for i, alias in enumerate(names.cname):
        if alias.name in known:
            options.error(f"cname[{i}].name", f"{alias.name} is already given in {known[alias.name]}; keep one of them")
        known[alias.name] = f"cname[{i}]"
    wildcards: dict[str, str] = {}
    for i, wildcard in enumerate(names.wildcards):
        first = wildcards.setdefault(wildcard.name, f"wildcards[{i}]")
        if first != f"wildcards[{i}]":
            options.error(f"wildcards[{i}].name", f"{wildcard.name} is already given in {first}; list all ip there")


def alias_loop(start: str, targets: Mapping[str, str]) -> str:
    """The problem of a loop of aliases from the alias ``start`` back to it, with the remedy; '' for none.

    dnsmasq does not start with one (src/option.c, read_opts()). ``targets``: of each alias, all in lower case.
    """
    chain = [start]
    while len(chain) <= len(targets) and (target := targets.get(chain[-1])) is not None:
        chain.append(target)
        if target == start:
            return (
                f"makes the loop of aliases {' -> '.join(chain)}, with which dnsmasq does not start; have one of them "
                "lead to the name of a host"
            )
    return ""


def lost_forwarders(names: Names) -> Iterator[tuple[str, str]]:
    """The forwarders that dnsmasq would not ask, each with what it prefers for the same domain (seen with 2.90)."""
    known = {wildcard.name: f"wildcards[{i}]" for i, wildcard in enumerate(names.wildcards)}
    first: dict[str, tuple[int, bool]] = {}
    for i, forwarder in enumerate(names.forwarders):
        has_address = forwarder.address is not None
        other, others_address = first.setdefault(forwarder.domain, (i, has_address))
        stronger = known.get(forwarder.domain, "" if has_address == others_address else f"forwarders[{other}]")
        if stronger:
            yield f"forwarders[{i}].domain", f"{forwarder.domain} is already given in {stronger}; keep one of them"


def private_only(names: Names, domain: str) -> Iterator[tuple[str, str]]:
    """The options that need a private instance, each with the reason."""
    for i, forwarder in enumerate(names.forwarders):
        if not forwarder.domain:
            yield f"forwarders[{i}].domain", "is missing, and without one the forwarder would be everybody's"
    if names.forward_plain_names is not None:
        yield "forward_plain_names", FOR_EVERYBODY
    if names.ttl is not None:
        yield "ttl", FOR_EVERYBODY
    for path, name in _record_names(names):
        if not domain:
            yield path, f"{name} would be everybody's name; give dns.domain"
        elif name != domain and not name.endswith(f".{domain}"):
            yield path, f"{name} is outside the network's domain {domain}, and would be everybody's name"


def _record_names(names: Names) -> Iterator[tuple[str, str]]:
    for i, host in enumerate(names.hosts):
        yield from ((f"hosts[{i}].names[{j}]", name) for j, name in enumerate(host.names))
    yield from ((f"srv[{i}].domain", srv.name) for i, srv in enumerate(names.srv))
    yield from ((f"txt[{i}].name", txt.name) for i, txt in enumerate(names.txt))
    yield from ((f"cname[{i}].name", alias.name) for i, alias in enumerate(names.cname))
    yield from ((f"wildcards[{i}].name", wildcard.name) for i, wildcard in enumerate(names.wildcards))


def read_raw(options: Options, name: str) -> list[str]:
    """Read the user's lines of dnsmasq's configuration, which dnsmasq itself tests later; raises InvalidOption."""
    lines = []
    for i, value in enumerate(options.items(name)):
        part = f"{name}[{i}]"
        line = str(Options({part: value}, options.path, options.owner).text(part, longest=1000)).strip()
        if not line or line.startswith("#"):
            options.error(part, f"{repr_short(value)} says nothing to dnsmasq; leave it out")
        names = {setting.name for setting in read_lines(line, part)}
        if names & _OF_COMMAND_LINE:
            options.error(part, f"{repr_short(line)} is for a dnsmasq that is started by hand; leave it out")
        if names & _OF_OTHER_OPTIONS:
            options.error(
                part,
                f"{repr_short(line)} is about the interfaces, ports or files of the network's dnsmasq, which follow "
                "from other options; leave it out",
            )
        lines.append(line)
    return lines
