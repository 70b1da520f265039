# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steps for the bridge of a network that is adopted or given back. The callers decide which steps are taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..core.command import ip_json, run
from ..core.errors import VirtnetError
from ..core.identity import MARK
from ..core.options import Options
from ..core.paths import Paths
from ..firewall.connections import FlowsToFlush
from ..firewall.reconciler import RulesReconciler
from ..kernel.fdb import SetFdbLimit
from ..kernel.link_changes import DeleteLink, DeleteLocalRoute, Rename, SetLink, SetSysctl, Step, apply_steps
from ..kernel.links import Link, read_links
from ..libvirt.ports import attach_steps
from ..nft.spec import RulesSpec
from ..orchestration.desired_state import Specs
from .records import Record


def rename_bridge_temporarily(record: Record) -> None:
    """Rename a bridge of ours to its temporary name, unless it has that; ports and addresses stay."""
    links = read_links()
    link = links.get(record.bridge)
    if link is not None and link.alias == MARK and record.temporary_bridge not in links:
        apply_steps([Rename(record.bridge, record.temporary_bridge)])


def add_temporary_rules(records: Iterable[Record], specs: Specs, paths: Paths) -> None:
    """Load the rules of networks also for the temporary names of their bridges."""
    temporary_names = {record.bridge: record.temporary_bridge for record in records}
    # A port of the host can be forwarded to only one network.
    options = [
        {**rules, "name": temporary, "bridge": temporary, "port_forwards": []}
        for rules in specs["rules"]
        if (temporary := temporary_names.get(rules.get("bridge", "")))
    ]
    _apply_rules(options, paths)


def remove_rules(names: Iterable[str], paths: Paths) -> None:
    """Remove rules of networks whose guests stay and are let through by other rules."""
    _apply_rules([{"name": name, "state": "absent"} for name in names], paths)


def _apply_rules(options: Sequence[Mapping[str, Any]], paths: Paths) -> None:
    """Apply rules without ending the connections that these rules no longer allow: other rules allow them."""
    desired = [RulesSpec.from_options(Options(rules, f"rules[{i}]")) for i, rules in enumerate(options)]
    reconciler = RulesReconciler(desired, False, paths)
    plan = reconciler.plan(reconciler.read())
    reconciler.apply(replace(plan, flows_to_flush=FlowsToFlush()))


def hide_routes(record: Record) -> None:
    """Move the routes of the bridge with the temporary name to the table local, where libvirt does not find them.

    libvirt refuses to start a network whose subnet is in /proc/net/route, which shows the table main
    (networkCheckRouteCollision() in src/network/bridge_driver_linux.c). The kernel looks up local before main, so the
    guests stay reachable.
    """
    lines = []
    for route in ip_json(["-4", "-j", "route", "show", "table", "main", "dev", record.temporary_bridge]):
        source = f" src {route['prefsrc']}" if "prefsrc" in route else ""
        via = f" via {route['gateway']}" if "gateway" in route else f" scope {route.get('scope', 'link')}"
        lines.append(f"route replace {route['dst']}{via} dev {record.temporary_bridge}{source} table local")
        lines.append(f"route del {route['dst']} dev {record.temporary_bridge} table main")
    if lines:
        run(["ip", "-batch", "-"], stdin="".join(f"{line}\n" for line in lines))


def release_bridge(record: Record) -> None:
    """Remove our mark, our limit and the temporary name from a bridge that libvirt never stopped using."""
    links = read_links()
    renamed, link = links.get(record.temporary_bridge), links.get(record.bridge)
    if renamed is not None and link is None:
        apply_steps(
            [SetFdbLimit(renamed.name, 0), SetLink(renamed.name, {"ifalias": ""}), Rename(renamed.name, record.bridge)]
        )
    elif renamed is None and link is not None and link.alias == MARK:
        apply_steps([SetFdbLimit(link.name, 0), SetLink(link.name, {"ifalias": ""})])


def move_guests(record: Record, *, isolated: bool) -> None:
    """Move the guests from the bridge with the temporary name to libvirt's, and delete the first."""
    links = read_links()
    old, new = links.get(record.temporary_bridge), links.get(record.bridge)
    if old is None:
        return
    if new is None or new.kind != "bridge" or new.alias == MARK:
        raise VirtnetError(f"network {record.name!r}: libvirt runs it, but its bridge {record.bridge!r} does not exist")
    ports = [link for link in links.values() if link.master == record.temporary_bridge]
    _copy_neighbors(old, new)
    apply_steps(_move_steps(new, old, ports, isolated=isolated))


def _copy_neighbors(old: Link, new: Link) -> None:
    """Copy the neighbor table: otherwise the first packet to each guest waits a second for an ARP reply."""
    lines = [
        f"neigh replace {neighbor['dst']} lladdr {neighbor['lladdr']} dev {new.name} nud stale\n"
        for neighbor in ip_json(["-j", "neigh", "show", "dev", old.name])
        if "lladdr" in neighbor
    ]
    # A neighbor that cannot be copied is resolved again.
    run(["ip", "-force", "-batch", "-"], stdin="".join(lines), check=False)


def _move_steps(new: Link, old: Link, ports: Sequence[Link], *, isolated: bool) -> list[Step]:
    steps = [*attach_steps(new, [port.name for port in ports])]
    # Those of hide_routes(). The kernel needs some time to delete a link; its routes must not lead there meanwhile.
    hidden = ip_json(["-4", "-j", "route", "show", "table", "local", "type", "unicast", "dev", old.name])
    steps += [DeleteLocalRoute(old.name, str(route["dst"])) for route in hidden]
    steps.append(DeleteLink(old.name))
    if isolated:
        steps += [SetSysctl(f"/sys/class/net/{port.name}/brport/isolated", "1") for port in ports]
    return steps
