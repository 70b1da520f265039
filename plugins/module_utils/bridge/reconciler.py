# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bridges: links and addresses.

A bridge is never deleted and made again to change it, and a port that is there stays. What a stopped bridge sets free
is noted under /run/virtnet/ports, so that the next start takes it back; for a bridge that somebody else deletes, the
guard keeps the same note while all is well.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ..core.command import find, run
from ..core.connection import connection_peer
from ..core.errors import NotRunning, VirtnetError
from ..core.files import File, put, read_note, read_text
from ..core.identity import bridge_mac, host_identity
from ..core.paths import Paths
from ..core.reconcile import CHANGE, DELETE, Plan
from ..kernel.fdb import read_fdb_limits
from ..kernel.link_changes import Step, take
from ..kernel.links import OPENVSWITCH, Link, has_ipv6, read_links, read_sysctls
from ..kernel.policer import read_policers
from ..kernel.qdisc import read_root_qdiscs
from ..kernel.routes import read_others, read_routes
from ..openvswitch.bridges import Switch, has_datapath, has_kernel_datapath, read_switch, transact, with_switch
from ..openvswitch.userspace_ports import read_stack
from . import linux_plan as bridge_plan
from . import ovs_plan as bridge_ovs
from . import uplink_rollback as uplink_return
from .linux_plan import BridgeChange, Freed, State, marked
from .ovs_plan import ports_of
from .shaping import Limits
from .spec import BridgeSpec, refuse_duplicates
from .uplink import Uplinks, give_back, read_uplinks, record, recorded


