# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""IPv6 that dnsmasq gives the guests of one bridge: router advertisements and DHCPv6. Pure.

Advertisements are enabled for each range (radv.c, CONTEXT_RA), and so guests also make an address of their own where
DHCPv6 assigns them one. Only enable-ra clears the A bit (``slaac: false``). It enables advertisements on every link
that dnsmasq has an address range for, so the network needs an instance of its own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from ..core import kinds
from ..core.fields import Kind, OptionTable, option, read_all, required
from ..core.options import Options, Value
from .options import DNS_SERVER, DOMAIN_SEARCH6, option_line, option_lines, read_dhcp_options
from .ranges import DEFAULT_LEASE_TIME, Range, default_ranges, only_static_hosts, read_ranges
from .static_hosts import Host, read_hosts

# option.c: "prefix length must be at least 64".
_SHORTEST_PREFIX = 64
# RFC 4862 section 5.5.3 with RFC 2464 section 4: that of subnets in which guests make their own addresses.
SLAAC_PREFIX = 64

_OPTIONS: Kind[Mapping[str, str]] = Kind(lambda options, name: read_dhcp_options(options, name, 6), "dict", write=dict)


# radv.c, calc_interval() and calc_lifetime(): dnsmasq sends other values as the nearest of these.
_INTERVALS, _LONGEST_LIFETIME, _DEFAULT_INTERVAL = (4, 1800), 9000, 600
_MEDIUM = "medium"


@dataclass(frozen=True)
class RaParam(OptionTable):
    """What router advertisements say: dnsmasq's ra-param (RFC 4861 section 6.2.1, RFC 4191); None: dnsmasq decides.

    ``interval`` and ``lifetime`` in seconds; ``lifetime``: as the guests' default router, 0 for none.
    """

    preference: str = option(kinds.choice("high", _MEDIUM, "low"), _MEDIUM)
    interval: int | None = option(kinds.integer(*_INTERVALS), None)
    lifetime: int | None = option(kinds.integer(0, _LONGEST_LIFETIME), None)
    mtu: int | None = option(kinds.integer(1280, 65535), None)

    def line(self, interface: str, router: bool) -> str:
        """The line for an interface, '' for none; ``router``: the host is the guests' default router."""
        lifetime = self.lifetime if router else 0
        words = [f"mtu:{self.mtu}"] * bool(self.mtu) + [self.preference] * (self.preference != _MEDIUM)
        if not words and self.interval is None and lifetime is None:
            return ""
        # 0 for the interval is the default.
        numbers = [self.interval or 0, *([] if lifetime is None else [lifetime])]
        return f"ra-param={','.join([interface, *words, *map(str, numbers)])}"


def ra_param_of(words: Sequence[str]) -> RaParam:
    """The words of such a line after the interface, as dnsmasq sends them (option.c, radv.c); raises ValueError."""
    rest = list(words)
    mtu = int(rest.pop(0)[4:]) if rest and rest[0].startswith("mtu:") else None
    preference = rest.pop(0).lower() if rest and rest[0][:1].isalpha() else _MEDIUM
    interval, lifetime = (int(number) for number in (*rest, *["-1"] * (2 - len(rest))))
    least, most = _INTERVALS
    interval = min(max(interval, least), most) if interval > 0 else 0
    if lifetime > 0:
        lifetime = min(max(lifetime, interval or _DEFAULT_INTERVAL), _LONGEST_LIFETIME)
    return RaParam(preference, interval or None, None if lifetime < 0 else lifetime, mtu)


def _read_ra_param(options: Options) -> RaParam:
    param = read_all(RaParam, options)
    least = param.interval or _DEFAULT_INTERVAL
    if param.lifetime and param.lifetime < least:
        options.error("lifetime", f"{param.lifetime} ends before the next advertisement; use 0, or {least} or more")
    return param


RA_PARAM: Kind[RaParam] = kinds.group(RaParam, _read_ra_param)


def has_ra_param(service: Any) -> bool:
    """Whether any of them is given."""
    return bool(service.ra_param != RaParam())


def refuse_ra_param(options: Options, param: RaParam, *, advertised: bool, router: bool) -> None:
    """Raise InvalidOption for what would have no effect."""
    if param != RaParam() and not advertised:
        options.error("ra_param", "is for router advertisements; use ra: true, or leave it out")
    if param.lifetime and not router:
        options.error("ra_param.lifetime", "is for a default router, which an isolated network has not; leave it out")


def _read_prefixes(options: Options, name: str) -> tuple[str, ...]:
    prefixes = []
    for i, value in enumerate(options.items(name)):
        part = f"{name}[{i}]"
        prefix = Options({part: value}, options.path, options.owner).ipv6_cidr(part).network
        if prefix.prefixlen != SLAAC_PREFIX:
            options.error(part, f"{prefix} has no prefix of 64 bits, of which guests could have addresses; use a /64")
        prefixes.append(str(prefix))
    return tuple(prefixes)


