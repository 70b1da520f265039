# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The IP side of a bridge of either type: addresses, routes, IP settings of its link. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

from ..kernel import mtu
from ..kernel.link_changes import AddAddress, DeleteAddress, DeleteRoute, PutRoute, SetSysctl, Step
from ..kernel.links import Link, sysctl_path
from ..kernel.routes import Route
from .spec import BridgeSpec
from .state import BridgeState

# The setting of IPv4 that a bridge has; all others are of IPv6.
FORWARDING = "forwarding"


def desired_sysctls(spec: BridgeSpec, current: BridgeState) -> dict[str, str]:
    """The IP settings of a bridge; none of IPv6 where the kernel has no IPv6, or not with its MTU."""
    forwarding = {FORWARDING: "1"} if spec.forwarding else {}
    if not current.ipv6 or desired_mtu(spec, current.ports_of(spec.name)) < mtu.LEAST_IPV6:
        return forwarding
    # libvirt sets the same three (networkSetIPv6Sysctls() in src/network/bridge_driver.c).
    return {**forwarding, "disable_ipv6": "0" if _has_ipv6(spec) else "1", "accept_ra": "0", "autoconf": "0"}


def _has_ipv6(spec: BridgeSpec) -> bool:
    return any(":" in address for address in spec.addresses)


def new_link_steps(spec: BridgeSpec, current: BridgeState) -> list[Step]:
    """Steps that give a new link its IP settings and addresses; routes have to wait until it is up."""
    return [
        *(SetSysctl(_path(spec, key), value) for key, value in desired_sysctls(spec, current).items()),
        *(AddAddress(spec.name, address) for address in spec.addresses),
    ]


def address_steps(spec: BridgeSpec, link: Link, current: BridgeState) -> list[Step]:
    """Steps that bring the addresses and IP settings of an existing link to the desired ones."""
    settings = [
        SetSysctl(_path(spec, key), value)
        for key, value in desired_sysctls(spec, current).items()
        if link.sysctls.get(key) != value
    ]
    # IPv6 loses its addresses when it is switched off, and accepts none before it is switched on.
    addresses = _changed_addresses(spec, link)
    return [*settings, *addresses] if _has_ipv6(spec) else [*addresses, *settings]


def _path(spec: BridgeSpec, key: str) -> str:
    family = "ipv4" if key == FORWARDING else "ipv6"
    return sysctl_path("/proc/sys", spec.name, f"{family}/{key}")


def _changed_addresses(spec: BridgeSpec, link: Link) -> list[Step]:
    """New addresses first, so that the link always has one.

    The kernel keeps the addresses of one subnet as secondaries of the first: it deletes them together with that one
    (net/ipv4/devinet.c, promote_secondaries). So when an IPv4 address goes, the other desired addresses of its subnet
    are added again after it. An IPv6 address is on a link once, with one prefix length (net/ipv6/addrconf.c,
    ipv6_add_addr()).
    """
    current, desired = list(link.addresses), list(spec.addresses)
    gone = [address for address in current if address not in desired]
    new = [address for address in desired if address not in current]
    subnets = {ipaddress.ip_interface(address).network for address in gone if ":" not in address}
    shared = [a for a in desired if ":" not in a and ipaddress.ip_interface(a).network in subnets]
    gone6 = {ipaddress.ip_interface(address).ip for address in gone if ":" in address}
    late = shared + [a for a in new if ":" in a and ipaddress.ip_interface(a).ip in gone6]
    early = [address for address in new if address not in late]
    deleted = gone + [address for address in current if address in shared]
    # Secondaries are deleted first.
    return [
        *(AddAddress(spec.name, address) for address in early),
        *(DeleteAddress(spec.name, address) for address in sorted(deleted, key=current.index, reverse=True)),
        *(AddAddress(spec.name, address) for address in late),
    ]


def route_steps(spec: BridgeSpec, current: Sequence[Route]) -> list[Step]:
    """Steps from the current routes of a bridge to the desired ones.

    A route with another gateway is replaced in place: the kernel has one route for a subnet and metric.
    """
    desired = {route.key for route in spec.routes}
    return [
        *(DeleteRoute(spec.name, r.to, r.via, r.metric) for r in current if r.key not in desired),
        *(PutRoute(spec.name, r.to, r.via, r.metric) for r in spec.routes if r not in current),
    ]


def current_values(link: Link, current: BridgeState) -> dict[str, Any]:
    """For the diff: the current IP configuration of a link."""
    return {
        "up": link.up,
        **link.sysctls,
        "addresses": sorted(link.addresses),
        "routes": [str(route) for route in current.routes.get(link.name, ())],
    }


def desired_values(spec: BridgeSpec, current: BridgeState) -> dict[str, Any]:
    """For the diff: the desired IP configuration of a bridge."""
    return {
        "up": True,
        **desired_sysctls(spec, current),
        "addresses": sorted(spec.addresses),
        "routes": [str(route) for route in spec.routes],
    }


def desired_mtu(spec: BridgeSpec, ports: Iterable[Link]) -> int:
    """The MTU of a bridge with these ports."""
    return mtu.least(port.mtu for port in ports) if spec.mtu is None else spec.mtu