class Bridges:
    """The part that manages bridges."""

    def __init__(self, wanted: Sequence[BridgeSpec], purge: bool, paths: Paths, may_move: bool = False) -> None:
        """``may_move``: whether somebody is there who confirms that the host is still reached."""
        self.identity = host_identity(paths.root)
        self.wanted = [spec if spec.mac else replace(spec, mac=bridge_mac(self.identity, spec.name)) for spec in wanted]
        self.purge = purge
        self.paths = paths
        self.may_move = may_move
        refuse_duplicates(self.wanted)

    def read(self) -> State:
        """The host's links; the settings of the bridges that are asked for."""
        if find("ip") is None or not (self.wanted or self.purge):
            return State({})
        links = read_links()
        switch = self._read_switch(links)
        links = with_switch(links, switch.bridges)
        for spec in self.wanted:
            link = links.get(spec.name)
            if link is not None and link.kind in ("bridge", OPENVSWITCH):
                links[spec.name] = replace(link, sysctls=read_sysctls(self.paths.proc_sys, spec.name))
        freed = {spec.name: read_freed(spec.name, self.paths) for spec in self.wanted}
        return State(
            links=links,
            default_routes=_default_routes() if any(spec.ports for spec in self.wanted) else frozenset(),
            freed=freed,
            stray_sysctls={
                link.name: read_sysctls(self.paths.proc_sys, link.name)
                for link in links.values()
                if marked(link) and link.name not in {spec.name for spec in self.wanted}
            },
            ipv6=has_ipv6(self.paths.proc_sys),
            limits=Limits(
                read_root_qdiscs([links[spec.name].index for spec in self.wanted if spec.name in links]),
                read_policers(),
            ),
            routes=read_routes(),
            others=read_others(route for spec in self.wanted for route in spec.routes),
            switch=switch,
            made=self._read_made() if self.purge else {},
            stacks=self._read_stacks(links, freed),
            uplinks=self._read_uplinks(),
            fdb=read_fdb_limits(),
        )

    def _read_made(self) -> dict[str, str]:
        """Bridges that networks ever had, with their MAC addresses: the mark of one that is not finished."""
        # It is read here alone since networks need nothing of it.
        from ..core.memory import recall

        try:
            return {name: mac for one in recall(self.paths).values() for name, mac in one.bridges.items()}
        except (VirtnetError, AttributeError):
            return {}

    def _read_uplinks(self) -> Uplinks:
        had = recorded(self.paths)
        names = {spec.name for spec in self.wanted if spec.enslave_uplink or spec.name in had}
        ports = {port for spec in self.wanted if spec.enslave_uplink for port in spec.ports}
        return read_uplinks(names | (set(had) if self.purge else set()), ports, self.paths, self.may_move)

    def _read_stacks(
        self, links: Mapping[str, Link], freed: Mapping[str, Sequence[Freed]]
    ) -> dict[str, dict[str, str]]:
        """Of links that are ports of the bridges of Open vSwitch that are asked for, or will be."""
        names = set()
        for spec in self.wanted:
            if spec.type == OPENVSWITCH and spec.state == "present":
                names |= {*spec.ports, *(port.name for port in freed.get(spec.name, ()))}
                names |= {link.name for link in links.values() if link.master == spec.name}
        return {name: read_stack(self.paths.proc_sys, name) for name in sorted(names) if name in links}

    def _read_switch(self, links: Mapping[str, Link]) -> Switch:
        """Open vSwitch, where a bridge of its may be meant."""
        wanted = [spec for spec in self.wanted if spec.type == OPENVSWITCH]
        if not wanted and not has_datapath(links):
            return Switch()
        switch = read_switch(alive=any(spec.state == "present" for spec in wanted))
        new = [spec for spec in wanted if spec.state == "present" and spec.name not in switch.bridges]
        return replace(switch, kernel=has_kernel_datapath()) if new and not switch.problem else switch

    def plan(self, current: State) -> Plan[BridgeChange]:
        """Deletions first: they may free names and ports that others need."""
        named = {spec.name for spec in self.wanted}
        notes: list[str] = []
        present = [spec for spec in self.wanted if spec.state == "present"]
        renamed, current = bridge_plan.rename_back([spec for spec in present if spec.type != OPENVSWITCH], current)
        gone = {spec.name: spec for spec in self.wanted if spec.state == "absent"}
        if self.purge:
            macs = {name: current.made.get(name) or bridge_mac(self.identity, name) for name in current.links}
            ours = [name for name, link in current.links.items() if bridge_plan.ours(link, macs[name])]
            ours += [row.name for row in current.switch.bridges.values() if row.ours]
            gone.update(
                {name: BridgeSpec(name, "absent", mac=macs.get(name, "")) for name in ours if name not in named}
            )
        changes = [*renamed]
        for spec in gone.values():
            changes += _delete(spec, current, notes)
        if self.purge:
            changes += bridge_plan.delete_strays({*named, *gone}, current)
        for spec in present:
            changes += _move_back(spec, current)
            changes += _bring(spec, current, notes)
        return Plan(changes, [spec.as_options() for spec in present], notes)

    def apply(self, plan: Plan[BridgeChange]) -> None:
        """Take the steps; note the links that a deletion sets free before it does."""
        put(
            freed_note(change.bridge, change.freed, self.paths)
            for change in plan.changes
            if change.action == DELETE and change.freed is not None
        )
        # What a bridge sets free may be a port of another.
        _take(step for change in plan.changes if change.action == DELETE for step in change.steps)
        put(record(change.bridge, None, self.paths) for change in plan.changes if change.given_back)
        transact([command for change in plan.changes for command in change.first])
        transact([command for change in plan.changes for command in change.commands])
        for change in plan.changes:
            if change.moved and not change.given_back:
                put([record(change.bridge, change.moved, self.paths)])
                if not change.moved.confirmed:
                    uplink_return.arm(change.bridge, change.confirm_within, self.paths)
        _take(step for change in plan.changes if change.action != DELETE for step in change.steps)


def _ports_folder(paths: Paths) -> str:
    return os.path.join(paths.runtime, "ports")


def ports_file(bridge: str, paths: Paths) -> str:
    """Where the ports of a bridge are noted."""
    return os.path.join(_ports_folder(paths), f"{bridge}.json")


def noted_bridges(paths: Paths) -> list[str]:
    """The bridges whose ports are noted."""
    try:
        return [name[: -len(".json")] for name in os.listdir(_ports_folder(paths)) if name.endswith(".json")]
    except FileNotFoundError:
        return []


