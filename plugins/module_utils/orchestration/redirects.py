# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Chooses the networks whose private dnsmasq has ports of its own (``dnsmasq.redirect``), where the user does not."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ..core.paths import Paths
from ..core.reconcile import read_foretold, read_settled
from ..dnsmasq.probe import DNS_PORT
from ..dnsmasq.reconciler import Fragments
from ..dnsmasq.redirects import choose_redirects
from ..dnsmasq.sockets import Socket, dnsmasq_unit_of, sockets_at_every_address
from ..dnsmasq.spec import PRESENT, SYSTEM, FragmentSpec
from ..dnsmasq.state import State as DnsmasqState
from ..kernel.links import Link
from ..network.model import Network
from .desired_state import fragment_specs
from .state import State


def read_dnsmasq(networks: Sequence[Network], paths: Paths, *, foretold: bool = False) -> DnsmasqState | None:
    """The state of the host's dnsmasq and of the ports that it needs; None if nothing is to be chosen from it.

    ``foretold``: as the tasks before leave it (core.reconcile.read_foretold()).
    """
    if not any(map(_is_undecided, networks)):
        return None
    served = [network for network in networks if network.has_own_bridge and network.state != "absent"]
    specs = [
        FragmentSpec(name=network.name, interface=network.bridge.name, instance=network.dnsmasq_instance)
        for network in served
    ]
    reconciler = Fragments(specs, False, paths)
    state = read_foretold(reconciler) if foretold else read_settled(reconciler)
    return state if _knows_own_servers(state) else None


def _knows_own_servers(state: DnsmasqState) -> bool:
    """Whether systemd told of all servers of ours. Otherwise their sockets look like those of others.

    A choice is kept, so it must not follow from one call of systemctl that failed.
    """
    return not (
        set(state.enabled_instances) - set(state.instances)
        or (state.has_serving_fragments and not state.service.known)
        or any(dnsmasq_unit_of(socket.pid) for socket in state.foreign_sockets)
    )


def with_redirects(new: Sequence[Network], unchanged: Sequence[Network], current: State) -> list[Network]:
    """The networks of the list, each with its choice. ``unchanged``: those that the list does not name."""
    stored = current.definitions
    redirected = {name for name, network in stored.items() if network.dnsmasq_redirect}
    undecided = {network.name for network in new if _is_undecided(network)}
    if undecided and current.dnsmasq is not None:
        # One that is stopped may be started without a run.
        started = [replace(network, state="active") if network.name in undecided else network for network in new]
        served = [spec for spec in fragment_specs([*started, *unchanged]) if spec.state == PRESENT]
        expected = _expected_sockets(served, current.dnsmasq, current.links)
        dnsmasq = replace(current.dnsmasq, sockets=[*current.dnsmasq.sockets, *expected])
        chosen = choose_redirects(served, dnsmasq, redirected & undecided, undecided)
        redirected = redirected - undecided | chosen | undecided.intersection(current.taken)
    return [
        replace(network, dnsmasq_redirect=True)
        if network.dnsmasq_redirect is None and network.name in redirected and _may_be_private(network)
        else network
        for network in new
    ]


def networks_with_taken_ports(networks: Iterable[Network], paths: Paths) -> list[str]:
    """Those for whose addresses another server has taken the port of DNS: only while these exist can that be seen."""
    served = [spec for spec in fragment_specs(networks) if spec.state == PRESENT]
    state = Fragments(served, False, paths).read()
    return [spec.name for spec in served if state.dns_holders(spec)]


def _expected_sockets(
    specs: Sequence[FragmentSpec], dnsmasq: DnsmasqState, links: Mapping[str, Link]
) -> Iterator[Socket]:
    """Sockets of other servers at addresses of bridges that do not exist yet, which they will take at once.

    Only a choice of ours follows from it, and no refusal: a server that was told each address of the host looks alike.
    """
    foreign = dnsmasq.foreign_sockets
    # Where a dnsmasq of ours has the port, others cannot have it.
    own = {entry.address for entry in dnsmasq.sockets if entry.port == DNS_PORT and entry not in foreign}
    existing = [ipaddress.ip_interface(address).ip for link in links.values() for address in link.addresses]
    for version in (4, 6):
        of_version = [address for address in existing if address.version == version]
        if all(address.is_loopback for address in of_version):
            continue
        takers = sockets_at_every_address(foreign, {str(address) for address in of_version} - own)
        for spec in specs:
            new = [bridge.ip for bridge in spec.addresses if bridge.version == version and bridge.ip not in existing]
            yield from (replace(taker, address=str(address)) for taker in takers for address in new)


def _is_undecided(network: Network) -> bool:
    return _may_be_private(network) and network.dnsmasq_redirect is None


def _may_be_private(network: Network) -> bool:
    is_defined = network.has_own_bridge and network.state != "absent"
    return is_defined and network.dnsmasq_instance != SYSTEM
