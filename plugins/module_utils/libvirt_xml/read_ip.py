# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading: addresses, DHCP and routes of libvirt's network XML as flat options."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from ..core.options import Address, Interface, repr_short
from ..dhcp.ranges import DEFAULT_LEASE_TIME
from .fields import BOOTP, read_fields, read_number, read_required_address
from .flat import FlatOptions, format_lease_time
from .parse import Checker, Element
from .values import LEASE_UNITS


def read_addresses(root: Element, checker: Checker) -> FlatOptions:
    """The options of <ip> and <route>. The main address of a family is the one with DHCP, else the first."""
    addresses = [(element, _interface(element, checker)) for element in root.iterfind("ip")]
    options: FlatOptions = {}
    extra_addresses = []
    main_elements = []
    for family, version in (("ipv4", 4), ("ipv6", 6)):
        of_family = [pair for pair in addresses if pair[1].version == version]
        served = [pair for pair in of_family if pair[0].find("dhcp") is not None or pair[0].find("tftp") is not None]
        if len(served) > 1:
            checker.refuse(served[1][0], f"is the second IPv{version} address with DHCP; only one is possible")
        if not of_family:
            options[f"{family}.address"] = "none"
            continue
        main, interface = (served or of_family)[0]
        main_elements.append(main)
        extra_addresses += [str(extra) for element, extra in of_family if element is not main]
        options[f"{family}.address"] = str(interface)
        options.update({f"{family}.{path}": value for path, value in _dhcp(main, interface, checker).items()})
    options["extra_addresses"] = extra_addresses
    options.update(_local_ptr([element for element, _cidr in addresses], main_elements, checker))
    options["routes"] = [_route(element, checker) for element in root.iterfind("route")]
    return options


def _interface(element: Element, checker: Checker) -> Interface:
    """An address with its prefix, by default that of virSocketAddrGetIPPrefix() (src/util/virsocketaddr.c)."""
    text = element.get("address")
    if text is None:
        checker.refuse(element, "lacks address=")
    address = read_required_address(element, "address", checker)
    family = element.get("family", "ipv4" if address.version == 4 else "")
    if family != f"ipv{address.version}":
        given = f"family={repr_short(family)}" if family else "no family='ipv6'"
        checker.refuse(element, f"address={repr_short(text)} does not go with {given}")
    prefix, netmask = element.get("prefix"), element.get("netmask")
    if prefix is not None and netmask is not None:
        checker.refuse(element, "has both netmask and prefix; leave one out")
    try:
        return ipaddress.ip_interface(f"{address}/{prefix or netmask or _default_prefix(address)}")
    except ValueError:
        checker.refuse(element, f"{repr_short(prefix or netmask)} is not a netmask or prefix of {address}")


def _default_prefix(address: Address) -> int:
    if int(address) == 0:
        return 0
    if address.version == 6:
        return 64
    first = int(address) >> 24
    return 8 if first < 128 else 16 if first < 192 else 24


def _route(element: Element, checker: Checker) -> dict[str, Any]:
    """A route; without a prefix it is the default route (virNetDevIPRouteCreate() in src/conf/networkcommon_conf.c)."""
    destination = _interface(element, checker)
    if element.get("prefix") is None and element.get("netmask") is None and int(destination.ip):
        checker.refuse(element, "lacks prefix= or netmask=")
    if destination.ip != destination.network.network_address:
        checker.refuse(
            element,
            f"address={repr_short(str(destination.ip))} is not the first address of {destination.network}; use that",
        )
    gateway = read_required_address(element, "gateway", checker)
    route = {"to": str(destination.network), "via": str(gateway)}
    metric = read_number(element, "metric", checker)
    return route if metric is None else {**route, "metric": metric}


