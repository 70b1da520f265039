# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part that gives networks back to libvirt that were taken over from it, with the guests and leases of today.

libvirt makes the bridge of a network itself, and not where there is one of that name or a route to its subnet. So ours
goes aside with its route, libvirt starts the network, and the guests' links change over in one go. Our rules stay
until libvirt's are there. A run that was cut short is completed by the next one, since the record says "returning".
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..core.errors import VirtnetError
from ..core.files import File, put
from ..core.identity import host_identity
from ..core.memory import Remembered, memory_file, recall
from ..core.paths import Paths
from ..core.reconcile import CHANGE, Change, Plan, converge_locked
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
from ..orchestration.desired_state import Specs, parts, specs
from ..orchestration.leases import lease_files
from .libvirt_leases import read_status, status_file, status_path
from .records import RETURNING, TAKEN, TAKING, Record, no_record, read_records, record_file, refuse_unknown
from .steps import drop_rules, hide_routes, let_go, move_guests, rules_aside, set_aside


@dataclass(frozen=True)
class State:
    """Our records and definitions, libvirt's networks, the host's links; ``faults``: lease files that are not read."""

    records: Mapping[str, Record] = field(default_factory=dict)
    definitions: Mapping[str, Network] = field(default_factory=dict)
    networks: Mapping[str, LibvirtNetwork] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)
    faults: Sequence[str] = ()


@dataclass(frozen=True)
class ReturnChange(Change):
    """A network that goes back; ``gone``: the files of its definition.

    ``guests``: ports of which libvirt may not have been told since they were read.
    """

    record: Record | None = None
    guests: Sequence[str] = ()
    gone: Sequence[File] = ()


