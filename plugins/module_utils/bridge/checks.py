# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refuses bridges that cannot be, before anything is changed. Pure."""

from __future__ import annotations

from ..core.command import PACKAGES
from ..core.errors import InvalidOption, NotRunning
from ..kernel.links import OPENVSWITCH, Link
from ..kernel.routes import check_routes
from . import shaping, uplink
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
    owner, prefix = _owner(spec), _prefix(spec)
    link = current.links.get(spec.name)
    if link is not None and link.kind == OPENVSWITCH and has_mark(link):
        raise InvalidOption(f"{prefix}type", _OTHER_TYPE.format("linux", "a bridge of Open vSwitch"), owner)
    if link is not None and not is_ours(link, spec.mac):
        raise InvalidOption(f"{prefix}name", _NAME_IN_USE.format(spec.name, _kind(link)), owner)
    if spec.fdb_max_learned and not current.fdb.supported:
        raise InvalidOption(
            f"{prefix}fdb_max_learned",
            "is not supported by this kernel; leave it out, or use Linux 6.7 or later",
            owner,
        )
    if spec.multicast_snooping and link is not None and link.multicast_snooping is None:
        raise InvalidOption(
            f"{prefix}multicast_snooping",
            "is not supported by this kernel, which has no IGMP snooping; leave it out",
            owner,
        )
    _check_common(spec, current)


def check_ovs(spec: BridgeSpec, current: BridgeState) -> None:
    """Check a bridge of Open vSwitch; raises InvalidOption, NotRunning."""
    owner, prefix = _owner(spec), _prefix(spec)
    ovs = current.ovs
    if not ovs.installed:
        raise InvalidOption(
            f"{prefix}type",
            f"'{OPENVSWITCH}' needs Open vSwitch, which is not installed on this host; install the package "
            f"{PACKAGES['ovs-vsctl']}, or use linux",
            owner,
        )
    if ovs.problem:
        raise NotRunning(f"{owner}: {ovs.problem}")
    link, row = current.links.get(spec.name), ovs.bridges.get(spec.name)
    if link is not None and is_ours(link, spec.mac):
        raise InvalidOption(f"{prefix}type", _OTHER_TYPE.format(OPENVSWITCH, "a Linux bridge"), owner)
    if row is not None and not row.ours:
        raise InvalidOption(f"{prefix}name", _NAME_IN_USE.format(spec.name, "a bridge of Open vSwitch"), owner)
    if row is None and link is not None:
        raise InvalidOption(f"{prefix}name", _NAME_IN_USE.format(spec.name, _kind(link)), owner)
    _check_common(spec, current)


def _owner(spec: BridgeSpec) -> str:
    return f"bridge {spec.name!r}"


def _prefix(spec: BridgeSpec) -> str:
    """What stands before the name of an option in a message."""
    return f"{spec.path}." if spec.path else ""


def _kind(link: Link) -> str:
    return f"a {link.kind}" if link.kind else "an interface"


def _check_common(spec: BridgeSpec, current: BridgeState) -> None:
    """The checks of both types: addresses, ports, routes, bandwidth."""
    owner, prefix = _owner(spec), _prefix(spec)
    for i, address in enumerate(spec.addresses):
        if ":" in address and not current.ipv6:
            raise InvalidOption(f"{prefix}addresses[{i}]", f"{address!r}: the kernel of this host has no IPv6", owner)
    for i, name in enumerate(spec.ports):
        problem = _port_problem(spec, name, current)
        if problem:
            raise InvalidOption(f"{prefix}ports[{i}]", f"interface {name!r} {problem}", owner)
    if spec.enslave_uplink:
        uplink.check(spec, current.links, current.uplinks, current.default_routes, prefix)
    check_routes(spec.routes, current.other_routes, spec.name, owner)
    shaping.check(spec.name, spec.bandwidth, current.links.get(spec.name), current.limits, prefix, owner)


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


def _is_uplink(port: str, bridge: str, current: BridgeState) -> bool:
    """Whether an interface connects the host to its network, or did before it became a port of this bridge."""
    moved = current.uplinks.records.get(bridge)
    if moved is not None:
        return moved.port == port
    return current.links[port].master != bridge and port in current.default_routes
