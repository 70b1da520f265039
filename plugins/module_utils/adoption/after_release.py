# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's state as it is after libvirt has released networks, to plan from. All of it is pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..dnsmasq.probe import DHCP_PORT
from ..dnsmasq.reconciler import State as DnsmasqState
from ..dnsmasq.sockets import foreign_sockets
from ..network.model import Network
from ..orchestration.desired_state import Specs
from ..orchestration.state import State as NetworksState
from .records import Record


def state_without_libvirt(ours: NetworksState, records: Sequence[Record]) -> NetworksState:
    """The state without what libvirt occupies for these networks, and with the first names of their bridges."""
    first_names = {record.temporary_bridge: record.bridge for record in records}
    links = {
        first_names.get(name, name): replace(link, name=first_names.get(name, name))
        for name, link in ours.links.items()
    }
    bridges = {*first_names, *first_names.values()}
    owners = tuple(f"libvirt's network {record.name!r} " for record in records)
    occupied = [
        subnet for subnet in ours.occupied if subnet.interface not in bridges and not subnet.used_by.startswith(owners)
    ]
    return replace(ours, links=links, occupied=occupied)


def specs_of(specs: Mapping[str, Any], networks: Sequence[Network]) -> Specs:
    """The specs of these networks, out of those of all networks."""
    names = {*(network.name for network in networks), *(network.bridge.name for network in networks)}
    return {
        part: [spec for spec in of_part if (spec.get("name") or spec.get("interface")) in names]
        for part, of_part in specs.items()
    }


def state_without_libvirt_dnsmasq(state: Any, networks: Sequence[Network]) -> Any:
    """The state of a part without libvirt's dnsmasq processes for these networks, which will have ended."""
    if not isinstance(state, DnsmasqState):
        return state
    addresses = {
        str(address.ip) for network in networks for address in (network.ipv4.address, network.ipv6.address) if address
    }
    bridges = {network.bridge.name for network in networks}
    ending = {
        socket.pid
        for socket in state.foreign_sockets
        if socket.pid and (socket.address in addresses or socket.device in bridges)
    }
    sockets = [socket for socket in state.sockets if socket.pid not in ending]
    others = foreign_sockets(sockets, {*state.own_pids, state.service.pid})
    dhcp_is_blocked = any(socket.port == DHCP_PORT for socket in others)
    blocked = [port for port in state.blocked_ports if dhcp_is_blocked or port != DHCP_PORT]
    return replace(state, sockets=sockets, blocked_ports=blocked)
