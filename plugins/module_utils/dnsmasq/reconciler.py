# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reconciler of DHCP and DNS: the system's dnsmasq serves a network, or a private instance does."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from ..core.lock import set_lock_status
from ..core.paths import Paths
from ..core.systemctl import Unit
from . import probe
from .changes import FragmentChange, FragmentsPlan, file_change, service_change, with_hosts_files
from .conflicts import refuse_conflicts, refuse_missing_folders
from .dangerous_options import line_dangers, tftp_danger
from .hosts_files import as_config_lines, hosts_file_network
from .private_files import Layout, unit_name
from .private_service import SystemdInstances
from .render_context import membership
from .reserved_names import of_records
from .spec import PRESENT, PRIVATE, SYSTEM, FragmentSpec
from .state import WAITS_FOR_DNSMASQ, State
from .state_reader import StateReader
from .system_config import fragment_network
from .system_service import UNIT, SystemDnsmasq
from .target import Target, target
from .unit_limits import closed_file_notes

if TYPE_CHECKING:
    from .deploy import Deployment

__all__ = ["FragmentSpec", "Fragments", "State"]

# Seconds that a run waits at most for a dnsmasq that is starting or stopping, and between two readings.
_TRANSITION_TIMEOUT = 2.0
_POLL_INTERVAL = 0.1