DEPRECATED: Kind[Sequence[str]] = Kind(_read_prefixes, "list", elements="str", write=list)


def is_deprecating(service: Any) -> bool:
    """Whether guests are to stop using the addresses of a prefix."""
    return bool(service.deprecated)


def refuse_deprecated(
    options: Options,
    prefixes: Sequence[str],
    address: ipaddress.IPv6Interface | None,
    *,
    slaac: bool,
    gives_addresses: bool,
) -> None:
    """Raise InvalidOption for prefixes that dnsmasq cannot take from guests."""
    if prefixes and not (slaac and not gives_addresses):
        # dnsmasq would go on to give leases of the second prefix.
        options.error("deprecated", "is for guests that make their own addresses, without DHCPv6; leave it out")
    for i, prefix in enumerate(prefixes):
        if address is not None and prefix == str(address.network):
            options.error(f"deprecated[{i}]", f"{prefix} is that of the address itself; name the former one")


@dataclass(frozen=True)
class Dhcp6(OptionTable):
    """DHCPv6: nothing, options alone (``stateless``), or addresses too."""

    enabled: bool = option(kinds.boolean, False)
    stateless: bool = option(kinds.boolean, False)
    ranges: Sequence[Range] = option(kinds.groups_by_caller(Range), ())
    hosts: Sequence[Host] = option(kinds.groups_by_caller(Host), ())
    options: Mapping[str, str] = option(_OPTIONS, {})

    @property
    def gives_addresses(self) -> bool:
        """Whether addresses are handed out."""
        return self.enabled and not self.stateless

    def on(self, address: ipaddress.IPv6Interface) -> Dhcp6:
        """With the default ranges of the subnet, where addresses are handed out and none were given."""
        if not self.gives_addresses or self.ranges:
            return self
        return replace(self, ranges=tuple(default_ranges(address)))


def read_dhcp6(
    options: Options, address: ipaddress.IPv6Interface | None, *, advertised: bool, fixed: bool = True
) -> Dhcp6:
    """The option ``dhcp`` of a network's IPv6; raises InvalidOption. ``fixed``: no automatic subnet is asked for."""
    dhcp6 = _read(Dhcp6, options, address)
    if not dhcp6.enabled:
        return dhcp6
    if dhcp6.stateless and (dhcp6.ranges or dhcp6.hosts):
        options.error("stateless", "is for guests that make their own addresses; leave ranges and hosts out")
    if dhcp6.stateless and not advertised:
        options.error("stateless", "needs router advertisements, of which guests make their addresses; use ra: true")
    served = dhcp6.gives_addresses and (address is not None or not fixed)
    static_only = served and only_static_hosts(options, dhcp6.hosts, fixed=fixed, version=6)
    if address is not None:
        if address.network.prefixlen < _SHORTEST_PREFIX:
            options.error("enabled", f"{address.network} is wider than a /{_SHORTEST_PREFIX}, which dnsmasq needs")
        dhcp6 = dhcp6 if static_only else dhcp6.on(address)
        if not static_only and dhcp6.gives_addresses and not dhcp6.ranges:
            options.error("enabled", f"{address.network} has no address left for guests; use a larger subnet or false")
    return dhcp6


@dataclass(frozen=True)
class Service6(OptionTable):
    """What the guests of one bridge get.

    ``names``: AAAA records for the addresses that they make themselves. ``slaac``: whether they make any.
    ``deprecated``: further prefixes of the bridge, of which guests use no addresses for new connections.
    """

    address: ipaddress.IPv6Interface = required(kinds.ipv6_cidr)
    ra: bool = option(kinds.boolean, True)
    ra_param: RaParam = option(RA_PARAM, RaParam(), is_written=has_ra_param)
    names: bool = option(kinds.boolean, True, name="ra_names")
    slaac: bool = option(kinds.boolean, True)
    deprecated: Sequence[str] = option(DEPRECATED, (), is_written=is_deprecating)
    stateless: bool = option(kinds.boolean, False)
    ranges: Sequence[Range] = option(kinds.groups_by_caller(Range), ())
    hosts: Sequence[Host] = option(kinds.groups_by_caller(Host), ())
    options: Mapping[str, str] = option(_OPTIONS, {})

    @property
    def dhcp(self) -> bool:
        """Whether dnsmasq listens for DHCPv6."""
        return bool(self.stateless or self.ranges or self.hosts)

    @property
    def sends(self) -> bool:
        """Whether dnsmasq sends guests anything over IPv6 but answers to DNS queries."""
        return self.ra or self.dhcp

    @property
    def forbids_slaac(self) -> bool:
        """Whether advertisements tell guests to make no addresses, which dnsmasq can only do for a whole instance."""
        return self.ra and not self.slaac


