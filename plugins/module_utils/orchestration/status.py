# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The current state of networks, as ``virsh net-list`` and ``net-info`` show it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..core.identity import host_identity
from ..core.paths import Paths
from ..firewall.policy_hits import policy_hits
from ..firewall.reachability import diagnose
from ..firewall.reconciler import read_table
from ..kernel.links import Link
from ..libvirt.bridged import as_given
from ..libvirt.managed import LIBVIRT
from ..libvirt_xml.convert import to_xml
from ..libvirt_xml.parse import has_library
from ..network.model import Network
from ..network.store import read_stored
from ..nft.policy import has_policy
from .leases import read_leases
from .restore import HostState, load_host_state
from .subnet_conflicts import live_conflicts


def status(
    network: Network, links: Mapping[str, Link], conflicts: Sequence[str] = (), started: bool = True
) -> dict[str, Any]:
    """One network: its definition, whether it runs, and its ports. Pure.

    ``started``: whether it shall run; a bridge that is not ours may be up even if not.
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
        "conflicts": list(conflicts),
        "definition": network.as_options(),
    }


def networks(paths: Paths, names: Collection[str] = ()) -> list[dict[str, Any]]:
    """All networks of the host, or those named; raises VirtnetError for one that is not defined, or not readably."""
    return listed(load_host_state(paths), names)


def listed(host: HostState, names: Collection[str] = ()) -> list[dict[str, Any]]:
    """The same, for a state that was read already."""
    named = host.named(names)
    conflicts: dict[str, list[str]] = {}
    for conflict in live_conflicts(host):
        conflicts.setdefault(conflict.network.name, []).extend(other.used_by for other in conflict.others)
    started = {network.name for network in host.running}
    return [status(network, host.links, conflicts.get(network.name, ()), network.name in started) for network in named]


def described(paths: Paths, names: Collection[str] = ()) -> dict[str, Any]:
    """The same, each with its leases, the entries of its policy, the diagnosis of its packets, and its XML.

    XML needs a library, which a host may lack. With ``warnings``: why leases are missing. Raises VirtnetError.
    """
    host = load_host_state(paths)
    states, chosen = listed(host, names), host.named(names)
    texts = [dump(network) for network in chosen] if has_library() else [None for _network in chosen]
    now = time.time()
    report = read_leases(chosen, paths, now)
    hits = policy_hits(read_table()) if any(map(has_policy, chosen)) else []
    diagnosis = diagnose(network for network, state in zip(chosen, states) if state["state"] == "active")
    described_networks = [
        {
            **state,
            "leases": [lease.as_options(now) for lease in report.leases if lease.network == state["name"]],
            "policy": [hit.as_options() for hit in hits if hit.network == state["name"]],
            "packets": diagnosis.of(state["name"]),
            "xml": text,
        }
        for state, text in zip(states, texts)
    ]
    return {"networks": described_networks, "warnings": list(report.problems)}


def with_bridge(host: HostState) -> list[Network]:
    """The networks that run and whose bridge exists."""
    return [network for network in host.running if network.bridge.name in host.links]


def xml(paths: Paths, names: Collection[str]) -> list[str]:
    """Definitions as libvirt's XML, each as one text; raises VirtnetError."""
    return [dump(network) for network in read_stored(paths, host_identity(paths.root)).named(names)]


def dump(network: Network) -> str:
    """A definition as ``virsh net-dumpxml`` would show it, with the automatic addresses."""
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
            # In an automatic subnet the ranges are always the default ones.
            if isinstance(group.get("dhcp"), dict):
                group["dhcp"]["ranges"] = []
    return to_xml(options, live=live)
