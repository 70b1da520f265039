# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host as it is once libvirt has let go of networks: what that leaves for us to do. All of it is pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..dnsmasq.probe import DHCP_PORT
from ..dnsmasq.reconciler import State as DnsmasqState
from ..dnsmasq.sockets import foreign_sockets
from ..network.model import Network
from ..orchestration.desired_state import Specs
from ..orchestration.reconciler import State as NetworksState
from .records import Record


def without_libvirt(ours: NetworksState, taken: Sequence[Record]) -> NetworksState:
    """The host as it is once libvirt has let go: what it holds for these networks is theirs."""
    names = {record.aside: record.bridge for record in taken}
    links = {names.get(name, name): replace(link, name=names.get(name, name)) for name, link in ours.links.items()}
    held = {*names, *names.values()}
    words = tuple(f"libvirt's network {record.name!r} " for record in taken)
    occupied = [one for one in ours.occupied if one.interface not in held and not one.what.startswith(words)]
    return replace(ours, links=links, occupied=occupied)


def only(specs: Mapping[str, Any], networks: Iterable[Network]) -> Specs:
    """Of what all parts shall do, what concerns these networks."""
    chosen = list(networks)
    named = {*(network.name for network in chosen), *(network.bridge.name for network in chosen)}
    return {
        kind: [one for one in items if (one.get("name") or one.get("interface")) in named]
        for kind, items in specs.items()
    }


def without_its_dnsmasq(state: Any, networks: Sequence[Network]) -> Any:
    """What a part finds, but for the dnsmasq of libvirt's that will have ended."""
    if not isinstance(state, DnsmasqState):
        return state
    held = {str(address.ip) for one in networks for address in (one.ipv4.address, one.ipv6.address) if address}
    bridges = {network.bridge.name for network in networks}
    ending = {one.pid for one in state.foreign_sockets if one.pid and (one.address in held or one.device in bridges)}
    sockets = [one for one in state.sockets if one.pid not in ending]
    left = [one for one in foreign_sockets(sockets, {*state.own_pids, state.service.pid}) if one.port == DHCP_PORT]
    blocked = [port for port in state.blocked_ports if left or port != DHCP_PORT]
    return replace(state, sockets=sockets, blocked_ports=blocked)
