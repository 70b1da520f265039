# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses, DHCP and routes as elements of libvirt's network XML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..dhcp.ranges import DEFAULT_LEASE_TIME
from .flat import Flat, default_ranges, lease_seconds, usual_lease
from .parse import Element, etree
from .values import DNS_NAME, DUID, MAC, UINT, address_of, complete, items, number_of, put, text_of

_LEASE_UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))


def addresses(root: Element, known: Flat) -> None:
    """All addresses, with DHCP on the first of each family."""
    served = [_put_ip(root, known.get(f"{family}.address")) for family in ("ipv4", "ipv6")]
    for family, element in zip(("ipv4", "ipv6"), served):
        if element is not None:
            _dhcp(element, known, family)
    local = known.get("dns.local_ptr")
    there = [element for element in served if element is not None]
    if local is not None and all(local is False or whole_zone(element) for element in there):
        for element in there:
            element.set("localPtr", "yes" if local else "no")
    for cidr in known.get("extra_addresses", ()):
        _put_ip(root, cidr)


def whole_zone(element: Element) -> bool:
    """Whether the subnet is one zone of the reverse tree, which is what libvirt takes with localPtr."""
    prefix = int(element.get("prefix", "0"))
    return prefix > 0 and prefix % (8 if element.get("family") == "ipv4" else 4) == 0


def _put_ip(root: Element, cidr: Any) -> Element | None:
    address, _slash, prefix = str(cidr).partition("/")
    shown = address_of(address)
    if shown is None or not prefix.isdecimal():
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
        put(dhcp, "bootp", file=text_of(boot.get("file")), server=text_of(boot.get("server"), DNS_NAME))
    if len(dhcp):
        element.append(dhcp)


def _host(dhcp: Element, one: Mapping[str, Any], version: int) -> None:
    ip, mac, name = address_of(one.get("ip"), version), text_of(one.get("mac"), MAC), text_of(one.get("name"))
    duid = text_of(one.get("id"), DUID) if mac is None else None
    if ip and (mac or duid or name):
        _lease(put(dhcp, "host", mac=mac, id=duid, name=name, ip=ip), one.get("lease_time"))


def _lease(element: Element, value: Any) -> None:
    seconds = lease_seconds(str(value)) if value else None
    if seconds is not None:
        unit, size = next(pair for pair in _LEASE_UNITS if seconds % pair[1] == 0)
        if seconds == 0:
            unit, size = "minutes", 60
        put(element, "lease", expiry=str(seconds // size), unit=unit)


def routes(root: Element, known: Flat) -> None:
    """What is reached through guests."""
    for one in items(known.get("routes")):
        target, _slash, prefix = str(one.get("to")).partition("/")
        address, gateway = address_of(target), address_of(one.get("via"))
        if complete(address, gateway) and prefix.isdecimal():
            family = "ipv6" if ":" in str(address) else "ipv4"
            metric = number_of(one.get("metric"), 0, UINT)
            put(root, "route", family=family, address=address, prefix=prefix, gateway=gateway, metric=metric)
