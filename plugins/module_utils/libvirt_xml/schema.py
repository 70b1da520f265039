# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every element and attribute of libvirt's network XML, and what becomes of it.

Paths are those of libvirt's own schema, network.rng of 9.0 and 11.3: ``network/ip/dhcp/range@start``. A test fails when
the schema has one that is missing here. Whatever is not here is unknown and refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

DNSMASQ_NAMESPACE = "http://libvirt.org/schemas/network/dnsmasq/1.0"


def _virtualport(inside: str, option: str) -> Iterator[tuple[str, str]]:
    yield f"{inside}/virtualport", option
    yield f"{inside}/virtualport@type", f"{option}.type"
    yield f"{inside}/virtualport/parameters", f"{option}.parameters"
    for name in ("managerid", "typeid", "typeidversion", "instanceid", "profileid", "interfaceid"):
        yield f"{inside}/virtualport/parameters@{name}", f"{option}.parameters.{name}"


def _vlan(inside: str, option: str) -> Iterator[tuple[str, str]]:
    yield f"{inside}/vlan", option
    yield f"{inside}/vlan@trunk", f"{option}.trunk"
    yield f"{inside}/vlan/tag", f"{option}.tags"
    yield f"{inside}/vlan/tag@id", f"{option}.tags[].id"
    yield f"{inside}/vlan/tag@nativeMode", f"{option}.tags[].native_mode"


def _bandwidth(inside: str, option: str) -> Iterator[tuple[str, str]]:
    yield f"{inside}/bandwidth", option
    for way in ("inbound", "outbound"):
        yield f"{inside}/bandwidth/{way}", f"{option}.{way}"
        for name in ("average", "peak", "burst"):
            yield f"{inside}/bandwidth/{way}@{name}", f"{option}.{way}.{name}"


_PORTGROUPS = "libvirt.portgroups"
_LEASE = "lease_time"