def _dhcp(element: Element, interface: Interface, checker: Checker) -> FlatOptions:
    """The options of DHCP and TFTP. libvirt serves a subnet if it has ranges or hosts."""
    tftp, dhcp = element.find("tftp"), element.find("dhcp")
    options: FlatOptions = {"dhcp.enabled": False}
    if tftp is not None:
        options["dhcp.tftp_root"] = tftp.get("root")
    if dhcp is None:
        return options
    ranges = [
        {
            "start": _address_of_family(dhcp_range, "start", interface, checker),
            "end": _address_of_family(dhcp_range, "end", interface, checker),
            "lease_time": _lease_time(dhcp_range, checker, DEFAULT_LEASE_TIME),
        }
        for dhcp_range in dhcp.iterfind("range")
    ]
    hosts = [_host(host, interface, checker) for host in dhcp.iterfind("host")]
    options["dhcp.boot"] = read_fields(dhcp.find("bootp"), BOOTP, checker)
    options["dhcp.hosts"] = hosts
    if ranges or hosts:
        options["dhcp.enabled"] = True
        if interface.version == 6:
            # libvirt advertises the prefix without the A flag.
            options["slaac"] = False
        # Without ranges libvirt serves only the hosts, as we do with an empty list.
        options["dhcp.ranges"] = ranges
    return options


def _address_of_family(element: Element, name: str, interface: Interface, checker: Checker) -> str:
    address = read_required_address(element, name, checker)
    if address.version != interface.version:
        checker.refuse(element, f"{name}={repr_short(element.get(name))} is not an IPv{interface.version} address")
    return str(address)


def _host(element: Element, interface: Interface, checker: Checker) -> dict[str, Any]:
    mac = element.get("mac")
    host = {
        "mac": mac.lower() if mac else None,
        # libvirt also accepts bytes of one digit.
        "id": ":".join(byte.zfill(2).lower() for byte in element.get("id", "").split(":") if byte),
        "name": element.get("name"),
        "ip": _address_of_family(element, "ip", interface, checker),
        "lease_time": _lease_time(element, checker, ""),
    }
    return {name: value for name, value in host.items() if value}


def _lease_time(element: Element, checker: Checker, default: str) -> str:
    lease = element.find("lease")
    if lease is None:
        return default
    unit = lease.get("unit", "minutes")
    if unit not in LEASE_UNITS:
        checker.refuse(lease, f"unit={repr_short(unit)} is none of {', '.join(LEASE_UNITS)}")
    expiry = read_number(lease, "expiry", checker)
    if expiry is None:
        checker.refuse(lease, "lacks expiry=")
    return format_lease_time(expiry * LEASE_UNITS[unit])


def ranges_of(addresses: Sequence[str]) -> list[dict[str, Any]]:
    """The DHCP ranges that contain exactly these addresses."""
    ranges: list[list[Any]] = []
    for address in sorted({ipaddress.ip_address(text) for text in addresses}, key=int):
        if ranges and int(address) == int(ranges[-1][1]) + 1:
            ranges[-1][1] = address
        else:
            ranges.append([address, address])
    return [{"start": str(start), "end": str(end)} for start, end in ranges]


def _local_ptr(elements: Sequence[Element], main_elements: Sequence[Element], checker: Checker) -> FlatOptions:
    """The options of localPtr, which libvirt has for each address, and we for the main addresses together.

    Where our option cannot express it, dnsmasq.options gets the lines that libvirt would write.
    """
    lines = {
        element: _local_ptr_line(element, checker) for element in elements if element.get("localPtr", "no") != "no"
    }
    values = {element.get("localPtr") for element in main_elements}
    option = {"yes": True, "no": False}.get(str(values.pop())) if len(values) == 1 else None
    return {
        "dns.local_ptr": option,
        "dnsmasq.options": [line for element, line in lines.items() if not (option and element in main_elements)],
    }


def _local_ptr_line(element: Element, checker: Checker) -> str:
    """The dnsmasq line that libvirt writes for localPtr (networkDnsmasqConfLocalPTRs() in bridge_driver.c)."""
    interface = _interface(element, checker)
    step = 8 if interface.version == 4 else 4
    prefix = interface.network.prefixlen
    if element.get("localPtr") != "yes" or prefix % step or prefix == 0:
        checker.refuse(element, f"localPtr is not possible with prefix {prefix}; it has to be a multiple of {step}")
    labels = interface.network.network_address.reverse_pointer.split(".")
    return f"local=/{'.'.join(labels[(interface.max_prefixlen - prefix) // step :])}/"