class Returns:
    """Networks that become libvirt's again: those called ``names``, or all that were taken over."""

    def __init__(self, names: Sequence[str] | None, paths: Paths) -> None:
        self.names = names
        self.paths = paths
        self.identity = host_identity(paths.root)

    def read(self) -> State:
        """What was kept, and where it stands; raises VirtnetError."""
        records = read_records(self.paths)
        if not records:
            return State()
        if not driver_installed(self.paths.root):
            raise VirtnetError("libvirt's network driver is not installed; there is nobody to give networks back to")
        with Driver() as driver:
            networks = driver.networks()
        definitions = load(self.paths, self.identity)
        files = lease_files([one for name, one in definitions.items() if name in records], self.paths)
        faults = [fault for file in files if (fault := lease_file_fault(file))]
        return State(records, definitions, networks, read_links(), faults)

    def plan(self, current: State) -> Plan[Change]:
        """Who goes back, and what ends with that; raises VirtnetError for what cannot."""
        if self.names is not None:
            known = {*current.records, *current.networks} if current.records else self.names
            refuse_unknown(self.names, known, "no network that was taken over from libvirt")
        changes: list[Change] = []
        for name, record in sorted(current.records.items()):
            if self.names is not None and name not in self.names:
                continue
            changes.append(self._return(record, current))
            for part in parts(self._gone(record), self.paths):
                # Its bridge is not removed but replaced by libvirt's.
                changes += part.plan(part.read()).changes
        gone = {change.record.name for change in changes if isinstance(change, ReturnChange) and change.record}
        holds = [one.as_options() for name, one in sorted(current.records.items()) if name not in gone]
        return Plan(changes, holds, [f"leases there are not carried: {fault}" for fault in current.faults if gone])

    def _gone(self, record: Record) -> Specs:
        """What the parts shall not have any more."""
        absent = {"name": record.name, "state": "absent"}
        entry = {"interface": record.bridge, "state": "absent"}
        return {"rules": [absent], "bridges": (), "fragments": [absent], "entries": [entry], "registrations": ()}

    def _return(self, record: Record, current: State) -> ReturnChange:
        found, network = current.networks.get(record.name), current.definitions.get(record.name)
        told = record.phase == TAKEN
        if told:
            record = replace(record, phase=RETURNING, run=record.bridge in current.links)
        elif record.phase == TAKING:
            record = replace(record, phase=RETURNING)
        before = "" if found is None else text_for_diff(found.xml) + found.status()
        wanted = replace(record.found, active=record.run)
        ports = [link.name for link in current.links.values() if link.master in (record.bridge, record.aside)]
        guests = f", with {', '.join(ports)}" if ports else ""
        return ReturnChange(
            CHANGE,
            f"libvirt network {record.name}",
            before + (text_of(network) if network else ""),
            text_for_diff(record.xml) + wanted.status(),
            f"given back{guests}",
            record,
            () if told else record.ports,
            [] if network is None else [File(file_of(network, self.paths), None)],
        )

    def apply(self, plan: Plan[Change]) -> None:
        """Give them back, one after the other. Each step is done only where it is left to do."""
        for change in plan.changes:
            if isinstance(change, ReturnChange) and change.record is not None:
                self._give_back(change.record, change.guests, change.gone)

    def _give_back(self, record: Record, guests: Sequence[str], gone: Sequence[File]) -> None:
        network = record.network(self.identity)
        with Driver() as driver:
            found = driver.networks().get(record.name)
            if found is not None and found.active and registered_by_us(found.xml):
                record = replace(record, ports=_joined(driver.ports(record.name), guests))
        put([record_file(record, self.paths)])
        self._forget(record.name, gone)
        rules_aside([record], specs([replace(network, state="active")], {}), self.paths)
        *_index, fragments, entries = parts(self._gone(record), self.paths)
        converge_locked(fragments)
        converge_locked(entries)
        with Driver() as driver:
            self._hand_over(record, network, driver)
        # What libvirt's networks need from now on is not ours to switch off.
        forwarding.keep(self.paths)
        drop_rules([record.name, record.aside], self.paths)
        # Until guests have moved, libvirt's dnsmasq takes their bridge of the other name for its own.
        put([File(status_path(record.aside, self.paths), None), *no_record(record, self.paths)])

    def _forget(self, name: str, gone: Sequence[File]) -> None:
        """Its definition, and all by which a later run would remove a bridge of its name."""
        remembered: dict[str, Remembered] = recall(self.paths)
        remembered.pop(name, None)
        by_hand = {other: word for other, word in read_runtime(self.paths).items() if other != name}
        put([memory_file(remembered, self.paths), records_file(by_hand, self.paths), *gone])

    def _hand_over(self, record: Record, network: Network, driver: Driver) -> None:
        found = driver.networks().get(record.name)
        if found is not None and registered_by_us(found.xml):
            if found.active:
                driver.stop(record.name)
            if found.persistent and not record.persistent:
                driver.undefine(record.name)
            found = None
        if record.run and not (found is not None and found.active):
            set_aside(record)
            hide_routes(record)
            put([status_file(record.bridge, self._leases(record, network), self.paths)])
            if record.persistent:
                driver.define(record.live)
                driver.start(record.name)
            else:
                driver.create(record.live)
        if record.run:
            let_go(record)
            move_guests(record, isolated=network.isolate_guests)
            driver.reclaim_ports(record.name, record.ports)
        if record.persistent:
            self._restore_definition(record, driver)

    def _restore_definition(self, record: Record, driver: Driver) -> None:
        found = driver.networks().get(record.name)
        if found is None or differs(found.xml, record.xml):
            driver.define(record.xml)
        driver.autostart(record.name, record.autostart)

    def _leases(self, record: Record, network: Network) -> Leases:
        """What our dnsmasq has given there; libvirt's file has what was before."""
        leases = Leases(duid=read_status(record.bridge, self.paths).duid)
        for path in lease_files([network], self.paths):
            # The plan has named it.
            with contextlib.suppress(UnusableFile):
                leases = leases.joined_by(read_leases(path), network.subnets)
        return leases


def _joined(ports: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    """Ports that are in either, as XML."""
    known = {parse(xml).findtext("uuid") for xml in ports}
    return (*ports, *(xml for xml in more if parse(xml).findtext("uuid") not in known))
