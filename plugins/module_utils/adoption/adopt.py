# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part that takes running networks over from libvirt, while guests stay on their bridges.

libvirt deletes a network's bridge when it stops the network. So the bridge has another name while it does, and libvirt
does not find it; guests, addresses and established connections are not touched. Everything that can be refused is
refused before. The order is such that there is never a moment without rules, and that a run that was cut short finds
what is left to do: the record of what there was, the definition, rules for both names of the bridge, the mark on the
bridge, the other name, libvirt, the first name, libvirt's new definition, leases, DHCP and DNS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from ..core.errors import InvalidOption, VirtnetError
from ..core.files import put
from ..core.identity import host_identity
from ..core.paths import Paths
from ..core.reconcile import CHANGE, Change, Plan, converge_locked
from ..dnsmasq.lease_file import Leases, read_leases
from ..libvirt.connection import Driver, LibvirtNetwork, driver_installed
from ..libvirt.definition import RegistrationSpec, registered_by_us, registration_xml, text_for_diff
from ..libvirt_xml.parse import parse
from ..libvirt_xml.values import Version
from ..network.model import Network
from ..network.runtime import note_run, pending_file, read_pending
from ..orchestration.desired_state import TASKS, Specs, parts, registrations
from ..orchestration.reconciler import DefinitionChange, Networks
from ..orchestration.reconciler import State as NetworksState
from .after_release import only, without_its_dnsmasq, without_libvirt
from .give_back import Returns
from .libvirt_leases import read_status
from .records import (
    RETURNING,
    TAKEN,
    TAKING,
    Record,
    as_ours,
    lease_file,
    read_records,
    record_file,
    record_of,
    refuse_unknown,
)
from .steps import drop_rules_aside, rules_aside, set_aside


@dataclass(frozen=True)
class State:
    """libvirt's networks by name, its guests' ports and leases by network, our records, definitions and the host."""

    networks: Mapping[str, LibvirtNetwork] = field(default_factory=dict)
    version: Version = (0, 0)
    ports: Mapping[str, Sequence[str]] = field(default_factory=dict)
    leases: Mapping[str, Leases] = field(default_factory=dict)
    records: Mapping[str, Record] = field(default_factory=dict)
    ours: NetworksState = field(default_factory=NetworksState)
    problem: str = ""


@dataclass(frozen=True)
class AdoptChange(Change):
    """A network that changes hands; what is done to the parts for it stands in changes beside."""

    record: Record | None = None
    registration: RegistrationSpec | None = None
    definitions: Sequence[DefinitionChange] = ()
    specs: Specs = field(default_factory=dict)


