# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every element and attribute of libvirt's network XML: its option, or the reason why it is ignored or refused.

Paths are those of libvirt's own schema, network.rng of 9.0 and 11.3: ``network/ip/dhcp/range@start``. A test fails when
the schema has a path that is missing here. Anything that is not here is refused as unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .fields import (
    BOOTP,
    DNS_RECORDS,
    NAT_ADDRESSES,
    NAT_PORTS,
    NETWORK_LIMITS,
    PORTGROUP,
    PORTGROUP_LIMITS,
    VLAN_TAG,
    Field,
    paths_of,
)
from .values import PORT_PARAMETERS

DNSMASQ_NAMESPACE = "http://libvirt.org/schemas/network/dnsmasq/1.0"


def _same(meaning: str, element: str, *attributes: str) -> dict[str, str]:
    """An element and attributes that have one meaning."""
    return dict.fromkeys((element, *(f"{element}@{attribute}" for attribute in attributes)), meaning)


def _virtualport(parent: str, option: str) -> dict[str, str]:
    return {
        f"{parent}/virtualport": option,
        f"{parent}/virtualport@type": f"{option}.type",
        f"{parent}/virtualport/parameters": f"{option}.parameters",
        **{f"{parent}/virtualport/parameters@{name}": f"{option}.parameters.{name}" for name in PORT_PARAMETERS},
    }


def _vlan(parent: str, option: str) -> dict[str, str]:
    return {
        f"{parent}/vlan": option,
        f"{parent}/vlan@trunk": f"{option}.trunk",
        f"{parent}/vlan/tag": f"{option}.tags",
        **paths_of(f"{parent}/vlan/tag", f"{option}.tags[]", VLAN_TAG),
    }


def _bandwidth(parent: str, option: str, limits: Mapping[str, Sequence[Field]]) -> dict[str, str]:
    paths = {f"{parent}/bandwidth": option}
    for direction, fields in limits.items():
        paths[f"{parent}/bandwidth/{direction}"] = f"{option}.{direction}"
        paths.update(paths_of(f"{parent}/bandwidth/{direction}", f"{option}.{direction}", fields))
    return paths


_PORTGROUPS = "libvirt.portgroups"


# Read and written: the option of a network with the same meaning.
OPTION_BY_PATH: Mapping[str, str] = {
    "network": "the network",
    "network@trustGuestRxFilters": "libvirt.trust_guest_rx_filters",
    "network/name": "name",
    "network/uuid": "uuid",
    "network/title": "title",
    "network/description": "description",
    "network/metadata": "libvirt.metadata; what libvirt's XML has no words for, in a namespace of ours",
    "network/bridge": "bridge",
    "network/bridge@name": "bridge.name",
    "network/bridge@zone": "bridge.zone",
    "network/bridge@stp": "bridge.stp",
    "network/bridge@delay": "bridge.forward_delay",
    **_same("bridge.mtu", "network/mtu", "size"),
    **_same("bridge.mac", "network/mac", "address"),
    "network/forward": "mode",
    "network/forward@mode": "mode; route is routed, bridge is bridged, no forward is isolated",
    "network/forward@dev": "uplink",
    **_same("uplink", "network/forward/interface", "dev"),
    "network/forward/nat": "nat",
    "network/forward/nat@ipv6": "nat.ipv6",
    "network/forward/nat/address": "nat.source",
    **paths_of("network/forward/nat/address", "nat.source", NAT_ADDRESSES),
    "network/forward/nat/port": "nat.ports",
    **paths_of("network/forward/nat/port", "nat.ports", NAT_PORTS),
    **_virtualport("network", "libvirt.virtualport"),
    "network/portgroup": _PORTGROUPS,
    **paths_of("network/portgroup", f"{_PORTGROUPS}[]", PORTGROUP),
    **_virtualport("network/portgroup", f"{_PORTGROUPS}[].virtualport"),
    **_vlan("network/portgroup", f"{_PORTGROUPS}[].vlan"),
    **_bandwidth("network/portgroup", f"{_PORTGROUPS}[].bandwidth", PORTGROUP_LIMITS),
    **_same("dns.domain", "network/domain", "name"),
    "network/domain@localOnly": "dns.local_only",
    "network/domain@register": "dns.host_resolver",
    "network/dns": "dns",
    "network/dns@enable": "dns.enabled",
    "network/dns@forwardPlainNames": "dns.forward_plain_names",
    **{f"network/dns/{tag}": option for option, tag, _fields in DNS_RECORDS},
    **{
        path: key
        for option, tag, fields in DNS_RECORDS
        for path, key in paths_of(f"network/dns/{tag}", f"{option}[]", fields).items()
    },
    "network/dns/host": "dns.hosts",
    "network/dns/host@ip": "dns.hosts[].ip",
    "network/dns/host/hostname": "dns.hosts[].names",
    **_bandwidth("network", "bandwidth", NETWORK_LIMITS),
    **_vlan("network", "libvirt.vlan"),
    **_same("isolate_guests", "network/port", "isolated"),
    "network/ip": "ipv4, ipv6; a second one of a family is in extra_addresses",
    "network/ip@address": "ipv4.address, ipv6.address",
    "network/ip@netmask": "ipv4.address",
    "network/ip@prefix": "ipv4.address, ipv6.address",
    "network/ip@family": "ipv4 or ipv6",
    "network/ip@localPtr": "dns.local_ptr; of extra_addresses a line local=/ZONE/ in dnsmasq.options",
    **_same("dhcp.tftp_root", "network/ip/tftp", "root"),
    "network/ip/dhcp": "dhcp",
    "network/ip/dhcp/range": "dhcp.ranges",
    "network/ip/dhcp/range@start": "dhcp.ranges[].start",
    "network/ip/dhcp/range@end": "dhcp.ranges[].end",
    **_same("dhcp.ranges[].lease_time", "network/ip/dhcp/range/lease", "expiry", "unit"),
    "network/ip/dhcp/host": "dhcp.hosts",
    "network/ip/dhcp/host@mac": "dhcp.hosts[].mac",
    "network/ip/dhcp/host@id": "dhcp.hosts[].id",
    "network/ip/dhcp/host@name": "dhcp.hosts[].name",
    "network/ip/dhcp/host@ip": "dhcp.hosts[].ip",
    **_same("dhcp.hosts[].lease_time", "network/ip/dhcp/host/lease", "expiry", "unit"),
    "network/ip/dhcp/bootp": "dhcp.boot",
    **paths_of("network/ip/dhcp/bootp", "dhcp.boot", BOOTP),
    "network/route": "routes",
    "network/route@family": "routes[].to",
    "network/route@address": "routes[].to",
    "network/route@netmask": "routes[].to",
    "network/route@prefix": "routes[].to",
    "network/route@gateway": "routes[].via",
    "network/route@metric": "routes[].metric",
    "network/dnsmasq:options": "dnsmasq.options",
    "network/dnsmasq:options/dnsmasq:option": "dnsmasq.options",
    "network/dnsmasq:options/dnsmasq:option@value": "dnsmasq.options[]",
}

