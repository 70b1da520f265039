# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policies of networks with the addresses of the static hosts that they name. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ..nft.policy import SERVICES, Entry, Policy, check_sources, subnet_in

if TYPE_CHECKING:
    from .model import Network


def resolved_policy(network: Network, networks: Mapping[str, Network]) -> Policy:
    """The policy with addresses in place of static hosts, and the services that guests of the network have.

    ``networks``: those that a policy can name. Raises InvalidOption for a network or a static host that it does not
    find.
    """
    policy = network.policy
    allow, deny = (
        tuple(part for entry in entries for part in _resolved(entry, network, networks))
        for entries in (policy.allow, policy.deny)
    )
    check_sources(replace(policy, allow=allow, deny=deny), network.reached, network.owner)
    words = dict.fromkeys(
        word for one in policy.to_host for word in (_services(network) if one == SERVICES else (one,))
    )
    return replace(policy, allow=allow, deny=deny, to_host=tuple(words))


def without_missing(network: Network, networks: Mapping[str, Network]) -> Network:
    """The network without entries for networks that are gone, as one whose definition cannot be read."""
    allow, deny = (
        tuple(entry for entry in entries if not entry.network or entry.network in networks)
        for entries in (network.policy.allow, network.policy.deny)
    )
    return replace(network, policy=replace(network.policy, allow=allow, deny=deny))


def opened_networks(networks: Collection[Network]) -> set[str]:
    """The networks that policies open to guests of others."""
    return {name for network in networks for name in network.policy.opened}


def forwards_ipv4(network: Network, opened: Collection[str]) -> bool:
    """Whether the host forwards IPv4 packets of its guests, as answers to guests of others: see opened_networks()."""
    return network.forwards_ipv4 or (network.name in opened and network.ipv4.address is not None)


def _services(network: Network) -> Iterator[str]:
    if network.dns.enabled:
        yield "dns"
    if network.ipv4.dhcp or network.ipv6.dhcp.enabled:
        yield "dhcp"
    if network.ipv4.tftp_root:
        yield "tftp"


def _resolved(entry: Entry, network: Network, networks: Mapping[str, Network]) -> Iterator[Entry]:
    """The entry for each pair of addresses of one family."""
    target = networks.get(entry.network)
    if entry.network and target is None:
        known = ", ".join(sorted(name for name in networks if name != network.name)) or "none is defined"
        entry.refuse(
            "network",
            f"{entry.network!r} is no network with rules of this host; use one of them ({known})",
            network.owner,
        )
    sources = _addresses(entry, "from", entry.source, network, network)
    destinations = _addresses(entry, "to", entry.destination, target or network, network)
    pairs = [(one, other) for one in sources for other in destinations if not one or not other or _alike(one, other)]
    if not pairs:
        entry.refuse("to", "has no address of the same family as from; give addresses of one family", network.owner)
    for source, destination in pairs:
        yield replace(entry, source=source, destination=destination)


def _alike(one: str, other: str) -> bool:
    return (":" in one) == (":" in other)


def _addresses(entry: Entry, option: str, text: str, of: Network, network: Network) -> list[str]:
    """The addresses of a static host in both families; "" for none given."""
    if not text or subnet_in(text) is not None:
        return [text]
    hosts = [host for host in (*of.ipv4.hosts, *of.ipv6.dhcp.hosts) if host.ip and text == host.name]
    if not hosts:
        known = ", ".join(
            sorted({host.name for host in (*of.ipv4.hosts, *of.ipv6.dhcp.hosts) if host.name and host.ip})
        )
        entry.refuse(
            option,
            f"{text!r} is neither an address nor the name of a static host of {of.owner} with an ip; "
            f"use an address, or one of {known or 'none'}",
            network.owner,
        )
    return [str(host.ip) for host in hosts]
