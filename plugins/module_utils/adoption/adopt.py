# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reconciler that adopts running networks of libvirt, while guests stay on their bridges.

libvirt deletes a network's bridge when it stops the network. So the bridge has a temporary name meanwhile, and libvirt
does not find it; guests, addresses and established connections are not affected. All refusals happen in plan().
apply() keeps rules in place at every moment, and each of its steps is done only if it is left to do, so that the next
run completes an interrupted one. The steps: the record of libvirt's network, our definition, rules for both names of
the bridge, our mark on the bridge, the temporary name, libvirt's stop, the first name, libvirt's new definition,
leases, DHCP and DNS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from ..core.errors import InvalidOption, VirtnetError
from ..core.files import File, write_files
from ..core.identity import host_identity
from ..core.paths import Paths
from ..core.reconcile import CHANGE, Change, Plan, converge_locked, read_settled
from ..dnsmasq.lease_file import Leases, read_leases
from ..libvirt.connection import Driver, LibvirtNetwork, driver_installed
from ..libvirt.definition import RegistrationSpec, registered_by_us, registration_xml, text_for_diff
from ..libvirt.managed import bridge_in
from ..libvirt.reconciler import desired_network
from ..libvirt_xml.parse import parse
from ..libvirt_xml.values import Version
from ..network.model import Network
from ..network.runtime import pending_file, read_pending, record_pending_run
from ..orchestration.desired_state import BRIDGES, ENTRIES, FRAGMENTS, OVS_BRIDGES, RULES, TASK_PARTS, Specs
from ..orchestration.parts import reconcilers_for, registrations_reconciler
from ..orchestration.reconciler import Networks
from ..orchestration.redirects import read_dnsmasq
from ..orchestration.state import State as NetworksState
from .after_release import specs_of, state_without_libvirt, state_without_libvirt_dnsmasq
from .give_back import Returns
from .libvirt_leases import read_status
from .records import (
    ADOPTED,
    ADOPTING,
    RETURNING,
    Record,
    guests_text,
    lease_file,
    network_from_libvirt,
    read_records,
    record_file,
    record_for,
    refuse_unknown,
)
from .steps import add_temporary_rules, remove_rules, rename_bridge_temporarily


@dataclass(frozen=True)
class AdoptState:
    """libvirt's networks by name, the ports and leases of their guests, our records, our networks.

    ``problem``: why libvirt cannot be queried.
    """

    networks: Mapping[str, LibvirtNetwork] = field(default_factory=dict)
    version: Version = (0, 0)
    ports: Mapping[str, Sequence[str]] = field(default_factory=dict)
    leases: Mapping[str, Leases] = field(default_factory=dict)
    records: Mapping[str, Record] = field(default_factory=dict)
    ours: NetworksState = field(default_factory=NetworksState)
    problem: str = ""


@dataclass(frozen=True)
class AdoptPlan(Plan[Change]):
    """The networks to adopt, and what they need on this host: specs of all parts, and files.

    ``registrations``: by name, how libvirt has the networks afterwards.
    ``history_files``: the histories of this host's networks; written after ``definition_files``.
    """

    records: Sequence[Record] = ()
    registrations: Mapping[str, RegistrationSpec] = field(default_factory=dict)
    specs: Specs = field(default_factory=dict)
    definition_files: Sequence[File] = ()
    history_files: Sequence[File] = ()

    @property
    def names(self) -> list[str]:
        """The names of the networks."""
        return [record.name for record in self.records]


