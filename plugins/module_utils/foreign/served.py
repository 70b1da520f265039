# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a running dnsmasq gives the guests of one bridge, as options: DHCP, names, forwarders. Pure.

Syntax and meaning are those of dnsmasq.8. A setting that no option stands for is named in a note.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from ..core.errors import printable
from ..core.options import Interface, shorten
from ..dhcp.dnsmasq_syntax import Setting
from ..dnsmasq.spec import IGNORE_CLIENT_IDS
from ..dnsmasq.system_config import Config
from .dhcp_settings import DhcpRange, boot_options, dhcp_options, host_of, ra_param_option, range_of, shown
from .dns_settings import dns_options

# Settings about dnsmasq itself, or whose effect every network of ours has.
_OF_NO_CONCERN = frozenset(
    """
    interface listen-address except-interface no-dhcp-interface bind-interfaces bind-dynamic pid-file user group
    dhcp-leasefile leasefile-ro dhcp-lease-max keep-in-foreground no-daemon conf-file conf-dir conf-script log-queries
    log-dhcp log-facility log-async quiet-dhcp quiet-dhcp6 quiet-ra quiet-tftp no-hosts no-resolv resolv-file no-poll
    strict-order all-servers clear-on-reload cache-size no-negcache local-service dhcp-authoritative dhcp-no-override
    expand-hosts bogus-priv domain-needed stop-dns-rebind rebind-localhost-ok localise-queries no-ping port domain local
    server dhcp-range dhcp-host dhcp-option dhcp-option-force dhcp-boot enable-tftp tftp-root enable-ra host-record
    cname srv-host txt-record dhcp-hostsfile address ra-param dhcp-ignore-clid local-ttl T
    test x k d h R N b D z K o q E 8 u g l r c
    """.split()
)
_MOST_SHOWN = 12
# Modes of a range by which guests make their own addresses (option.c); without one, only enable-ra advertises it.
_SLAAC_MODES = frozenset(("ra-only", "slaac", "ra-stateless", "ra-names", "ra-advrouter"))
_MODES_WITHOUT_OPTION = ("ra-advrouter", "off-link")


@dataclass(frozen=True)
class Served:
    """The options ``ipv4.dhcp``, ``ipv6`` without its address, and ``dns``."""

    dhcp: Mapping[str, Any] = field(default_factory=lambda: {"enabled": False})
    ipv6: Mapping[str, Any] = field(default_factory=lambda: {"ra": False})
    dns: Mapping[str, Any] = field(default_factory=lambda: {"enabled": False})
    notes: Sequence[str] = ()


def served_options(bridge: str, addresses: Sequence[Interface], servers: Sequence[Config]) -> Served:
    """What the dnsmasq that serves a bridge gives its guests; nothing where there is none."""
    serving = [one for one in servers if _serves(one, bridge, addresses)]
    if not serving:
        return Served()
    # A second one at other addresses of the bridge is rare; that with DHCP is the one of the network.
    server = max(serving, key=lambda one: bool(_ranges(one, bridge, addresses)))
    ranges = _ranges(server, bridge, addresses)
    # Whether it has ranges for other links too.
    shared = len(ranges) < len(server.named("dhcp-range"))
    # Every request on a bridge has the name of the link, and what its ranges set.
    tags = {bridge, *(tag for one in ranges for tag in one.sets)}
    notes: list[str] = []
    dhcp = _dhcp(server, ranges, addresses, notes, tags=tags, shared=shared)
    ipv6 = _ipv6(server, bridge, ranges, addresses, notes, tags=tags, shared=shared)
    dns: dict[str, Any] = {"enabled": False}
    if server.port:
        dns, dns_notes = dns_options(server, addresses, shared=shared)
        notes += dns_notes
    left_out = [setting for setting in server.settings if setting.name not in _OF_NO_CONCERN]
    return Served(dhcp, ipv6, dns, [*notes, *_left_out(left_out)])


def _left_out(settings: Sequence[Setting]) -> Iterator[str]:
    if settings:
        names = list(dict.fromkeys(str(setting) for setting in settings))
        more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
        listed = ", ".join(printable(shorten(name, 100)) for name in names[:_MOST_SHOWN])
        yield f"settings of its dnsmasq without an option here: {listed}{more}; dnsmasq.options takes raw lines"


def _serves(config: Config, bridge: str, addresses: Sequence[Interface]) -> bool:
    if _ranges(config, bridge, addresses):
        return True
    return bool(config.port) and any(_answers(config, bridge, str(address.ip)) for address in addresses)