def read_service6(options: Options) -> Service6:
    """The option ``ipv6`` of a fragment; raises InvalidOption."""
    address = options.ipv6_cidr("address")
    service = _read(Service6, options, address)
    if service.stateless and (service.ranges or service.hosts or not service.ra):
        options.error("stateless", "is for guests that make their own addresses: with ra, without ranges and hosts")
    if service.forbids_slaac and not (service.ranges or service.hosts):
        refuse_without_addresses(options)
    gives = bool(service.ranges or service.hosts)
    slaac = service.ra and service.slaac
    refuse_deprecated(options, service.deprecated, address, slaac=slaac, gives_addresses=gives)
    if service.sends and address.network.prefixlen < _SHORTEST_PREFIX:
        options.error("address", f"{address} has a prefix shorter than 64 bits, which dnsmasq does not serve")
    return service


def refuse_without_addresses(options: Options) -> NoReturn:
    """Refuse ``slaac: false`` where guests would get no address at all; raises InvalidOption."""
    options.error("slaac", "is false, and DHCPv6 gives guests no addresses; leave it out, or have DHCPv6 give them")


def _read(cls: type[Value], options: Options, address: ipaddress.IPv6Interface | None) -> Value:
    ranges = tuple(read_ranges(options, "ranges", address, version=6))
    return read_all(cls, options, ranges=ranges, hosts=tuple(read_hosts(options, "hosts", address, 6)))


def service_lines(
    service: Service6, interface: str, *, router: bool, dns: bool, domain: str
) -> Iterator[tuple[str, str]]:
    """Each line with the option that it comes from, below ``ipv6``.

    ``router``, ``dns``: the host is the guests' default router, their DNS server.
    """
    if not service.sends:
        return
    yield from _range_lines(service, interface)
    for i, prefix in enumerate(service.deprecated):
        # Of two equal ranges, dnsmasq takes the preferred lifetime of 0 from one and the valid one from the other
        # (radv.c, add_prefixes()). A guest counts none of less than two hours (RFC 4862 section 5.5.3).
        start = f"dhcp-range=tag:{interface},interface:{interface},{prefix.partition('/')[0]},ra-only,{SLAAC_PREFIX}"
        yield from ((f"deprecated[{i}]", f"{start},{lease}") for lease in ("2h", "deprecated"))
    # With a lifetime of 0 the host is no default router (RFC 4861 section 6.2.3).
    param = service.ra_param.line(interface, router) if service.ra else ""
    if param:
        yield "ra_param", param
    # DNS server and search list always, since without them dnsmasq would send its own or the system's.
    tag = f"tag:{interface}"
    server = [f"[{service.address.ip}]"] if dns else []
    search = [domain] if dns and domain else []
    for names, values in ((DNS_SERVER[6], server), (DOMAIN_SEARCH6, search)):
        if not any(name in service.options for name in names):
            yield "ra", option_line(tag, 6, names[0], values)
    yield from option_lines(tag, 6, service.options)


def _range_lines(service: Service6, interface: str) -> Iterator[tuple[str, str]]:
    network = service.address.network
    # constructor: binds it to the bridge by name, so that no other link with such an address is ever advertised on.
    # option.c: "prefix length must be exactly 64" for it; other subnets are never advertised (read_ipv6()).
    constructed = network.prefixlen == SLAAC_PREFIX
    subnet, host_part = ("::", int(network.hostmask)) if constructed else (str(network.network_address), -1)

    def line(addresses: str, modes: Sequence[str], lease_time: str = DEFAULT_LEASE_TIME) -> str:
        start = f"dhcp-range=tag:{interface},interface:{interface},{addresses}"
        template = [f"constructor:{interface}"] if constructed else []
        return ",".join([start, *template, *modes, str(network.prefixlen), lease_time])

    names = ["ra-names"] if service.ra and service.names else []
    slaac = ["slaac", *names] if service.ra and service.slaac else []
    for i, addresses in enumerate(service.ranges):
        ends = (ipaddress.IPv6Address(int(end) & host_part) for end in (addresses.start, addresses.end))
        yield f"ranges[{i}]", line(",".join(map(str, ends)), slaac, addresses.lease_time)
    if service.ranges:
        return
    if service.hosts:
        yield "hosts", line(subnet, ["static", *slaac])
    elif service.stateless:
        yield "stateless", line("::", ["ra-stateless", *names])
    else:
        yield "ra", line("::", ["ra-only", *names])