class Adoptions:
    """The reconciler that adopts the networks called ``names``, or all that run."""

    def __init__(self, names: Sequence[str] | None, paths: Paths) -> None:
        self.names = names
        self.paths = paths
        self.identity = host_identity(paths.root)

    def read(self) -> AdoptState:
        """libvirt's networks, the records of earlier runs, and our networks; raises VirtnetError."""
        if not driver_installed(self.paths.root):
            return AdoptState(problem="libvirt's network driver is not installed; there is nothing to take over")
        records = read_records(self.paths)
        with Driver() as driver:
            networks = driver.networks()
            ports = {name: driver.ports(name) for name, network in networks.items() if network.active}
        bridges = {name: bridge_in(network.live) for name, network in networks.items()}
        return AdoptState(
            networks=networks,
            version=driver.version,
            ports=ports,
            leases={name: read_status(bridge, self.paths) for name, bridge in bridges.items() if bridge},
            records=records,
            ours=Networks([], False, self.paths).read(),
        )

    def plan(self, current: AdoptState) -> AdoptPlan:
        """The networks to adopt, and the changes of all parts; raises VirtnetError if a named one cannot be adopted."""
        if current.problem:
            raise VirtnetError(current.problem)
        refuse_unknown(self.names or (), {*current.networks, *current.records}, "no network of libvirt's")
        records, notes = self._select(current)
        if not records:
            return AdoptPlan(result=_as_result(current.records.values()), notes=notes)
        networks = [record.network(self.identity) for record in records]
        dnsmasq = state_without_libvirt_dnsmasq(read_dnsmasq(networks, self.paths), networks)
        ours = replace(state_without_libvirt(current.ours, records), dnsmasq=dnsmasq)
        definitions = Networks(networks, False, self.paths).plan(ours)
        specs = specs_of(definitions.return_values, networks)
        registrations = {spec.name: spec for spec in registrations_reconciler(specs, self.paths).desired}
        by_name = {record.name: record for record in records}
        changes: list[Change] = [_change(record, registrations[record.name], current) for record in records]
        changes += [change for change in definitions.changes if change.network in by_name]
        for part in reconcilers_for(specs, self.paths).values():
            plan = part.plan(state_without_libvirt_dnsmasq(read_settled(part), networks))
            changes += plan.changes
            notes += plan.notes
        return AdoptPlan(
            changes=changes,
            result=_as_result({**current.records, **by_name}.values()),
            notes=notes,
            records=records,
            registrations=registrations,
            specs=specs,
            definition_files=[file for change in definitions.changes for file in change.files],
            history_files=[*definitions.history_files, *definitions.record_files] if definitions.changes else (),
        )

    def _select(self, current: AdoptState) -> tuple[list[Record], list[str]]:
        """The records of the networks to adopt, by name, and notes on networks that cannot be adopted."""
        selected: dict[str, Record] = {}
        notes = []
        for name, record in current.records.items():
            if record.phase == RETURNING:
                raise VirtnetError(
                    f"network {name!r}: its return to libvirt was cut short; complete that first "
                    "(virtnet_adopt_revert=true), then take it again"
                )
            if record.phase == ADOPTING:
                selected[name] = record
        for name, network in sorted(current.networks.items()):
            is_selected = network.active if self.names is None else name in self.names
            if not is_selected or name in current.records or registered_by_us(network.xml):
                continue
            try:
                selected[name] = self._new_record(network, current)
            except VirtnetError as error:
                if self.names is not None:
                    raise
                notes.append(f"left with libvirt: {error}")
        return [record for _name, record in sorted(selected.items())], notes

    def _new_record(self, candidate: LibvirtNetwork, current: AdoptState) -> Record:
        """The record of a network; raises VirtnetError with the reason why it cannot be adopted."""
        network = network_from_libvirt(candidate, self.identity)
        if not network.has_own_bridge:
            _refuse(network, "its bridge is the host's and not libvirt's, so nothing changes hands; define it here")
        if candidate.name in current.ours.definitions:
            _refuse(network, "a network of ours has this name already; give one of them another")
        link = current.ours.links.get(network.bridge.name)
        if candidate.active and (link is None or link.kind != "bridge"):
            _refuse(
                network,
                f"it runs, but its bridge {network.bridge.name!r} is gone; restart it first "
                f"(virsh net-destroy {candidate.name}, net-start)",
            )
        ports = current.ports.get(candidate.name, ())
        for port in ports:
            _refuse_floor(network, port)
        return record_for(candidate, network.bridge.name, ports)

    def apply(self, plan: AdoptPlan) -> None:
        """Adopt the networks; if a step fails, give them back to libvirt and raise VirtnetError."""
        try:
            self._adopt(plan)
        except VirtnetError as error:
            raise VirtnetError(f"{error}; {self._give_back(plan.names)}") from error

    def _give_back(self, names: Sequence[str]) -> str:
        """Give networks back whose adoption failed; returns the outcome as part of an error message."""
        try:
            converge_locked(Returns(names, self.paths))
            self._end_pending_run(names)
        except VirtnetError as error:
            return (
                f"the networks {', '.join(names)} are taken over in part, since giving them back has failed too "
                f"({error}): put that right, and run this again or give them back (virtnet_adopt_revert=true)"
            )
        return f"libvirt has {', '.join(names)} again: put that right, and run this again"

    def _adopt(self, plan: AdoptPlan) -> None:
        records = plan.records
        write_files(record_file(record, self.paths) for record in records)
        # The guard does not repair these networks until the run ends, even if it is interrupted.
        record_pending_run(plan.names, TASK_PARTS, self.paths)
        write_files(plan.definition_files)
        # After the definitions: the bridge of a network that is remembered and not defined would be removed.
        write_files(plan.history_files)
        reconcilers = reconcilers_for(plan.specs, self.paths)
        converge_locked(reconcilers[RULES])
        add_temporary_rules(records, plan.specs, self.paths)
        self._converge_bridges(plan.specs)
        with Driver() as driver:
            for record in records:
                self._release_from_libvirt(record, plan, driver)
        converge_locked(registrations_reconciler(plan.specs, self.paths))
        with Driver() as driver:
            for record in records:
                if record.active:
                    driver.reclaim_ports(record.name, record.ports)
        for part in (OVS_BRIDGES, FRAGMENTS, ENTRIES):
            converge_locked(reconcilers[part])
        remove_rules([record.temporary_bridge for record in records], self.paths)
        write_files(
            file
            for record in records
            for file in (record_file(replace(record, phase=ADOPTED), self.paths), lease_file(record, None, self.paths))
        )
        self._end_pending_run(plan.names)

    def _end_pending_run(self, names: Sequence[str]) -> None:
        """Let the guard repair these networks again."""
        others = {name: network for name, network in read_pending(self.paths).items() if name not in names}
        write_files([pending_file(others, self.paths)])

    def _converge_bridges(self, specs: Specs) -> None:
        """Reconcile the bridges: our mark, their settings, and the first name of one with a temporary name."""
        bridges_only: Specs = {**specs, RULES: (), FRAGMENTS: (), ENTRIES: ()}
        converge_locked(reconcilers_for(bridges_only, self.paths)[BRIDGES])

    def _release_from_libvirt(self, record: Record, plan: AdoptPlan, driver: Driver) -> None:
        """Stop the network in libvirt without its bridge, and replace its definition by the registration."""
        network = driver.networks().get(record.name)
        if network is not None and registered_by_us(network.xml):
            return
        # libvirt removes the leases of a transient network when it stops the network.
        write_files([lease_file(record, _current_leases(record, self.paths), self.paths)])
        if network is not None and network.active:
            rename_bridge_temporarily(record)
            try:
                driver.stop(record.name)
            finally:
                self._converge_bridges(plan.specs)
        write_files([lease_file(record, _current_leases(record, self.paths), self.paths)])
        if network is not None and record.persistent:
            driver.define(registration_xml(plan.registrations[record.name], driver.version))