def _answers(config: Config, bridge: str, address: str) -> bool:
    """Whether it answers queries at an address. One that listens at all addresses drops queries of other links."""
    if config.only_localhost or config.excluding_settings(bridge, address, dhcp=False):
        return False
    listed = any(fnmatchcase(bridge, name) for setting in config.named("interface") for name in setting.fields)
    addressed = any(address in setting.fields for setting in config.named("listen-address"))
    return listed or addressed or not config.limits_interfaces


def _ranges(config: Config, bridge: str, addresses: Sequence[Interface]) -> list[DhcpRange]:
    """The ranges on the subnets of a bridge."""
    found = []
    for one in (range_of(setting.fields) for setting in config.named("dhcp-range")):
        constructed = one.constructor and one.constructor.rstrip("*") == bridge
        inside = one.start is not None and any(one.start in address.network for address in addresses)
        if constructed or (inside and not one.constructor):
            found.append(one)
    return found


def _host_address(addresses: Sequence[Interface], version: int) -> Interface | None:
    return next((address for address in addresses if address.version == version), None)


def _dhcp(
    config: Config,
    ranges: Sequence[DhcpRange],
    addresses: Sequence[Interface],
    notes: list[str],
    *,
    tags: set[str],
    shared: bool,
) -> dict[str, Any]:
    """The option ``ipv4.dhcp``."""
    host, own = _host_address(addresses, 4), [one for one in ranges if one.version == 4]
    if host is None or not own:
        return {"enabled": False}
    if any(one.mode == "proxy" for one in own):
        notes.append("its dnsmasq is a proxy for another DHCP server on the bridge; here DHCP is off")
        return {"enabled": False}
    # A range may lie in another subnet of the bridge, which an option has no word for.
    inside = [one for one in own if one.start in host.network]
    if len(inside) < len(own):
        notes.append(f"ranges outside {host.network} are left out")
    dhcp: dict[str, Any] = {"ranges": [one.as_options() for one in inside if one.mode != "static"]}
    hosts = _hosts(config, host, notes, shared=shared)
    if hosts:
        dhcp["hosts"] = hosts
    if config.named(IGNORE_CLIENT_IDS):
        dhcp["ignore_client_ids"] = True
    dhcp.update(dhcp_options(config, 4, tags, str(host.ip), notes))
    dhcp.update(boot_options(config, tags, notes))
    return dhcp


def _hosts(config: Config, host: Interface, notes: list[str], *, shared: bool) -> list[dict[str, Any]]:
    """The static hosts of a subnet."""
    hosts = []
    for setting in config.named("dhcp-host"):
        found = host_of(setting.fields, host.version)
        if found is None:
            if not shared:
                notes.append(f"a static host is left out: {shown(setting)}")
            continue
        ip = found.get("ip")
        if not found or (ip is None and shared):
            continue
        if ip is None or ipaddress.ip_address(ip) in host.network:
            hosts.append(found)
    return hosts


def _ipv6(
    config: Config,
    bridge: str,
    ranges: Sequence[DhcpRange],
    addresses: Sequence[Interface],
    notes: list[str],
    *,
    tags: set[str],
    shared: bool,
) -> dict[str, Any]:
    """The option ``ipv6`` without its address."""
    host, own = _host_address(addresses, 6), [one for one in ranges if one.version == 6]
    if host is None or not own:
        return {"ra": False}
    modes = {mode for one in own for mode in one.modes}
    advertised = bool(config.named("enable-ra") or modes & _SLAAC_MODES)
    notes += [f"the mode {mode} of its ranges has no option here" for mode in _MODES_WITHOUT_OPTION if mode in modes]
    ipv6: dict[str, Any] = {} if advertised else {"ra": False}
    if advertised:
        ipv6.update(ra_param_option(config, bridge, notes))
        ipv6.update({} if modes & _SLAAC_MODES else {"slaac": False})
        ipv6.update({} if "ra-names" in modes else {"ra_names": False})
    base = int(host.network.network_address)
    dhcp: dict[str, Any] = {}
    if "ra-stateless" in modes:
        dhcp = {"enabled": True, "stateless": True}
    given = [one for one in own if not set(one.modes) & {"ra-only", "ra-stateless"}]
    if given and not dhcp:
        offered = [one.as_options(base if one.constructor else 0) for one in given if one.end is not None]
        dhcp = {"enabled": True, "ranges": offered}
        hosts = _hosts(config, host, notes, shared=shared)
        if hosts:
            dhcp["hosts"] = hosts
    if dhcp:
        dhcp.update(dhcp_options(config, 6, tags, str(host.ip), notes))
        ipv6["dhcp"] = dhcp
    return ipv6
