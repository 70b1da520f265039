# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks of incus and LXD, from ``network list --format json``. Pure.

Keys of ``config`` are those of https://linuxcontainers.org/incus/docs/main/reference/network_bridge/.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..core.errors import printable
from ..core.options import shorten
from .bridges import described
from .model import Foreign, HostFacts, network_name, with_link

_TRUE = ("true", "1", "yes", "on")
_DEFAULT_DOMAINS = {"incus": "incus", "LXD": "lxd"}
# Keys that the options below come from, and those without an effect on guests.
_READ = frozenset(
    """
    bridge.driver bridge.hwaddr bridge.mtu bridge.external_interfaces dns.domain dns.mode dns.search dns.nameservers
    ipv4.address ipv4.nat ipv4.routing ipv4.dhcp ipv4.dhcp.ranges ipv4.dhcp.expiry ipv4.dhcp.gateway ipv4.routes
    ipv4.nat.address ipv6.address ipv6.nat ipv6.routing ipv6.dhcp ipv6.dhcp.stateful ipv6.dhcp.ranges ipv6.dhcp.expiry
    ipv4.firewall ipv6.firewall ipv4.nat.order ipv6.nat.order
    """.split()
)


def managed_networks(text: str, source: str, facts: HostFacts) -> list[Foreign]:
    """The networks that incus or LXD manages; raises ValueError for a text that is no such list."""
    try:
        listed = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(listed, list):
        raise ValueError("it is not a list")
    return [
        _network(item, source, facts)
        for item in listed
        if isinstance(item, Mapping) and item.get("managed") is True and isinstance(item.get("name"), str)
    ]


def _config(item: Mapping[str, Any]) -> dict[str, str]:
    config = item.get("config")
    return {str(key): str(value) for key, value in config.items()} if isinstance(config, Mapping) else {}


def _network(item: Mapping[str, Any], source: str, facts: HostFacts) -> Foreign:
    # incus names the bridge as the network.
    bridge = str(item["name"])
    name, kind, config = network_name(bridge), str(item.get("type", "bridge")), _config(item)
    if kind != "bridge":
        return Foreign(
            name, source, "", stays=f"it is of type {printable(shorten(kind, 30))}, which only {source} runs"
        )
    if config.get("bridge.mode") == "fan" or any(key.startswith("tunnel.") for key in config):
        return Foreign(name, source, bridge, stays="it spans hosts by a fan or a tunnel, which no option stands for")
    notes = [
        f"instances of {source} plug in by its name: give them a NIC with nictype=bridged and parent={bridge}, and "
        f"delete the network there, before a network of ours has the bridge"
    ]
    ipv4 = _ipv4(config, notes)
    ipv6 = _ipv6(config)
    has_address = ipv4.get("address") != "none" or bool(ipv6)
    options: dict[str, Any] = {
        "mode": _mode(config),
        "bridge": with_link(_bridge(config, bridge), facts.links.get(bridge), ()),
        "ipv4": ipv4,
        "dns": _dns(config, source, notes) if has_address else {"enabled": False},
    }
    if ipv6:
        options["ipv6"] = ipv6
    _add_nat(options, config, notes)
    if config.get("ipv4.routes") or config.get("ipv6.routes"):
        notes.append("routes to its subnets (ipv4.routes, ipv6.routes) are left out: write each with the guest as via")
    left_out = sorted(key for key in config if key not in _READ and not key.startswith(("volatile.", "user.")))
    if left_out:
        notes.append(f"settings without an option here: {printable(shorten(', '.join(left_out), 300))}")
    description = item.get("description")
    if isinstance(description, str) and description.isprintable() and 0 < len(description) <= 255:
        options["description"] = description
    notes.append(f"fixed addresses of instances are in {source}; write them as ipv4.dhcp.hosts")
    return described(name, source, bridge, options, notes, runs=bridge in facts.links)


def _is_on(config: Mapping[str, str], key: str, default: bool) -> bool:
    return config[key].lower() in _TRUE if config.get(key) else default


def _has(config: Mapping[str, str], family: str) -> bool:
    return config.get(f"{family}.address", "none") not in ("", "none")


