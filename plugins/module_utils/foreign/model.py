# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A network of others, and what is read of the host to describe it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.options import Interface
from ..dnsmasq.system_config import Config
from ..kernel.links import OPENVSWITCH, Link
from ..ruleset.model import Ruleset

# Who runs a network. Any other owner of a bridge is named by its configuration, as "ifupdown".
SCRIPT = "script"
NETWORK_MANAGER = "NetworkManager"
NETWORKD = "systemd-networkd"
LIBVIRT = "libvirt"
INCUS = "incus"
LXD = "LXD"

# Interfaces of guests: the host's own are ports of the network, these are what plugs in.
_GUEST_LINKS = ("tun", "veth", "macvtap", "macvlan", "ipvlan", "dummy")
_ETHERNET_MTU = 1500

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST_NAME = 50


@dataclass(frozen=True)
class Foreign:
    """A network that others run. ``source``: who; ``options``: an item of ``virtnet_networks`` that means the same.

    ``stays``: why it cannot be ours, then it has no options. ``notes``: what could not be read, or differs.
    """

    name: str
    source: str
    bridge: str
    options: Mapping[str, Any] = field(default_factory=dict)
    stays: str = ""
    notes: Sequence[str] = ()

    def as_options(self) -> dict[str, Any]:
        """The return value of the module."""
        return {
            "name": self.name,
            "source": self.source,
            "bridge": self.bridge,
            "options": dict(self.options) if self.options and not self.stays else None,
            "stays": self.stays,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class HostRoute:
    """A route of the main table; ``to`` is "default" for the way out, ``via`` is "" for a connected subnet."""

    to: str
    via: str
    interface: str
    metric: int = 0


@dataclass(frozen=True)
class HostFacts:
    """What is read of the kernel and of running programs.

    ``servers``: each running dnsmasq. ``forwarding``: interfaces of which IPv4 packets are forwarded. ``claims``: by
    link, the manager whose configuration makes it, with its file.
    """

    links: Mapping[str, Link] = field(default_factory=dict)
    routes: Sequence[HostRoute] = ()
    ruleset: Ruleset = ()
    servers: Sequence[Config] = ()
    forwarding: frozenset[str] = frozenset()
    claims: Mapping[str, str] = field(default_factory=dict)

    @property
    def ways_out(self) -> list[str]:
        """The interfaces of the default routes, the best one first."""
        defaults = sorted((one for one in self.routes if one.to == "default"), key=lambda one: one.metric)
        return list(dict.fromkeys(one.interface for one in defaults if one.interface))

    def ports(self, bridge: str) -> list[str]:
        """The ports of a bridge that are interfaces of the host, not of guests."""
        return sorted(
            link.name for link in self.links.values() if link.master == bridge and link.kind not in _GUEST_LINKS
        )


def with_link(options: dict[str, Any], link: Link | None, ports: Sequence[str]) -> dict[str, Any]:
    """The option ``bridge`` with what differs from the defaults on the running bridge."""
    bridge = dict(options)
    if ports:
        bridge["ports"] = list(ports)
    if link is not None:
        if link.kind == OPENVSWITCH:
            bridge["type"] = OPENVSWITCH
        if link.mtu not in (0, _ETHERNET_MTU):
            bridge["mtu"] = link.mtu
        if link.stp:
            bridge.update(stp=True, forward_delay=int(link.forward_delay))
        if link.multicast_snooping is False:
            bridge["multicast_snooping"] = False
    return bridge


def network_name(text: str, bridge: str = "") -> str:
    """A name for a network, made of what its owner calls it."""
    for candidate in (text, bridge):
        name = _NOT_IN_NAMES.sub("-", candidate).lstrip("_.-")[:_LONGEST_NAME].rstrip("-")
        if name:
            return name
    return "network"


def carries_way_out(facts: HostFacts, bridge: str) -> str:
    """Why a bridge stays that the host itself is connected by; "" for any other."""
    if bridge not in facts.ways_out:
        return ""
    return (
        "the host's own way out leads over it, so it is the host's connection and no network of guests "
        "(mode: bridged registers it with libvirt as it is)"
    )


def addresses_of(link: Link | None) -> list[Interface]:
    """The addresses of a link."""
    return [] if link is None else [ipaddress.ip_interface(address) for address in link.addresses]
