# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the elements of libvirt's network XML to flat options.

What is not written means what libvirt's network driver takes it for (src/conf/network_conf.c, network_conf.h and
src/network/bridge_driver.c of 11.3), which is not always our default.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from ..core.options import shortened, shown
from . import read_ip as ip
from .flat import Flat
from .parse import Checker, Element
from .schema import DNSMASQ_NAMESPACE

_MODES = {"nat": "nat", "route": "routed", "open": "open", "bridge": "bridged"}
_DNSMASQ = f"{{{DNSMASQ_NAMESPACE}}}"


def read(root: Element, checker: Checker) -> Flat:
    """The options that elements and attributes express; raises InvalidOption. Metadata is not looked at."""
    checker.check(root)
    found = {"name": root.findtext("name"), "mode": _mode(root, checker)}
    for name in ("title", "description"):
        # Prose, wrapped as its author pleased; an option is one line.
        found[name] = " ".join((root.findtext(name) or "").split())
    found["uuid"] = (root.findtext("uuid") or "").strip().lower()
    found["libvirt.trust_guest_rx_filters"] = yes(root, "trustGuestRxFilters", checker, False)
    found.update(_bridge(root, found["mode"], checker))
    found.update(_forward(root, found["mode"], checker))
    found.update(_for_guests(root, checker))
    if found["mode"] == "bridged":
        _refuse_served(root, checker)
    else:
        found.update(ip.addresses(root, checker))
        found.update(_dns(root, checker))
        lines = [one.get("value", "") for one in root.iterfind(f"{_DNSMASQ}options/{_DNSMASQ}option")]
        found["dnsmasq.options"] = [*lines, *found.pop("dnsmasq.options")]
        found.update(_nat(root, found, checker))
    return {path: value for path, value in found.items() if value not in (None, "", [], {})}


def yes(element: Element, name: str, checker: Checker, default: bool, words: tuple[str, str] = ("yes", "no")) -> bool:
    """An attribute that is yes or no."""
    value = element.get(name)
    if value is None:
        return default
    if value not in words:
        checker.refuse(element, f"{name}={shown(value)} is neither {words[0]} nor {words[1]}")
    return bool(value == words[0])


def number(element: Element, name: str, checker: Checker) -> int | None:
    """An attribute that is a whole number."""
    value = element.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) < 20):
        checker.refuse(element, f"{name}={shown(value)} is not a whole number")
    return int(value)


def _mode(root: Element, checker: Checker) -> str:
    forward = root.find("forward")
    if forward is None:
        return "isolated"
    word = forward.get("mode", "nat")
    if word in ("private", "vepa", "passthrough", "hostdev"):
        checker.refuse(
            forward, f"mode={shown(word)} gives guests devices of the host and has no bridge; define it with libvirt"
        )
    if word not in _MODES:
        checker.refuse(forward, f"mode={shown(word)} is none of {', '.join(_MODES)}")
    bridge = root.find("bridge")
    if word == "bridge" and (bridge is None or not bridge.get("name")):
        checker.refuse(forward, "mode='bridge' without <bridge name=...> is macvtap, which has no bridge; use libvirt")
    return _MODES[word]


def _refuse_served(root: Element, checker: Checker) -> None:
    for name in ("ip", "dns", "domain", "mtu", "mac", "route", f"{_DNSMASQ}options"):
        element = root.find(name)
        if element is not None:
            checker.refuse(element, "cannot be had with forward mode='bridge': the bridge belongs to somebody else")


def _bridge(root: Element, mode: str, checker: Checker) -> Flat:
    bridge, mac, mtu = root.find("bridge"), root.find("mac"), root.find("mtu")
    name = "" if bridge is None else bridge.get("name", "")
    # virbr%d asks libvirt for a free number: that is a network without a name for its bridge.
    found: Flat = {"bridge.name": "" if "%" in name else name}
    if mode == "bridged":
        return found
    found["bridge.stp"] = True if bridge is None else yes(bridge, "stp", checker, True, ("on", "off"))
    found["bridge.forward_delay"] = 0 if bridge is None else number(bridge, "delay", checker) or 0
    found["bridge.zone"] = None if bridge is None else bridge.get("zone")
    found["bridge.mac"] = None if mac is None else mac.get("address", "").lower()
    found["bridge.mtu"] = None if mtu is None else number(mtu, "size", checker)
    return found


def _forward(root: Element, mode: str, checker: Checker) -> Flat:
    forward = root.find("forward")
    if forward is None:
        return {}
    devices = {forward.get("dev"), *(one.get("dev") for one in forward.iterfind("interface"))} - {None}
    if len(devices) > 1:
        checker.refuse(
            forward, f"names several ways out ({shortened(', '.join(sorted(devices)), 80)}); a network has one"
        )
    if devices and mode in ("open", "bridged"):
        checker.refuse(
            forward, f"a device has no meaning with mode={shown(forward.get('mode'))}; libvirt refuses it too"
        )
    return {"uplink": next(iter(devices), None)}