def read_freed(bridge: str, paths: Paths) -> list[Freed]:
    """The ports that are noted of a bridge."""
    try:
        listed = read_note(ports_file(bridge, paths)) or []
        return [Freed(str(name), int(index), *more) for name, index, *more in listed]
    except (ValueError, TypeError):
        # A note about guests' links that cannot be read is worth less than the run.
        return []


def read_ports(bridge: str, paths: Paths) -> list[tuple[str, int]]:
    """The same by name and index."""
    return [(port.name, port.index) for port in read_freed(bridge, paths)]


def ports_note(bridge: str, ports: Iterable[tuple[str, int]], paths: Paths) -> File:
    """The note of a bridge's ports: name and index of each."""
    return freed_note(bridge, [Freed(name, index) for name, index in ports], paths)


def freed_note(bridge: str, ports: Iterable[Freed], paths: Paths) -> File:
    """The same with the settings of ports of Open vSwitch."""
    items = sorted(ports, key=lambda port: port.name)
    listed = [[port.name, port.index, *([port.settings] if port.settings else [])] for port in items]
    return File(ports_file(bridge, paths), json.dumps(listed))


def note_switch_ports(names: Iterable[str], paths: Paths) -> None:
    """Note what is plugged into bridges of Open vSwitch, for the time after a loss. The caller holds the lock."""
    links = read_links()
    if not has_datapath(links):
        return
    rows = read_switch().bridges
    notes = [freed_note(name, ports_of(rows[name], links), paths) for name in names if name in rows]
    put(note for note in notes if read_text(note.path) != note.content)


def _take(steps: Iterable[Step]) -> None:
    listed = list(steps)
    if listed:
        take(listed)


def _delete(spec: BridgeSpec, current: State, notes: list[str]) -> list[BridgeChange]:
    switch = current.switch
    if spec.name in switch.bridges:
        return bridge_ovs.delete(switch.bridges[spec.name], current, notes)
    if spec.type == OPENVSWITCH and switch.installed and switch.problem:
        raise NotRunning(f"bridge {spec.name!r}: {switch.problem}")
    return bridge_plan.delete(spec.name, spec.mac, current, notes)


def _bring(spec: BridgeSpec, current: State, notes: list[str]) -> list[BridgeChange]:
    if spec.type == OPENVSWITCH:
        bridge_ovs.check(spec, current)
        there = spec.name in current.switch.bridges
        return bridge_ovs.change(spec, current, notes) if there else bridge_ovs.create(spec, current, notes)
    bridge_plan.check(spec, current)
    meant = bridge_plan.with_moved(spec, current)
    if len(meant.ports) < len(spec.ports):
        (port,) = set(spec.ports) - set(meant.ports)
        notes.append(
            f"{port} is not made a port of {spec.name}: it carries the way to this host, and nobody has confirmed that "
            "the host is reached with its addresses on the bridge; run the playbook"
        )
    there = spec.name in current.links
    return bridge_plan.change(meant, current) if there else bridge_plan.create(meant, current)


def _move_back(spec: BridgeSpec, current: State) -> list[BridgeChange]:
    """What moved, where that is not asked for any more."""
    moved = current.uplinks.records.get(spec.name)
    if moved is None or (spec.enslave_uplink and moved.port in spec.ports):
        return []
    detail = f"{moved.port} is no port any more and gets back its addresses and routes"
    steps = give_back(moved, spec.name, current.links)
    name = f"uplink {moved.port}"
    return [BridgeChange(CHANGE, name, "", "", detail, steps, None, spec.name, moved=moved, given_back=True)]


def _default_routes() -> frozenset[str]:
    found = set()
    for family in ("-4", "-6"):
        for route in json.loads(run(["ip", family, "-j", "route", "show", "default"]).stdout or "[]"):
            found.update([route["dev"]] if "dev" in route else [])
            found.update(hop["dev"] for hop in route.get("nexthops", ()) if "dev" in hop)
    peer = connection_peer(os.environ)
    if peer:
        way = run(["ip", "-j", "route", "get", peer], check=False)
        found.update(route["dev"] for route in json.loads(way.stdout or "[]") if "dev" in route)
    return frozenset(found)
