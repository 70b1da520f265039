# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks as they are: what ``virsh net-list`` and ``net-info`` tell."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..core.identity import host_identity
from ..core.paths import Paths
from ..firewall.reachability import diagnose
from ..kernel.links import Link
from ..libvirt.bridged import as_given
from ..libvirt.managed import LIBVIRT
from ..libvirt_xml.convert import to_xml
from ..libvirt_xml.parse import has_library
from ..network.model import Network
from ..network.store import read_stored
from .leases import read_leases
from .restore import HostState, load_host_state
from .subnet_conflicts import live_conflicts


def status(
    network: Network, links: Mapping[str, Link], meets: Sequence[str] = (), started: bool = True
) -> dict[str, Any]:
    """One network: its definition, whether it runs, and who is plugged in. Pure.

    ``started``: whether it shall run; the bridge of somebody else is up in any case.
    """
    link = links.get(network.bridge.name)
    up = link is not None and link.up
    runs = started if network.managed_by == LIBVIRT else up and (started or network.has_own_bridge)
    return {
        "name": network.name,
        "uuid": network.uuid,
        "state": "active" if runs else "inactive",
        "autostart": network.autostart,
        "persistent": network.persistent,
        "mode": network.mode,
        "bridge": network.bridge.name,
        "addresses": [] if link is None else list(link.addresses),
        "ports": sorted(port.name for port in links.values() if port.master == network.bridge.name),
        "conflicts": list(meets),
        "definition": network.as_options(),
    }


def networks(paths: Paths, names: Collection[str] = ()) -> list[dict[str, Any]]:
    """All networks of the host, or those named; raises VirtnetError for one that is not defined, or not readably."""
    return listed(load_host_state(paths), names)


def listed(situation: HostState, names: Collection[str] = ()) -> list[dict[str, Any]]:
    """The same, of what was read."""
    named = situation.named(names)
    met: dict[str, list[str]] = {}
    for one in live_conflicts(situation):
        met.setdefault(one.network.name, []).extend(other.used_by for other in one.others)
    started = {network.name for network in situation.running}
    return [status(network, situation.links, met.get(network.name, ()), network.name in started) for network in named]


def described(paths: Paths, names: Collection[str] = ()) -> dict[str, Any]:
    """The same, each with its leases, what becomes of its packets, and its XML where the host has the library for it.

    With ``warnings``: why leases are missing. Raises VirtnetError.
    """
    situation = load_host_state(paths)
    found, chosen = listed(situation, names), situation.named(names)
    texts = [dump(network) for network in chosen] if has_library() else [None for _network in chosen]
    now = time.time()
    report = read_leases(chosen, paths, now)
    diagnosis = diagnose(network for network, one in zip(chosen, found) if one["state"] == "active")
    described_networks = [
        {
            **one,
            "leases": [lease.as_options(now) for lease in report.leases if lease.network == one["name"]],
            "packets": diagnosis.of(one["name"]),
            "xml": text,
        }
        for one, text in zip(found, texts)
    ]
    return {"networks": described_networks, "warnings": list(report.problems)}


def plugged(situation: HostState) -> list[Network]:
    """The networks that run and whose bridge is there."""
    return [network for network in situation.running if network.bridge.name in situation.links]


def xml(paths: Paths, names: Collection[str]) -> list[str]:
    """Definitions as libvirt's XML, each as one text; raises VirtnetError."""
    return [dump(network) for network in read_stored(paths, host_identity(paths.root)).named(names)]


def dump(network: Network) -> str:
    """What ``virsh net-dumpxml`` would show: a definition, with the addresses that were chosen for it."""
    if network.xml:
        return network.xml
    options = network.as_options()
    if not network.has_own_bridge:
        return to_xml(as_given(options))
    live = {}
    for family in ("ipv4", "ipv6"):
        group = options.get(family)
        if isinstance(group, dict) and group.pop("auto", False):
            if group.get("address") not in (None, "auto", "none"):
                live[family] = str(group["address"])
            group["address"] = "auto"
            # With a subnet of our choice they are the default, whatever it happens to be now.
            if isinstance(group.get("dhcp"), dict):
                group["dhcp"]["ranges"] = []
    return to_xml(options, live=live)
