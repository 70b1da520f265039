# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a network on a bridge, from its addresses and what runs on the host. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.options import Interface
from .model import (
    SCRIPT,
    Foreign,
    HostFacts,
    addresses_of,
    carries_way_out,
    network_name,
    with_link,
)
from .rules import forward_options, mode_options
from .served import Served, served_options

_NOT_SERVED = (
    "the host has no address on it: it only connects its ports, and there is nothing to serve; mode: bridged registers "
    "it with libvirt as it is"
)


def network_options(
    bridge: str, addresses: Sequence[Interface], facts: HostFacts, served: Served | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The options of a network with these addresses, but for its name, and notes; ``served``: its DHCP, if known."""
    served = served_options(bridge, addresses, facts.servers) if served is None else served
    options, notes = mode_options(bridge, addresses, facts)
    options["bridge"] = with_link({"name": bridge}, facts.links.get(bridge), facts.ports(bridge))
    ipv4 = [one for one in addresses if one.version == 4]
    ipv6 = [one for one in addresses if one.version == 6]
    options["ipv4"] = {"address": str(ipv4[0]), "dhcp": dict(served.dhcp)} if ipv4 else {"address": "none"}
    if ipv6:
        options["ipv6"] = {"address": str(ipv6[0]), **served.ipv6}
    extra = [str(one) for one in (*ipv4[1:], *ipv6[1:])]
    if extra:
        options["extra_addresses"] = extra
    routes = _routes(bridge, addresses, facts)
    if routes:
        options["routes"] = routes
    forwards, forward_notes = forward_options(bridge, addresses, facts)
    if forwards:
        options["port_forwards"] = forwards
    options["dns"] = dict(served.dns)
    return options, [*notes, *forward_notes, *served.notes]


def _routes(bridge: str, addresses: Sequence[Interface], facts: HostFacts) -> list[dict[str, Any]]:
    """Subnets behind guests."""
    routes = []
    for route in facts.routes:
        if route.interface == bridge and route.via and route.to != "default":
            via = ipaddress.ip_address(route.via)
            if any(via in address.network for address in addresses):
                metric = {"metric": route.metric} if route.metric > 1 else {}
                routes.append({"to": route.to, "via": route.via, **metric})
    return routes


def described(
    name: str, source: str, bridge: str, options: Mapping[str, Any], notes: Sequence[str], *, runs: bool
) -> Foreign:
    """A network that can be ours, with its options in the order of the documentation."""
    whole = {"name": name, **({} if runs else {"state": "inactive"}), **options}
    known = ("name", "state", "autostart", "mode", "uplink", "bridge", "ipv4", "ipv6", "extra_addresses", "routes",
             "nat", "port_forwards", "dns", "description")  # fmt: skip
    return Foreign(name, source, bridge, {key: whole[key] for key in known if key in whole}, notes=notes)


def plain_bridge(bridge: str, facts: HostFacts) -> Foreign:
    """A bridge that no program is known to run a network on: scripts made it, or the owner of its configuration."""
    claim = facts.claims.get(bridge, "")
    source = claim.partition(" (")[0] or SCRIPT
    name = network_name(bridge)
    addresses = addresses_of(facts.links.get(bridge))
    stays = carries_way_out(facts, bridge) or ("" if addresses else _NOT_SERVED)
    if stays:
        return Foreign(name, source, bridge, stays=stays)
    options, notes = network_options(bridge, addresses, facts)
    if claim:
        notes = [f"{claim} makes the bridge; remove it there before a network of ours has it", *notes]
    return described(name, source, bridge, options, notes, runs=True)
