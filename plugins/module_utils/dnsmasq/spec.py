# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one network needs from dnsmasq: the options, validated. No input or output."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core import kinds
from ..core.errors import InvalidOption
from ..core.fields import Kind, option, read, required, table, write
from ..core.options import Interface, Options
from ..core.ports import REDIRECTED_DHCP, REDIRECTED_DNS
from ..dhcp import ranges as dhcp
from ..dhcp.dhcpv6 import Service6, read_service6, refuse_ra_param
from ..dhcp.netboot import BOOT, TFTP_ROOT, Boot
from ..dhcp.options import read_dhcp_options
from ..dhcp.ranges import Range
from ..dhcp.static_hosts import Host, read_hosts, refuse_ids
from .probe import DHCP_PORT, DNS_PORT
from .raw_lines import can_be_limited
from .records import FOR_EVERYBODY, Names, private_only, read_names, read_raw

# The name becomes a file's name.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}")
_NAME_WORDS = "a network's name: 1 to 50 letters, digits, '_', '.' and '-', the first a letter or digit"

PRESENT = "present"
ABSENT = "absent"

AUTO = "auto"
SYSTEM = "system"
PRIVATE = "private"
INSTANCES = (AUTO, SYSTEM, PRIVATE)

# dnsmasq.8: for all networks of a dnsmasq. The same by dhcp-host=*:*:*:*:*:*,id:* for one of them would leave clones
# that have a lease together with one, since a lease is found before such a line.
IGNORE_CLIENT_IDS = "dhcp-ignore-clid"

_ADDRESS: Kind[ipaddress.IPv4Interface] = Kind(lambda options, name: options.ipv4_cidr(name), write=str)
DHCP_OPTIONS: Kind[Mapping[str, str]] = Kind(read_dhcp_options, "dict", write=dict)
RAW: Kind[Sequence[str]] = Kind(
    lambda options, name: tuple(read_raw(options, name)), "list", elements="str", write=list
)
_SLAAC_PROBLEM = "is false, which holds for all networks of a dnsmasq"


