# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out a plan: check, stop, transfer leases, write files, start, verify; or roll back."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..core.errors import VirtnetError
from ..core.files import File, write_files
from ..core.paths import Paths
from ..core.systemctl import Unit
from . import probe
from .changes import FragmentsPlan
from .config_reader import HostReader, read_config
from .hosts_files import files_with_rows, hosts_file_network
from .lease_file import Leases, pending_lease_files, system_leases, write_leases
from .lease_transfer import LeaseTransfer, copy_leases, find_transfers, refuse_overfull, rename_unusable
from .placement import Placement
from .preflight import (
    check_configurations,
    default_upstream_file,
    refuse_missing_interface,
    refuse_missing_program,
    refuse_occupied_ports,
    refuse_unusable_lease_file,
    refuse_unwatchable_upstream_files,
)
from .private_files import SYSTEM_DNSMASQ, Layout, unit_name
from .private_service import SystemdInstances
from .reload import reload_and_verify
from .render_context import membership
from .sockets import read_sockets
from .state import RESTART_DUE_FILE, State
from .system_service import DnsmasqFailed, SystemDnsmasq, journal_errors
from .undone import undone_message
from .verify import ReadWatch, service_problem

# The journal of the last seconds is quoted for an instance that was started and does not serve.
_JOURNAL_SECONDS = 10


