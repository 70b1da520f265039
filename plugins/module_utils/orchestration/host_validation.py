# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Validates a network against the host: what is stored of it, links, subnets in use, libvirt.

Pure, but for the name of a package in a message."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from ..core.families import LIBVIRT_DRIVER, package_of
from ..core.network_history import NetworkHistory
from ..ipam.subnets import SubnetInUse, first_overlapping
from ..kernel.links import OPENVSWITCH
from ..libvirt import bridged
from ..libvirt.managed import LIBVIRT
from ..network.model import Network
from ..nft.port_forwards import Forward
from .state import State, is_shared
from .validation import refuse_bridge_of, refuse_option

_NO_DRIVER = "this host lacks libvirt's network driver"


def validate_on_host(network: Network, current: State) -> None:
    """Validate a network that the user defines; raises InvalidOption."""
    stored = current.definitions.get(network.name)
    if stored is not None and stored.managed_by != network.managed_by:
        refuse_option(
            network,
            "managed_by",
            f"cannot become {network.managed_by!r} while the network is defined; the playbook adopt.yml takes networks "
            "over from libvirt and gives them back, or remove it first (state: absent)",
        )
    if network.managed_by == LIBVIRT:
        if not current.has_libvirt:
            refuse_option(network, "managed_by", f"{_NO_DRIVER}; install the package {package_of(LIBVIRT_DRIVER)}")
    elif not network.has_own_bridge:
        _validate_bridged(network, current)
    else:
        _validate_bridge_name(network, stored, current)
        _validate_bridge_type(network, stored, current)
        _validate_zone(network, stored, current)
        _validate_helpers(network, stored, current)
        if network.state == "active":
            _validate_subnets(network, stored, current)


def _validate_bridged(network: Network, current: State) -> None:
    if not current.has_libvirt:
        refuse_option(
            network,
            "mode",
            f"'bridged' does nothing but tell libvirt of a bridge, and {_NO_DRIVER}; "
            f"install the package {package_of(LIBVIRT_DRIVER)}, or use another mode",
        )
    # A bridge that we made is removed as soon as none of our networks needs it.
    refuse_bridge_of({bridge: name for name, one in current.history.items() for bridge in one.bridges}, network)
    problem = bridged.bridge_problem(network.bridge.name, network.bridge.type == OPENVSWITCH, current.links)
    if network.state == "active" and problem:
        refuse_option(network, "bridge.name", problem)


def _validate_bridge_name(network: Network, stored: Network | None, current: State) -> None:
    """A bridge with guests keeps its name."""
    if stored is None or not stored.has_own_bridge or stored.bridge.name == network.bridge.name:
        return
    guests = [link.name for link in current.links.values() if link.master == stored.bridge.name]
    if guests:
        refuse_option(
            network,
            "bridge.name",
            f"{stored.bridge.name!r} has guests ({', '.join(guests)}), which {network.bridge.name!r} would not "
            "have; stop the network first (state: inactive)",
        )


def _validate_bridge_type(network: Network, stored: Network | None, current: State) -> None:
    """A bridge that exists keeps its type."""
    if stored is None or stored.bridge.name not in current.links or network.state != "active":
        return
    if stored.bridge.type != network.bridge.type:
        refuse_option(
            network,
            "bridge.type",
            f"{stored.bridge.name!r} is a bridge of type {stored.bridge.type}, which cannot become one of type "
            f"{network.bridge.type}; stop the network first (state: inactive)",
        )


def _validate_helpers(network: Network, stored: Network | None, current: State) -> None:
    """As with a stored zone: a failing run would not help a kernel that was replaced since."""
    for helper in network.helpers:
        module = current.missing_helpers.get(helper)
        if module and (stored is None or helper not in stored.helpers):
            refuse_option(
                network,
                "conntrack_helpers",
                f"{helper!r} needs the module {module}, which the running kernel lacks; install the package that has "
                "it, such as kernel-modules-extra, or leave it out",
            )


def _validate_zone(network: Network, stored: Network | None, current: State) -> None:
    """A stored zone is not refused: a failing run would not help a firewalld that was stopped since."""
    zone = network.bridge.zone
    if not zone or (stored is not None and stored.bridge.zone == zone):
        return
    if current.zones is None:
        refuse_option(
            network, "bridge.zone", f"{zone!r} is a zone of firewalld, which does not run; start it, or leave it out"
        )
    if zone not in current.zones.names:
        names = ", ".join(sorted(current.zones.names))
        refuse_option(network, "bridge.zone", f"{zone!r} is no zone of firewalld; use one of {names}")


def _validate_subnets(network: Network, stored: Network | None, current: State) -> None:
    """A network that runs is not refused because of an overlap that appeared later."""
    stored_routes = () if stored is None else stored.routes
    # A bridge that gets another name is replaced, together with its addresses.
    former = current.history.get(network.name, NetworkHistory()).bridges
    occupied = [one for one in current.occupied if one.interface not in former]
    routes = [(f"routes[{i}].to", one.to) for i, one in enumerate(network.routes) if one not in stored_routes]
    # A subnet behind a guest is often a part of one that is routed elsewhere as a whole.
    _require_free(network, routes, [one for one in occupied if not one.avoid_only], current)
    if current.is_live(network):
        return
    own = (("ipv4.address", network.ipv4.address), ("ipv6.address", network.ipv6.address))
    addresses = [(option, str(address)) for option, address in own if address is not None]
    addresses += [(f"extra_addresses[{i}]", cidr) for i, cidr in enumerate(network.extra_addresses)]
    # An automatic subnet overlaps a route to elsewhere only if no other subnet was free.
    _require_free(network, addresses, [one for one in occupied if not (network.ipv4.auto and one.avoid_only)], current)


def _require_free(
    network: Network, cidrs: Iterable[tuple[str, str]], occupied: Sequence[SubnetInUse], current: State
) -> None:
    for option, cidr in cidrs:
        subnet = ipaddress.ip_interface(cidr).network
        others = [one for one in occupied if not is_shared(network, subnet, one, current.links)]
        taken = first_overlapping(subnet, others, own=network.bridge.name)
        if taken:
            refuse_option(
                network, option, f"{subnet} overlaps {taken.used_by} of this host; use another subnet, or auto"
            )


def new_forwards(networks: Iterable[Network], current: State) -> list[tuple[Forward, str]]:
    """The port forwards that are not stored yet, each with its owner.

    A stored one is not refused: a failing run would not help a program that has begun to listen on its port.
    """
    stored = {(name, forward) for name, network in current.definitions.items() for forward in network.resolved_forwards}
    return [
        (forward, network.owner)
        for network in networks
        for forward in network.resolved_forwards
        if (network.name, forward) not in stored
    ]