def _nat(root: Element, found: Flat, checker: Checker) -> Flat:
    nat = root.find("forward/nat")
    result: Flat = {}
    if found["mode"] != "nat":
        if nat is not None:
            checker.refuse(nat, "has a meaning in forward mode='nat' alone; remove it")
        return result
    if nat is not None:
        for element, option in ((nat.find("address"), "nat.source"), (nat.find("port"), "nat.ports")):
            if element is not None:
                ends = {name: element.get(name) for name in ("start", "end")}
                ports = {name: number(element, name, checker) for name in ends} if option == "nat.ports" else ends
                result[option] = {name: value for name, value in ports.items() if value is not None}
    has_ipv6 = found.get("ipv6.address", "none") != "none"
    if has_ipv6 or (nat is not None and nat.get("ipv6") is not None):
        result["nat.ipv6"] = nat is not None and yes(nat, "ipv6", checker, False)
    return result


def _dns(root: Element, checker: Checker) -> Flat:
    domain, dns = root.find("domain"), root.find("dns")
    found: Flat = {}
    if domain is not None:
        found["dns.domain"] = domain.get("name", "").rstrip(".").lower()
        found["dns.local_only"] = yes(domain, "localOnly", checker, False)
        found["dns.host_resolver"] = yes(domain, "register", checker, True)
    enabled = dns is None or yes(dns, "enable", checker, True)
    found["dns.enabled"] = enabled
    if enabled or dns.get("forwardPlainNames") is not None:
        found["dns.forward_plain_names"] = dns is None or yes(dns, "forwardPlainNames", checker, True)
    if dns is not None:
        found["dns.forwarders"] = [
            _given(domain=one.get("domain"), address=_address(one, "addr", checker))
            for one in dns.iterfind("forwarder")
        ]
        found["dns.hosts"] = [
            {"ip": _address(one, "ip", checker), "names": [name.text or "" for name in one.iterfind("hostname")]}
            for one in dns.iterfind("host")
        ]
        found["dns.txt"] = [_given(name=one.get("name"), value=one.get("value")) for one in dns.iterfind("txt")]
        found["dns.srv"] = [
            _given(
                **{name: one.get(name) for name in ("service", "protocol", "domain", "target")},
                **{name: number(one, name, checker) for name in ("port", "priority", "weight")},
            )
            for one in dns.iterfind("srv")
        ]
    return found


def _address(element: Element, name: str, checker: Checker) -> str | None:
    value = element.get(name)
    try:
        return None if value is None else str(ipaddress.ip_address(value))
    except ValueError:
        checker.refuse(element, f"{name}={shown(value)} is not an IP address")


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}


def _for_guests(root: Element, checker: Checker) -> Flat:
    """What libvirt does with the guests that it starts."""
    port = root.find("port")
    bandwidth = _bandwidth(root, checker)
    return {
        "isolate_guests": port is not None and yes(port, "isolated", checker, False),
        "bandwidth.inbound": bandwidth.get("inbound"),
        "bandwidth.outbound": bandwidth.get("outbound"),
        "libvirt.virtualport": _virtualport(root),
        "libvirt.vlan": _vlan(root, checker),
        "libvirt.portgroups": [
            _given(
                name=one.get("name"),
                default=yes(one, "default", checker, False) or None,
                trust_guest_rx_filters=yes(one, "trustGuestRxFilters", checker, False) or None,
                virtualport=_virtualport(one),
                bandwidth=_bandwidth(one, checker),
                vlan=_vlan(one, checker),
            )
            for one in root.iterfind("portgroup")
        ],
    }


def _bandwidth(element: Element, checker: Checker) -> dict[str, Any]:
    def one(way: str) -> Iterator[tuple[str, int | None]]:
        inside = element.find(f"bandwidth/{way}")
        if inside is not None:
            for name in ("average", "peak", "burst", "floor"):
                yield name, number(inside, name, checker)

    return _given(**{way: _given(**dict(one(way))) for way in ("inbound", "outbound")})


def _virtualport(element: Element) -> dict[str, Any]:
    found = element.find("virtualport")
    if found is None:
        return {}
    parameters = found.find("parameters")
    return _given(type=found.get("type"), parameters={} if parameters is None else dict(parameters.attrib))


def _vlan(element: Element, checker: Checker) -> dict[str, Any]:
    found = element.find("vlan")
    if found is None:
        return {}
    tags = [_given(id=number(tag, "id", checker), native_mode=tag.get("nativeMode")) for tag in found.iterfind("tag")]
    return _given(trunk=yes(found, "trunk", checker, False) or None, tags=tags)
