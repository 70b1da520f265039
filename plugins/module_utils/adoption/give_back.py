# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reconciler that gives adopted networks back to libvirt, with their current guests and leases.

libvirt creates the bridge of a network itself, and refuses if there is one of that name or a route to its subnet. So
our bridge gets a temporary name and its routes are moved to another table, libvirt starts the network, and the guests'
links change bridges in one batch. Our rules stay until libvirt's rules are loaded. The next run completes an
interrupted one: the record has the phase RETURNING.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..core.errors import VirtnetError
from ..core.files import File, write_files
from ..core.identity import host_identity
from ..core.network_history import history_file, load_history
from ..core.paths import Paths
from ..core.reconcile import CHANGE, Change, Plan, converge_locked, read_settled
from ..core.untrusted import UnusableFile
from ..dnsmasq.lease_file import Leases, lease_file_fault, read_leases
from ..firewall import ip_forward as forwarding
from ..kernel.links import Link, read_links
from ..libvirt.connection import Driver, LibvirtNetwork, driver_installed
from ..libvirt.definition import differs, registered_by_us, text_for_diff
from ..libvirt_xml.parse import parse
from ..network.model import Network
from ..network.runtime import read_records as read_runtime
from ..network.runtime import records_file
from ..network.store import file_of, load, text_of
from ..orchestration.desired_state import ENTRIES, FRAGMENTS, Specs, specs_for
from ..orchestration.leases import lease_files
from ..orchestration.parts import reconcilers_for
from .libvirt_leases import read_status, status_file, status_path
from .records import (
    ADOPTED,
    RETURNING,
    Record,
    files_to_remove,
    guests_text,
    read_records,
    record_file,
    refuse_unknown,
)
from .steps import (
    add_temporary_rules,
    hide_routes,
    move_guests,
    release_bridge,
    remove_rules,
    rename_bridge_temporarily,
)


@dataclass(frozen=True)
class ReturnState:
    """Our records and definitions, libvirt's networks, the host's links; ``faults``: of unusable lease files."""

    records: Mapping[str, Record] = field(default_factory=dict)
    definitions: Mapping[str, Network] = field(default_factory=dict)
    networks: Mapping[str, LibvirtNetwork] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)
    faults: Sequence[str] = ()


@dataclass(frozen=True)
class Return:
    """A network to give back; ``definition_files``: those to remove.

    ``recorded_ports``: ports of an earlier run that libvirt may not have registered since.
    """

    record: Record
    recorded_ports: Sequence[str] = ()
    definition_files: Sequence[File] = ()


@dataclass(frozen=True)
class ReturnPlan(Plan[Change]):
    """The networks to give back."""

    returns: Sequence[Return] = ()


