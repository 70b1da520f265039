# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading: from the elements of libvirt's network XML to flat options.

A missing element means libvirt's default (src/conf/network_conf.c, network_conf.h and src/network/bridge_driver.c of
11.3), which is not always ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.options import repr_short, shorten
from .fields import (
    DNS_RECORDS,
    NAT_RANGES,
    NETWORK_LIMITS,
    PORTGROUP,
    PORTGROUP_LIMITS,
    VLAN_TAG,
    Field,
    read_address,
    read_boolean,
    read_fields,
    read_number,
)
from .flat import DHCP_RANGES, FlatOptions
from .parse import Checker, Element, etree
from .read_ip import read_addresses
from .schema import DNSMASQ_NAMESPACE, WITH_LIBVIRT
from .values import without_empty

_MODES = {"none": "isolated", "nat": "nat", "route": "routed", "open": "open", "bridge": "bridged"}
_DNSMASQ = f"{{{DNSMASQ_NAMESPACE}}}"


def read_network_options(root: Element, checker: Checker) -> FlatOptions:
    """The options that elements and attributes express, without <metadata>; raises InvalidOption."""
    checker.check(root)
    options: FlatOptions = {"name": root.findtext("name"), "mode": _mode(root, checker)}
    for name in ("title", "description"):
        # An option is one line; libvirt allows line breaks here.
        options[name] = " ".join((root.findtext(name) or "").split())
    options["uuid"] = (root.findtext("uuid") or "").strip().lower()
    options["libvirt.trust_guest_rx_filters"] = read_boolean(root, "trustGuestRxFilters", checker, False)
    options.update(_bridge(root, options["mode"], checker))
    options.update(_forward(root, options["mode"], checker))
    options.update(_guest_settings(root, checker))
    if options["mode"] == "bridged":
        _refuse_services(root, checker)
    else:
        options.update(read_addresses(root, checker))
        options.update(_dns(root, checker))
        lines = [option.get("value", "") for option in root.iterfind(f"{_DNSMASQ}options/{_DNSMASQ}option")]
        options["dnsmasq.options"] = [*lines, *options.pop("dnsmasq.options")]
        options.update(_nat(root, options, checker))
    static_only: FlatOptions = {path: [] for path in DHCP_RANGES if options.get(path) == []}
    return {**without_empty(options), **static_only}


def _child(parent: Element, path: str) -> Element:
    """A child element, or an empty one instead of a missing one: both have libvirt's defaults."""
    child = parent.find(path)
    return etree().Element("missing") if child is None else child


def _mode(root: Element, checker: Checker) -> str:
    forward = root.find("forward")
    if forward is None:
        return "isolated"
    word = forward.get("mode", "nat")
    if word in ("private", "vepa", "passthrough", "hostdev"):
        checker.refuse(
            forward,
            f"mode={repr_short(word)} gives guests devices of the host and has no bridge; {WITH_LIBVIRT}",
        )
    if word not in _MODES:
        checker.refuse(forward, f"mode={repr_short(word)} is none of {', '.join(_MODES)}")
    if word == "bridge" and not _child(root, "bridge").get("name"):
        openvswitch = _child(root, "virtualport").get("type") == "openvswitch"
        what = "leaves the bridge to each guest" if openvswitch else "is macvtap, which has no bridge"
        checker.refuse(forward, f"mode='bridge' without <bridge name=...> {what}; give a bridge, or {WITH_LIBVIRT}")
    return _MODES[word]


def _refuse_services(root: Element, checker: Checker) -> None:
    # libvirt ignores <dnsmasq:options> here.
    for name in ("ip", "dns", "domain", "mtu", "mac", "route"):
        element = root.find(name)
        if element is not None:
            checker.refuse(
                element, "is not possible with forward mode='bridge', because the bridge is not ours; remove it"
            )


def _bridge(root: Element, mode: str, checker: Checker) -> FlatOptions:
    bridge = _child(root, "bridge")
    name = bridge.get("name", "")
    # With virbr%d libvirt chooses a free number, so the network does not name its bridge.
    options: FlatOptions = {"bridge.name": "" if "%" in name else name}
    if mode == "bridged":
        return options
    options["bridge.stp"] = read_boolean(bridge, "stp", checker, True, ("on", "off"))
    options["bridge.forward_delay"] = read_number(bridge, "delay", checker) or 0
    options["bridge.zone"] = bridge.get("zone")
    options["bridge.mac"] = _child(root, "mac").get("address", "").lower()
    options["bridge.mtu"] = read_number(_child(root, "mtu"), "size", checker)
    return options