# Both ways: the option of a network (DESIGN's table) that says the same.
OPTIONS: Mapping[str, str] = {
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
    "network/mtu": "bridge.mtu",
    "network/mtu@size": "bridge.mtu",
    "network/mac": "bridge.mac",
    "network/mac@address": "bridge.mac",
    "network/forward": "mode",
    "network/forward@mode": "mode; route is routed, bridge is bridged, no forward is isolated",
    "network/forward@dev": "uplink",
    "network/forward/interface": "uplink",
    "network/forward/interface@dev": "uplink",
    "network/forward/nat": "nat",
    "network/forward/nat@ipv6": "nat.ipv6",
    "network/forward/nat/address": "nat.source",
    "network/forward/nat/address@start": "nat.source.start",
    "network/forward/nat/address@end": "nat.source.end",
    "network/forward/nat/port": "nat.ports",
    "network/forward/nat/port@start": "nat.ports.start",
    "network/forward/nat/port@end": "nat.ports.end",
    **dict(_virtualport("network", "libvirt.virtualport")),
    "network/portgroup": _PORTGROUPS,
    "network/portgroup@name": f"{_PORTGROUPS}[].name",
    "network/portgroup@default": f"{_PORTGROUPS}[].default",
    "network/portgroup@trustGuestRxFilters": f"{_PORTGROUPS}[].trust_guest_rx_filters",
    **dict(_virtualport("network/portgroup", f"{_PORTGROUPS}[].virtualport")),
    **dict(_vlan("network/portgroup", f"{_PORTGROUPS}[].vlan")),
    **dict(_bandwidth("network/portgroup", f"{_PORTGROUPS}[].bandwidth")),
    "network/portgroup/bandwidth/inbound@floor": f"{_PORTGROUPS}[].bandwidth.inbound.floor",
    "network/domain": "dns.domain",
    "network/domain@name": "dns.domain",
    "network/domain@localOnly": "dns.local_only",
    "network/domain@register": "dns.host_resolver",
    "network/dns": "dns",
    "network/dns@enable": "dns.enabled",
    "network/dns@forwardPlainNames": "dns.forward_plain_names",
    "network/dns/forwarder": "dns.forwarders",
    "network/dns/forwarder@addr": "dns.forwarders[].address",
    "network/dns/forwarder@domain": "dns.forwarders[].domain",
    "network/dns/txt": "dns.txt",
    "network/dns/txt@name": "dns.txt[].name",
    "network/dns/txt@value": "dns.txt[].value",
    "network/dns/srv": "dns.srv",
    **{
        f"network/dns/srv@{name}": f"dns.srv[].{name}"
        for name in ("service", "protocol", "domain", "target", "port", "priority", "weight")
    },
    "network/dns/host": "dns.hosts",
    "network/dns/host@ip": "dns.hosts[].ip",
    "network/dns/host/hostname": "dns.hosts[].names",
    **dict(_bandwidth("network", "bandwidth")),
    **dict(_vlan("network", "libvirt.vlan")),
    "network/port": "isolate_guests",
    "network/port@isolated": "isolate_guests",
    "network/ip": "ipv4, ipv6; a second one of a family is in extra_addresses",
    "network/ip@address": "ipv4.address, ipv6.address",
    "network/ip@netmask": "ipv4.address",
    "network/ip@prefix": "ipv4.address, ipv6.address",
    "network/ip@family": "ipv4 or ipv6",
    "network/ip@localPtr": "dns.local_ptr; of extra_addresses a line local=/ZONE/ in dnsmasq.options",
    "network/ip/tftp": "dhcp.tftp_root",
    "network/ip/tftp@root": "dhcp.tftp_root",
    "network/ip/dhcp": "dhcp",
    "network/ip/dhcp/range": "dhcp.ranges",
    "network/ip/dhcp/range@start": "dhcp.ranges[].start",
    "network/ip/dhcp/range@end": "dhcp.ranges[].end",
    "network/ip/dhcp/range/lease": f"dhcp.ranges[].{_LEASE}",
    "network/ip/dhcp/range/lease@expiry": f"dhcp.ranges[].{_LEASE}",
    "network/ip/dhcp/range/lease@unit": f"dhcp.ranges[].{_LEASE}",
    "network/ip/dhcp/host": "dhcp.hosts",
    "network/ip/dhcp/host@mac": "dhcp.hosts[].mac",
    "network/ip/dhcp/host@id": "dhcp.hosts[].id",
    "network/ip/dhcp/host@name": "dhcp.hosts[].name",
    "network/ip/dhcp/host@ip": "dhcp.hosts[].ip",
    "network/ip/dhcp/host/lease": f"dhcp.hosts[].{_LEASE}",
    "network/ip/dhcp/host/lease@expiry": f"dhcp.hosts[].{_LEASE}",
    "network/ip/dhcp/host/lease@unit": f"dhcp.hosts[].{_LEASE}",
    "network/ip/dhcp/bootp": "dhcp.boot",
    "network/ip/dhcp/bootp@file": "dhcp.boot.file",
    "network/ip/dhcp/bootp@server": "dhcp.boot.server",
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

# Read, and without any effect, because nothing would be different.
DROPPED: Mapping[str, str] = {
    "network@connections": _COUNT,
    "network@ipv6": "guests of one bridge reach each other by IPv6 in any case: our rules are about what is forwarded",
    "network/forward/interface@connections": _COUNT,
    "network/bandwidth@classID": "a number that libvirt gives while a network runs",
    "network/portgroup/bandwidth@classID": "a number that libvirt gives while a network runs",
}

_DEVICES = "a pool of devices handed to guests has no bridge that could be served; define it with libvirt itself"

# Refused, with the reason.
REFUSED: Mapping[str, str] = {
    "network/bridge@macTableManager": "has no counterpart here: the kernel manages the bridge's addresses (kernel)",
    "network/forward@managed": _DEVICES,
    "network/forward/address": _DEVICES,
    **{
        f"network/forward/address@{name}": _DEVICES
        for name in ("type", "domain", "bus", "slot", "function", "multifunction", "connections")
    },
    "network/forward/pf": _DEVICES,
    "network/forward/pf@dev": _DEVICES,
    "network/forward/driver": _DEVICES,
    "network/forward/driver@name": _DEVICES,
    "network/forward/driver@model": _DEVICES,
    **{
        f"network/{way}@floor": "a guaranteed share is for single guests, and libvirt refuses it of a network too"
        for way in ("bandwidth/inbound", "bandwidth/outbound")
    },
    "network/portgroup/bandwidth/outbound@floor": "libvirt knows a guaranteed share of inbound traffic alone",
}

# Values of an attribute that are the same as leaving out what would be refused.
HARMLESS: Mapping[str, str] = {"network/bridge@macTableManager": "kernel", "network/forward@managed": "no"}

# What may be there more than once; libvirt would take the first of any other, and say nothing of the rest.
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
