# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Routes on a bridge: subnets that are reached through a guest of its network."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Union

from ..core import kinds
from ..core.command import ip_json
from ..core.fields import OptionTable, option, read_all, required
from ..core.options import Interface, Options

Subnet = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

# The mark that a route is ours (rtm_protocol in rtnetlink(7)); 118 is "v", and nobody's in iproute2's rt_protos.
PROTOCOL = 118

# virNetworkRouteDefGetMetric() in libvirt's src/conf/networkcommon_conf.c.
_METRIC = 1
_MOST = 2**32 - 1


@dataclass(frozen=True)
class Route(OptionTable):
    """A subnet, and the guest that leads there."""

    to: str = required(kinds.cidr)
    via: str = required(kinds.address)
    metric: int = option(kinds.integer(1, _MOST), _METRIC)
    path: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.to} via {self.via} metric {self.metric}"

    @property
    def subnet(self) -> Subnet:
        """The subnet."""
        return ipaddress.ip_network(self.to)

    @property
    def key(self) -> tuple[str, int]:
        """What the kernel has once."""
        return self.to, self.metric


def read_route_options(options: Options, name: str, addresses: Iterable[Interface]) -> tuple[Route, ...]:
    """A list of routes of a bridge with these addresses; raises InvalidOption."""
    host_addresses = list(addresses)
    routes: dict[tuple[str, int], Route] = {}
    for item in options.each(name):
        route = _read(item, host_addresses)
        if route.key in routes:
            item.error("to", f"{route.to} is there already with metric {route.metric}; give another metric")
        routes[route.key] = route
    return tuple(routes[key] for key in sorted(routes))


def _read(options: Options, host_addresses: Sequence[Interface]) -> Route:
    route = read_all(Route, options, path=options.path)
    to, via = ipaddress.ip_interface(route.to), ipaddress.ip_address(route.via)
    if to != ipaddress.ip_interface(to.network):
        options.error(
            "to", f"{to} is an address within {to.network}; write {to.network}, or {to.ip}/{to.max_prefixlen}"
        )
    if to.network.prefixlen == 0 or to.ip.is_multicast or to.ip.is_loopback or to.ip.is_link_local:
        options.error("to", f"{to.network} cannot be reached through a guest; give a subnet behind it")
    if via.version != to.version:
        options.error("via", f"{via} is not of the same family as {to.network}")
    if not any(own.version == via.version and via in own.network for own in host_addresses):
        networks = ", ".join(str(own.network) for own in host_addresses) or "without an address"
        options.error("via", f"{via} is outside the network ({networks}); give the address of a guest")
    if any(via == own.ip for own in host_addresses):
        options.error("via", f"{via} is the address of the host itself; give that of a guest")
    for own in host_addresses:
        if own.version == to.version and own.network.overlaps(to.network):
            options.error("to", f"{to.network} overlaps {own.network}, which guests are on; give a subnet behind one")
    return replace(route, to=str(to.network))


def read_routes() -> dict[str, tuple[Route, ...]]:
    """The routes of ours by interface; raises MissingTool, CommandFailed."""
    routes: dict[str, list[Route]] = {}
    for family in ("-4", "-6"):
        for item in ip_json([family, "-j", "route", "show", "proto", str(PROTOCOL)]):
            if "gateway" in item and "dev" in item:
                subnet = str(ipaddress.ip_network(item["dst"] if item["dst"] != "default" else "0.0.0.0/0"))
                routes.setdefault(item["dev"], []).append(Route(subnet, item["gateway"], item.get("metric", 0)))
    return {device: tuple(sorted(group, key=lambda route: route.key)) for device, group in routes.items()}


def read_others(wanted: Iterable[Route]) -> dict[tuple[str, int], str]:
    """Routes of others to the same subnets with the same metric, and on which interface they are."""
    interfaces = {}
    for to in sorted({route.to for route in wanted}):
        for item in ip_json(["-6" if ":" in to else "-4", "-j", "route", "show", "exact", to]):
            if str(item.get("protocol")) != str(PROTOCOL):
                interfaces[to, int(item.get("metric", 0))] = str(item.get("dev", "several interfaces"))
    return interfaces