def _mode(config: Mapping[str, str]) -> str:
    families = [family for family in ("ipv4", "ipv6") if _has(config, family)]
    if any(_is_on(config, f"{family}.nat", False) for family in families):
        return "nat"
    return "routed" if any(_is_on(config, f"{family}.routing", True) for family in families) else "isolated"


def _add_nat(options: dict[str, Any], config: Mapping[str, str], notes: list[str]) -> None:
    nat: dict[str, Any] = {}
    if options["mode"] != "nat":
        return
    if _has(config, "ipv6") and not _is_on(config, "ipv6.nat", False):
        nat["ipv6"] = False
    if _has(config, "ipv4") and not _is_on(config, "ipv4.nat", False):
        notes.append("only IPv6 addresses of its guests are hidden; here those of both versions are")
    if config.get("ipv4.nat.address"):
        nat["source"] = {"start": config["ipv4.nat.address"]}
    if nat:
        options["nat"] = nat


def _bridge(config: Mapping[str, str], bridge: str) -> dict[str, Any]:
    options: dict[str, Any] = {"name": bridge}
    if config.get("bridge.driver") == "openvswitch":
        options["type"] = "openvswitch"
    if config.get("bridge.hwaddr"):
        options["mac"] = config["bridge.hwaddr"]
    if config.get("bridge.mtu"):
        mtu = config["bridge.mtu"]
        options["mtu"] = int(mtu) if mtu.isdecimal() and len(mtu) < 6 else mtu
    # An item with slashes is an interface that incus makes (NAME/PARENT/VLAN).
    ports = [word for word in _words(config, "bridge.external_interfaces") if "/" not in word]
    if ports:
        options["ports"] = ports
    return options


def _words(config: Mapping[str, str], key: str) -> list[str]:
    return [word.strip() for word in config.get(key, "").split(",") if word.strip()]


def _ranges(config: Mapping[str, str], key: str) -> list[dict[str, str]]:
    return [
        {"start": start.strip(), "end": end.strip()}
        for start, _dash, end in (word.partition("-") for word in _words(config, key))
    ]


def _ipv4(config: Mapping[str, str], notes: list[str]) -> dict[str, Any]:
    if not _has(config, "ipv4"):
        return {"address": "none"}
    dhcp: dict[str, Any] = {}
    if not _is_on(config, "ipv4.dhcp", True):
        dhcp["enabled"] = False
    else:
        ranges = _ranges(config, "ipv4.dhcp.ranges")
        if ranges:
            dhcp["ranges"] = ranges
        if config.get("ipv4.dhcp.expiry"):
            dhcp["lease_time"] = config["ipv4.dhcp.expiry"]
        options = {}
        if config.get("ipv4.dhcp.gateway"):
            options["router"] = config["ipv4.dhcp.gateway"]
        if config.get("dns.nameservers"):
            options["dns-server"] = ",".join(word for word in _words(config, "dns.nameservers") if ":" not in word)
        if config.get("dns.search"):
            options["domain-search"] = ",".join(_words(config, "dns.search"))
        options = {key: value for key, value in options.items() if value}
        if options:
            dhcp["options"] = options
    return {"address": config["ipv4.address"], **({"dhcp": dhcp} if dhcp else {})}


def _ipv6(config: Mapping[str, str]) -> dict[str, Any]:
    if not _has(config, "ipv6"):
        return {}
    options: dict[str, Any] = {"address": config["ipv6.address"]}
    dhcp: dict[str, Any] = {}
    if _is_on(config, "ipv6.dhcp", True):
        dhcp = {"enabled": True}
        if _is_on(config, "ipv6.dhcp.stateful", False):
            ranges = _ranges(config, "ipv6.dhcp.ranges")
            lease = config.get("ipv6.dhcp.expiry")
            if ranges:
                dhcp["ranges"] = [{**one, **({"lease_time": lease} if lease else {})} for one in ranges]
        else:
            dhcp["stateless"] = True
    return {**options, **({"dhcp": dhcp} if dhcp else {})}


def _dns(config: Mapping[str, str], source: str, notes: list[str]) -> dict[str, Any]:
    if config.get("dns.mode") == "none":
        notes.append("names of its guests are not in DNS (dns.mode=none); here they are")
    return {"domain": config.get("dns.domain") or _DEFAULT_DOMAINS.get(source, "")}
