# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reconciler of bridges: links and addresses.

It never deletes a bridge to create it again with a change, and an existing port stays. A bridge that is stopped records
its ports (port_records.py), so that the next start adds them again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from ..core.command import find, ip_json
from ..core.connection import connection_peer
from ..core.errors import NotRunning, VirtnetError
from ..core.files import write_files
from ..core.identity import bridge_mac, host_identity
from ..core.paths import Paths
from ..core.reconcile import CHANGE, DELETE, Plan
from ..kernel import frame_filter
from ..kernel.fdb import read_fdb_limits
from ..kernel.frame_filter import FrameFilters
from ..kernel.link_changes import AttachPort, DetachPort, apply_steps
from ..kernel.links import OPENVSWITCH, Link, has_ipv6, read_forwarding, read_links, read_sysctls
from ..kernel.policer import read_policers
from ..kernel.qdisc import read_root_qdiscs
from ..kernel.routes import read_others, read_routes
from ..openvswitch.bridges import OvsState, has_datapath, has_kernel_datapath, read_ovs, transact, with_ovs_masters
from ..openvswitch.userspace_ports import read_ip_settings
from . import linux_plan, ovs_plan, port_security
from .checks import check_linux, check_ovs
from .ip_config import FORWARDING
from .port_records import (
    hairpin_ports_record,
    listed_ports_record,
    ports_record,
    read_hairpin_ports,
    read_listed_ports,
    read_ports,
)
from .shaping import Limits
from .spec import BridgeSpec, refuse_duplicates
from .state import BridgeChange, BridgeState, DetachedPort, has_mark, is_ours
from .uplink import Uplinks, bridges_with_record, read_uplinks, record_file, return_steps
from .uplink_rollback import start_rollback_timer

ReadRecord = Callable[[str, Paths], "list[DetachedPort]"]


