# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From flat options to the elements of libvirt's network XML.

What the schema has no words for is left out here: libvirt_xml.py finds it by reading back, and keeps it beside.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .dhcp import DEFAULT_LEASE_TIME
from .libvirt_options import DEFAULTS, Flat, default_ranges, lease_seconds, usual_lease
from .libvirt_parse import Element, etree
from .libvirt_table import DNSMASQ_NAMESPACE

Version = tuple[int, int]

# The patterns of libvirt's basictypes.rng; a value that does not match would make the whole text invalid.
_DEVICE = re.compile(r"[a-zA-Z0-9_.\\:/-]+")
_ZONE = re.compile(r"[a-zA-Z0-9_-]+")
_DNS_NAME = re.compile(r"[a-zA-Z0-9.-]+")
_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
# duidLLT, duidEN, duidLL and duidUUID, narrowed to two digits a byte.
_DUID = re.compile(
    r"00:01:00:0[1-9a-f](:[0-9a-f]{2}){10,12}|00:02(:[0-9a-f]{2}){5,128}"
    r"|00:03:00:0[1-9a-f](:[0-9a-f]{2}){6,8}|00:04(:[0-9a-f]{2}){16}"
)
_UUID = r"[a-fA-F0-9]{8}-?([a-fA-F0-9]{4}-?){3}[a-fA-F0-9]{12}"
PARAMETER = {
    "managerid": re.compile(r"0x[0-9a-fA-F]{1,2}|1?\d{1,2}|2[0-4]\d|25[0-5]"),
    "typeid": re.compile(r"0x[0-9a-fA-F]{1,6}|\d{1,7}"),
    "typeidversion": re.compile(r"0x[0-9a-fA-F]{1,2}|1?\d{1,2}|2[0-4]\d|25[0-5]"),
    "instanceid": re.compile(_UUID),
    # libvirt writes it as it is (virNetDevVPortProfileFormat()): what XML escapes would break its own output.
    "profileid": re.compile(r"[^<>&'\"]{1,39}"),
    "interfaceid": re.compile(_UUID),
}
# virtualPortProfile in networkcommon.rng: which parameters go with which type.
PARAMETERS_OF: Mapping[Any, Sequence[str]] = {
    None: tuple(PARAMETER),
    "802.1Qbg": ("managerid", "typeid", "typeidversion", "instanceid"),
    "802.1Qbh": ("profileid",),
    "openvswitch": ("profileid", "interfaceid"),
    "midonet": ("interfaceid",),
}
_SHOWN = re.compile("[\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]*")
_UINT = 2**32 - 1

_FORWARD = {"nat": "nat", "routed": "route", "open": "open", "bridged": "bridge"}
_LEASE_UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))
TITLES_SINCE: Version = (9, 7)
REGISTER_SINCE: Version = (10, 1)


def text_of(value: Any, pattern: re.Pattern[str] = _SHOWN) -> str | None:
    """A string that the schema takes, else None."""
    return value if isinstance(value, str) and value and pattern.fullmatch(value) and _SHOWN.fullmatch(value) else None


def number_of(value: Any, least: int, most: int) -> str | None:
    """A number that the schema takes, else None."""
    good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
    return str(value) if good else None


def address_of(value: Any, version: int = 0) -> str | None:
    """An address that the schema takes, else None."""
    try:
        address = ipaddress.ip_address(value) if isinstance(value, str) else None
    except ValueError:
        return None
    # A zone (fe80::1%eth0) is not in the schema.
    return str(address) if address and version in (0, address.version) and "%" not in str(address) else None


def put(into: Element, tag: str, **attributes: str | None) -> Element:
    """A new element with those attributes that have a value."""
    return etree().SubElement(into, tag, {name: value for name, value in attributes.items() if value is not None})


def complete(*values: str | None) -> bool:
    """Whether all have a value, for elements that need every attribute."""
    return all(value is not None for value in values)


