# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses, DHCP and routes of libvirt's network XML as flat options."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any, Union

from ..core.options import shown
from ..dhcp.ranges import DEFAULT_LEASE_TIME
from .flat import Flat, lease_text
from .parse import Checker, Element

Interface = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]

_UNITS = {"seconds": 1, "minutes": 60, "hours": 3600}


def addresses(root: Element, checker: Checker) -> Flat:
    """ipv4, ipv6, extra_addresses and routes; the address with DHCP is the network's own, else the first is."""
    every = [(element, _interface(element, "address", checker)) for element in root.iterfind("ip")]
    found: Flat = {}
    extra = []
    own = []
    for family, version in (("ipv4", 4), ("ipv6", 6)):
        mine = [(element, interface) for element, interface in every if interface.version == version]
        served = [pair for pair in mine if pair[0].find("dhcp") is not None or pair[0].find("tftp") is not None]
        if len(served) > 1:
            checker.refuse(
                served[1][0], f"is the second IPv{version} address with DHCP; libvirt has one, and so have we"
            )
        main = next(iter([*served, *mine]), None)
        extra += [str(interface) for element, interface in mine if main is None or element is not main[0]]
        if main is None:
            found[f"{family}.address"] = "none"
            continue
        own.append(main[0])
        found[f"{family}.address"] = str(main[1])
        found.update({f"{family}.{path}": value for path, value in _served(*main, checker).items()})
    found["extra_addresses"] = extra
    found.update(_local_ptr([element for element, _path in every], own, checker))
    found["routes"] = [_route(element, checker) for element in root.iterfind("route")]
    return found


def _interface(element: Element, name: str, checker: Checker) -> Interface:
    """An address with netmask or prefix, as virSocketAddrGetIPPrefix() (src/util/virsocketaddr.c) completes it."""
    text = element.get(name)
    if text is None:
        checker.refuse(element, f"lacks {name}=")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        checker.refuse(element, f"{name}={shown(text)} is not an IP address")
    family = element.get("family", "ipv4" if address.version == 4 else "")
    if family != f"ipv{address.version}":
        said = f"family={shown(family)}" if family else "no family='ipv6'"
        checker.refuse(element, f"{name}={shown(text)} does not go with {said}")
    prefix, netmask = element.get("prefix"), element.get("netmask")
    if prefix is not None and netmask is not None:
        checker.refuse(element, "has both netmask and prefix; leave one out")
    try:
        return ipaddress.ip_interface(f"{address}/{prefix or netmask or _usual_prefix(address)}")
    except ValueError:
        checker.refuse(element, f"{shown(prefix or netmask)} is no netmask or prefix of {address}")


