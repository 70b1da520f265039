# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Validates networks against each other: no two of them may have the same name, subnet, port or guest. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from ..core.errors import InvalidOption
from ..dnsmasq.record_lines import NameOwnership, ownerships_of
from ..dnsmasq.records import alias_loop
from ..ipam.subnets import Subnet
from ..network.model import Network
from ..network.policies import resolved_policy
from ..nft.port_forwards import check_claims, check_targets


def refuse_option(network: Network, option: str, problem: str) -> NoReturn:
    """Raise InvalidOption for an option of a network."""
    raise InvalidOption(network.at(option), problem, network.owner)


def require_unique(networks: Sequence[Network], option: str, value: Callable[[Network], str]) -> None:
    """Refuse a network whose value of an option another one has; raises InvalidOption."""
    seen: dict[str, Network] = {}
    for network in networks:
        key = value(network)
        if key in seen:
            other = seen[key].path or seen[key].owner
            refuse_option(network, option, f"{key!r} is already that of {other}; each network has its own")
        seen[key] = network


def validate_together(networks: Sequence[Network]) -> None:
    """Validate all networks of a host, stopped ones too, since any of them may be started; raises InvalidOption."""
    own_bridges = [network for network in networks if network.has_own_bridge]
    require_unique(own_bridges, "bridge.name", lambda network: network.bridge.name)
    require_unique(own_bridges, "bridge.mac", lambda network: network.bridge.mac)
    owners = {network.bridge.name: network.name for network in own_bridges}
    for network in networks:
        if not network.has_own_bridge:
            refuse_bridge_of(owners, network)
    require_unique([network for network in networks if network.uuid], "uuid", lambda network: network.uuid)
    _validate_subnets(networks)
    _validate_dns_names(networks)
    _validate_aliases(networks)
    _validate_forwards(networks)
    _validate_ports_and_hosts(networks)
    with_rules = {one.name: one for one in own_bridges if not one.bridge.enslave_uplink}
    for network in with_rules.values():
        resolved_policy(network, with_rules)


def refuse_bridge_of(owners: Mapping[str, str], network: Network) -> None:
    """Refuse a network on the bridge of another one; ``owners``: the network of each bridge."""
    bridge = network.bridge.name
    if bridge in owners:
        owner = owners[bridge]
        problem = f"{bridge!r} is the bridge of network {owner!r} and goes with it; guests can have that network"
        refuse_option(network, "bridge.name", problem)


def _validate_subnets(networks: Sequence[Network]) -> None:
    """Of subnets sorted by their first address, only neighbours can be the first to overlap."""
    for version in (4, 6):
        pairs = [(subnet, network) for network in networks for subnet in network.reached if subnet.version == version]
        last: tuple[Subnet, Network] | None = None
        for subnet, network in sorted(pairs, key=lambda pair: (int(pair[0].network_address), pair[0].prefixlen)):
            if last is not None and subnet.overlaps(last[0]) and network is not last[1]:
                _refuse_overlap((subnet, network), last)
            if last is None or int(subnet.broadcast_address) > int(last[0].broadcast_address):
                last = subnet, network


def _refuse_overlap(one: tuple[Subnet, Network], other: tuple[Subnet, Network]) -> NoReturn:
    """The network that the user wrote is to change, rather than one that is stored."""
    if not one[1].path and other[1].path:
        one, other = other, one
    (subnet, network), (other_subnet, other_network) = one, other
    option = f"ipv{subnet.version}.address" if subnet in network.subnets else "routes"
    refuse_option(network, option, f"{subnet} overlaps {other_subnet} of {other_network.owner}; use another subnet")


def _validate_dns_names(networks: Sequence[Network]) -> None:
    """All networks may share the system's dnsmasq."""
    owned: dict[tuple[str, str], tuple[NameOwnership, Network]] = {}
    for network in networks:
        for option, ownership in ownerships_of(network.dns.names):
            other, owner = owned.setdefault(ownership.key, (ownership, network))
            if owner is not network and ownership.conflicts_with(other):
                refuse_option(
                    network, f"dns.{option}", f"{ownership.name} is already given to {owner.owner}; keep one of them"
                )


def _validate_aliases(networks: Sequence[Network]) -> None:
    """As for names. The network that the user wrote is to change, rather than one that is stored."""
    served = [network for network in networks if network.dns.enabled]
    targets = {alias.name.lower(): alias.target.lower() for one in served for alias in one.dns.names.cname}
    for network in sorted(served, key=lambda network: not network.path):
        for i, alias in enumerate(network.dns.names.cname):
            loop = alias_loop(alias.name.lower(), targets)
            if loop:
                refuse_option(network, f"dns.cname[{i}].target", loop)


def _validate_forwards(networks: Sequence[Network]) -> None:
    check_claims((forward, network.owner) for network in networks for forward in network.resolved_forwards)
    for network in networks:
        own = [address.ip for address in network.own_addresses]
        check_targets(network.resolved_forwards, network.subnets, own, network.owner)


def _validate_ports_and_hosts(networks: Sequence[Network]) -> None:
    ports: dict[str, Network] = {}
    hosts: dict[str, tuple[Network, str]] = {}
    for network in networks:
        for i, port in enumerate(network.bridge.ports):
            if port in ports:
                refuse_option(network, f"bridge.ports[{i}]", f"{port!r} is already a port of {ports[port].owner}")
            ports[port] = network
        _validate_static_hosts(network, hosts)


def _validate_static_hosts(network: Network, hosts: dict[str, tuple[Network, str]]) -> None:
    """A guest has the same id on all networks, but each of its cards, on one network, has its own MAC address."""
    for option, listed in (("ipv4", network.ipv4.hosts), ("ipv6", network.ipv6.dhcp.hosts)):
        for host in listed:
            for mac in host.macs:
                other, path = hosts.setdefault(mac, (network, host.path))
                if other is not network:
                    given_to = path or other.owner
                    refuse_option(network, f"{option}.dhcp.hosts", f"MAC address {mac} is already given to {given_to}")