@dataclass(frozen=True)
class FragmentSpec:
    """The fragment of one network. ``path`` is where the user wrote it, ``user_names`` what the user calls its options.

    ``redirect``: its private instance has ports of its own (core/ports.py), to which rules redirect guests.
    """

    name: str = required(kinds.matching(_NAME, _NAME_WORDS))
    state: str = option(kinds.choice(PRESENT, ABSENT), PRESENT)
    instance: str = option(kinds.choice(*INSTANCES), AUTO)
    interface: str = option(kinds.interface, "")
    address: ipaddress.IPv4Interface | None = option(_ADDRESS, None)
    ranges: Sequence[Range] = option(kinds.groups_by_caller(Range), ())
    hosts: Sequence[Host] = option(kinds.groups_by_caller(Host), ())
    ignore_client_ids: bool = option(kinds.boolean, False)
    options: Mapping[str, str] = option(DHCP_OPTIONS, {})
    boot: Sequence[Boot] = option(BOOT, ())
    tftp_root: str = option(TFTP_ROOT, "")
    ipv6: Service6 | None = option(kinds.group_by_caller(Service6), None)
    domain: str = option(kinds.domain, "")
    local_only: bool = option(kinds.boolean, True)
    router: bool = option(kinds.boolean, True)
    dns: bool = option(kinds.boolean, True)
    names: Names = option(kinds.group_by_caller(Names), Names())
    upstream: bool = option(kinds.boolean, True)
    raw: Sequence[str] = option(RAW, ())
    redirect: bool = option(kinds.boolean, False)
    path: str = field(default="", compare=False)
    user_names: Mapping[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def from_options(cls, options: Options) -> FragmentSpec:
        """Read the options; raises InvalidOption. An absent fragment needs its name alone."""
        name = options.matching("name", _NAME, _NAME_WORDS)
        options.owner = f"network {name!r}"
        if options.choice("state", (PRESENT, ABSENT), PRESENT) == ABSENT:
            for other in table(cls):
                options.raw(other.name, None)
            options.reject_unknown()
            return cls(name=name, state=ABSENT, path=options.path)
        ipv6 = read_service6(options.group("ipv6")) if options.raw("ipv6", None) else None
        address = options.ipv4_cidr("address", None) if ipv6 else options.ipv4_cidr("address")
        names = options.group("names")
        domain, local_only = options.domain("domain", ""), options.boolean("local_only", True)
        spec = read(
            cls,
            options,
            name=name,
            interface=options.interface("interface"),
            address=address,
            ranges=tuple(dhcp.read_ranges(options, "ranges", address)),
            hosts=tuple(read_hosts(options, "hosts", address)),
            ipv6=ipv6,
            names=read_names(names, domain, local_only=local_only),
            path=options.path,
        )
        names.reject_unknown()
        options.reject_unknown()
        _validate_combinations(options, spec)
        return spec

    def as_options(self) -> dict[str, Any]:
        """The options of the module ``dnsmasq_fragment``, with every default."""
        return {**write(self), "interface": self.interface}

    def at(self, option: str) -> str:
        """The path of an option as the user wrote it."""
        own = next((name for name in self.user_names if re.match(rf"{name}\b", option)), "")
        option = f"{self.user_names[own]}{option[len(own) :]}" if own else option
        return f"{self.path}.{option}" if self.path else option

    def error(self, option: str, problem: str) -> InvalidOption:
        """An error on one of the options."""
        return InvalidOption(self.at(option), problem, f"network {self.name!r}")

    @property
    def dhcp(self) -> bool:
        """Whether guests get IPv4 addresses."""
        return bool(self.ranges or self.hosts)

    @property
    def dns_port(self) -> int:
        """The port of the name server of a private instance."""
        return REDIRECTED_DNS if self.redirect else DNS_PORT

    @property
    def dhcp_port(self) -> int:
        """The port of the DHCP server of a private instance."""
        return REDIRECTED_DHCP if self.redirect else DHCP_PORT

    @property
    def dhcp6(self) -> bool:
        """Whether guests get IPv6 addresses or options."""
        return self.ipv6 is not None and self.ipv6.dhcp

    @property
    def any_dhcp(self) -> bool:
        """Whether dnsmasq serves DHCP or DHCPv6."""
        return self.dhcp or self.dhcp6

    @property
    def static_hosts(self) -> Iterator[tuple[str, Host]]:
        """The static hosts of both families, each with its option."""
        yield from ((f"hosts[{i}]", host) for i, host in enumerate(self.hosts))
        if self.ipv6 is not None:
            yield from ((f"ipv6.hosts[{i}]", host) for i, host in enumerate(self.ipv6.hosts))

    @property
    def bridge(self) -> Interface:
        """The host's address on the bridge: that of IPv4 where it has both."""
        return self.addresses[0]

    @property
    def addresses(self) -> list[Interface]:
        """The host's addresses on the bridge at which guests find it."""
        ipv4: list[Interface] = [self.address] if self.address is not None else []
        return [*ipv4, self.ipv6.address] if self.ipv6 is not None else ipv4

    @property
    def subnets(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """The addresses of its guests."""
        return [address.network for address in self.addresses]

    @property
    def closed(self) -> bool:
        """Whether its name server must not know names of others: a way out of an isolated network else."""
        return self.dns and not self.upstream

    @property
    def ipv6_names(self) -> bool:
        """Whether names of its guests can have AAAA records."""
        return self.ipv6 is not None and (self.ipv6.names or self.dhcp6)

    @property
    def names_elsewhere_too(self) -> list[tuple[str, str]]:
        """The names that have addresses inside and outside of the subnet, each with its option.

        With localise-queries, dnsmasq answers guests with the first alone (src/rfc1035.c, answer_request(); IPv4).
        """
        inside: dict[str, set[bool]] = {}
        hosts = [(i, host) for i, host in enumerate(self.names.hosts) if host.ip.version == 4]
        for _i, host in hosts:
            for name in host.names:
                inside.setdefault(name.lower(), set()).add(any(host.ip in subnet for subnet in self.subnets))
        return [
            (f"names.hosts[{i}]", name) for i, host in hosts for name in host.names if len(inside[name.lower()]) > 1
        ]

    @property
    def private_only(self) -> list[tuple[str, str]]:
        """What only a dnsmasq of the network's own can do: the option, and why."""
        names = [(f"names.{name}", problem) for name, problem in private_only(self.names, self.domain)]
        lines = [
            (f"raw[{i}]", f"{line!r} is for a whole dnsmasq")
            for i, line in enumerate(self.raw)
            if not can_be_limited(line)
        ]
        client_ids = [("ignore_client_ids", FOR_EVERYBODY)] if self.ignore_client_ids else []
        forbids_slaac = self.ipv6 is not None and self.ipv6.forbids_slaac
        slaac = [("ipv6.slaac", _SLAAC_PROBLEM)] if forbids_slaac else []
        return [*client_ids, *names, *lines, *slaac]


def _validate_combinations(options: Options, spec: FragmentSpec) -> None:
    if spec.address is None and (spec.ranges or spec.options):
        options.error("address", "is required for ranges and options of IPv4")
    for host in spec.hosts:
        if host.ip is None and not spec.ranges:
            where = host.path[len(options.path) + 1 :] if options.path else host.path
            options.error(f"{where}.ip", "is required where there are no ranges to take an address from")
    if spec.ipv6 is not None:
        ipv6 = Options({}, options.at("ipv6"), options.owner)
        refuse_ra_param(ipv6, spec.ipv6.ra_param, advertised=spec.ipv6.ra, router=spec.router)
    if spec.ignore_client_ids:
        refuse_ids(options, spec.hosts)
        if not spec.dhcp:
            options.error("ignore_client_ids", "is for guests that get an IPv4 address; give ranges, or leave it out")
    if spec.boot and not spec.dhcp:
        options.error("boot", "is for guests that get an IPv4 address; give ranges too")
    if spec.instance == SYSTEM:
        _refuse_private_only(options, spec)


def _refuse_private_only(options: Options, spec: FragmentSpec) -> None:
    for name, problem in spec.private_only:
        options.error(name, f"{problem}; only a private dnsmasq can do that")
    if spec.closed:
        options.error("upstream", "is false, and the system's dnsmasq answers names of others; use instance: private")
    if spec.redirect:
        options.error("redirect", "is for a private dnsmasq; use instance: private, or leave it out")