_COUNT = "a count that libvirt puts into its output"

# Accepted and ignored, with the reason: they would change nothing.
IGNORED: Mapping[str, str] = {
    "network@connections": _COUNT,
    "network@ipv6": "guests of one bridge reach each other by IPv6 in any case: our rules are about what is forwarded",
    "network/forward/interface@connections": _COUNT,
    "network/bandwidth@classID": "a number that libvirt gives while a network runs",
    "network/portgroup/bandwidth@classID": "a number that libvirt gives while a network runs",
}

_PCI_ADDRESS = ("type", "domain", "bus", "slot", "function", "multifunction")
# The remedy for what libvirt alone can do.
WITH_LIBVIRT = "leave the network to libvirt by managed_by: libvirt"
_DEVICES = f"belongs to a pool of devices for guests, without a bridge that could be served; {WITH_LIBVIRT}"

# Refused, with the reason.
REFUSED: Mapping[str, str] = {
    "network/bridge@macTableManager": f"is possible as 'kernel' alone; leave it out, or {WITH_LIBVIRT}",
    "network/forward@managed": _DEVICES,
    **_same(_DEVICES, "network/forward/address", *_PCI_ADDRESS, "connections"),
    **_same(_DEVICES, "network/forward/pf", "dev"),
    **_same(_DEVICES, "network/forward/driver", "name", "model"),
    **dict.fromkeys(
        ("network/bandwidth/inbound@floor", "network/bandwidth/outbound@floor"),
        "a guaranteed share is for single guests, and libvirt refuses it of a network too",
    ),
    "network/portgroup/bandwidth/outbound@floor": "libvirt knows a guaranteed share of inbound traffic alone",
}

# Values of refused attributes that are accepted, since they are the defaults.
ACCEPTED_VALUES: Mapping[str, str] = {"network/bridge@macTableManager": "kernel", "network/forward@managed": "no"}

# Elements that may be repeated. Of any other, libvirt would use the first and silently ignore the rest.
REPEATED = {
    "network/forward/interface",
    "network/portgroup",
    "network/portgroup/vlan/tag",
    "network/vlan/tag",
    "network/dns/forwarder",
    "network/dns/txt",
    "network/dns/srv",
    "network/dns/host",
    "network/dns/host/hostname",
    "network/ip",
    "network/ip/dhcp/range",
    "network/ip/dhcp/host",
    "network/route",
    "network/dnsmasq:options/dnsmasq:option",
}