class Fragments:
    """Reconciles the networks ``specs``; with ``purge`` no others are served."""

    def __init__(
        self,
        specs: Sequence[FragmentSpec],
        purge: bool,
        paths: Paths,
        *,
        service: SystemDnsmasq | None = None,
        instances: SystemdInstances | None = None,
    ) -> None:
        self.specs = specs
        self.purge = purge
        self.paths = paths
        self.layout = Layout(paths)
        self.service = service or SystemDnsmasq(paths.root)
        self.instances = instances or SystemdInstances()

    @property
    def present(self) -> list[FragmentSpec]:
        """The networks that shall be served."""
        return [spec for spec in self.specs if spec.state == PRESENT]

    def read(self) -> State:
        """The current state. Writes nothing and does not wait, not even for a dnsmasq that is starting."""
        return StateReader(self.present, self.paths, service=self.service, instances=self.instances).read()

    def read_foretold(self) -> State:
        """The state with the bridges of the networks, and with the dnsmasq.service that one of them asks for."""
        reader = StateReader(self.present, self.paths, service=self.service, instances=self.instances, foretold=True)
        return reader.read()

    def plan(self, current: State) -> FragmentsPlan:
        """Which dnsmasq serves which network, the files to write and remove, and the services to start for it."""
        unnamed = {} if self.purge else self._unnamed_networks(current)
        refuse_conflicts(self.present, unnamed, self.paths.dnsmasq_fragments)
        if not current.service.ordered_after_us:
            refuse_missing_folders(self.present, current.missing_tftp_roots)
        desired = target(self.specs, self.purge, current, self.layout)
        files = [*self._fragment_changes(desired, current), *self._private_changes(desired, current)]
        changes = with_hosts_files(files, desired, current)
        restarts_system = any(change.file for change in changes)
        restarted_instances = {change.instance for change in changes if change.instance}
        changes += self._service_changes(desired, current, restarts_system)
        changes += self._instance_changes(desired, current, restarted_instances)
        return FragmentsPlan(
            changes=changes,
            result=[
                {**placement.spec.as_options(), "instance": PRIVATE if placement.is_private else SYSTEM}
                for placement in desired.placements
            ],
            notes=self._notes(desired, current),
            current=current,
            target=desired,
        )

    def _unnamed_networks(self, current: State) -> dict[str, str]:
        """Fragments of networks that this run does not name, and their hosts files as lines of a fragment."""
        named = {spec.name for spec in self.specs}
        fragments = {file: text for file, text in current.fragments.items() if fragment_network(file) not in named}
        for path, text in current.private_files.items():
            network = hosts_file_network(path) or self.layout.name_of(path)
            if network in named:
                continue
            if hosts_file_network(path):
                fragments[path] = "".join(f"{line.text}\n" for line in as_config_lines(path, of_records(text)))
            elif path == self.layout.fragment(network):
                fragments[path] = text
        return fragments

    def _fragment_changes(self, desired: Target, current: State) -> Iterable[FragmentChange]:
        for file, after in desired.fragments.items():
            before = current.fragments.get(file)
            if before != after:
                path = os.path.join(self.paths.dnsmasq_fragments, file)
                yield file_change(fragment_network(file), file, before, after, file=file, shown_path=path)

    def _private_changes(self, desired: Target, current: State) -> Iterable[FragmentChange]:
        """Files of private instances and units that are created, changed or removed; hosts files are not among them."""
        before = membership(current, self.layout)
        instances = {**before, **desired.members}
        # A change of a fragment names the instance that serves the network now, since that has to release the network.
        instance_of = {
            member.network: name
            for members in (desired.members, before)
            for name in members
            for member in members[name]
        }
        reasons = {p.spec.name: p.reason for p in desired.placements if p.is_private}
        for path in sorted({*current.private_files, *desired.private_files}):
            old, new = current.private_files.get(path), desired.private_files.get(path)
            if old == new or hosts_file_network(path):
                continue
            name = self.layout.name_of(path)
            if path == self.layout.fragment(name):
                yield file_change(
                    name,
                    f"dnsmasq.d/{name}.conf",
                    old,
                    new,
                    path=path,
                    instance=instance_of.get(name, ""),
                    reason=reasons.get(name, "") if old is None else "",
                )
            elif path == self.layout.instance(name) and name in instances:
                yield file_change(unit_name(name), "its configuration", old, new, path=path, instance=name)
            else:
                owner = UNIT if path == self.paths.dnsmasq_drop_in else "private dnsmasq"
                yield file_change(owner, os.path.basename(path), old, new, path=path)

    def _service_changes(self, desired: Target, current: State, restarted_for_files: bool) -> Iterable[FragmentChange]:
        """The system's dnsmasq, if it has to be started or restarted although its files are right."""
        service, served = current.service, desired.served_by_system
        if service.ordered_after_us or not service.installed:
            return []
        if not service.running:
            due = current.restart_due and service.usable
            if not served and not due:
                return []
            return [service_change(UNIT, service.active, "started", f"started (was {service.active})")]
        served_names = {spec.name for spec in served}
        missed = [name for name in current.missed_networks if name in served_names]
        if restarted_for_files or not (current.restart_due or missed):
            return []
        reason = "an earlier run was interrupted"
        if missed:
            reason = f"it does not listen on the bridge of {', '.join(missed)}"
        return [service_change(UNIT, f"runs, but {reason}", "restarted", f"restarted ({reason})")]

    def _instance_changes(
        self, desired: Target, current: State, restarted_for_files: Collection[str]
    ) -> Iterable[FragmentChange]:
        """Instances whose files are right, and that do not run, have to be restarted, or are not started at boot."""
        for name in sorted(set(desired.members) - set(restarted_for_files)):
            instance, unit = current.instances.get(name, Unit()), unit_name(name)
            enabled = name in current.enabled_instances
            if not instance.running and not (current.service.ordered_after_us and enabled):
                before = instance.active
                yield service_change(unit, before, "started", f"started (was {before})", instance=name)
            elif not enabled:
                yield service_change(unit, "not started at boot", "enabled", "enabled", instance=name)
            elif name in current.unbound_instances or current.restart_due:
                unbound = name in current.unbound_instances
                reason = "its bridge was created again" if unbound else "an earlier run was interrupted"
                yield service_change(unit, f"runs, but {reason}", "restarted", f"restarted ({reason})", instance=name)
        # A run that was interrupted has removed the file of an instance, but has not disabled it.
        for name in sorted(set(current.enabled_instances) - {*desired.members, *restarted_for_files}):
            unit = unit_name(name)
            yield service_change(unit, "started at boot", "not started at boot", "disabled", instance=name)

    def _notes(self, desired: Target, current: State) -> list[str]:
        config, served = current.config, desired.served_by_system
        notes = [f"leases are not read: {fault}" for fault in current.lease_file_faults]
        for spec in self.present:
            tftp = tftp_danger(spec.tftp_root, current.real_tftp_roots.get(spec.tftp_root, ""))
            closed = closed_file_notes(spec.raw, current.closed_files)
            notes += [f"network {spec.name!r}: {note}" for note in (*line_dangers(spec.raw), tftp, *closed) if note]
            notes += [
                f"network {spec.name!r}: the static host {host.name!r} is called {host.label!r}, since dnsmasq ignores "
                "a domain that is not the network's"
                for _option, host in spec.static_hosts
                if host.name.lower() not in (host.label.lower(), f"{host.label}.{spec.domain}".lower())
            ]
        if config.port == probe.DNS_PORT or not served:
            return notes
        networks = ", ".join(spec.name for spec in served)
        notes.append(
            f"dnsmasq serves no DNS on port 53 here ({config.named('port')[0]}): "
            f"guests of {networks} get addresses, but no DNS server from it"
        )
        return notes

    def preflight(self, plan: FragmentsPlan) -> None:
        """Have dnsmasq test the new files, and raise VirtnetError for what would keep it from serving them."""
        if plan.changes:
            self._deployment(plan).preflight()

    def apply(self, plan: FragmentsPlan) -> None:
        """Write the new files, restart, verify; if that fails, restore the old files and raise why.

        The caller has to call preflight() before.
        """
        self._deployment(plan).run()

    def _deployment(self, plan: FragmentsPlan) -> Deployment:
        # It is large, and mostly there is nothing to do.
        from .deploy import Deployment

        return Deployment(plan, paths=self.paths, service=self.service, instances=self.instances)

    def read_settled(self) -> State:
        """The state when no dnsmasq is starting or stopping any more, or the current one after the timeout.

        A dnsmasq that starts calls ``virtnet fragments`` first, which waits for the lock that we hold: the note at the
        lock tells it not to wait.
        """
        state = self.read()
        if not state.in_transition:
            return state
        deadline = time.monotonic() + _TRANSITION_TIMEOUT
        set_lock_status(self.paths.runtime, WAITS_FOR_DNSMASQ)
        try:
            while (state := self.read()).in_transition and time.monotonic() < deadline:
                time.sleep(_POLL_INTERVAL)
            return state
        finally:
            set_lock_status(self.paths.runtime, "")
