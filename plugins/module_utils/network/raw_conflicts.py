# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines of the user for dnsmasq that lose to other options of the same network, or replace them. Pure.

Which of two wins was seen with dnsmasq 2.90 (tests/kernel/test_raw_conflicts.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ..core.errors import InvalidOption
from ..core.options import repr_short
from ..dhcp.dnsmasq_syntax import Setting, read_lines
from ..dnsmasq.dangerous_options import FURTHER_CONFIGURATION
from .raw_dhcp_conflicts import dhcp_conflicts
from .raw_dns_conflicts import dns_conflicts

if TYPE_CHECKING:
    from .model import Network

_DNSMASQ_OPTIONS = "dnsmasq.options"
# dnsmasq(8), version 2.90: options that it reads for its name server alone. Without a name server it still looks up
# names of static hosts and boot servers, so those of hosts files are not among them.
_OF_NAME_SERVER = frozenset(
    """
    add-cpe-id add-mac add-subnet address alias all-servers auth-peer auth-sec-servers auth-server auth-soa auth-ttl
    auth-zone bogus-nxdomain bogus-priv caa-record cache-rr clear-on-reload cname connmark-allowlist
    connmark-allowlist-enable conntrack dns-forward-max dns-loop-detect dns-rr dnssec dnssec-check-unsigned dnssec-debug
    dnssec-limits dnssec-no-timecheck dnssec-timestamp domain-needed edns-packet-max fast-dns-retry filter-A filter-AAAA
    filter-rr filterwin2k ignore-address ipset local local-ttl localise-queries localmx max-cache-ttl max-port
    max-tcp-connections max-ttl min-cache-ttl min-port mx-host mx-target naptr-record neg-ttl nftset no-negcache no-poll
    no-resolv no-round-robin port-limit proxy-dnssec ptr-record query-port rebind-domain-ok rebind-localhost-ok
    resolv-file rev-server selfmx server servers-file srv-host stop-dns-rebind strict-order strip-mac strip-subnet
    synth-domain trust-anchor txt-record umbrella use-stale-cache
    """.split()
)
# dnsmasq(8): options that do nothing without one of others.
_NEEDED: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(
        """
        tftp-root tftp-secure tftp-unique-root tftp-no-fail tftp-lowercase tftp-no-blocksize tftp-max tftp-mtu
        tftp-port-range tftp-single-port
        """.split(),
        ("enable-tftp",),
    ),
    **dict.fromkeys(
        """
        trust-anchor dnssec-check-unsigned dnssec-no-timecheck dnssec-debug dnssec-limits dnssec-timestamp
        """.split(),
        ("dnssec",),
    ),
    **dict.fromkeys(("rebind-localhost-ok", "rebind-domain-ok"), ("stop-dns-rebind",)),
    **dict.fromkeys(("auth-ttl", "auth-soa", "auth-sec-servers", "auth-peer"), ("auth-zone",)),
    **dict.fromkeys(("script-arp", "script-on-renewal"), ("dhcp-script", "dhcp-luascript")),
    "dumpmask": ("dumpfile",),
}
_FURTHER = {*FURTHER_CONFIGURATION, "conf-script"}
# Beginnings of the names of options of a DHCP server; the first makes one.
_RANGE, _OF_DHCP_SERVER = "dhcp-range", ("dhcp-", "tag-if", "pxe-")


def refuse_raw_conflicts(network: Network) -> None:
    """Raise InvalidOption for a line that loses to another option, or has that option lose.

    What we fill in ourselves is no option of the user's, and lines win over it: the router, the name server, the MTU.
    """
    lines = [list(read_lines(line, "")) for line in network.dnsmasq_options]
    served = _Served(network, [setting for settings in lines for setting in settings])
    for i, settings in enumerate(lines):
        for setting in settings:
            problem = next(_problems(network, served, setting), "")
            if problem:
                raise InvalidOption(
                    network.at(f"{_DNSMASQ_OPTIONS}[{i}]"),
                    f"{repr_short(network.dnsmasq_options[i])} {problem}",
                    network.owner,
                )


def _problems(network: Network, served: _Served, setting: Setting) -> Iterator[str]:
    yield from served.without_server(setting)
    if network.dns.enabled:
        yield from dns_conflicts(network, setting)
    yield from dhcp_conflicts(network, setting)


class _Served:
    """What the dnsmasq of a network serves."""

    def __init__(self, network: Network, settings: Sequence[Setting]) -> None:
        ipv4, ipv6 = network.ipv4, network.ipv6
        self.given = {setting.name for setting in settings} | ({"enable-tftp"} if ipv4.tftp_root else set())
        has_ipv4, has_ipv6 = ipv4.address is not None or ipv4.auto, ipv6.address is not None or ipv6.auto
        self.dns = network.dns.enabled
        self.dhcp = bool(
            any(setting.name == _RANGE for setting in settings)
            or (has_ipv4 and ipv4.dhcp and (ipv4.auto or ipv4.ranges or ipv4.hosts))
            or (has_ipv6 and ipv6.dhcp.enabled)
        )
        others = (has_ipv4 and (ipv4.dhcp or ipv4.tftp_root)) or (has_ipv6 and (ipv6.ra or ipv6.dhcp.enabled))
        self.anything = bool((has_ipv4 or has_ipv6) and (self.dns or others))

    def without_server(self, setting: Setting) -> Iterator[str]:
        """Why a line has no effect at all, with the remedy."""
        if not self.anything:
            yield "has no effect, since the network has no address, or neither DHCP nor DNS; leave it out"
        if not self.dns and setting.name in _OF_NAME_SERVER:
            yield "has no effect with dns.enabled: false; leave it out, or use dns.enabled: true"
        needed = _NEEDED.get(setting.name, ())
        # What a file of further configuration says is not known here.
        if needed and not self.given & {*needed, *_FURTHER}:
            yield f"has no effect without {' or '.join(needed)}; add that, or leave it out"
        if not self.dhcp and setting.name.startswith(_OF_DHCP_SERVER):
            yield "has no effect, since the network has no DHCP; leave it out, or use ipv4.dhcp.enabled: true"
