# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steps that a bridge goes through when its network changes hands, either way; nothing here decides anything."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..core.command import run
from ..core.errors import VirtnetError
from ..core.identity import MARK
from ..core.options import Options
from ..core.paths import Paths
from ..firewall.reconciler import FlowsToFlush, NatRules
from ..kernel.fdb import SetFdbLimit
from ..kernel.link_changes import DeleteLink, DeleteLocalRoute, Rename, SetLink, SetSysctl, Step, take
from ..kernel.links import Link, read_links
from ..libvirt.ports import attach_steps
from ..nft.spec import RulesSpec
from ..orchestration.desired_state import Specs
from .records import Record


def set_aside(record: Record) -> None:
    """Give a bridge of our mark its other name, unless it has it; ports and addresses stay."""
    links = read_links()
    link = links.get(record.bridge)
    if link is not None and link.alias == MARK and record.aside not in links:
        take([Rename(record.bridge, record.aside)])


def rules_aside(records: Iterable[Record], specs: Specs, paths: Paths) -> None:
    """Rules of networks also for the other names of their bridges."""
    asides = {record.bridge: record.aside for record in records}
    # Ports of the host can lead to one network alone.
    wanted = [
        {**one, "name": asides[one["bridge"]], "bridge": asides[one["bridge"]], "port_forwards": []}
        for one in specs["rules"]
        if one.get("bridge") in asides
    ]
    _rules([RulesSpec.from_options(Options(one, f"rules[{i}]")) for i, one in enumerate(wanted)], paths)


def drop_rules_aside(records: Iterable[Record], paths: Paths) -> None:
    """Take them away again."""
    drop_rules([record.aside for record in records], paths)


def drop_rules(names: Iterable[str], paths: Paths) -> None:
    """Take rules away whose guests stay and are let through by others: their connections go on."""
    gone = [{"name": name, "state": "absent"} for name in names]
    _rules([RulesSpec.from_options(Options(one, f"rules[{i}]")) for i, one in enumerate(gone)], paths)


def _rules(wanted: Sequence[RulesSpec], paths: Paths) -> None:
    reconciler = NatRules(wanted, False, paths)
    plan = reconciler.plan(reconciler.read())
    reconciler.apply(replace(plan, flows_to_flush=FlowsToFlush()))


def hide_routes(record: Record) -> None:
    """Put the routes of a bridge that is aside where libvirt does not look.

    It refuses to start a network whose subnet it finds in /proc/net/route, which is the main table
    (networkCheckRouteCollision() in src/network/bridge_driver_linux.c). The table local comes before main, so guests
    are reached all the time.
    """
    listed = run(["ip", "-4", "-j", "route", "show", "table", "main", "dev", record.aside]).stdout
    lines = []
    for route in json.loads(listed or "[]"):
        source = f" src {route['prefsrc']}" if "prefsrc" in route else ""
        via = f" via {route['gateway']}" if "gateway" in route else f" scope {route.get('scope', 'link')}"
        lines.append(f"route replace {route['dst']}{via} dev {record.aside}{source} table local")
        lines.append(f"route del {route['dst']} dev {record.aside} table main")
    if lines:
        run(["ip", "-batch", "-"], stdin="".join(f"{line}\n" for line in lines))


def let_go(record: Record) -> None:
    """Take our mark, our limit, and the other name off a bridge that libvirt has never let go of."""
    links = read_links()
    aside, link = links.get(record.aside), links.get(record.bridge)
    if aside is not None and link is None:
        take([SetFdbLimit(aside.name, 0), SetLink(aside.name, {"ifalias": ""}), Rename(aside.name, record.bridge)])
    elif aside is None and link is not None and link.alias == MARK:
        take([SetFdbLimit(link.name, 0), SetLink(link.name, {"ifalias": ""})])


def move_guests(record: Record, *, isolated: bool) -> None:
    """Put the guests of a bridge that is aside on the one that libvirt has made, and delete the first."""
    links = read_links()
    old, new = links.get(record.aside), links.get(record.bridge)
    if old is None:
        return
    if new is None or new.kind != "bridge" or new.alias == MARK:
        raise VirtnetError(f"network {record.name!r}: libvirt runs it, but its bridge {record.bridge!r} is not there")
    ports = [link for link in links.values() if link.master == record.aside]
    _introduce(old, new)
    take(_moves(new, old, ports, isolated=isolated))


def _hidden(old: Link) -> list[str]:
    """The routes that were put out of libvirt's sight."""
    listed = json.loads(
        run(["ip", "-4", "-j", "route", "show", "table", "local", "type", "unicast", "dev", old.name]).stdout or "[]"
    )
    return [str(route["dst"]) for route in listed]


def _introduce(old: Link, new: Link) -> None:
    """Let a bridge know who its guests are: the first question for an address, lost, costs them a second."""
    listed = json.loads(run(["ip", "-j", "neigh", "show", "dev", old.name]).stdout or "[]")
    known = [(one["dst"], one["lladdr"]) for one in listed if "lladdr" in one]
    lines = [f"neigh replace {address} lladdr {mac} dev {new.name} nud stale\n" for address, mac in known]
    # Who is not introduced is asked for.
    run(["ip", "-force", "-batch", "-"], stdin="".join(lines), check=False)


def _moves(new: Link, old: Link, ports: Sequence[Link], *, isolated: bool) -> list[Step]:
    steps = [*attach_steps(new, [port.name for port in ports])]
    # The kernel takes its time over a link that goes; its routes must not lead there meanwhile.
    steps += [DeleteLocalRoute(old.name, subnet) for subnet in _hidden(old)]
    steps.append(DeleteLink(old.name))
    if isolated:
        folder = "/sys/class/net"
        steps += [SetSysctl(os.path.join(folder, port.name, "brport/isolated"), "1") for port in ports]
    return steps