class BridgeReconciler:
    """The reconciler of bridges of both types."""

    def __init__(self, specs: Sequence[BridgeSpec], purge: bool, paths: Paths, may_move: bool = False) -> None:
        """``may_move``: whether somebody can confirm that the host is still reached after its uplink moved."""
        self.identity = host_identity(paths.root)
        self.specs = [spec if spec.mac else replace(spec, mac=bridge_mac(self.identity, spec.name)) for spec in specs]
        self.purge = purge
        self.paths = paths
        self.may_move = may_move
        self._ports: set[int] | None = None
        self._attached: set[str] = set()
        refuse_duplicates(self.specs)

    def read(self) -> BridgeState:
        """Read the host's links, and the settings of the bridges that the specs name."""
        if find("ip") is None or not (self.specs or self.purge):
            return BridgeState({})
        links = self._without_arrivals(read_links())
        ovs = self._read_ovs(links)
        links = with_ovs_masters(links, ovs.bridges)
        for spec in self.specs:
            link = links.get(spec.name)
            if link is not None and link.kind in ("bridge", OPENVSWITCH):
                links[spec.name] = replace(link, sysctls=self._read_sysctls(spec))
        detached = {spec.name: read_ports(spec.name, self.paths) for spec in self.specs}
        indexes = [links[spec.name].index for spec in self.specs if spec.name in links]
        return BridgeState(
            links=links,
            default_routes=_read_uplink_names() if any(spec.ports for spec in self.specs) else frozenset(),
            detached=detached,
            listed=self._read_records(read_listed_ports, links),
            hairpin=self._read_records(read_hairpin_ports, links),
            renamed_sysctls=self._read_renamed_sysctls(links),
            ipv6=has_ipv6(self.paths.proc_sys),
            limits=Limits(read_root_qdiscs(indexes), read_policers()),
            routes=read_routes(),
            other_routes=read_others(route for spec in self.specs for route in spec.routes),
            ovs=ovs,
            known_macs=self._read_known_macs() if self.purge else {},
            port_sysctls=self._read_port_sysctls(links, detached),
            uplinks=self._read_uplinks(),
            fdb=read_fdb_limits(),
            frame_filters=self._read_filters(),
        )

    def _read_filters(self) -> FrameFilters:
        if any(spec.port_security.enabled for spec in self.specs) or frame_filter.may_be_loaded(self.paths):
            return frame_filter.read_filters(self.paths)
        return FrameFilters()

    def _without_arrivals(self, links: dict[str, Link]) -> dict[str, Link]:
        """The links without the bridges of ports that were plugged in since the first read.

        Else a guest that starts while the changes are verified would make the run fail. The guard sets its flags.
        """
        if self._ports is None:
            self._ports = {link.index for link in links.values() if link.master}
        return {
            name: replace(link, master="")
            if link.master and link.index not in self._ports and name not in self._attached
            else link
            for name, link in links.items()
        }

    def _read_sysctls(self, spec: BridgeSpec) -> dict[str, str]:
        """The IP settings of a bridge that its spec may set."""
        settings = read_sysctls(self.paths.proc_sys, spec.name)
        if spec.forwarding:
            settings[FORWARDING] = read_forwarding(self.paths.proc_sys, spec.name)
        return settings

    def _read_records(self, read: ReadRecord, links: Mapping[str, Link]) -> dict[str, list[DetachedPort]]:
        names = {spec.name for spec in self.specs} | (set(links) if self.purge else set())
        return {name: ports for name in sorted(names) if (ports := read(name, self.paths))}

    def _read_known_macs(self) -> dict[str, str]:
        """All bridges that networks ever had, with their MAC addresses, by which an unfinished one is recognized."""
        # Imported here because only a purge needs it.
        from ..core.network_history import load_history

        try:
            return {name: mac for network in load_history(self.paths).values() for name, mac in network.bridges.items()}
        except VirtnetError:
            return {}

    def _read_renamed_sysctls(self, links: Mapping[str, Link]) -> dict[str, dict[str, str]]:
        names = {spec.name for spec in self.specs}
        return {
            link.name: read_sysctls(self.paths.proc_sys, link.name)
            for link in links.values()
            if has_mark(link) and link.name not in names
        }

    def _read_uplinks(self) -> Uplinks:
        with_record = bridges_with_record(self.paths)
        bridges = {spec.name for spec in self.specs if spec.enslave_uplink or spec.name in with_record}
        ports = {port for spec in self.specs if spec.enslave_uplink for port in spec.ports}
        return read_uplinks(bridges | (set(with_record) if self.purge else set()), ports, self.paths, self.may_move)

    def _read_port_sysctls(
        self, links: Mapping[str, Link], detached: Mapping[str, Sequence[DetachedPort]]
    ) -> dict[str, dict[str, str]]:
        """The IP settings of links that are or become ports of Open vSwitch bridges."""
        names = set()
        for spec in self.specs:
            if spec.type == OPENVSWITCH and spec.state == "present":
                names |= {*spec.ports, *(port.name for port in detached.get(spec.name, ()))}
                names |= {link.name for link in links.values() if link.master == spec.name}
        return {name: read_ip_settings(self.paths.proc_sys, name) for name in sorted(names) if name in links}

    def _read_ovs(self, links: Mapping[str, Link]) -> OvsState:
        """Open vSwitch, if one of the specs may mean a bridge of it."""
        specs = [spec for spec in self.specs if spec.type == OPENVSWITCH]
        if not specs and not has_datapath(links):
            return OvsState()
        ovs = read_ovs(check_daemon=any(spec.state == "present" for spec in specs))
        new = [spec for spec in specs if spec.state == "present" and spec.name not in ovs.bridges]
        return replace(ovs, kernel=has_kernel_datapath()) if new and not ovs.problem else ovs

    def plan(self, current: BridgeState) -> Plan[BridgeChange]:
        """Deletions come first: they may free names and ports that other bridges need."""
        notes: list[str] = []
        present = [spec for spec in self.specs if spec.state == "present"]
        changes, current = linux_plan.rename_back([spec for spec in present if spec.type != OPENVSWITCH], current)
        absent = self._absent(current)
        for spec in absent:
            changes += _delete(spec, current, notes)
        if self.purge:
            kept = {spec.name for spec in (*self.specs, *absent)}
            changes += linux_plan.delete_orphans(kept, current)
        deleted = {change.bridge for change in changes if change.action == DELETE}
        released = _released_ports(present, deleted, current)
        for spec in present:
            changes += _return_uplink(spec, current)
            changes += _create_or_change(spec, _with_released(spec, released, current), notes)
        return Plan(changes, [spec.as_options() for spec in present], notes)

    def _absent(self, current: BridgeState) -> list[BridgeSpec]:
        """The bridges to delete: those that the specs call absent; with ``purge`` all others of ours."""
        absent = {spec.name: spec for spec in self.specs if spec.state == "absent"}
        if self.purge:
            macs = {name: current.known_macs.get(name) or bridge_mac(self.identity, name) for name in current.links}
            ours = [name for name, link in current.links.items() if is_ours(link, macs[name])]
            ours += [row.name for row in current.ovs.bridges.values() if row.ours]
            named = {spec.name for spec in self.specs}
            for name in ours:
                if name not in named:
                    absent[name] = BridgeSpec(name=name, state="absent", mac=macs.get(name, ""))
        return list(absent.values())

    def apply(self, plan: Plan[BridgeChange]) -> None:
        """Make the changes; record the ports that a deletion detaches before it detaches them."""
        deletions = [change for change in plan.changes if change.action == DELETE]
        others = [change for change in plan.changes if change.action != DELETE]
        write_files(
            ports_record(change.bridge, change.detached, self.paths)
            for change in deletions
            if change.detached is not None
        )
        listed = {change.bridge: change.listed for change in plan.changes if change.listed is not None}
        hairpin = {change.bridge: change.hairpin for change in plan.changes if change.hairpin is not None}
        # A run that ends between has to find the ports that it should detach, and those whose mode it should end.
        both = {name: [*read_listed_ports(name, self.paths), *ports] for name, ports in listed.items()}
        write_files(listed_ports_record(name, ports, self.paths) for name, ports in both.items())
        both = {name: [*read_hairpin_ports(name, self.paths), *ports] for name, ports in hairpin.items()}
        write_files(hairpin_ports_record(name, ports, self.paths) for name, ports in both.items())
        filters = {name: one for change in others for name, one in change.frame_filters.items()}
        if filters:
            # Before the ports are attached, so that none of their frames passes unchecked.
            frame_filter.load(filters, self.paths)
        # A port that one bridge loses may become a port of another.
        apply_steps([step for change in deletions for step in change.steps])
        steps = [step for change in others for step in change.steps]
        self._attached |= {step.port for step in steps if isinstance(step, AttachPort)}
        apply_steps([step for step in steps if isinstance(step, DetachPort)])
        write_files(record_file(change.bridge, None, self.paths) for change in plan.changes if change.forget_uplink)
        transact([command for change in plan.changes for command in change.ovs_deletions])
        transact([command for change in plan.changes for command in change.ovs_commands])
        for change in plan.changes:
            if change.moved:
                write_files([record_file(change.bridge, change.moved, self.paths)])
                if not change.moved.confirmed:
                    start_rollback_timer(change.bridge, change.confirm_within, self.paths)
        apply_steps([step for step in steps if not isinstance(step, DetachPort)])
        write_files(listed_ports_record(name, ports, self.paths) for name, ports in listed.items())
        write_files(hairpin_ports_record(name, ports, self.paths) for name, ports in hairpin.items())
        filters = {name: one for change in deletions for name, one in change.frame_filters.items()}
        if filters:
            frame_filter.load(filters, self.paths)


