# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From flat options to the elements of libvirt's network XML.

What the schema has no words for is left out here: libvirt_xml/convert.py finds it by reading back, and keeps it beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .flat import DEFAULTS, Flat
from .parse import Element, etree
from .schema import DNSMASQ_NAMESPACE
from .values import (
    DEVICE,
    DNS_NAME,
    MAC,
    TITLES_SINCE,
    UINT,
    ZONE,
    Version,
    address_of,
    complete,
    items,
    number_of,
    put,
    text_of,
)
from .write_guests import bandwidth, for_port, portgroup
from .write_ip import addresses, routes

_FORWARD = {"nat": "nat", "routed": "route", "open": "open", "bridged": "bridge"}
REGISTER_SINCE: Version = (10, 1)


def write(found: Flat, version: Version) -> Element:
    """The network without metadata; ``version`` of libvirt has to understand it."""
    known: Flat = {**DEFAULTS, **found}
    root = etree().Element("network", nsmap={"dnsmasq": DNSMASQ_NAMESPACE} if found.get("dnsmasq.options") else {})
    mode = known["mode"]
    if known["libvirt.trust_guest_rx_filters"]:
        root.set("trustGuestRxFilters", "yes")
    put(root, "name").text = text_of(found.get("name")) or ""
    for name in ("uuid", "title", "description"):
        value = text_of(found.get(name))
        if value and (name == "uuid" or version >= TITLES_SINCE):
            put(root, name).text = value
    if mode in _FORWARD:
        _forward(root, known, mode)
    _bridge(root, known, mode)
    if mode != "bridged":
        _domain(root, known, version)
        _dns(root, known)
    _for_guests(root, known)
    if mode != "bridged":
        addresses(root, known)
        routes(root, known)
        _raw(root, known)
    for group in items(known.get("libvirt.portgroups")):
        portgroup(root, group)
    return root


def _forward(root: Element, known: Flat, mode: str) -> None:
    uplink = text_of(known.get("uplink"), DEVICE) if mode in ("nat", "routed") else None
    forward = put(root, "forward", mode=_FORWARD[mode], dev=uplink)
    if uplink:
        put(forward, "interface", dev=uplink)
    if mode != "nat":
        return
    nat = etree().Element("nat")
    if "nat.ipv6" in known and known["nat.ipv6"] != DEFAULTS["nat.ipv6"]:
        nat.set("ipv6", "no")
    elif known["ipv6.address"] != "none":
        nat.set("ipv6", "yes")
    for path, tag in (("nat.source", "address"), ("nat.ports", "port")):
        value = known.get(path, {})
        if isinstance(value, Mapping):
            ends = [address_of(value.get(end), 4) or number_of(value.get(end), 1, 65535) for end in ("start", "end")]
            if complete(*ends) and set(value) == {"start", "end"}:
                put(nat, tag, start=ends[0], end=ends[1])
    if nat.attrib or len(nat):
        forward.append(nat)


def _bridge(root: Element, known: Flat, mode: str) -> None:
    name = text_of(known.get("bridge.name"), DEVICE)
    if mode == "bridged":
        put(root, "bridge", name=name)
        return
    put(
        root,
        "bridge",
        name=name,
        zone=text_of(known.get("bridge.zone"), ZONE),
        stp="on" if known["bridge.stp"] else "off",
        delay=number_of(known["bridge.forward_delay"], 0, UINT),
    )
    mtu, mac = number_of(known.get("bridge.mtu"), 0, 65535), text_of(known.get("bridge.mac"), MAC)
    if mtu:
        put(root, "mtu", size=mtu)
    if mac:
        put(root, "mac", address=mac)


def _domain(root: Element, known: Flat, version: Version) -> None:
    name = text_of(known.get("dns.domain"), DNS_NAME)
    if name:
        domain = put(root, "domain", name=name, localOnly="yes" if known["dns.local_only"] else "no")
        if version >= REGISTER_SINCE:
            domain.set("register", "yes" if known["dns.host_resolver"] else "no")


def _dns(root: Element, known: Flat) -> None:
    dns = put(root, "dns")
    if not known["dns.enabled"]:
        dns.set("enable", "no")
    plain = known.get("dns.forward_plain_names")
    if known["dns.enabled"] or plain is not None:
        # What is not said is what a dnsmasq of the network's own does.
        dns.set("forwardPlainNames", "yes" if plain else "no")
    for one in items(known.get("dns.forwarders")):
        domain, address = text_of(one.get("domain"), DNS_NAME), address_of(one.get("address"))
        if domain or address:
            put(dns, "forwarder", domain=domain, addr=address)
    for one in items(known.get("dns.txt")):
        name, value = text_of(one.get("name"), DNS_NAME), text_of(one.get("value"))
        if complete(name, value):
            put(dns, "txt", name=name, value=value)
    for one in items(known.get("dns.srv")):
        _srv(dns, one)
    for one in items(known.get("dns.hosts")):
        _dns_host(dns, one)


def _dns_host(dns: Element, one: Mapping[str, Any]) -> None:
    names, ip = one.get("names"), address_of(one.get("ip"))
    good = [text_of(name, DNS_NAME) for name in names] if isinstance(names, list) else []
    if good and complete(*good, ip):
        host = put(dns, "host", ip=ip)
        for name in good:
            put(host, "hostname").text = name


def _srv(dns: Element, one: Mapping[str, Any]) -> None:
    service = text_of(one.get("service"))
    if service and one.get("protocol") in ("tcp", "udp"):
        put(
            dns,
            "srv",
            service=service,
            protocol=one["protocol"],
            domain=text_of(one.get("domain"), DNS_NAME),
            target=text_of(one.get("target")),
            **{name: number_of(one.get(name), 0, 65535) for name in ("port", "priority", "weight")},
        )


def _for_guests(root: Element, known: Flat) -> None:
    for_port(root, {"virtualport": known.get("libvirt.virtualport"), "vlan": known.get("libvirt.vlan")})
    bandwidth(root, {way: known.get(f"bandwidth.{way}") for way in ("inbound", "outbound")}, ())
    if known["isolate_guests"]:
        put(root, "port", isolated="yes")


def _raw(root: Element, known: Flat) -> None:
    lines = known.get("dnsmasq.options")
    if isinstance(lines, list) and lines:
        options = put(root, f"{{{DNSMASQ_NAMESPACE}}}options")
        for line in lines:
            if text_of(line):
                put(options, f"{{{DNSMASQ_NAMESPACE}}}option", value=text_of(line))