@dataclass
class Deployment:
    """One deployment of a plan. ``restarted``: the instances that it has restarted so far."""

    plan: FragmentsPlan
    paths: Paths
    service: SystemDnsmasq
    instances: SystemdInstances

    def __post_init__(self) -> None:
        self.current, self.target = self.plan.current, self.plan.target
        self.layout = Layout(self.paths)
        self.due_file = os.path.join(self.paths.runtime, RESTART_DUE_FILE)
        before = membership(self.current, self.layout)
        self.all_instances = sorted({*before, *self.current.enabled_instances, *self.target.members})
        self.removed_instances = [name for name in self.all_instances if name not in self.target.members]
        self.lease_files = {
            SYSTEM_DNSMASQ: system_leases(self.current.config, self.paths.root),
            **{name: self.layout.leases(name) for name in self.all_instances},
        }
        # The hosts files with rows, by network.
        paths = files_with_rows(self.target.private_files)
        self.hosts_files = {p.spec.name: paths.get(p.spec.name, []) for p in self.target.placements}
        self.restarted: set[str] = set()

    @property
    def _changes_system(self) -> bool:
        """Whether anything of the system's dnsmasq changes: its fragments, or whether it runs."""
        return bool(self.plan.fragments) or self.plan.restarts_system_alone

    def preflight(self) -> None:
        """Raise VirtnetError for what dnsmasq would refuse; needs no bridge and changes nothing."""
        refuse_missing_program(self.plan)
        refuse_occupied_ports(self.plan)
        if self._restarts_system() and not self.current.service.ordered_after_us:
            self._refuse_failing_restart()
        check_configurations(self.plan, self.layout, self._reloading_instances())

    def _refuse_failing_restart(self) -> None:
        """Raise VirtnetError for what keeps the system's dnsmasq from starting, and that ``--test`` does not tell."""
        config, leases = self.current.config, self.lease_files[SYSTEM_DNSMASQ]
        after = {**self.current.fragments, **self.plan.fragments}
        dhcp_before, dhcp = (config.serves_dhcp(texts.values()) for texts in (self.current.fragments, after))
        refuse_unusable_lease_file(leases, dhcp=dhcp)
        transfers = self._transfers()
        if transfers or dhcp and not dhcp_before:
            refuse_overfull(transfers, leases, config)
        refuse_unwatchable_upstream_files(
            config.settings, self.paths.root, default=default_upstream_file(self.paths.root)
        )

    def _transfers(self) -> list[LeaseTransfer]:
        adopted = pending_lease_files(self.paths.adopted)
        return find_transfers(self.current, self.target, self.layout, self.lease_files, adopted)

    def run(self) -> None:
        """Deploy the plan; raises VirtnetError with the reason, and then everything is as it was before.

        The caller has to call preflight() before.
        """
        refuse_missing_interface(self.plan)
        transfers = self._transfers()
        changed_instances = {*self.plan.changed_instances, *self.removed_instances, *self._reloading_instances()}
        due = [File(self.due_file, "")] if self._restarts_system() or changed_instances else []
        write_files(due)
        originals: dict[str, Leases | None] = {}
        try:
            self._stop_losing_instances(transfers)
            originals = copy_leases(transfers, self.lease_files.values())
            self._install(self._files(), self.target.members, self.removed_instances)
            with ReadWatch([path for paths in self.hosts_files.values() for path in paths]) as watch:
                self._restart(self._restarting_instances())
                self._reload()
                if not self.current.service.ordered_after_us:
                    self._verify(watch)
        except VirtnetError as error:
            raise self._rollback(originals, error) from error
        write_files([File(self.due_file, None)] if due else [])

    # Stop

    def _stop_losing_instances(self, transfers: Sequence[LeaseTransfer]) -> None:
        """Stop each instance that loses a network: its ports become free, and all its leases are in its file.

        One that gets leases is stopped too, since it would write its own over them.
        """
        losing = {
            name
            for name, members in membership(self.current, self.layout).items()
            if set(members) - set(self.target.members.get(name, ()))
        }
        destinations = {transfer.destination for transfer in transfers}
        gaining = {name for name in self.all_instances if self.lease_files[name] in destinations}
        running = {name for name, instance in self.current.instances.items() if instance.running}
        # Instances that failed, or wait for their next start, are stopped too. systemctl refuses a unit without state.
        known = {name for name, instance in self.current.instances.items() if instance.active != "inactive"}
        self.instances.stop(sorted((losing | gaining) & running | set(self.removed_instances) & known))
        service = self.current.service
        # It may not have started yet, since it is ordered after our own service.
        has_process = service.pid or not service.ordered_after_us
        if transfers and self._changes_system and service.running and has_process:
            self.service.stop()

    # Write

    def _files(self) -> list[File]:
        folder = self.paths.dnsmasq_fragments
        fragments = [File(os.path.join(folder, name), text) for name, text in self.plan.fragments.items()]
        return [*fragments, *(File(path, text) for path, text in self.plan.other_files.items())]

    def _install(self, files: Iterable[File], enabled: Collection[str], disabled: Iterable[str]) -> None:
        """Write files, and have systemd start instances at boot or not."""
        write_files(files)
        for name in enabled:
            link = self.layout.link(name)
            if not os.path.lexists(link):
                os.makedirs(os.path.dirname(link), exist_ok=True)
                os.symlink(self.layout.template, link)
        for name in disabled:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.layout.link(name))
        empty_folders = (
            os.path.dirname(self.paths.dnsmasq_drop_in),
            self.paths.private_fragments,
            self.paths.private_instances,
            self.paths.dnsmasq_hosts,
        )
        for folder in empty_folders:
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        if {self.layout.template, self.paths.dnsmasq_drop_in} & set(self.plan.other_files):
            self.instances.daemon_reload()

    # Start

    def _restarts_system(self) -> bool:
        service = self.current.service
        if not self._changes_system or not service.installed:
            return False
        # Else it reads the files when it starts: after our own service, or when the administrator starts it.
        needed = bool(self.target.served_by_system) or self.current.restart_due
        return service.running or (needed and not service.ordered_after_us)

    def _restarting_instances(self) -> set[str]:
        private = self.plan.changed_instances & set(self.target.members)
        return {SYSTEM_DNSMASQ, *private} if self._restarts_system() else private

    def _restart(self, names: Collection[str]) -> None:
        """The system's dnsmasq first: it may have to release an address before a private instance can bind to it."""
        self.restarted.update(names)
        private = sorted(set(names) - {SYSTEM_DNSMASQ})
        later = self.current.service.ordered_after_us
        if SYSTEM_DNSMASQ in names:
            restart_system = self.service.restart_later if later else self.service.restart
            restart_system()
        for name in private:
            rename_unusable(self.lease_files[name])
        restart_private = self.instances.restart_later if later else self.instances.restart
        restart_private(private)

    # Reload

    def _reloading_instances(self) -> set[str]:
        """Instances that keep running and have hosts files to read again."""
        running = {name for name, instance in self.current.instances.items() if instance.main_pid}
        running |= {SYSTEM_DNSMASQ} if self.current.service.pid else set()
        networks = map(hosts_file_network, self.plan.reloadable_files)
        return self.target.instances_of(networks) & running - self._restarting_instances()

    def _reload(self) -> None:
        """Have instances read changed hosts files again; an instance for which that cannot be verified is restarted."""
        files = self.plan.other_files
        changed = {path: files[path] or "" for path in self.plan.reloadable_files}
        for name in sorted(self._reloading_instances()):
            send_signal = self.service.reload if name == SYSTEM_DNSMASQ else partial(self.instances.reload, name)
            if not reload_and_verify(name, send_signal, changed, plan=self.plan, layout=self.layout):
                self._restart([name])

    # Verify

    def _verify(self, watch: ReadWatch) -> None:
        """Raise DnsmasqFailed unless each network whose instance was restarted is served, if its bridge exists."""
        status = self.service.status()
        config = read_config(status.command, HostReader(), self.paths.dnsmasq_fragments)
        running = self.instances.status(sorted(self.target.members))
        system_serves_dns = config.port == probe.DNS_PORT
        for placement in self.target.placements:
            spec = placement.spec
            if not self._is_to_verify(placement):
                continue
            private = placement.is_private
            pid = running.get(placement.instance, Unit()).main_pid if private else status.pid
            problem = service_problem(spec, pid, dns=spec.dns if private else system_serves_dns)
            unread = "" if problem else watch.first_unread(self.hosts_files[spec.name], pid)
            if unread:
                problem = f"it runs, but has not read {unread}, which the user that it runs as has to be able to"
            if problem:
                unit = unit_name(placement.instance) if private else ""
                log = journal_errors([unit], time.time() - _JOURNAL_SECONDS) if unit else ""
                raise DnsmasqFailed(f"{problem}: {log}" if log else problem)

    def _is_to_verify(self, placement: Placement) -> bool:
        spec = placement.spec
        if placement.instance not in self.restarted:
            return False
        # Without changed fragments the restart itself is the change, and concerns all networks.
        restart_alone = not any(self.plan.fragments.values()) and not self.plan.changed_instances
        if not placement.is_private and not restart_alone and spec.name not in self.plan.changed_names:
            return False
        return probe.interface_has_address(spec.interface, spec.bridge.ip)

    # Roll back

    def _rollback(self, originals: Mapping[str, Leases | None], error: VirtnetError) -> VirtnetError:
        """Restore everything; returns the error to raise."""
        current = self.current
        if not self.plan.fragments and not self.plan.other_files:
            return DnsmasqFailed(f"dnsmasq was restarted, but: {error}")
        message = f"dnsmasq did not serve with the new files: {error}"
        # systemctl refuses a unit whose file was not written yet.
        if os.path.exists(self.layout.template):
            self.instances.stop(sorted(self.plan.changed_instances & set(self.target.members)))
        if originals and self._changes_system and current.service.running:
            self.service.stop()
        try:
            self._restore_files(originals)
            if (self._changes_system or SYSTEM_DNSMASQ in self.restarted) and current.service.running:
                self.service.restart()
            running_before = [name for name, instance in current.instances.items() if instance.running]
            for name in running_before:
                rename_unusable(self.lease_files[name])
            self.instances.restart(running_before)
        except DnsmasqFailed as second_error:
            return DnsmasqFailed(f"{message}; and with the previous ones it does not start either: {second_error}")
        write_files([File(self.due_file, None)])
        return DnsmasqFailed(undone_message(message, self.plan, self._state_now()))

    def _state_now(self) -> State:
        """The current state with the processes and sockets of after a rollback."""
        service, instances = self.service.status(), self.instances.status(list(self.current.instances))
        pids = {service.pid, *(instance.main_pid for instance in instances.values())}
        return replace(self.current, service=service, instances=instances, sockets=read_sockets(pids))

    def _restore_files(self, originals: Mapping[str, Leases | None]) -> None:
        """Restore lease files, our files, and the links that have instances started at boot."""
        for path, leases in originals.items():
            if leases is not None:
                write_leases(path, leases, path)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(path)
        files = [File(file.path, self._content_before(file.path)) for file in self._files()]
        enabled = self.current.enabled_instances
        self._install(files, enabled, set(self.target.members) - set(enabled))

    def _content_before(self, path: str) -> str | None:
        folder, name = os.path.split(path)
        fragments = self.current.fragments if folder == self.paths.dnsmasq_fragments else {}
        return fragments.get(name, self.current.private_files.get(path))
