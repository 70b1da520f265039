# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refuses bridges that cannot be, before anything is changed. Pure."""

from __future__ import annotations

from ..core.errors import InvalidOption, NotRunning
from ..core.families import package_of
from ..kernel.links import OPENVSWITCH, Link
from . import uplink
from .spec import BridgeSpec
from .state import BridgeState, has_mark, is_ours

_NAME_IN_USE = (
    "{!r} is already {} that virtnet.linux did not create; choose another name for the bridge, or remove it first"
)
_OTHER_TYPE = (
    "{!r} does not match the existing bridge, which is {}; the type of an existing bridge cannot change: remove it "
    "first (a network: state inactive)"
)


def check_linux(spec: BridgeSpec, current: BridgeState) -> None:
    """Check a Linux bridge; raises InvalidOption."""
    link = current.links.get(spec.name)
    if link is not None and link.kind == OPENVSWITCH and has_mark(link):
        raise spec.error("type", _OTHER_TYPE.format("linux", "a bridge of Open vSwitch"))
    if link is not None and not is_ours(link, spec.mac):
        raise spec.error("name", _NAME_IN_USE.format(spec.name, _kind(link)))
    if spec.fdb_max_learned and not current.fdb.supported:
        raise spec.error("fdb_max_learned", "is not supported by this kernel; leave it out, or use Linux 6.7 or later")
    if spec.multicast_snooping and link is not None and link.multicast_snooping is None:
        raise spec.error(
            "multicast_snooping", "is not supported by this kernel, which has no IGMP snooping; leave it out"
        )
    _check_common(spec, current)


def check_ovs(spec: BridgeSpec, current: BridgeState) -> None:
    """Check a bridge of Open vSwitch; raises InvalidOption, NotRunning."""
    ovs = current.ovs
    if not ovs.installed:
        raise spec.error(
            "type",
            f"'{OPENVSWITCH}' needs Open vSwitch, which is not installed on this host; install the package "
            f"{package_of('ovs-vsctl')}, or use linux",
        )
    if ovs.problem:
        raise NotRunning(f"bridge {spec.name!r}: {ovs.problem}")
    link, row = current.links.get(spec.name), ovs.bridges.get(spec.name)
    if link is not None and is_ours(link, spec.mac):
        raise spec.error("type", _OTHER_TYPE.format(OPENVSWITCH, "a Linux bridge"))
    if row is not None and not row.ours:
        raise spec.error("name", _NAME_IN_USE.format(spec.name, "a bridge of Open vSwitch"))
    if row is None and link is not None:
        raise spec.error("name", _NAME_IN_USE.format(spec.name, _kind(link)))
    _check_common(spec, current)


def _kind(link: Link) -> str:
    return f"a {link.kind}" if link.kind else "an interface"


def _check_common(spec: BridgeSpec, current: BridgeState) -> None:
    """The checks of both types: addresses, ports, routes, bandwidth."""
    for i, address in enumerate(spec.addresses):
        if ":" in address and not current.ipv6:
            raise spec.error(f"addresses[{i}]", f"{address!r}: the kernel of this host has no IPv6")
    for i, name in enumerate(spec.ports):
        problem = _port_problem(spec, name, current)
        if problem:
            raise spec.error(f"ports[{i}]", f"interface {name!r} {problem}")
    if spec.enslave_uplink:
        _check_uplink(spec, current)
    for route in spec.routes:
        # libvirt had routes by this bridge before its network became ours.
        device = current.other_routes.get(route.key, spec.name)
        if device != spec.name:
            raise InvalidOption(
                f"{route.path}.to" if route.path else "routes",
                f"{route.to} is routed already, by {device} with metric {route.metric}; give another metric",
                f"bridge {spec.name!r}",
            )
    kind = current.limits.qdisc(current.links.get(spec.name)).foreign_kind
    if spec.bandwidth.inbound is not None and kind:
        raise spec.error(
            "bandwidth.inbound",
            f"{spec.name} already has a queue of kind {kind} that virtnet.linux did not create; remove it "
            f"(tc qdisc delete dev {spec.name} root), or leave this out",
        )


def _port_problem(spec: BridgeSpec, name: str, current: BridgeState) -> str:
    """Why an interface cannot be a port of a bridge; empty where it can."""
    port = current.links.get(name)
    if port is None:
        return "does not exist on this host"
    if port.master not in ("", spec.name):
        return f"is a port of {port.master}; remove it from there first"
    if not spec.enslave_uplink and _is_uplink(name, spec.name, current):
        return (
            "carries a default route of this host, or the connection of this run: the host would lose its network; "
            "bridge.enslave_uplink moves its addresses and routes to the bridge"
        )
    return ""


def _check_uplink(spec: BridgeSpec, current: BridgeState) -> None:
    """Refuse an uplink that cannot move, before anything is changed."""
    others = [name for name in spec.ports if name in current.links and current.links[name].master != spec.name]
    with_addresses = [name for name in others if current.links[name].addresses]
    if len(with_addresses) > 1:
        raise spec.error("ports", f"{', '.join(with_addresses)} all have addresses; only one of them can be the uplink")
    name = uplink.port_of(spec, current)
    if name in current.uplinks.shared and current.links[name].master != spec.name:
        raise spec.error("enslave_uplink", f"{name!r} shares a route with other interfaces; give it one of its own")
    # A DHCP client renews addresses on its own interface only, and so does the kernel with router advertisements.
    if name in current.uplinks.renewed and current.links[name].master != spec.name:
        raise spec.error(
            "enslave_uplink",
            f"{name!r} gets addresses by DHCP or router advertisements, which cannot be renewed on the bridge; "
            "give it fixed ones, or let its manager make the bridge and use mode bridged",
        )


def _is_uplink(port: str, bridge: str, current: BridgeState) -> bool:
    """Whether an interface connects the host to its network, or did before it became a port of this bridge."""
    moved = current.uplinks.records.get(bridge)
    if moved is not None:
        return moved.port == port
    return current.links[port].master != bridge and port in current.default_routes
