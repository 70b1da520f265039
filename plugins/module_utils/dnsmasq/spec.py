# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one network wants of dnsmasq. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import InvalidOption
from ..core.options import Interface, Options
from ..dhcp import ranges as dhcp
from ..dhcp.dhcpv6 import Service6, read_service6
from ..dhcp.netboot import Boot, read_boot, read_tftp_root
from ..dhcp.options import read_dhcp_options
from ..dhcp.ranges import Range
from ..dhcp.static_hosts import Host, read_hosts
from .records import Names, private_only, read_names, read_raw

# The name becomes a file's name.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}")
_NAME_WORDS = "a network's name: 1 to 50 letters, digits, '_', '.' and '-', the first a letter or digit"

PRESENT = "present"
ABSENT = "absent"

AUTO = "auto"
SYSTEM = "system"
PRIVATE = "private"
INSTANCES = (AUTO, SYSTEM, PRIVATE)

_OPTIONS = (
    *("interface", "instance", "address", "ranges", "hosts", "options", "boot", "tftp_root", "ipv6"),
    *("domain", "local_only", "router", "dns", "names", "upstream", "raw"),
)


@dataclass(frozen=True)
class FragmentSpec:
    """The fragment of one network. ``path`` is where the user wrote it."""

    name: str
    state: str = PRESENT
    interface: str = ""
    address: ipaddress.IPv4Interface | None = None
    ranges: Sequence[Range] = ()
    hosts: Sequence[Host] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    boot: Boot | None = None
    tftp_root: str = ""
    ipv6: Service6 | None = None
    domain: str = ""
    local_only: bool = True
    router: bool = True
    dns: bool = True
    names: Names = field(default_factory=Names)
    instance: str = AUTO
    upstream: bool = True
    raw: Sequence[str] = ()
    path: str = field(default="", compare=False)

    @classmethod
    def from_options(cls, options: Options) -> FragmentSpec:
        """Read the user's options; raises InvalidOption. An absent fragment needs its name alone."""
        name = str(options.matching("name", _NAME, _NAME_WORDS))
        options.owner = f"network {name!r}"
        state = str(options.choice("state", (PRESENT, ABSENT), PRESENT))
        if state == ABSENT:
            for other in _OPTIONS:
                options.raw(other, None)
            options.reject_unknown()
            return cls(name=name, state=state, path=options.path)
        ipv6 = read_service6(options.group("ipv6")) if options.raw("ipv6", None) else None
        address = options.ipv4_cidr("address", None) if ipv6 else options.ipv4_cidr("address")
        domain, local_only = str(options.domain("domain", "")), bool(options.boolean("local_only", True))
        names = options.group("names")
        spec = cls(
            name=name,
            interface=str(options.interface("interface")),
            address=address,
            ranges=tuple(dhcp.read_ranges(options, "ranges", address)),
            hosts=tuple(read_hosts(options, "hosts", address)),
            options=read_dhcp_options(options, "options"),
            boot=read_boot(options, "boot"),
            tftp_root=read_tftp_root(options, "tftp_root"),
            ipv6=ipv6,
            domain=domain,
            local_only=local_only,
            router=bool(options.boolean("router", True)),
            dns=bool(options.boolean("dns", True)),
            names=read_names(names, domain, local_only=local_only),
            instance=str(options.choice("instance", INSTANCES, AUTO)),
            upstream=bool(options.boolean("upstream", True)),
            raw=tuple(read_raw(options, "raw")),
            path=options.path,
        )
        names.reject_unknown()
        options.reject_unknown()
        _refuse_nonsense(options, spec)
        return spec

    def as_options(self) -> dict[str, Any]:
        """The way back to the user's options."""
        return {
            "name": self.name,
            "state": self.state,
            "instance": self.instance,
            "interface": self.interface,
            "address": str(self.address) if self.address else None,
            "ranges": [one.as_options() for one in self.ranges],
            "hosts": [host.as_options() for host in self.hosts],
            "options": dict(self.options),
            "boot": self.boot.as_options() if self.boot else None,
            "tftp_root": self.tftp_root or None,
            "ipv6": self.ipv6.as_options() if self.ipv6 else None,
            "domain": self.domain or None,
            "local_only": self.local_only,
            "router": self.router,
            "dns": self.dns,
            "names": self.names.as_options(),
            "upstream": self.upstream,
            "raw": list(self.raw),
        }

    def at(self, option: str) -> str:
        """The path of an option as the user wrote it."""
        return f"{self.path}.{option}" if self.path else option

    def error(self, option: str, problem: str) -> InvalidOption:
        """An error on one of the options."""
        return InvalidOption(self.at(option), problem, f"network {self.name!r}")

    @property
    def dhcp(self) -> bool:
        """Whether guests get IPv4 addresses."""
        return bool(self.ranges or self.hosts)

    @property
    def dhcp6(self) -> bool:
        """Whether guests get IPv6 addresses or options."""
        return self.ipv6 is not None and self.ipv6.dhcp

    @property
    def bridge(self) -> Interface:
        """The host's address on the bridge: that of IPv4 where it has both."""
        return self.addresses[0]

    @property
    def addresses(self) -> list[Interface]:
        """The host's addresses on the bridge at which guests find it."""
        found: list[Interface] = [self.address] if self.address is not None else []
        return [*found, self.ipv6.address] if self.ipv6 is not None else found

    @property
    def subnets(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """The addresses of its guests."""
        return [one.network for one in self.addresses]

    @property
    def closed(self) -> bool:
        """Whether its name server must not know names of others: a way out of an isolated network else."""
        return self.dns and not self.upstream

    @property
    def ipv6_names(self) -> bool:
        """Whether names of its guests can have AAAA records."""
        return self.ipv6 is not None and (self.ipv6.names or self.dhcp6)

    @property
    def private_only(self) -> list[tuple[str, str]]:
        """What only a dnsmasq of the network's own can do: the option, and why."""
        found = [(f"names.{option}", problem) for option, problem in private_only(self.names, self.domain)]
        return [*found, *([("raw", "are lines for a whole dnsmasq")] if self.raw else [])]


def _refuse_nonsense(options: Options, spec: FragmentSpec) -> None:
    if spec.address is None and (spec.ranges or spec.options):
        options.error("address", "is required for ranges and options of IPv4")
    for host in spec.hosts:
        if host.ip is None and not spec.ranges:
            where = host.path[len(options.path) + 1 :] if options.path else host.path
            options.error(f"{where}.ip", "is required where there are no ranges to take an address from")
    if (spec.boot or spec.tftp_root) and not spec.dhcp:
        options.error("boot" if spec.boot else "tftp_root", "is for guests that get an IPv4 address; give ranges too")
    for option, problem in spec.private_only if spec.instance == SYSTEM else ():
        options.error(option, f"{problem}; only a private dnsmasq can do that")
    if spec.closed and spec.instance == SYSTEM:
        options.error("upstream", "is false, and the system's dnsmasq answers names of others; use instance: private")
