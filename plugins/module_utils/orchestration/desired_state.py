# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The desired state of each part of a host's networks, as options of the part's module. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..core import kinds
from ..core.network_history import NetworkHistory
from ..core.options import Options
from ..dhcp.netboot import BOOT
from ..dhcp.options import MTU
from ..dnsmasq.spec import FragmentSpec
from ..kernel.links import OPENVSWITCH
from ..libvirt.managed import LIBVIRT
from ..libvirt.options import NEVER
from ..network.model import Network
from ..network.policies import forwards_ipv4, opened_networks, resolved_policy, without_missing
from ..nft.policy import NO_POLICY

LINUX = "linux"

RULES = "rules"
BRIDGES = "bridges"
OVS_BRIDGES = "switches"
FRAGMENTS = "fragments"
ENTRIES = "entries"
REGISTRATIONS = "registrations"

# The parts of a host's networks in the order in which they are reconciled: rules first, so that no guest is ever on a
# bridge without them. Open vSwitch bridges are a part of their own, since they may have to wait for its daemon.
PARTS = (RULES, BRIDGES, OVS_BRIDGES, FRAGMENTS, ENTRIES)
# The parts that have a task in a play; one task reconciles both kinds of bridges.
TASK_PARTS = tuple(part for part in PARTS if part != OVS_BRIDGES)

Spec = Mapping[str, Any]
# What a network's options are called that differ from those of its fragment, for errors; the longer names first.
FRAGMENT_OPTIONS = {
    **{f"ipv6.{name}": f"ipv6.dhcp.{name}" for name in ("ranges", "hosts", "options", "stateless")},
    **{name: f"ipv4.dhcp.{name}" for name in ("ranges", "hosts", "ignore_client_ids", "options", "boot", "tftp_root")},
    **{"raw": "dnsmasq.options", "instance": "dnsmasq.instance", "redirect": "dnsmasq.redirect"},
    **{"names": "dns", "dns": "dns.enabled", "domain": "dns.domain", "local_only": "dns.local_only"},
    **{"interface": "bridge.name", "address": "ipv4.address", "upstream": "mode", "router": "mode"},
}
# The options of the modules by what they reconcile: all of TASK_PARTS, and REGISTRATIONS.
Specs = Mapping[str, Sequence[Spec]]


def fragment_specs(networks: Iterable[Network]) -> list[FragmentSpec]:
    """What dnsmasq has to serve for these networks, also those that it has to serve no more."""
    return [FragmentSpec.from_options(Options(dict(spec))) for spec in specs_for(networks, {})[FRAGMENTS]]


def specs_for(networks: Iterable[Network], history: Mapping[str, NetworkHistory]) -> Specs:
    """The options of the parts' modules: present for networks that run, absent for those stopped or removed.

    ``history`` names the networks and bridges that this host had before.
    """
    registered = list(networks)
    defined = [network for network in registered if network.has_own_bridge]
    running = [network for network in defined if network.state == "active"]
    idle = _unused_bridges(history, {network.bridge.name for network in running})
    defined_names = {network.name for network in defined}
    registered_names = {network.name for network in registered}
    opened = opened_networks(defined)
    by_name = {network.name: network for network in defined if not network.bridge.enslave_uplink}
    stopped = set(history) - {network.name for network in running}
    return {
        BRIDGES: [*idle, *(_bridge(network, opened) for network in running)],
        RULES: [
            *(_absent(name) for name in sorted(set(history) - defined_names)),
            # A stopped network keeps its rules, so that they are in place before its guests are started again.
            *(_rules(without_missing(network, by_name), by_name) for network in defined),
        ],
        FRAGMENTS: [*(_absent(name) for name in sorted(stopped)), *(_fragment(network) for network in running)],
        ENTRIES: [*(_no_entry(bridge["name"]) for bridge in idle), *(_entry(network) for network in running)],
        REGISTRATIONS: [
            *(_absent(name) for name in sorted(set(history) - registered_names)),
            *(_registration(network) for network in registered),
        ],
    }


