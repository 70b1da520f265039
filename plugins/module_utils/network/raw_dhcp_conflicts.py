# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines about DHCP that contradict another option of their network. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from ..dhcp.dnsmasq_syntax import Setting, address_in, read_lines
from ..dhcp.option_codes import option_code
from ..dhcp.option_values import OWN_CODES
from ..dhcp.options import BOOT_FILE
from ..dhcp.ranges import Range
from ..dhcp.static_hosts import Host

if TYPE_CHECKING:
    from .model import Network

_KEEP_ONE = "keep one of them"
_MATCHES = ("tag:", "net:")
_TAGS = (*_MATCHES, "set:")
_OPTION = {"option:": 4, "option6:": 6}
# Options inside of another one have numbers of their own.
_INSIDE = ("vendor:", "encap:", "vi-encap:")
_MAC = re.compile(r"(?:[0-9a-f]{1,2}-(?=[0-9a-f:]))?((?:[0-9a-f]{1,2}[:-]){5}[0-9a-f]{1,2})")
_LEASE_TIME = 51


def dhcp_conflicts(network: Network, setting: Setting) -> Iterator[str]:
    """What contradicts a line, each with the remedy."""
    check = _CHECKS.get(setting.name)
    if check is not None:
        yield from check(network, setting)


def _range(network: Network, setting: Setting) -> Iterator[str]:
    """Ranges add up: one of the user's lines limits no other."""
    fields = [field for field in setting.fields if not field.startswith((*_TAGS, "interface:", "constructor:"))]
    addresses = [ip for field in fields[:2] if (ip := address_in(field)) is not None]
    for family, subnet, ranges in _subnets(network):
        if not addresses or addresses[0].version != int(family[-1]) or addresses[0] not in subnet:
            continue
        if len(addresses) == 1:
            if family == "ipv6":
                continue
            addresses = [subnet.network_address, subnet.broadcast_address]
        for one in ranges:
            if int(one.start) <= int(addresses[1]) and int(addresses[0]) <= int(one.end):
                yield (
                    f"does not replace the addresses {one.start} to {one.end} of {family}.dhcp.ranges; use "
                    f"{family}.dhcp.ranges in its place, or ranges: [] beside it"
                )


def _subnets(
    network: Network,
) -> Iterator[tuple[str, ipaddress.IPv4Network | ipaddress.IPv6Network, Sequence[Range]]]:
    ipv4, ipv6 = network.ipv4, network.ipv6
    if ipv4.address is not None and ipv4.dhcp:
        yield "ipv4", ipv4.address.network, ipv4.ranges
    if ipv6.address is not None and ipv6.dhcp.gives_addresses:
        yield "ipv6", ipv6.address.network, ipv6.dhcp.ranges


def _host(network: Network, setting: Setting) -> Iterator[str]:
    """Of two with the same MAC address, dnsmasq takes that of the file of hosts, which is ours."""
    guest = _Guest(setting)
    for family, hosts in (("ipv4", network.ipv4.hosts), ("ipv6", network.ipv6.dhcp.hosts)):
        if int(family[-1]) not in guest.versions:
            continue
        for i, host in enumerate(hosts):
            same = _same_guest(host, guest)
            if same:
                yield f"loses to {family}.dhcp.hosts[{i}], which has {same} too; {_KEEP_ONE}"
    lines = [(i, one) for i, line in enumerate(network.dnsmasq_options) for one in read_lines(line, "")]
    if [one for _i, one in lines].count(setting) > 1:
        yield f"is given twice; {_KEEP_ONE}"
    for i, other in takewhile(lambda numbered: numbered[1] != setting, lines):
        same = guest.shared_with(_Guest(other), network) if other.name == setting.name else ""
        if same:
            yield f"is about {same}, which dnsmasq.options[{i}] has too; {_KEEP_ONE}"