def _forward(root: Element, mode: str, checker: Checker) -> FlatOptions:
    forward = _child(root, "forward")
    devices = {forward.get("dev"), *(interface.get("dev") for interface in forward.iterfind("interface"))} - {None}
    if len(devices) > 1:
        checker.refuse(
            forward,
            f"names several uplinks ({shorten(', '.join(sorted(devices)), 80)}), which libvirt refuses; "
            "describe the network by options, with uplink as a list",
        )
    if devices and mode in ("open", "bridged"):
        checker.refuse(
            forward, f"a device has no meaning with mode={repr_short(forward.get('mode'))}; libvirt refuses it too"
        )
    return {"uplink": next(iter(devices), None)}


def _nat(root: Element, options: FlatOptions, checker: Checker) -> FlatOptions:
    if options["mode"] != "nat":
        unused = root.find("forward/nat")
        if unused is not None:
            checker.refuse(unused, "has a meaning in forward mode='nat' alone; remove it")
        return {}
    nat = _child(root, "forward/nat")
    nat_options: FlatOptions = {
        option: read_fields(nat.find(tag), fields, checker) for option, tag, fields in NAT_RANGES
    }
    if options.get("ipv6.address", "none") != "none" or nat.get("ipv6") is not None:
        nat_options["nat.ipv6"] = read_boolean(nat, "ipv6", checker, False)
    return nat_options


def _dns(root: Element, checker: Checker) -> FlatOptions:
    domain, dns = root.find("domain"), _child(root, "dns")
    options: FlatOptions = {}
    if domain is not None:
        options["dns.domain"] = domain.get("name", "").rstrip(".").lower()
        options["dns.local_only"] = read_boolean(domain, "localOnly", checker, False)
        options["dns.host_resolver"] = read_boolean(domain, "register", checker, False)
    enabled = read_boolean(dns, "enable", checker, True)
    options["dns.enabled"] = enabled
    if enabled or dns.get("forwardPlainNames") is not None:
        options["dns.forward_plain_names"] = read_boolean(dns, "forwardPlainNames", checker, True)
    for option, tag, fields in DNS_RECORDS:
        options[option] = [read_fields(element, fields, checker) for element in dns.iterfind(tag)]
    # Without a port libvirt writes 1 (networkDnsmasqConfContents() in src/network/bridge_driver.c).
    options["dns.srv"] = [
        {"port": 1, **record} if record.get("target", ".") != "." else record for record in options["dns.srv"]
    ]
    options["dns.hosts"] = [
        {"ip": read_address(host, "ip", checker), "names": [name.text or "" for name in host.iterfind("hostname")]}
        for host in dns.iterfind("host")
    ]
    return options


def _guest_settings(root: Element, checker: Checker) -> FlatOptions:
    """What libvirt configures on the ports of guests that it starts."""
    bandwidth = _bandwidth(root, NETWORK_LIMITS, checker)
    return {
        "isolate_guests": read_boolean(_child(root, "port"), "isolated", checker, False),
        **{f"bandwidth.{direction}": limits for direction, limits in bandwidth.items()},
        "libvirt.virtualport": _virtualport(root),
        "libvirt.vlan": _vlan(root, checker),
        "libvirt.portgroups": [_portgroup(group, checker) for group in root.iterfind("portgroup")],
    }


def _portgroup(group: Element, checker: Checker) -> dict[str, Any]:
    settings = {
        "virtualport": _virtualport(group),
        "bandwidth": _bandwidth(group, PORTGROUP_LIMITS, checker),
        "vlan": _vlan(group, checker),
    }
    return {**read_fields(group, PORTGROUP, checker), **without_empty(settings)}


def _bandwidth(element: Element, limits: Mapping[str, Sequence[Field]], checker: Checker) -> dict[str, Any]:
    return without_empty(
        {
            direction: read_fields(element.find(f"bandwidth/{direction}"), fields, checker)
            for direction, fields in limits.items()
        }
    )


def _virtualport(element: Element) -> dict[str, Any]:
    port = _child(element, "virtualport")
    return without_empty({"type": port.get("type"), "parameters": dict(_child(port, "parameters").attrib)})


def _vlan(element: Element, checker: Checker) -> dict[str, Any]:
    vlan = _child(element, "vlan")
    return without_empty(
        {
            "trunk": read_boolean(vlan, "trunk", checker, False) or None,
            "tags": [read_fields(tag, VLAN_TAG, checker) for tag in vlan.iterfind("tag")],
        }
    )
