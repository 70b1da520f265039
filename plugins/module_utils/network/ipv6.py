# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""IPv6 of a network: the host's address, and whether routers are advertised."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core import kinds
from ..core.fields import Documented, option, read, write
from ..core.options import Options
from ..dhcp.dhcpv6 import (
    DEPRECATED,
    RA_PARAM,
    SLAAC_PREFIX,
    Dhcp6,
    RaParam,
    has_ra_param,
    is_deprecating,
    read_dhcp6,
    refuse_deprecated,
    refuse_without_addresses,
)

AUTO = "auto"
NONE = "none"


def _proxies(ipv6: Any) -> bool:
    return bool(ipv6.ndp_proxy)


@dataclass(frozen=True)
class Ipv6:
    """The host's address on the bridge, or None. ``auto``: it is chosen automatically; ``ra``: router advertisements.

    ``ra_names``: the addresses that guests make themselves get the names that they have over IPv4. ``slaac``: whether
    they make any. ``ndp_proxy``: the host answers neighbour solicitations for guests on the uplink. ``deprecated``:
    prefixes of ``extra_addresses`` that guests are to stop using.
    """

    address: ipaddress.IPv6Interface | None = option(kinds.ipv6_cidr, None, documented=NONE)
    auto: bool = option(kinds.boolean, False, documented=Documented.NOWHERE)
    ra: bool = option(kinds.boolean, True)
    ra_param: RaParam = option(RA_PARAM, RaParam(), is_written=has_ra_param)
    ra_names: bool = option(kinds.boolean, True)
    slaac: bool = option(kinds.boolean, True)
    ndp_proxy: bool = option(kinds.boolean, False, is_written=_proxies)
    deprecated: Sequence[str] = option(DEPRECATED, (), is_written=is_deprecating)
    dhcp: Dhcp6 = option(kinds.group_by_caller(Dhcp6), Dhcp6())

    def at(self, address: ipaddress.IPv6Interface) -> Ipv6:
        """With the chosen address and the default ranges of its subnet."""
        return replace(self, address=address, dhcp=self.dhcp.on(address))

    def as_options(self) -> dict[str, Any]:
        """The option ``ipv6``, with every default."""
        options = write(self)
        return {**options, "address": options["address"] or NONE}


def read_ipv6(options: Options) -> Ipv6:
    """The option ``ipv6`` of a network; raises InvalidOption."""
    address = None
    word = options.text("address", NONE)
    # Where the kernel has no IPv6, a network that asked for any address is stored with none.
    auto = options.boolean("auto", False) or word == AUTO
    if word not in (AUTO, NONE):
        address = options.ipv6_cidr("address")
        _check_host_address(options, address)
    dhcp = read_dhcp6(options.group("dhcp"), address, advertised=options.boolean("ra", True), fixed=word != AUTO)
    ipv6 = read(Ipv6, options, address=address, auto=auto, dhcp=dhcp)
    options.reject_unknown()
    if (address is not None or auto) and ipv6.ra and not ipv6.slaac and not dhcp.gives_addresses:
        refuse_without_addresses(options)
    slaac = ipv6.ra and ipv6.slaac and (address is not None or auto)
    refuse_deprecated(options, ipv6.deprecated, address, slaac=slaac, gives_addresses=dhcp.gives_addresses)
    if ipv6.ra and ipv6.slaac and address is not None and address.network.prefixlen != SLAAC_PREFIX:
        options.error(
            "address",
            f"{address} has no prefix of 64 bits, of which guests could make addresses; use a /64, or ra: false, "
            "or slaac: false",
        )
    return ipv6


def _check_host_address(options: Options, address: ipaddress.IPv6Interface) -> None:
    ip = address.ip
    if ip.is_multicast or ip.is_loopback or ip.is_unspecified or ip.is_link_local or ip.ipv4_mapped:
        options.error(
            "address", f"{address} cannot be the address of a network of guests; use one such as fd00:1::1/64"
        )
    if address.network.prefixlen < 127 and ip == address.network.network_address:
        # RFC 4291 section 2.6.1: every router answers to it, so it is no router's own.
        options.error(
            "address",
            f"{address} is the anycast address of all routers of its subnet; use {ip + 1}/{address.network.prefixlen}",
        )
