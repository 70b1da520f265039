# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profiles of NetworkManager with ``ipv4.method=shared`` (nm-settings-keyfile(5), nm-settings(5)). Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..core.errors import printable
from ..core.options import Interface, shorten, without_zone
from .bridges import described, network_options
from .model import NETWORK_MANAGER, Foreign, HostFacts, addresses_of, carries_way_out, network_name
from .sections import Section, Sections
from .served import Served, served_options

FOLDERS = ("etc", "run", "usr/lib")
FOLDER = "NetworkManager/system-connections"

_ADDRESS_KEY = re.compile(r"address(?:es)?\d*")
_BRIDGE_TYPES = ("bridge",)
# A profile of another name for the interface that it makes a port.
_CONTROLLERS = ("controller", "master")
_INFINITE_LEASE = "2147483647"
# NetworkManager's own default (nm-setting-bridge.c): STP with these seconds.
_FORWARD_DELAY = 15


def shared_networks(texts: Mapping[str, str], facts: HostFacts) -> list[Foreign]:
    """The networks of profiles that share a connection; ``texts``: profiles by path, the first of each UUID counts."""
    profiles: dict[str, tuple[str, Sections]] = {}
    for path, text in texts.items():
        profile = Sections([text])
        profiles.setdefault(profile.one("connection").value("uuid") or path, (path, profile))
    sections = [profile for _path, profile in profiles.values()]
    return [
        _network(path, profile, sections, facts)
        for path, profile in profiles.values()
        if profile.one("ipv4").value("method") == "shared"
    ]


def _network(path: str, profile: Sections, others: Sequence[Sections], facts: HostFacts) -> Foreign:
    connection = profile.one("connection")
    identifier = connection.value("id")
    interface = connection.value("interface-name")
    name = network_name(identifier, interface)
    if connection.value("type") not in _BRIDGE_TYPES:
        kind = printable(shorten(connection.value("type") or "unknown", 30))
        return Foreign(
            name,
            NETWORK_MANAGER,
            interface,
            stays=f"it shares an interface of type {kind}, and no bridge for guests; what is connected to an Ethernet "
            "interface can be on a network of ours that has it in bridge.ports",
        )
    if not interface:
        return Foreign(name, NETWORK_MANAGER, "", stays=f"the profile {path} names no interface (interface-name)")
    live = facts.links.get(interface)
    stays = carries_way_out(facts, interface)
    if stays:
        return Foreign(name, NETWORK_MANAGER, interface, stays=stays)
    notes = [f"the profile {path} makes the bridge; delete it before a network of ours has it"]
    addresses = _addresses(profile, addresses_of(live), notes)
    options: dict[str, Any]
    options, more = network_options(interface, addresses, facts, _served(profile, interface, addresses, facts))
    notes += more
    if not addresses:
        options["ipv4"] = {"address": "auto"}
        notes.append("NetworkManager chooses its subnet when it starts; here it is chosen too, and is another one")
    options = {key: value for key, value in options.items() if key not in ("nat", "uplink")}
    options["mode"] = "nat"
    if any(address.version == 6 for address in addresses):
        options["nat"] = {"ipv6": False}
    _add_bridge(options, profile, interface, others, facts)
    if not connection.boolean("autoconnect", True):
        options["autostart"] = False
    if connection.value("zone"):
        notes.append(f"its firewalld zone is {printable(shorten(connection.value('zone'), 40))}; no option names one")
    return described(name, NETWORK_MANAGER, interface, options, notes, runs=live is not None)


def _addresses(profile: Sections, live: Sequence[Interface], notes: list[str]) -> list[Interface]:
    """The addresses of a profile; where it has none, those that NetworkManager chose."""
    found: dict[str, list[Interface]] = {"ipv4": [], "ipv6": []}
    for family, addresses in found.items():
        section = profile.one(family)
        for key, value in section.assignments:
            for part in value.split(";") if _ADDRESS_KEY.fullmatch(key) else ():
                try:
                    addresses.append(ipaddress.ip_interface(without_zone(part.split(",")[0].strip())))
                except ValueError:
                    if part.strip():
                        notes.append(f"an address is left out: {printable(shorten(part, 60))}")
    method = profile.one("ipv6").value("method")
    if method == "shared":
        notes.append("IPv6 is a prefix delegated to the host, which no option stands for; guests have none here")
    if method != "manual":
        found["ipv6"] = []
    return [*(found["ipv4"] or [one for one in live if one.version == 4]), *found["ipv6"]]


def _served(profile: Sections, bridge: str, addresses: Sequence[Interface], facts: HostFacts) -> Served:
    """DHCP and DNS: what its dnsmasq gives, or, where it does not run, what NetworkManager would start it with."""
    served = served_options(bridge, addresses, facts.servers)
    if served.dns.get("enabled", True):
        return served
    host = next((one for one in addresses if one.version == 4), None)
    dhcp: dict[str, Any] = {}
    section = profile.one("ipv4")
    ends = [part.strip() for part in section.value("shared-dhcp-range").split(",")]
    if host is not None and len(ends) == 2:
        dhcp["ranges"] = [{"start": ends[0], "end": ends[1]}]
    lease = section.value("shared-dhcp-lease-time")
    if lease not in ("", "0"):
        dhcp["lease_time"] = "infinite" if lease == _INFINITE_LEASE else lease
    return replace(served, dhcp=dhcp, dns={"domain": ""})


def _add_bridge(
    options: dict[str, Any], profile: Sections, interface: str, others: Sequence[Sections], facts: HostFacts
) -> None:
    """The option ``bridge``, from the profile and those of its ports."""
    section = profile.one("bridge")
    bridge: dict[str, Any] = {"name": interface}
    mac = section.value("mac-address") or profile.one("ethernet", "802-3-ethernet").value("cloned-mac-address")
    # A word such as "random" stands for an address that is not known.
    if mac.count(":") == 5:
        bridge["mac"] = mac
    mtu = profile.one("ethernet", "802-3-ethernet").integer("mtu")
    if mtu:
        bridge["mtu"] = mtu
    if section.boolean("stp", True):
        delay = section.integer("forward-delay")
        bridge.update(stp=True, forward_delay=_FORWARD_DELAY if delay is None else delay)
    if not section.boolean("multicast-snooping", True):
        bridge["multicast_snooping"] = False
    named = {interface, profile.one("connection").value("uuid"), profile.one("connection").value("id")} - {""}
    ports = {
        one.value("interface-name")
        for one in (other.one("connection") for other in others)
        if _controller(one) in named and one.value("interface-name")
    }
    ports |= set(facts.ports(interface))
    if ports:
        bridge["ports"] = sorted(ports)
    options["bridge"] = bridge


def _controller(connection: Section) -> str:
    return next((connection.value(key) for key in _CONTROLLERS if connection.value(key)), "")