class Adoptions:
    """Networks of libvirt's that become ours: those called ``names``, or all that run."""

    def __init__(self, names: Sequence[str] | None, paths: Paths) -> None:
        self.names = names
        self.paths = paths
        self.identity = host_identity(paths.root)

    def read(self) -> State:
        """What libvirt has, what was kept of earlier runs, and the host; raises VirtnetError."""
        if not driver_installed(self.paths.root):
            return State(problem="libvirt's network driver is not installed; there is nothing to take over")
        records = read_records(self.paths)
        with Driver() as driver:
            networks = driver.networks()
            ports = {name: driver.ports(name) for name, one in networks.items() if one.active}
            version = driver.version
        bridges = {name: bridge_of(one.live) for name, one in networks.items()}
        return State(
            networks,
            version,
            ports,
            {name: read_status(bridge, self.paths) for name, bridge in bridges.items() if bridge},
            records,
            Networks([], False, self.paths).read(),
        )

    def plan(self, current: State) -> Plan[Change]:
        """Who comes over, and what that does to every part; raises VirtnetError for one that is named and cannot."""
        if current.problem:
            raise VirtnetError(current.problem)
        refuse_unknown(self.names or (), {*current.networks, *current.records}, "no network of libvirt's")
        notes: list[str] = []
        taken = dict(self._taken(current, notes))
        if not taken:
            return Plan(result=_holds(current.records), notes=notes)
        networks = {record.name: record.network(self.identity) for record in taken.values()}
        wanted = Networks(list(networks.values()), False, self.paths)
        defined = wanted.plan(without_libvirt(current.ours, list(taken.values())))
        specs = only(defined.return_values, networks.values())
        told = {one.name: one for one in registrations(specs, self.paths).desired}
        changes: list[Change] = [
            _adoption(record, told[name], defined.changes, specs, current) for name, record in sorted(taken.items())
        ]
        changes += [change for change in defined.changes if change.network in taken]
        for part in parts(specs, self.paths):
            plan = part.plan(without_its_dnsmasq(part.read(), list(networks.values())))
            changes += plan.changes
            notes += plan.notes
        return Plan(changes, _holds({**current.records, **taken}), notes)

    def _taken(self, current: State, notes: list[str]) -> Iterator[tuple[str, Record]]:
        for name, record in sorted(current.records.items()):
            if record.phase == RETURNING:
                raise VirtnetError(
                    f"network {name!r}: its return to libvirt was cut short; complete that first "
                    "(virtnet_adopt_revert=true), then take it again"
                )
            if record.phase == TAKING:
                yield name, record
        for name, found in sorted(current.networks.items()):
            asked = found.active if self.names is None else name in self.names
            if not asked or name in current.records or registered_by_us(found.xml):
                continue
            try:
                yield name, self._record(found, current)
            except VirtnetError as error:
                if self.names is not None:
                    raise
                notes.append(f"left with libvirt: {error}")

    def _record(self, found: LibvirtNetwork, current: State) -> Record:
        """What will be kept of a network; raises VirtnetError with the reason why it cannot be ours."""
        network = as_ours(found, self.identity)
        if not network.has_own_bridge:
            _refuse(network, "its bridge is the host's and not libvirt's, so nothing changes hands; define it here")
        if found.name in current.ours.definitions:
            _refuse(network, "a network of ours has this name already; give one of them another")
        link = current.ours.links.get(network.bridge.name)
        if found.active and (link is None or link.kind != "bridge"):
            _refuse(
                network,
                f"it runs, but its bridge {network.bridge.name!r} is gone; restart it first "
                f"(virsh net-destroy {found.name}, net-start)",
            )
        for port in current.ports.get(found.name, ()):
            _refuse_floor(network, port)
        return record_of(found, network.bridge.name, current.ports.get(found.name, ()))

    def apply(self, plan: Plan[Change]) -> None:
        """Take them over. Each step is done only where it is left to do; where one fails, libvirt has them again."""
        taken = [change for change in plan.changes if isinstance(change, AdoptChange)]
        try:
            self._take(taken)
        except VirtnetError as error:
            names = [change.record.name for change in taken if change.record is not None]
            raise VirtnetError(f"{error}; {self._given_back(names)}") from error

    def _given_back(self, names: Sequence[str]) -> str:
        """What became of networks whose change of hands has failed, as part of an error."""
        try:
            converge_locked(Returns(names, self.paths))
            self._followed(names)
        except VirtnetError as error:
            return (
                f"the networks {', '.join(names)} are taken over in part, since giving them back has failed too "
                f"({error}): put that right, and run this again or give them back (virtnet_adopt_revert=true)"
            )
        return f"libvirt has {', '.join(names)} again: put that right, and run this again"

    def _take(self, taken: Sequence[AdoptChange]) -> None:
        records = [change.record for change in taken if change.record is not None]
        put(record_file(record, self.paths) for record in records)
        self._define(taken[0].definitions, [record.name for record in records])
        rules, _bridges, *served = parts(taken[0].specs, self.paths)
        converge_locked(rules)
        rules_aside(records, taken[0].specs, self.paths)
        self._settle_bridges(taken[0].specs)
        with Driver() as driver:
            for change in taken:
                self._hand_over(change, driver)
        converge_locked(registrations(taken[0].specs, self.paths))
        with Driver() as driver:
            for record in records:
                if record.active:
                    driver.reclaim_ports(record.name, record.ports)
        for part in served:
            converge_locked(part)
        drop_rules_aside(records, self.paths)
        done = [replace(record, phase=TAKEN) for record in records]
        put(file for one in done for file in (record_file(one, self.paths), lease_file(one, None, self.paths)))
        self._followed([record.name for record in records])

    def _followed(self, names: Sequence[str]) -> None:
        """The guard has nothing left to leave to this run."""
        pending = read_pending(self.paths)
        put([pending_file(replace(pending, names=pending.names.difference(names)), self.paths)])

    def _define(self, definitions: Sequence[DefinitionChange], names: Sequence[str]) -> None:
        # The guard leaves them alone meanwhile, also where this run is cut short.
        note_run(names, TASKS, self.paths)
        put(file for change in definitions for file in change.files)
        # Last: what is remembered and not defined is taken for a bridge of ours that is to be removed.
        for whole in [change.whole for change in definitions if change.whole is not None][:1]:
            put(whole.memory)

    def _settle_bridges(self, specs: Specs) -> None:
        """Our mark and settings on the bridges; one that was set aside gets its name back."""
        converge_locked(parts({**specs, "rules": (), "fragments": (), "entries": ()}, self.paths)[1])

    def _hand_over(self, change: AdoptChange, driver: Driver) -> None:
        record, told = change.record, change.registration
        if record is None or told is None:
            raise AssertionError("a change without its network")
        found = driver.networks().get(record.name)
        if found is not None and registered_by_us(found.xml):
            return
        # Once libvirt has let go of a transient network, its leases are gone.
        put([lease_file(record, _latest(record, self.paths), self.paths)])
        if found is not None and found.active:
            set_aside(record)
            try:
                driver.stop(record.name)
            finally:
                self._settle_bridges(change.specs)
        put([lease_file(record, _latest(record, self.paths), self.paths)])
        if found is not None and record.persistent:
            driver.define(registration_xml(told, driver.version))