def _current_leases(record: Record, paths: Paths) -> Leases:
    """The leases that libvirt has now, and those saved by an earlier run."""
    saved = read_leases(lease_file(record, None, paths).path)
    current = read_status(record.bridge, paths)
    addresses = {lease.address for lease in current.leases}
    others = [lease for lease in saved.leases if lease.address not in addresses]
    return Leases([*current.leases, *others], current.duid or saved.duid)


def _as_result(records: Iterable[Record]) -> list[Mapping[str, Any]]:
    return [record.as_options() for record in sorted(records, key=lambda record: record.name)]


def _refuse(network: Network, problem: str) -> NoReturn:
    raise InvalidOption("", problem, network.owner)


def _refuse_floor(network: Network, port: str) -> None:
    """Refuse a guaranteed share of bandwidth: it needs a queue that libvirt adds only to bridges that it made."""
    root = parse(port)
    if root.find("bandwidth/inbound[@floor]") is not None:
        _refuse(
            network,
            f"guest {root.findtext('owner/name')!r} has a guaranteed share of bandwidth (floor), which would end; "
            "take it out of the guest's definition first",
        )


def _change(record: Record, registration: RegistrationSpec, current: AdoptState) -> Change:
    """The change that the user sees: libvirt's XML before and after."""
    xml = registration_xml(registration, current.version)
    leases = current.leases.get(record.name, Leases()).leases
    return Change(
        CHANGE,
        f"libvirt network {record.name}",
        before=text_for_diff(record.live if record.active else record.xml) + record.libvirt_network.status(),
        after=text_for_diff(xml) + desired_network(registration, record.uuid, xml).status(),
        detail=f"taken over{guests_text(record, current.ours.links)}; leases carried: {len(leases)}",
    )
