# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The current state of this host that definitions of networks are planned from."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ..core.network_history import NetworkHistory
from ..dnsmasq.state import State as DnsmasqState
from ..firewall.listeners import Listener
from ..firewall.zones import RunningZones
from ..ipam.allocator import AllocationSettings
from ..ipam.subnets import UP, Subnet, SubnetInUse
from ..kernel.links import Link, links_named
from ..network.model import Network
from ..network.store import Unreadable


@dataclass(frozen=True)
class AddressSpace:
    """What new subnets are chosen from.

    ``occupied``: subnets that must not be used; ``avoided``: subnets that are used only if no other is free; ``order``:
    which end of a pool is tried first; ``settings``: the pools; ``prefix``: the host's IPv6 prefix, None without IPv6.
    """

    occupied: Sequence[SubnetInUse] = ()
    avoided: Sequence[SubnetInUse] = ()
    settings: AllocationSettings = AllocationSettings()
    order: str = UP
    prefix: ipaddress.IPv6Network | None = None


@dataclass(frozen=True)
class State(AddressSpace):
    """Stored definitions and records, and the state of the host that networks may conflict with.

    ``history``: what networks had before; ``records``: networks that were started or stopped by hand;
    ``has_libvirt``: whether libvirt's network driver is installed; ``unreadable``: definitions that cannot be read;
    ``dnsmasq``: None where nothing is to be chosen from it; ``searched``: domains of others that the host searches;
    ``zones``: those of firewalld, None where none is asked for, or firewalld does not run. ``missing_helpers``: the
    module that the kernel lacks, for each helper of conntrack that it cannot have. ``taken``: networks for whose
    addresses another server has taken the port of DNS when they appeared.
    """

    definitions: Mapping[str, Network] = field(default_factory=dict)
    history: Mapping[str, NetworkHistory] = field(default_factory=dict)
    records: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)
    listeners: Sequence[Listener] = ()
    has_libvirt: bool = True
    unreadable: Mapping[str, Unreadable] = field(default_factory=dict)
    dnsmasq: DnsmasqState | None = None
    searched: Collection[str] = ()
    zones: RunningZones | None = None
    missing_helpers: Mapping[str, str] = field(default_factory=dict)
    taken: Collection[str] = ()

    def history_of(self, name: str) -> NetworkHistory:
        """What a network had before."""
        return self.history.get(name, NetworkHistory())

    def is_live(self, network: Network) -> bool:
        """Whether the bridge of a network exists and has its addresses, so that guests may use them."""
        link = self.links.get(network.bridge.name)
        own = [str(address) for address in network.own_addresses]
        return link is not None and bool(own) and all(address in link.addresses for address in own)


def is_shared(network: Network, subnet: Subnet, other: SubnetInUse, links: Mapping[str, Link]) -> bool:
    """Whether a network may have a subnet in spite of one in use, since it has a part of that of its uplink.

    The more specific route leads to the guests. Where they have the larger part, it leads to an address of the host.
    """
    address = network.ipv6.address
    if not network.ipv6.ndp_proxy or address is None or address.network != subnet:
        return False
    uplink = links.get(other.interface)
    if uplink is None or uplink not in links_named(links, network.uplinks):
        return False
    own = (str(other.network.network_address) == cidr.partition("/")[0] for cidr in uplink.addresses)
    return other.network.prefixlen < subnet.prefixlen or (other.network.num_addresses == 1 and any(own))


def own_subnet(network: Network, subnet: Subnet) -> SubnetInUse:
    """A subnet of a network of this host as one in use."""
    return SubnetInUse(subnet, f"{network.owner} ({subnet})", network.bridge.name)