def _unused_bridges(history: Mapping[str, NetworkHistory], in_use: Collection[str]) -> list[Spec]:
    """The bridges that this host had before and that no running network uses; they are to be removed."""
    macs = {bridge: mac for record in history.values() for bridge, mac in record.bridges.items()}
    types = {bridge: kind for record in history.values() for bridge, kind in record.types.items()}
    return [
        {"name": bridge, "mac": mac, "state": "absent", "type": types.get(bridge, LINUX)}
        for bridge, mac in sorted(macs.items())
        if bridge not in in_use
    ]


def _absent(name: str) -> Spec:
    return {"name": name, "state": "absent"}


def _no_entry(bridge: str) -> Spec:
    return {"interface": bridge, "state": "absent"}


def _bridge(network: Network, opened: Collection[str]) -> Spec:
    return {
        # The rules put it into its zone.
        **replace(network.bridge, vlans=network.resolved_vlans, zone="").as_options(),
        "addresses": [*map(str, network.own_addresses), *network.extra_addresses],
        "routes": [route.as_options() for route in network.routes],
        "isolate_guests": network.isolate_guests,
        "port_security": network.port_security.of_bridge.as_options(),
        "forwarding": forwards_ipv4(network, opened),
        "bandwidth": network.bandwidth.as_options(),
        "state": "present",
    }


def _rules(network: Network, networks: Mapping[str, Network]) -> Spec:
    # A bridge with the host's uplink as a port is the outside, which guests of other networks may reach.
    if network.bridge.enslave_uplink:
        return _absent(network.name)
    redirect = bool(network.dnsmasq_redirect)
    return {
        "name": network.name,
        "bridge": network.bridge.name,
        "mode": network.mode,
        "uplink": kinds.interface_or_list.write(network.uplinks),
        "subnets": [str(subnet) for subnet in network.reached],
        "nat": network.nat.as_options(),
        "port_forwards": [forward.as_options() for forward in network.resolved_forwards],
        # Rules do not see the ports of a frame, and ports that the host adds to the bridge must be reachable.
        "isolate_guests": network.isolate_guests and not network.bridge.ports,
        "connection_rate": network.connection_rate,
        "clamp_mss": network.clamp_mss,
        "conntrack_helpers": list(network.helpers),
        # An isolated network has a private name server at the host's address in it, or none.
        "dns": network.dns.enabled or network.mode != "isolated",
        "redirect_dns": network.server_addresses if redirect and network.dns.enabled else [],
        "redirect_dhcp": redirect and network.ipv4.dhcp,
        **({} if network.policy == NO_POLICY else {"policy": resolved_policy(network, networks).as_options()}),
        "zone": network.bridge.zone or None,
        "state": "present",
    }


def _fragment(network: Network) -> Spec:
    ipv6 = _service6(network)
    has_ipv4_service = network.ipv4.dhcp or network.ipv4.tftp_root
    has_service = network.dns.enabled or has_ipv4_service or (ipv6 and (ipv6["ra"] or network.ipv6.dhcp.enabled))
    if not has_service or not (network.ipv4.address or ipv6):
        return _absent(network.name)
    return {
        "name": network.name,
        "interface": network.bridge.name,
        "instance": network.dnsmasq_instance,
        "address": str(network.ipv4.address) if network.ipv4.address else None,
        "ranges": [dhcp_range.as_options() for dhcp_range in network.ipv4.ranges],
        "hosts": [host.as_options() for host in network.ipv4.hosts] if network.ipv4.dhcp else [],
        "ignore_client_ids": network.ipv4.ignore_client_ids and network.ipv4.dhcp,
        "options": _options4(network),
        "boot": BOOT.write(network.ipv4.boot) if network.ipv4.dhcp else None,
        "tftp_root": network.ipv4.tftp_root or None,
        "ipv6": ipv6,
        "domain": network.dns.domain or None,
        "local_only": network.dns.local_only,
        # A router that forwards nothing would only replace the default route of guests with a second network.
        "router": network.mode != "isolated",
        "dns": network.dns.enabled,
        "names": network.dns.names.as_options() if network.dns.enabled else {},
        # Queries for outside names would get data out of an isolated network.
        "upstream": network.mode != "isolated",
        "raw": list(network.dnsmasq_options),
        "redirect": bool(network.dnsmasq_redirect),
        "state": "present",
    }