class _Guest:
    """What a line dhcp-host= is about (dnsmasq.8)."""

    def __init__(self, setting: Setting) -> None:
        self.fields = [field.lower() for field in setting.fields if not field.startswith(_TAGS)]
        self.ips = {ip for field in self.fields if (ip := address_in(field)) is not None}
        self.macs = {_plain_mac(match[1]) for field in self.fields if (match := _MAC.fullmatch(field))}
        self.ids = {field[3:] for field in self.fields if field.startswith("id:")}
        self.versions = {ip.version for ip in self.ips} or {4, 6}
        self.is_for_some = any(field.startswith(_MATCHES) for field in setting.fields)

    def shared_with(self, other: _Guest, network: Network) -> str:
        """What two lines have in common and cannot, '' for nothing.

        dnsmasq does not start with an IPv4 address of two, and of two for one guest in one subnet it takes one
        (src/option.c, LOPT_HOST; src/dhcp-common.c, find_config()).
        """
        for ip in sorted(self.ips & other.ips, key=str):
            return str(ip)
        if self.is_for_some or other.is_for_some or not self.versions & other.versions:
            return ""
        subnets = [address.network for address in network.own_addresses]
        if any(ip not in subnet for subnet in subnets for ip in self.ips | other.ips if ip.version == subnet.version):
            return ""
        return next(iter(sorted(self.macs & other.macs) or sorted(self.ids & other.ids)), "")


def _same_guest(host: Host, guest: _Guest) -> str:
    """What a static host has in common with a line, '' for nothing."""
    for mac in host.macs:
        # Client ids of guests that are known by their MAC addresses do not count; most have the MAC address in them.
        if mac.lower() in guest.macs or f"01:{mac.lower()}" in guest.ids:
            return mac
    if host.id and host.id in guest.ids:
        return host.id
    if host.ip is not None and host.ip in guest.ips:
        return str(host.ip)
    return host.label if host.label.lower() in guest.fields and host.label else ""


def _plain_mac(text: str) -> str:
    return ":".join(digits.zfill(2) for digits in re.split("[:-]", text))


def _option(network: Network, setting: Setting) -> Iterator[str]:
    given = _option_of(setting.fields)
    if given is None:
        return
    version, code, value, is_for_all = given
    if version == 4 and code == _LEASE_TIME:
        yield "tells guests another time than that of their leases; use ipv4.dhcp.lease_time"
    if version == 4 and code in OWN_CODES:
        yield f"is the option {code}, which dnsmasq makes itself; leave it out"
    if not is_for_all:
        return
    options = network.ipv4.options if version == 4 else network.ipv6.dhcp.options
    for name in options:
        if option_code(name, version) == code:
            yield f"replaces ipv{version}.dhcp.options.{name}; {_KEEP_ONE}"
    if version == 4 and str(code) in BOOT_FILE and any(boot.file != value for boot in network.ipv4.boot):
        yield f"replaces the file of ipv4.dhcp.boot; {_KEEP_ONE}"


def _option_of(fields: Sequence[str]) -> tuple[int, int, str, bool] | None:
    """Version, number and value of an option, and whether it is for all guests; None for what cannot be told."""
    if any(field.startswith(_INSIDE) for field in fields):
        return None
    for at, field in enumerate(fields):
        prefix = next((prefix for prefix in _OPTION if field.startswith(prefix)), "")
        if prefix or field.isdecimal():
            version = _OPTION.get(prefix, 4)
            code = option_code(field[len(prefix) :], version)
            return None if code is None else (version, code, ",".join(fields[at + 1 :]), at == 0)
    return None


def _boot(network: Network, setting: Setting) -> Iterator[str]:
    """Of several that a guest matches, dnsmasq takes the last one, and lines of the user's come last."""
    if network.ipv4.boot and network.ipv4.dhcp and not any(field.startswith(_TAGS) for field in setting.fields):
        yield f"replaces ipv4.dhcp.boot; {_KEEP_ONE}"


def _tftp_root(network: Network, setting: Setting) -> Iterator[str]:
    if network.ipv4.tftp_root and setting.fields[1:] in ((), (network.bridge.name,)):
        yield f"is another folder than ipv4.dhcp.tftp_root; {_KEEP_ONE}"


def _ignore_client_ids(network: Network, _setting: Setting) -> Iterator[str]:
    for i, host in enumerate(network.ipv4.hosts):
        if host.id:
            yield f"ignores the id of ipv4.dhcp.hosts[{i}]; give the mac there, or leave it out"


_CHECKS: Mapping[str, Callable[[Network, Setting], Iterator[str]]] = {
    **{"dhcp-range": _range, "dhcp-host": _host, "dhcp-boot": _boot, "tftp-root": _tftp_root},
    **dict.fromkeys(("dhcp-option", "dhcp-option-force", "dhcp-option-pxe"), _option),
    "dhcp-ignore-clid": _ignore_client_ids,
}