class Returns:
    """The reconciler that gives the networks called ``names`` back to libvirt, or all that were adopted."""

    def __init__(self, names: Sequence[str] | None, paths: Paths) -> None:
        self.names = names
        self.paths = paths
        self.identity = host_identity(paths.root)

    def read(self) -> ReturnState:
        """The records of adopted networks, and the state of these networks; raises VirtnetError."""
        records = read_records(self.paths)
        if not records:
            return ReturnState()
        if not driver_installed(self.paths.root):
            raise VirtnetError("libvirt's network driver is not installed; there is nobody to give networks back to")
        with Driver() as driver:
            networks = driver.networks()
        definitions = load(self.paths, self.identity)
        adopted = [network for name, network in definitions.items() if name in records]
        faults = [fault for file in lease_files(adopted, self.paths) if (fault := lease_file_fault(file))]
        return ReturnState(records, definitions, networks, read_links(), faults)

    def plan(self, current: ReturnState) -> ReturnPlan:
        """The networks to give back, and the changes of all parts; raises VirtnetError for an unknown name."""
        if self.names is not None:
            known = {*current.records, *current.networks} if current.records else self.names
            refuse_unknown(self.names, known, "no network that was taken over from libvirt")
        selected = {
            name: record for name, record in sorted(current.records.items()) if self.names is None or name in self.names
        }
        changes: list[Change] = []
        returns = []
        for record in selected.values():
            returned = self._return(record, current)
            returns.append(returned)
            changes.append(_change(returned.record, current))
            for part in reconcilers_for(self._absent_specs(record), self.paths).values():
                # The bridge is not among these specs: libvirt's replaces it.
                changes += part.plan(read_settled(part)).changes
        return ReturnPlan(
            changes=changes,
            result=[record.as_options() for name, record in sorted(current.records.items()) if name not in selected],
            notes=[f"leases there are not carried: {fault}" for fault in current.faults if selected],
            returns=returns,
        )

    def _absent_specs(self, record: Record) -> Specs:
        """The specs that remove a network from all parts but its bridge."""
        absent = {"name": record.name, "state": "absent"}
        entry = {"interface": record.bridge, "state": "absent"}
        return {"rules": [absent], "bridges": (), "fragments": [absent], "entries": [entry], "registrations": ()}

    def _return(self, record: Record, current: ReturnState) -> Return:
        network = current.definitions.get(record.name)
        is_adopted = record.phase == ADOPTED
        run = record.bridge in current.links if is_adopted else record.run
        return Return(
            replace(record, phase=RETURNING, run=run),
            recorded_ports=() if is_adopted else record.ports,
            definition_files=[] if network is None else [File(file_of(network, self.paths), None)],
        )

    def apply(self, plan: ReturnPlan) -> None:
        """Give the networks back, one after the other. Each step is done only if it is left to do."""
        for returned in plan.returns:
            self._give_back(returned)

    def _give_back(self, returned: Return) -> None:
        record = returned.record
        network = record.network(self.identity)
        with Driver() as driver:
            current = driver.networks().get(record.name)
            if current is not None and current.active and registered_by_us(current.xml):
                record = replace(record, ports=_merged_ports(driver.ports(record.name), returned.recorded_ports))
        write_files([record_file(record, self.paths)])
        self._remove_definition(record.name, returned.definition_files)
        add_temporary_rules([record], specs_for([replace(network, state="active")], {}), self.paths)
        reconcilers = reconcilers_for(self._absent_specs(record), self.paths)
        converge_locked(reconcilers[FRAGMENTS])
        converge_locked(reconcilers[ENTRIES])
        with Driver() as driver:
            self._hand_over(record, network, driver)
        # From now on libvirt's networks need IP forwarding, so we must not switch it off.
        forwarding.keep(self.paths)
        remove_rules([record.name, record.temporary_bridge], self.paths)
        # Until the guests have moved, libvirt's dnsmasq takes the bridge with the temporary name for its own.
        status = File(status_path(record.temporary_bridge, self.paths), None)
        write_files([status, *files_to_remove(record, self.paths)])

    def _remove_definition(self, name: str, definition_files: Sequence[File]) -> None:
        """Remove the definition, and the history by which a later run would remove a bridge of its name."""
        history = {other: entry for other, entry in load_history(self.paths).items() if other != name}
        runtime = {other: state for other, state in read_runtime(self.paths).items() if other != name}
        write_files([history_file(history, self.paths), records_file(runtime, self.paths), *definition_files])

    def _hand_over(self, record: Record, network: Network, driver: Driver) -> None:
        """Have libvirt run the network with its own bridge, and move the guests to that."""
        current = driver.networks().get(record.name)
        if current is not None and registered_by_us(current.xml):
            if current.active:
                driver.stop(record.name)
            if current.persistent and not record.persistent:
                driver.undefine(record.name)
            current = None
        if record.run and not (current is not None and current.active):
            rename_bridge_temporarily(record)
            hide_routes(record)
            write_files([status_file(record.bridge, self._current_leases(record, network), self.paths)])
            if record.persistent:
                driver.define(record.live)
                driver.start(record.name)
            else:
                driver.create(record.live)
        if record.run:
            release_bridge(record)
            move_guests(record, isolated=network.isolate_guests)
            driver.reclaim_ports(record.name, record.ports)
        if record.persistent:
            current = driver.networks().get(record.name)
            if current is None or differs(current.xml, record.xml):
                driver.define(record.xml)
            driver.autostart(record.name, record.autostart)

    def _current_leases(self, record: Record, network: Network) -> Leases:
        """The leases of our dnsmasq; libvirt's file has those from before the adoption."""
        leases = Leases(duid=read_status(record.bridge, self.paths).duid)
        for path in lease_files([network], self.paths):
            # The plan has a note on an unusable file.
            with contextlib.suppress(UnusableFile):
                leases = leases.joined_by(read_leases(path), network.subnets)
        return leases


def _change(record: Record, current: ReturnState) -> Change:
    """The change that the user sees: libvirt's XML and our definition before, libvirt's XML after."""
    registered, network = current.networks.get(record.name), current.definitions.get(record.name)
    before = "" if registered is None else text_for_diff(registered.xml) + registered.status()
    after = replace(record.libvirt_network, active=record.run)

    return Change(
        CHANGE,
        f"libvirt network {record.name}",
        before=before + (text_of(network) if network else ""),
        after=text_for_diff(record.xml) + after.status(),
        detail=f"given back{guests_text(record, current.links)}",
    )


def _merged_ports(ports: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """The ports of both lists, as XML, each once."""
    uuids = {parse(xml).findtext("uuid") for xml in ports}
    return (*ports, *(xml for xml in others if parse(xml).findtext("uuid") not in uuids))