def _latest(record: Record, paths: Paths) -> Leases:
    """Its leases as libvirt has them now, or had when they were put aside."""
    kept = read_leases(lease_file(record, None, paths).path)
    now = read_status(record.bridge, paths)
    fresh = {lease.address for lease in now.leases}
    return Leases([*now.leases, *(one for one in kept.leases if one.address not in fresh)], now.duid or kept.duid)


def _holds(records: Mapping[str, Record]) -> list[Mapping[str, Any]]:
    return [record.as_options() for _name, record in sorted(records.items())]


def bridge_of(xml: str) -> str:
    """The bridge that a network of libvirt's has; '' for none."""
    bridge = parse(xml).find("bridge")
    return "" if bridge is None else str(bridge.get("name", ""))


def _refuse(network: Network, problem: str) -> NoReturn:
    raise InvalidOption("", problem, network.owner)


def _refuse_floor(network: Network, port: str) -> None:
    """A guaranteed share hangs on a queue that libvirt makes on bridges of its own alone."""
    root = parse(port)
    if root.find("bandwidth/inbound[@floor]") is not None:
        _refuse(
            network,
            f"guest {root.findtext('owner/name')!r} has a guaranteed share of bandwidth (floor), which would end; "
            "take it out of the guest's definition first",
        )


def _adoption(
    record: Record, told: RegistrationSpec, definitions: Sequence[DefinitionChange], specs: Specs, current: State
) -> AdoptChange:
    """The change of hands: libvirt's XML before and after."""
    xml = registration_xml(told, current.version)
    after = LibvirtNetwork(
        record.name, record.uuid, xml, xml, told.active, told.persistent, told.persistent and told.autostart
    )
    leases = current.leases.get(record.name, Leases()).leases
    ports = [link.name for link in current.ours.links.values() if link.master in (record.bridge, record.aside)]
    guests = f", with {', '.join(ports)}" if ports else ""
    return AdoptChange(
        CHANGE,
        f"libvirt network {record.name}",
        text_for_diff(record.live if record.active else record.xml) + record.found.status(),
        text_for_diff(xml) + after.status(),
        f"taken over{guests}; leases carried: {len(leases)}",
        record,
        told,
        definitions,
        specs,
    )
