# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing: from flat options to the elements of libvirt's network XML.

Values that the schema does not allow are left out. convert.py finds them when it reads the result, and stores them in
<metadata>.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .fields import DNS_RECORDS, NAT_RANGES, NETWORK_LIMITS
from .flat import DEFAULTS, FlatOptions
from .parse import Element, add_element, add_element_of, etree
from .schema import DNSMASQ_NAMESPACE
from .values import (
    DEVICE,
    DNS_NAME,
    MAC,
    TITLES_SINCE,
    UINT_MAX,
    ZONE,
    Version,
    mappings_in,
    schema_address,
    schema_number,
    schema_text,
)
from .write_guests import write_bandwidth, write_port_settings, write_portgroup
from .write_ip import write_addresses, write_routes

_FORWARD = {"nat": "nat", "routed": "route", "open": "open", "bridged": "bridge"}


def write_network(options: FlatOptions, version: Version) -> Element:
    """The network without <metadata>, for a version of libvirt."""
    known: FlatOptions = {**DEFAULTS, **options}
    root = etree().Element("network", nsmap={"dnsmasq": DNSMASQ_NAMESPACE} if options.get("dnsmasq.options") else {})
    mode = known["mode"]
    if known["libvirt.trust_guest_rx_filters"]:
        root.set("trustGuestRxFilters", "yes")
    add_element(root, "name").text = schema_text(options.get("name")) or ""
    for name in ("uuid", "title", "description"):
        value = schema_text(options.get(name))
        if value and (name == "uuid" or version >= TITLES_SINCE):
            add_element(root, name).text = value
    if mode in _FORWARD:
        _forward(root, known, mode)
    _bridge(root, known, mode)
    if mode != "bridged":
        _domain(root, known)
        _dns(root, known)
    _guest_settings(root, known)
    if mode != "bridged":
        write_addresses(root, known)
        if all(address.get("family") != "ipv6" for address in root.iterfind("ip")):
            # Guests of one bridge of ours reach each other by IPv6, for which libvirt has rules with this attribute
            # alone (networkAddGeneralIPv6FirewallRules() in src/network/network_iptables.c).
            root.set("ipv6", "yes")
        write_routes(root, known)
        _dnsmasq_options(root, known)
    for group in mappings_in(known.get("libvirt.portgroups")):
        write_portgroup(root, group)
    return root


def _forward(root: Element, known: FlatOptions, mode: str) -> None:
    uplink = schema_text(known.get("uplink"), DEVICE) if mode in ("nat", "routed") else None
    forward = add_element(root, "forward", mode=_FORWARD[mode], dev=uplink)
    if uplink:
        add_element(forward, "interface", dev=uplink)
    if mode != "nat":
        return
    nat = etree().Element("nat")
    if not known["nat.ipv6"]:
        nat.set("ipv6", "no")
    elif known["ipv6.address"] != "none":
        nat.set("ipv6", "yes")
    for option, tag, fields in NAT_RANGES:
        add_element_of(nat, tag, known.get(option), fields)
    if nat.attrib or len(nat):
        forward.append(nat)


def _bridge(root: Element, known: FlatOptions, mode: str) -> None:
    name = schema_text(known.get("bridge.name"), DEVICE)
    if mode == "bridged":
        add_element(root, "bridge", name=name)
        return
    add_element(
        root,
        "bridge",
        name=name,
        zone=schema_text(known.get("bridge.zone"), ZONE),
        stp="on" if known["bridge.stp"] else "off",
        delay=schema_number(known["bridge.forward_delay"], 0, UINT_MAX),
    )
    mtu, mac = schema_number(known.get("bridge.mtu"), 0, 65535), schema_text(known.get("bridge.mac"), MAC)
    if mtu:
        add_element(root, "mtu", size=mtu)
    if mac:
        add_element(root, "mac", address=mac)


def _domain(root: Element, known: FlatOptions) -> None:
    """Append <domain>, without ``register``: libvirt starts such a network on hosts with systemd-resolved alone."""
    name = schema_text(known.get("dns.domain"), DNS_NAME)
    if name:
        add_element(root, "domain", name=name, localOnly="yes" if known["dns.local_only"] else "no")


def _dns(root: Element, known: FlatOptions) -> None:
    dns = add_element(root, "dns")
    if not known["dns.enabled"]:
        dns.set("enable", "no")
    plain = known.get("dns.forward_plain_names")
    if known["dns.enabled"] or plain is not None:
        # Our default is not to forward them, libvirt's is to forward them.
        dns.set("forwardPlainNames", "yes" if plain else "no")
    for option, tag, fields in DNS_RECORDS:
        for record in mappings_in(known.get(option)):
            # Without its port, a forwarder would be another server.
            if option == "dns.forwarders" and record.get("port"):
                continue
            add_element_of(dns, tag, record, fields)
    for host in mappings_in(known.get("dns.hosts")):
        _dns_host(dns, host)


def _dns_host(dns: Element, host: Mapping[str, Any]) -> None:
    names, ip = host.get("names"), schema_address(host.get("ip"))
    hostnames = [schema_text(name, DNS_NAME) for name in names] if isinstance(names, list) else []
    if hostnames and None not in (*hostnames, ip):
        element = add_element(dns, "host", ip=ip)
        for name in hostnames:
            add_element(element, "hostname").text = name


def _guest_settings(root: Element, known: FlatOptions) -> None:
    write_port_settings(root, {"virtualport": known.get("libvirt.virtualport"), "vlan": known.get("libvirt.vlan")})
    limits = {direction: known.get(f"bandwidth.{direction}") for direction in ("inbound", "outbound")}
    write_bandwidth(root, limits, NETWORK_LIMITS)
    if known["isolate_guests"]:
        add_element(root, "port", isolated="yes")


def _dnsmasq_options(root: Element, known: FlatOptions) -> None:
    lines = known.get("dnsmasq.options")
    if isinstance(lines, list) and lines:
        options = add_element(root, f"{{{DNSMASQ_NAMESPACE}}}options")
        for line in lines:
            if schema_text(line):
                add_element(options, f"{{{DNSMASQ_NAMESPACE}}}option", value=schema_text(line))