def _options4(network: Network) -> dict[str, str]:
    """The DHCPv4 options, with the bridge's MTU, which a guest's MTU must not exceed; in IPv6 dnsmasq advertises it."""
    if not network.ipv4.dhcp:
        return {}
    mtu = network.bridge.mtu
    given = any(name in network.ipv4.options for name in MTU)
    return {**({MTU[0]: str(mtu)} if mtu and not given else {}), **network.ipv4.options}


def _service6(network: Network) -> dict[str, Any] | None:
    if network.ipv6.address is None:
        return None
    dhcp6 = network.ipv6.dhcp
    return {
        "address": str(network.ipv6.address),
        "ra": network.ipv6.ra,
        "ra_param": network.ipv6.ra_param.as_options(),
        "ra_names": network.ipv6.ra_names and network.dns.enabled,
        "slaac": network.ipv6.slaac,
        "deprecated": list(network.ipv6.deprecated),
        "stateless": dhcp6.enabled and dhcp6.stateless,
        "ranges": [dhcp_range.as_options() for dhcp_range in dhcp6.ranges] if dhcp6.gives_addresses else [],
        "hosts": [host.as_options() for host in dhcp6.hosts] if dhcp6.gives_addresses else [],
        "options": dict(dhcp6.options),
    }


def _entry(network: Network) -> Spec:
    address = network.ipv4.address or network.ipv6.address
    forwards = network.mode != "isolated"
    # A name server that forwards needs an entry even if the host does not query it: it queries the host's servers.
    if not (network.dns.enabled and address and (network.dns.host_resolver or forwards)):
        return _no_entry(network.bridge.name)
    return {
        "interface": network.bridge.name,
        "addresses": [str(address.ip)],
        "domain": network.dns.domain or None,
        "subnets": [str(subnet) for subnet in network.subnets],
        # The name server of an isolated network answers for its own names and refuses all others.
        "forwards": forwards,
        **({} if network.dns.host_resolver else {"asked": False}),
        # The system's dnsmasq answers the host too, or forwards names to the private instance that has them. With a
        # private instance of the user's choice, the host has no dnsmasq that its resolver could query.
        "loopback_serves": network.dnsmasq_instance != "private",
        "state": "present",
    }


def _registration(network: Network) -> Spec:
    registered = {
        "active": network.state == "active",
        "autostart": network.autostart,
        "persistent": network.persistent,
        "state": "present",
    }
    if network.managed_by == LIBVIRT:
        return {"name": network.name, "xml": network.xml, "restart": network.restart, **registered}
    if network.libvirt.register == NEVER:
        return _absent(network.name)
    return {
        "name": network.name,
        "uuid": network.uuid,
        "bridge": network.bridge.name,
        "title": network.title,
        "description": network.description,
        # libvirt isolates ports of Linux bridges only; the guard isolates those of Open vSwitch.
        "isolate_guests": network.isolate_guests and network.bridge.type != OPENVSWITCH,
        "libvirt": {**network.libvirt.as_options(), "virtualport": _virtualport(network)},
        **registered,
    }


def _virtualport(network: Network) -> dict[str, Any]:
    """The virtual port type: libvirt assumes a Linux bridge unless a type is given."""
    return dict(network.libvirt.virtualport) or ({"type": OPENVSWITCH} if network.bridge.type == OPENVSWITCH else {})
