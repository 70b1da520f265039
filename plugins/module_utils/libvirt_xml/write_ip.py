# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing: addresses, DHCP and routes as elements of libvirt's network XML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..dhcp.ranges import DEFAULT_LEASE_TIME
from .fields import BOOTP
from .flat import FlatOptions, default_ranges, lease_time_for, parse_lease_time
from .parse import Element, add_element, add_element_of, etree
from .values import (
    DUID,
    LEASE_UNITS,
    MAC,
    UINT_MAX,
    mappings_in,
    schema_address,
    schema_number,
    schema_subnet,
    schema_text,
)


def write_addresses(root: Element, known: FlatOptions) -> None:
    """Append <ip> for all addresses, with DHCP in the main one of each family."""
    main = {}
    for family in ("ipv4", "ipv6"):
        element = _ip(root, known.get(f"{family}.address"))
        if element is not None:
            main[family] = element
    for family, element in main.items():
        _dhcp(element, known, family)
    local_ptr = known.get("dns.local_ptr")
    if local_ptr is not None and all(local_ptr is False or _is_reverse_zone(element) for element in main.values()):
        for element in main.values():
            element.set("localPtr", "yes" if local_ptr else "no")
    for cidr in known.get("extra_addresses", ()):
        _ip(root, cidr)


def _is_reverse_zone(element: Element) -> bool:
    """Whether the subnet is exactly one zone of the reverse tree, as libvirt requires with localPtr."""
    prefix = int(element.get("prefix", "0"))
    return prefix > 0 and prefix % (8 if element.get("family") == "ipv4" else 4) == 0


def _ip(root: Element, cidr: Any) -> Element | None:
    """Append <ip>; None if the text is not an address with a prefix."""
    text, _slash, prefix = str(cidr).partition("/")
    address = schema_address(text)
    if address is None or not prefix.isdecimal():
        return None
    return add_element(root, "ip", family="ipv6" if ":" in address else "ipv4", address=address, prefix=prefix)


def _dhcp(element: Element, known: FlatOptions, family: str) -> None:
    """Append <tftp> and <dhcp>."""
    path, version = f"{family}.dhcp", 6 if family == "ipv6" else 4
    tftp_root = schema_text(known.get(f"{path}.tftp_root"))
    if tftp_root:
        add_element(element, "tftp", root=tftp_root)
    dhcp = etree().Element("dhcp")
    if known[f"{path}.enabled"]:
        ranges = known.get(f"{path}.ranges")
        if ranges is None and version == 4:
            ranges = default_ranges(known.get("ipv4.address"))
        for dhcp_range in mappings_in(ranges):
            _range(dhcp, dhcp_range, version, lease_time_for(known, family))
        for host in mappings_in(known.get(f"{path}.hosts")):
            _host(dhcp, host, version)
    add_element_of(dhcp, "bootp", known.get(f"{path}.boot"), BOOTP)
    if len(dhcp):
        element.append(dhcp)


def _range(dhcp: Element, dhcp_range: Mapping[str, Any], version: int, default_lease_time: str) -> None:
    start, end = schema_address(dhcp_range.get("start"), version), schema_address(dhcp_range.get("end"), version)
    if None not in (start, end):
        lease_time = dhcp_range.get("lease_time", default_lease_time)
        element = add_element(dhcp, "range", start=start, end=end)
        _lease(element, None if lease_time == DEFAULT_LEASE_TIME else lease_time)


def _host(dhcp: Element, host: Mapping[str, Any], version: int) -> None:
    if isinstance(host.get("mac"), list):
        return
    ip, mac = schema_address(host.get("ip"), version), schema_text(host.get("mac"), MAC)
    name = schema_text(host.get("name"))
    duid = schema_text(host.get("id"), DUID) if mac is None else None
    if ip and (mac or duid or name):
        _lease(add_element(dhcp, "host", mac=mac, id=duid, name=name, ip=ip), host.get("lease_time"))


def _lease(element: Element, lease_time: Any) -> None:
    """Append <lease> in the largest unit that is exact; nothing without a lease time."""
    seconds = parse_lease_time(str(lease_time)) if lease_time else None
    if seconds is not None:
        unit = next(unit for unit, size in reversed(LEASE_UNITS.items()) if seconds % size == 0)
        add_element(element, "lease", expiry=str(seconds // LEASE_UNITS[unit]), unit=unit if seconds else "minutes")


def write_routes(root: Element, known: FlatOptions) -> None:
    """Append <route> for all routes."""
    for route in mappings_in(known.get("routes")):
        subnet, gateway = schema_subnet(route.get("to")), schema_address(route.get("via"))
        if None not in (subnet, gateway):
            address, _slash, prefix = str(subnet).partition("/")
            add_element(
                root,
                "route",
                family="ipv6" if ":" in address else "ipv4",
                address=address,
                prefix=prefix,
                gateway=gateway,
                metric=schema_number(route.get("metric"), 0, UINT_MAX),
            )