def items(value: Any) -> Sequence[Mapping[str, Any]]:
    """The mappings of a list."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


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
        _addresses(root, known)
        _routes(root, known)
        _raw(root, known)
    for group in items(known.get("libvirt.portgroups")):
        portgroup(root, group)
    return root


def _forward(root: Element, known: Flat, mode: str) -> None:
    uplink = text_of(known.get("uplink"), _DEVICE) if mode in ("nat", "routed") else None
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
    name = text_of(known.get("bridge.name"), _DEVICE)
    if mode == "bridged":
        put(root, "bridge", name=name)
        return
    put(
        root,
        "bridge",
        name=name,
        zone=text_of(known.get("bridge.zone"), _ZONE),
        stp="on" if known["bridge.stp"] else "off",
        delay=number_of(known["bridge.forward_delay"], 0, _UINT),
    )
    mtu, mac = number_of(known.get("bridge.mtu"), 0, 65535), text_of(known.get("bridge.mac"), _MAC)
    if mtu:
        put(root, "mtu", size=mtu)
    if mac:
        put(root, "mac", address=mac)


def _domain(root: Element, known: Flat, version: Version) -> None:
    name = text_of(known.get("dns.domain"), _DNS_NAME)
    if name:
        domain = put(root, "domain", name=name, localOnly="yes" if known["dns.local_only"] else "no")
        if version >= REGISTER_SINCE:
            domain.set("register", "yes" if known["dns.host_resolver"] else "no")


def _dns(root: Element, known: Flat) -> None:
    dns = put(root, "dns")
    if not known["dns.enabled"]:
        dns.set("enable", "no")
    if known["dns.enabled"] or known["dns.forward_plain_names"]:
        dns.set("forwardPlainNames", "yes" if known["dns.forward_plain_names"] else "no")
    for one in items(known.get("dns.forwarders")):
        domain, address = text_of(one.get("domain"), _DNS_NAME), address_of(one.get("address"))
        if domain or address:
            put(dns, "forwarder", domain=domain, addr=address)
    for one in items(known.get("dns.txt")):
        name, value = text_of(one.get("name"), _DNS_NAME), text_of(one.get("value"))
        if complete(name, value):
            put(dns, "txt", name=name, value=value)
    for one in items(known.get("dns.srv")):
        _srv(dns, one)
    for one in items(known.get("dns.hosts")):
        _dns_host(dns, one)


def _dns_host(dns: Element, one: Mapping[str, Any]) -> None:
    names, ip = one.get("names"), address_of(one.get("ip"))
    good = [text_of(name, _DNS_NAME) for name in names] if isinstance(names, list) else []
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
            domain=text_of(one.get("domain"), _DNS_NAME),
            target=text_of(one.get("target")),
            **{name: number_of(one.get(name), 0, 65535) for name in ("port", "priority", "weight")},
        )


def _for_guests(root: Element, known: Flat) -> None:
    for_port(root, {"virtualport": known.get("libvirt.virtualport"), "vlan": known.get("libvirt.vlan")})
    bandwidth(root, {way: known.get(f"bandwidth.{way}") for way in ("inbound", "outbound")}, ())
    if known["isolate_guests"]:
        put(root, "port", isolated="yes")


def portgroup(root: Element, group: Mapping[str, Any]) -> None:
    """One portgroup."""
    name = text_of(group.get("name"), _DEVICE)
    if name:
        into = put(
            root,
            "portgroup",
            name=name,
            default="yes" if group.get("default") is True else None,
            trustGuestRxFilters="yes" if group.get("trust_guest_rx_filters") is True else None,
        )
        for_port(into, group)
        bandwidth(into, group.get("bandwidth"), ("floor",))


def for_port(into: Element, group: Mapping[str, Any]) -> None:
    """virtualport and vlan."""
    port, vlan = group.get("virtualport"), group.get("vlan")
    if isinstance(port, Mapping):
        _virtualport(into, port)
    if isinstance(vlan, Mapping):
        tags = [(number_of(tag.get("id"), 0, 4095), tag.get("native_mode")) for tag in items(vlan.get("tags"))]
        if tags and all(number and mode in (None, "tagged", "untagged") for number, mode in tags):
            element = put(into, "vlan", trunk="yes" if vlan.get("trunk") is True else None)
            for number, mode in tags:
                put(element, "tag", id=number, nativeMode=mode)


def _virtualport(into: Element, port: Mapping[str, Any]) -> None:
    kind, parameters = port.get("type"), port.get("parameters") or {}
    if (
        kind not in PARAMETERS_OF
        or not isinstance(parameters, Mapping)
        or not set(parameters) <= set(PARAMETERS_OF[kind])
    ):
        return
    good = {name: text_of(str(value), PARAMETER[name]) for name, value in parameters.items()}
    if complete(*good.values()) and (good or kind not in (None, "midonet")):
        element = put(into, "virtualport", type=kind)
        if good:
            put(element, "parameters", **good)


def bandwidth(into: Element, value: Any, inbound_more: Sequence[str]) -> None:
    """Limits for the network or a portgroup."""
    element = etree().Element("bandwidth")
    for way in ("inbound", "outbound"):
        limits = value.get(way) if isinstance(value, Mapping) else None
        names = ("average", "peak", "burst", *(inbound_more if way == "inbound" else ()))
        found = {name: number_of(limits.get(name), 1, _UINT) for name in names} if isinstance(limits, Mapping) else {}
        if any(found.values()):
            put(element, way, **found)
    if len(element):
        into.append(element)


def _addresses(root: Element, known: Flat) -> None:
    for family in ("ipv4", "ipv6"):
        element = _ip(root, known.get(f"{family}.address"))
        if element is not None:
            _dhcp(element, known, family)
    for cidr in known.get("extra_addresses", ()):
        _ip(root, cidr)


def _ip(root: Element, cidr: Any) -> Element | None:
    address, _, prefix = str(cidr).partition("/")
    shown = address_of(address)
    if shown is None or not prefix.isdigit():
        return None
    return put(root, "ip", family="ipv6" if ":" in shown else "ipv4", address=shown, prefix=prefix)


def _dhcp(element: Element, known: Flat, family: str) -> None:
    path, version = f"{family}.dhcp", 6 if family == "ipv6" else 4
    root = text_of(known.get(f"{path}.tftp_root"))
    if root:
        put(element, "tftp", root=root)
    dhcp = etree().Element("dhcp")
    if known[f"{path}.enabled"]:
        ranges = known.get(f"{path}.ranges") or (default_ranges(known.get("ipv4.address")) if version == 4 else [])
        for one in items(ranges):
            start, end = address_of(one.get("start"), version), address_of(one.get("end"), version)
            if complete(start, end):
                lease = one.get("lease_time", usual_lease(known, family))
                _lease(put(dhcp, "range", start=start, end=end), None if lease == DEFAULT_LEASE_TIME else lease)
        for one in items(known.get(f"{path}.hosts")):
            _host(dhcp, one, version)
    boot = known.get(f"{path}.boot")
    if isinstance(boot, Mapping) and text_of(boot.get("file")):
        put(dhcp, "bootp", file=text_of(boot.get("file")), server=text_of(boot.get("server"), _DNS_NAME))
    if len(dhcp):
        element.append(dhcp)


def _host(dhcp: Element, one: Mapping[str, Any], version: int) -> None:
    ip, mac, name = address_of(one.get("ip"), version), text_of(one.get("mac"), _MAC), text_of(one.get("name"))
    duid = text_of(one.get("id"), _DUID) if mac is None else None
    if ip and (mac or duid or name):
        _lease(put(dhcp, "host", mac=mac, id=duid, name=name, ip=ip), one.get("lease_time"))


def _lease(element: Element, value: Any) -> None:
    seconds = lease_seconds(str(value)) if value else None
    if seconds is not None:
        unit, size = next(pair for pair in _LEASE_UNITS if seconds % pair[1] == 0)
        if seconds == 0:
            unit, size = "minutes", 60
        put(element, "lease", expiry=str(seconds // size), unit=unit)


def _routes(root: Element, known: Flat) -> None:
    for one in items(known.get("routes")):
        target, _, prefix = str(one.get("to")).partition("/")
        address, gateway = address_of(target), address_of(one.get("via"))
        if complete(address, gateway) and prefix.isdigit():
            family = "ipv6" if ":" in str(address) else "ipv4"
            metric = number_of(one.get("metric"), 0, _UINT)
            put(root, "route", family=family, address=address, prefix=prefix, gateway=gateway, metric=metric)


def _raw(root: Element, known: Flat) -> None:
    lines = known.get("dnsmasq.options")
    if isinstance(lines, list) and lines:
        options = put(root, f"{{{DNSMASQ_NAMESPACE}}}options")
        for line in lines:
            if text_of(line):
                put(options, f"{{{DNSMASQ_NAMESPACE}}}option", value=text_of(line))