def _released_ports(present: Sequence[BridgeSpec], deleted: set[str], current: BridgeState) -> set[str]:
    """The ports that our Linux bridges lose, so that others may have them."""
    linux = deleted - set(current.ovs.bridges)
    released = {link.name for link in current.links.values() if link.master in linux}
    for spec in present:
        # Ports of Open vSwitch have settings that they do not have elsewhere: it takes a run to restore them.
        if spec.type != OPENVSWITCH:
            released.update(linux_plan.removed_ports(spec, current))
    return released


def _with_released(spec: BridgeSpec, released: Collection[str], current: BridgeState) -> BridgeState:
    """The state without the masters of ports that the spec names and that another bridge loses."""
    freed = {
        name: replace(link, master="")
        for name in spec.ports
        for link in (current.links.get(name),)
        if link is not None and name in released and link.master != spec.name
    }
    return replace(current, links={**current.links, **freed}) if freed else current


def _delete(spec: BridgeSpec, current: BridgeState, notes: list[str]) -> list[BridgeChange]:
    ovs = current.ovs
    if spec.name in ovs.bridges:
        return ovs_plan.delete(ovs.bridges[spec.name], current, notes)
    if spec.type == OPENVSWITCH and ovs.installed and ovs.problem:
        raise NotRunning(f"bridge {spec.name!r}: {ovs.problem}")
    return linux_plan.delete(spec.name, spec.mac, current, notes)


def _create_or_change(spec: BridgeSpec, current: BridgeState, notes: list[str]) -> list[BridgeChange]:
    if spec.type == OPENVSWITCH:
        check_ovs(spec, current)
        exists = spec.name in current.ovs.bridges
        return ovs_plan.change(spec, current, notes) if exists else ovs_plan.create(spec, current, notes)
    check_linux(spec, current)
    desired = linux_plan.with_moved_uplink(spec, current)
    if len(desired.ports) < len(spec.ports):
        (port,) = set(spec.ports) - set(desired.ports)
        notes.append(
            f"{port} does not become a port of {spec.name}: it is the uplink of this host, and nobody has confirmed "
            "that the host can be reached with its addresses on the bridge; run the playbook"
        )
    ports = [port.name for port in current.ports_of(spec.name)]
    unfiltered = port_security.unfiltered_note(spec.name, spec.port_security, ports, spec.ports)
    notes += [unfiltered] if unfiltered else []
    return linux_plan.create_or_change(desired, current)


def _return_uplink(spec: BridgeSpec, current: BridgeState) -> list[BridgeChange]:
    """Return the addresses and routes to a former uplink port that the spec does not name any more."""
    moved = current.uplinks.records.get(spec.name)
    if moved is None or (spec.enslave_uplink and moved.port in spec.ports):
        return []
    return [
        BridgeChange(
            action=CHANGE,
            name=f"uplink {moved.port}",
            detail=f"{moved.port} is no longer a port and gets back its addresses and routes",
            steps=return_steps(moved, spec.name, current.links),
            bridge=spec.name,
            forget_uplink=True,
        )
    ]


def _read_uplink_names() -> frozenset[str]:
    """The interfaces of the default routes, and of the route to the other end of this run's connection."""
    names: set[str] = set()
    for family in ("-4", "-6"):
        for route in ip_json([family, "-j", "route", "show", "default"]):
            names.update([route["dev"]] if "dev" in route else [])
            names.update(hop["dev"] for hop in route.get("nexthops", ()) if "dev" in hop)
    peer = connection_peer(os.environ)
    if peer:
        to_peer = ip_json(["-j", "route", "get", peer], check=False)
        names.update(route["dev"] for route in to_peer if "dev" in route)
    return frozenset(names)