def _usual_prefix(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    if int(address) == 0:
        return 0
    if address.version == 6:
        return 64
    first = int(address) >> 24
    return 8 if first < 128 else 16 if first < 192 else 24


def _route(element: Element, checker: Checker) -> dict[str, Any]:
    target = _interface(element, "address", checker)
    try:
        gateway = ipaddress.ip_address(element.get("gateway", ""))
    except ValueError:
        checker.refuse(element, f"gateway={shown(element.get('gateway'))} is not an IP address")
    found = {"to": str(target.network), "via": str(gateway)}
    metric = element.get("metric")
    return {**found, "metric": _whole(element, "metric", checker)} if metric is not None else found


def _whole(element: Element, name: str, checker: Checker) -> int:
    value = element.get(name, "")
    if not (value.isascii() and value.isdecimal() and len(value) < 16):
        checker.refuse(element, f"{name}={shown(value)} is not a whole number")
    return int(value)


def _served(element: Element, interface: Interface, checker: Checker) -> Flat:
    """DHCP: libvirt serves a subnet if it has ranges or hosts."""
    tftp, dhcp = element.find("tftp"), element.find("dhcp")
    found: Flat = {"dhcp.enabled": False}
    if tftp is not None:
        found["dhcp.tftp_root"] = tftp.get("root")
    if dhcp is None:
        return found
    ranges = [
        {
            "start": _inside(one, "start", interface, checker),
            "end": _inside(one, "end", interface, checker),
            "lease_time": _lease(one, checker, DEFAULT_LEASE_TIME),
        }
        for one in dhcp.iterfind("range")
    ]
    hosts = [_host(one, interface, checker) for one in dhcp.iterfind("host")]
    bootp = dhcp.find("bootp")
    if bootp is not None:
        boot = {"file": bootp.get("file"), "server": bootp.get("server")}
        found["dhcp.boot"] = {name: value for name, value in boot.items() if value}
    found["dhcp.hosts"] = hosts
    if ranges or hosts:
        found["dhcp.enabled"] = True
        # Without a range libvirt serves the hosts alone. An address that is a host's is given to nobody else.
        found["dhcp.ranges"] = ranges or _spans([host["ip"] for host in hosts])
    return found


def _inside(element: Element, name: str, interface: Interface, checker: Checker) -> str:
    text = element.get(name)
    try:
        address = ipaddress.ip_address(text or "")
    except ValueError:
        checker.refuse(element, f"{name}={shown(text)} is not an IP address")
    if address.version != interface.version:
        checker.refuse(element, f"{name}={shown(text)} is not an IPv{interface.version} address")
    return str(address)


def _host(element: Element, interface: Interface, checker: Checker) -> dict[str, Any]:
    mac = element.get("mac")
    host = {
        "mac": mac.lower() if mac else None,
        # libvirt takes a byte of one digit too.
        "id": ":".join(byte.zfill(2).lower() for byte in element.get("id", "").split(":") if byte),
        "name": element.get("name"),
        "ip": _inside(element, "ip", interface, checker),
        "lease_time": _lease(element, checker, ""),
    }
    return {name: value for name, value in host.items() if value}


def _lease(element: Element, checker: Checker, default: str) -> str:
    lease = element.find("lease")
    if lease is None:
        return default
    unit = lease.get("unit", "minutes")
    if unit not in _UNITS:
        checker.refuse(lease, f"unit={shown(unit)} is none of {', '.join(_UNITS)}")
    return lease_text(_whole(lease, "expiry", checker) * _UNITS[unit])


def _spans(ips: Sequence[str]) -> list[dict[str, Any]]:
    """Ranges that contain these addresses and no others."""
    spans: list[list[Any]] = []
    for address in sorted({ipaddress.ip_address(one) for one in ips}, key=int):
        if spans and int(address) == int(spans[-1][1]) + 1:
            spans[-1][1] = address
        else:
            spans.append([address, address])
    return [{"start": str(start), "end": str(end), "lease_time": DEFAULT_LEASE_TIME} for start, end in spans]


def _local_ptr(every: Sequence[Element], own: Sequence[Element], checker: Checker) -> Flat:
    """localPtr, which libvirt has for each address, and we for those of the network itself."""
    zones = {element: _local_zone(element, checker) for element in every if element.get("localPtr", "no") != "no"}
    said = {element.get("localPtr") for element in own}
    whole = {"yes": True, "no": False}.get(str(said.pop())) if len(said) == 1 else None
    return {
        "dns.local_ptr": whole,
        "dnsmasq.options": [line for element, line in zones.items() if not (whole and element in own)],
    }


def _local_zone(element: Element, checker: Checker) -> str:
    """The line that libvirt makes of it (networkDnsmasqConfLocalPTRs() in bridge_driver.c)."""
    interface = _interface(element, "address", checker)
    step = 8 if interface.version == 4 else 4
    prefix = interface.network.prefixlen
    if element.get("localPtr") != "yes" or prefix % step or prefix == 0:
        checker.refuse(element, f"localPtr is not possible with prefix {prefix}; it has to be a multiple of {step}")
    packed = interface.network.network_address.packed
    words = [str(byte) for byte in packed] if interface.version == 4 else list(packed.hex())
    zone = ".".join(reversed(words[: prefix // step]))
    return f"local=/{zone}.{'in-addr' if interface.version == 4 else 'ip6'}.arpa/"
