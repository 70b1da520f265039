# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bridges of systemd-networkd: systemd.netdev(5), systemd.network(5), with drop-ins. Pure.

A network is one where networkd serves guests: DHCPServer=, IPMasquerade=, or an address on a bridge that it makes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from ..core.errors import printable
from ..core.options import Interface, shorten, without_zone
from .bridges import described, network_options
from .model import NETWORKD, Foreign, HostFacts, addresses_of, carries_way_out, network_name
from .sections import Section, Sections
from .served import Served

# The first has precedence (systemd.network(5)).
FOLDERS = ("etc/systemd/network", "run/systemd/network", "usr/local/lib/systemd/network", "usr/lib/systemd/network",
           "lib/systemd/network")  # fmt: skip

_KIND = "bridge"
_MATCHES = {"Name", "Kind", "Driver", "Type"}
_SECONDS = {"": 1, "s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "hour": 3600, "d": 86400, "day": 86400}
# systemd.network(5): "Defaults to 1h."
_DEFAULT_LEASE = 3600


@dataclass(frozen=True)
class NetworkdFiles:
    """Files by path below the root: the content of units, and of drop-ins in folders ``UNIT.d``."""

    texts: Mapping[str, str] = field(default_factory=dict)

    def units(self, suffix: str) -> dict[str, Sections]:
        """The units with a suffix by name, in order, each with its drop-ins; masked ones are empty."""
        units: dict[str, list[str]] = {}
        drop_ins: dict[str, dict[str, str]] = {}
        for folder in FOLDERS:
            for path, text in self.texts.items():
                if not path.startswith(f"{folder}/"):
                    continue
                unit, _slash, drop_in = path[len(folder) + 1 :].partition("/")
                if not drop_in and unit.endswith(suffix):
                    units.setdefault(unit, [text])
                elif unit.endswith(f"{suffix}.d") and drop_in.endswith(".conf"):
                    drop_ins.setdefault(unit[:-2], {}).setdefault(drop_in, text)
        for unit, added in drop_ins.items():
            if unit in units:
                units[unit] += [added[name] for name in sorted(added)]
        return {unit: Sections(texts) for unit, texts in sorted(units.items())}


def networkd_networks(files: NetworkdFiles, facts: HostFacts) -> list[Foreign]:
    """The networks on bridges that systemd-networkd makes, or serves."""
    made = {
        one.one("NetDev").value("Name"): one
        for one in files.units(".netdev").values()
        if one.one("NetDev").value("Kind") == _KIND
    }
    networks = files.units(".network")
    bridges = dict.fromkeys([*made, *(link.name for link in facts.links.values() if link.kind == _KIND)])
    found = []
    for bridge in bridges:
        unit = next((unit for unit, one in networks.items() if _matches(one.one("Match"), bridge)), "")
        if unit and _is_network(networks[unit], is_made=bridge in made):
            found.append(_network(bridge, unit, networks, made.get(bridge), facts))
    return found


def _matches(match: Section, bridge: str) -> bool:
    """Whether a [Match] section is for a bridge of this name; a condition of another kind is taken for false."""
    keys = {key for key, value in match.assignments if value}
    if not keys or keys - _MATCHES:
        return False
    name = all(_any_of(match.words(key), bridge) for key in ("Name",) if key in keys)
    kind = all(_any_of(match.words(key), _KIND) for key in ("Kind", "Driver") if key in keys)
    return name and kind and ("Type" not in keys or _any_of(match.words("Type"), "bridge"))


def _any_of(words: Sequence[str], text: str) -> bool:
    """Whether a text matches a pattern; after ``!`` in front of the first, whether it matches none."""
    if words and words[0].startswith("!"):
        return not any(fnmatchcase(text, word) for word in [words[0][1:], *words[1:]])
    return any(fnmatchcase(text, word) for word in words)


def _is_network(unit: Sections, *, is_made: bool) -> bool:
    section = unit.one("Network")
    serves = section.boolean("DHCPServer") or _masquerade(section)
    return bool(serves or (is_made and (section.values("Address") or unit.all("Address"))))


def _masquerade(section: Section) -> set[int]:
    """The IP versions that are masqueraded."""
    word = section.value("IPMasquerade").lower()
    if word in ("ipv4", "ipv6", "both"):
        return {"ipv4": {4}, "ipv6": {6}, "both": {4, 6}}[word]
    return {4} if section.boolean("IPMasquerade") else set()


def _network(
    bridge: str, unit: str, networks: Mapping[str, Sections], netdev: Sections | None, facts: HostFacts
) -> Foreign:
    own = networks[unit]
    section = own.one("Network")
    name = network_name(bridge)
    client = section.value("DHCP").lower() in ("yes", "true", "1", "on", "both", "ipv4", "v4")
    stays = carries_way_out(facts, bridge)
    if client or section.values("Gateway"):
        stays = stays or f"{unit} connects the host itself by it (DHCP= or Gateway=), so it is no network of guests"
    if netdev is None:
        stays = stays or f"another program makes the bridge, and {unit} only configures it"
    if stays or netdev is None:
        return Foreign(name, NETWORKD, bridge, stays=stays)
    notes = [f"{unit} and its .netdev make the bridge; remove them before a network of ours has it"]
    addresses = _addresses(own, addresses_of(facts.links.get(bridge)), notes)
    served = Served(_dhcp(own, addresses, notes), _ipv6(own), {"domain": ""})
    options, more = network_options(bridge, addresses, facts, served)
    notes += [*more, "networkd has no name server: its guests ask others, ours ask the host"]
    _add_mode(options, section, addresses, is_running=bridge in facts.links)
    _add_bridge(options, bridge, netdev, networks)
    routes = list(_routes(own, notes))
    if routes:
        options["routes"] = routes
    return described(name, NETWORKD, bridge, options, notes, runs=bridge in facts.links)


def _add_mode(options: dict[str, Any], section: Section, addresses: Sequence[Interface], *, is_running: bool) -> None:
    """``mode`` and ``nat``: what the file says counts, since networkd sets it up again."""
    masqueraded = _masquerade(section)
    if masqueraded:
        options.pop("nat", None)
        options.pop("uplink", None)
        options["mode"] = "nat"
        if 6 not in masqueraded and any(address.version == 6 for address in addresses):
            options["nat"] = {"ipv6": False}
    elif not is_running:
        forwards = section.boolean("IPForward") or section.value("IPForward") == "ipv4"
        options["mode"] = "routed" if forwards or section.boolean("IPv4Forwarding") else "isolated"


def _addresses(unit: Sections, live: Sequence[Interface], notes: list[str]) -> list[Interface]:
    texts = [*unit.one("Network").values("Address"), *(one.value("Address") for one in unit.all("Address"))]
    addresses: list[Interface] = []
    for text in texts:
        try:
            address = ipaddress.ip_interface(without_zone(text))
        except ValueError:
            if text:
                notes.append(f"an address is left out: {printable(shorten(text, 60))}")
            continue
        if int(address.ip):
            addresses.append(address)
            continue
        # systemd.network(5): of the unspecified address networkd chooses a free subnet.
        chosen = [one for one in live if one.version == address.version]
        addresses += chosen
        notes += [] if chosen else ["networkd chooses its subnet when it starts, and the network does not run"]
    return addresses


def _dhcp(unit: Sections, addresses: Sequence[Interface], notes: list[str]) -> dict[str, Any]:
    """The option ``ipv4.dhcp``."""
    host = next((address for address in addresses if address.version == 4), None)
    if host is None or not unit.one("Network").boolean("DHCPServer"):
        return {"enabled": False}
    section = unit.one("DHCPServer")
    dhcp = _pool(section, host, notes)
    seconds = _seconds(section.value("DefaultLeaseTimeSec"))
    if seconds and seconds != _DEFAULT_LEASE:
        dhcp["lease_time"] = "infinite" if seconds < 0 else str(seconds)
    hosts = [{"mac": one.value("MACAddress"), "ip": one.value("Address")} for one in unit.all("DHCPServerStaticLease")]
    options = _dhcp_options(section)
    dhcp.update({key: value for key, value in (("hosts", hosts), ("options", options)) if value})
    if section.value("BootFilename"):
        server = section.value("BootServerAddress") or section.value("BootServerName")
        dhcp["boot"] = {"file": section.value("BootFilename"), **({"server": server} if server else {})}
    if section.values("SendOption") or section.values("SendVendorOption"):
        notes.append("SendOption= is left out; write it as ipv4.dhcp.options")
    return dhcp


def _pool(section: Section, host: Interface, notes: list[str]) -> dict[str, Any]:
    """The range, unless it is the whole subnet."""
    offset, size = section.integer("PoolOffset") or 0, section.integer("PoolSize") or 0
    if not offset and not size:
        return {}
    last = host.network.num_addresses - 2
    first = offset or 1
    end = min(first + size - 1, last) if size else last
    if first > end:
        notes.append("its pool lies outside the subnet, and is left out")
        return {}
    return {"ranges": [{"start": str(host.network[first]), "end": str(host.network[end])}]}


def _dhcp_options(section: Section) -> dict[str, str]:
    """DNS and NTP servers, and the router; a word such as _server_address stands for the host."""
    options = {}
    for key, name in (("DNS", "dns-server"), ("NTP", "ntp-server"), ("Router", "router")):
        words = section.words(key)
        if words and not any(word.startswith("_") for word in words):
            options[name] = ",".join(words)
    # Without a value, the option is not sent.
    options.update({name: "" for key, name in (("EmitRouter", "router"), ("EmitDNS", "dns-server"))
                    if not section.boolean(key, True)})  # fmt: skip
    return options


def _seconds(text: str) -> int:
    """A time as systemd.time(7) has it, of one number; 0 for any other text, -1 for infinity."""
    if text == "infinity":
        return -1
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = text[len(number) :].strip()
    return int(number) * _SECONDS.get(unit, 0) if number.isdecimal() and len(number) < 10 else 0


def _ipv6(unit: Sections) -> dict[str, Any]:
    section = unit.one("Network")
    return {} if section.boolean("IPv6SendRA") or section.boolean("IPv6PrefixDelegation") else {"ra": False}


def _routes(unit: Sections, notes: list[str]) -> Iterator[dict[str, Any]]:
    for section in unit.all("Route"):
        to, via = section.value("Destination"), section.value("Gateway")
        if not to or not via:
            notes.append("a route without Destination= or Gateway= is left out")
            continue
        metric = section.integer("Metric")
        yield {"to": to, "via": via, **({"metric": metric} if metric else {})}


def _add_bridge(options: dict[str, Any], bridge: str, netdev: Sections, networks: Mapping[str, Sections]) -> None:
    """The option ``bridge``, from the .netdev and the files of its ports."""
    device, section = netdev.one("NetDev"), netdev.one("Bridge")
    desired: dict[str, Any] = dict(options["bridge"])
    if device.value("MACAddress").count(":") == 5:
        desired["mac"] = device.value("MACAddress")
    if device.integer("MTUBytes"):
        desired["mtu"] = device.integer("MTUBytes")
    if section.boolean("STP"):
        desired.update(stp=True, forward_delay=_seconds(section.value("ForwardDelaySec")) or 15)
    if not section.boolean("MulticastSnooping", True):
        desired["multicast_snooping"] = False
    ports = {
        word
        for unit in networks.values()
        if unit.one("Network").value("Bridge") == bridge
        for word in unit.one("Match").words("Name")
        if not set(word) & set("*?[]!")
    }
    ports |= set(desired.get("ports", ()))
    if ports:
        desired["ports"] = sorted(ports)
    options["bridge"] = desired
