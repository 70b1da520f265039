# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one network wants of dnsmasq, and the lines that say so. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import dhcp
from .dhcp import Range
from .dhcp6 import Offer6, Service6, read_service6, service_lines
from .dhcp_boot import Boot, boot_line, read_boot, read_tftp_root, tftp_lines
from .dhcp_hosts import Host, host_line, read_hosts
from .dhcp_options import DNS_SERVER, ROUTER, option_line, option_lines, read_dhcp_options
from .dnsmasq_name_lines import instance_lines, record_lines, reverse_zone_lines
from .dnsmasq_names import Names, private_only, read_names, read_raw
from .errors import InvalidOption
from .options import Interface, Options

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

# dnsmasq up to 2.91 reads what comes after 1024 bytes as a line of its own (facts of src/option.c, read_file()).
LONGEST_LINE = 1000
HEADER = "# Made by the Ansible collection virtnet.linux; what is changed here by hand is overwritten.\n"


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
            options.close()
            return cls(name=name, state=state, path=options.path)
        ipv6 = read_service6(options.group("ipv6")) if options.raw("ipv6", None) else None
        address = options.cidr("address", None, version=4) if ipv6 else options.cidr("address", version=4)
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
        names.close()
        options.close()
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


@dataclass(frozen=True)
class Circumstances:
    """What the configuration around a fragment asks it to say."""

    list_interface: bool = False
    leave_loopback: bool = False
    bind_dynamic: bool = False
    rescue_from_ignore: bool = False
    private: bool = False
    tftp_open_to_all: bool = False
    serves_tftp: bool = True
    serves_dns: bool = True
    version: tuple[int, ...] = ()

    def since(self, *version: int) -> bool:
        """Whether dnsmasq is at least this new; one that is not known is taken for a new one."""
        return not self.version or self.version >= version


def render(spec: FragmentSpec, around: Circumstances) -> str:
    """The fragment's content; raises InvalidOption for a line that dnsmasq would cut."""
    lines = list(_lines(spec, around))
    for option, line in lines:
        if len(line.encode("utf-8", "surrogateescape")) > LONGEST_LINE:
            raise spec.error(option, f"makes a line of more than {LONGEST_LINE} bytes for dnsmasq; shorten it")
    return HEADER + "".join(f"{line}\n" for _, line in lines)


def _lines(spec: FragmentSpec, around: Circumstances) -> Iterator[tuple[str, str]]:
    """Each line with the option that it comes from."""
    tag = f"tag:{spec.interface}"
    yield from _interface_lines(spec, around)
    for bridge in spec.addresses:
        yield from _domain_lines(spec, around, bridge)
    for option, line in record_lines(spec.names):
        yield f"names.{option}", line
    if around.private:
        yield from instance_lines(spec.names, spec.raw)
    if around.rescue_from_ignore and (spec.dhcp or spec.dhcp6):
        yield "interface", f"tag-if=set:known,{tag}"
    if spec.dhcp:
        yield from _dhcp_lines(spec, around, tag)
    if spec.ipv6 is not None:
        offer = Offer6(spec.interface, spec.router, spec.dns and around.serves_dns, spec.domain)
        for option, line in service_lines(spec.ipv6, offer):
            yield f"ipv6.{option}", line
        yield from _host_lines(spec.ipv6.hosts, "ipv6.hosts", around, tag)


def _interface_lines(spec: FragmentSpec, around: Circumstances) -> Iterator[tuple[str, str]]:
    if around.list_interface:
        yield "interface", f"interface={spec.interface}"
    if around.leave_loopback:
        # interface= brings loopback along; an address of it that is listed is served all the same.
        yield "interface", "except-interface=lo"
    if around.bind_dynamic:
        yield "interface", "bind-dynamic"


def _dhcp_lines(spec: FragmentSpec, around: Circumstances, tag: str) -> Iterator[tuple[str, str]]:
    yield from _range_lines(spec, tag)
    yield from _option_lines(spec, around, tag)
    if spec.boot is not None:
        yield "boot", boot_line(tag, spec.boot)
    if spec.tftp_root and around.serves_tftp:
        for line in tftp_lines(spec.interface, spec.tftp_root, open_to_all=around.tftp_open_to_all):
            yield "tftp_root", line
    yield from _host_lines(spec.hosts, "hosts", around, tag)


def _host_lines(hosts: Sequence[Host], option: str, around: Circumstances, tag: str) -> Iterator[tuple[str, str]]:
    # Filtering by tag came with 2.81; before, the line holds wherever the guest shows up.
    tags = [tag] if around.since(2, 81) else []
    for i, host in enumerate(hosts):
        yield f"{option}[{i}]", host_line(tags, host)


def _domain_lines(spec: FragmentSpec, around: Circumstances, bridge: Interface) -> Iterator[tuple[str, str]]:
    network = bridge.network
    names_stay, ptr = bool(spec.domain) and spec.local_only, spec.names.local_ptr
    # Older ones refuse, or in 2.88 and 2.89 get wrong, a reverse zone whose length is no multiple of 8.
    both_in_one = names_stay and ptr is not False and (network.prefixlen % 8 == 0 or around.since(2, 90))
    if spec.domain:
        yield "domain", f"domain={spec.domain},{network}{',local' if both_in_one else ''}"
    if names_stay and not both_in_one:
        yield "domain", f"local=/{spec.domain}/"
    if ptr and not both_in_one:
        yield from (("names.local_ptr", line) for line in reverse_zone_lines(bridge))


def _range_lines(spec: FragmentSpec, tag: str) -> Iterator[tuple[str, str]]:
    # tag: makes it hold for this interface alone; interface: is the older spelling of the same wish, and since
    # 2.63 the tag that the range sets.
    start = f"dhcp-range={tag},interface:{spec.interface}"
    network = spec.bridge.network
    for i, one in enumerate(spec.ranges):
        yield f"ranges[{i}]", f"{start},{one.start},{one.end},{network.netmask},{one.lease_time}"
    if not spec.ranges:
        yield "hosts", f"{start},{network.network_address},static,{network.netmask},{dhcp.DEFAULT_LEASE_TIME}"


def _option_lines(spec: FragmentSpec, around: Circumstances, tag: str) -> Iterator[tuple[str, str]]:
    """The DHCP options; router and DNS server always, for without them dnsmasq would send its own or the system's."""
    offered = ((ROUTER, "router", spec.router), (DNS_SERVER[4], "dns", spec.dns and around.serves_dns))
    for names, option, wanted in offered:
        if not any(name in spec.options for name in names):
            yield option, option_line(tag, 4, names[0], [str(spec.bridge.ip)] if wanted else [])
    yield from option_lines(tag, 4, spec.options)
