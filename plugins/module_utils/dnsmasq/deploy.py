# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Putting fragments and private instances in place: test, stop, carry leases, write, start, prove, or go back."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ..core.errors import VirtnetError
from ..core.files import File, put
from ..core.paths import Paths
from ..core.systemctl import Unit
from . import probe
from .config_check import check_private_syntax, check_syntax
from .hosts_files import configuration, network_of, of_networks, rows_by_network
from .lease_file import Leases, lease_file_fault, system_leases, waiting, write_leases
from .lease_transfer import Move, carry, clear_unusable, find_moves
from .private_files import Layout, unit
from .private_service import Instances
from .reload import has_read_again
from .spec import FragmentSpec
from .state import DUE_FILE, State
from .system_config import BIND_INTERFACES, WILDCARD, Line, Reader, fragment_network, read_config
from .system_service import DnsmasqFailed, DnsmasqService, NoUsableDnsmasq, journal
from .target import Target, is_forward, membership
from .verify import Reading, unserved

# Seconds: what an instance said while we started it and waited for its answer.
_LATELY = 10


@dataclass
class Doing:
    """One application of a plan. ``system`` and ``private`` are the files that change, ``touched`` the instances.

    ``named`` are the networks of which files change; ``service_too``: the system's dnsmasq is to be started or
    restarted though no file asks for that. ``quiet`` are those of the files that it is enough to read again.
    """

    paths: Paths
    service: DnsmasqService
    instances: Instances
    reader: Reader
    current: State
    target: Target
    system: Mapping[str, str | None]
    private: Mapping[str, str | None]
    named: Collection[str]
    touched: Collection[str]
    service_too: bool
    quiet: Collection[str] = ()

    def __post_init__(self) -> None:
        self.layout = Layout(self.paths)
        self.due_file = os.path.join(self.paths.runtime, DUE_FILE)
        self.leases = {"": system_leases(self.current.config, self.paths.root)}
        self.leases.update({name: self.layout.leases(name) for name in self._all_instances})
        self.restarted: set[str] = set()

    @property
    def _all_instances(self) -> list[str]:
        return sorted({*membership(self.current, self.layout), *self.current.links, *self.target.members})

    @property
    def _gone(self) -> list[str]:
        """Instances that serve nothing any more."""
        return [name for name in self._all_instances if name not in self.target.members]

    @property
    def _concerns_system(self) -> bool:
        return bool(self.system) or self.service_too

    def run(self) -> None:
        """All of it; raises VirtnetError with the reason, and then everything is as it was."""
        self._refuse()
        self._test()
        moves = find_moves(self.current, self.target, self.layout, self.leases, waiting(self.paths.adopted))
        due = [] if not self._restarts_anything() else [File(self.due_file, "")]
        put(due)
        originals: dict[str, Leases | None] = {}
        try:
            self._let_go(moves)
            originals = carry(moves, self.leases.values())
            self._write(self._files())
            with Reading([path for rows in self._rows().values() for path in rows]) as reading:
                self._start()
                self._reread()
                if not self.current.service.ordered_after_us:
                    self._prove(reading)
        except VirtnetError as error:
            raise self._way_back(originals, error) from error
        put([File(self.due_file, None)] if due else [])

    # Before anything is touched

    def _refuse(self) -> None:
        if any(content and not is_forward(content) for content in self.system.values()):
            self.current.service.need_installed()
            self._refuse_fatal_absence()
            self._refuse_held_port()
        if self._restarts_system() and not self.current.service.ordered_after_us:
            self._refuse_unusable_leases()

    def _refuse_unusable_leases(self) -> None:
        """The system's dnsmasq would not come back from a restart, and everyone's DNS with it."""
        fault = lease_file_fault(self.leases[""])
        if fault:
            raise VirtnetError(f"the system's dnsmasq would not start again: its lease file {fault}")

    def _refuse_fatal_absence(self) -> None:
        """With bind-interfaces a listed interface that does not exist keeps dnsmasq from starting, for everyone."""
        config = self.current.config
        if config.binding != BIND_INTERFACES or not config.limits_interfaces:
            return
        for spec in self.target.served_by_system:
            if not probe.is_held(spec.interface, spec.bridge.ip):
                raise spec.error(
                    "interface",
                    f"{spec.interface!r} with {spec.bridge.ip} is not there, and with "
                    f"{config.named(BIND_INTERFACES)[0]} dnsmasq would not start without it; "
                    "make the bridge first, or write bind-dynamic instead",
                )

    def _refuse_held_port(self) -> None:
        """One wildcard socket for DHCP tolerates no other, and to find that out by a restart costs everyone's DNS."""
        if self.current.config.binding != WILDCARD:
            return
        served = self.target.served_by_system
        needed = {
            "DHCP": (probe.DHCP_PORT, any(spec.dhcp for spec in served)),
            "DHCPv6": (probe.DHCP6_PORT, any(spec.dhcp6 for spec in served)),
            "TFTP": (probe.TFTP_PORT, any(spec.tftp_root for spec in served)),
        }
        for what, (port, wanted) in needed.items():
            holder = probe.holder(port, self.current.service.pid, *self.current.own_pids) if wanted else ""
            if holder:
                raise NoUsableDnsmasq(
                    f"no usable system dnsmasq: it needs UDP port {port} for {what}, and {holder} holds it; "
                    f"stop that, or write bind-dynamic into {self.current.config.main_file} if it is another dnsmasq"
                )

    def _test(self) -> None:
        """dnsmasq's own test of every configuration that changes."""
        rereading = self._rereading()
        if self.current.service.installed and (self.system or "" in rereading):
            after = {**self.current.files, **self.system}
            served = {name: text for name, text in after.items() if text is not None}
            hosts = of_networks(self.target.private, map(fragment_network, served))
            check_syntax(self.current.config, served, hosts)
        for name in sorted(set(self.target.members) & {*self.touched, *rereading}):
            path = self.layout.instance(name)
            lines = _lines(path, self.target.private[path])
            for member in self.target.members[name]:
                fragment = self.layout.fragment(member.network)
                lines += _lines(fragment, self.target.private.get(fragment, ""))
                for hosts_path, text in of_networks(self.target.private, [member.network]).items():
                    lines += configuration(hosts_path, text)
            check_private_syntax(self.current.program or "dnsmasq", lines)

    # Moving

    def _let_go(self, moves: Sequence[Move]) -> None:
        """Stop what loses a network, so that its ports are free and its leases are all in its file."""
        losing = {
            name
            for name, members in membership(self.current, self.layout).items()
            if set(members) - set(self.target.members.get(name, ()))
        }
        goals = {name for name, path in self.leases.items() if name and path in {move.goal for move in moves}}
        running = {name for name, one in self.current.instances.items() if one.running}
        # One that failed, or waits for its next start, is stopped too; one that systemd does not know, it refuses.
        known = {name for name, one in self.current.instances.items() if one.active != "inactive"}
        self.instances.stop(sorted((losing | goals) & running | set(self._gone) & known))
        if moves and self._concerns_system and self.current.service.running and not self._system_waits:
            self.service.stop()

    @property
    def _system_waits(self) -> bool:
        """Whether it has not had its turn yet: our own service is starting, and it comes after that."""
        return self.current.service.ordered_after_us and not self.current.service.pid

    # Doing

    def _files(self) -> list[File]:
        system = [File(os.path.join(self.paths.dnsmasq_fragments, name), text) for name, text in self.system.items()]
        return [*system, *(File(path, text) for path, text in self.private.items())]

    def _write(self, files: Sequence[File]) -> None:
        put(files)
        for name in self.target.members:
            _link(self.layout.link(name), self.layout.template)
        self._unlink(self._gone)
        self._tidy()
        if {self.layout.template, self.paths.dnsmasq_drop_in} & {file.path for file in files}:
            self.instances.reload()

    def _unlink(self, names: Iterable[str]) -> None:
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.layout.link(name))

    def _tidy(self) -> None:
        """Folders that are ours and empty."""
        folders = (
            os.path.dirname(self.paths.dnsmasq_drop_in),
            self.paths.private_fragments,
            self.paths.private_instances,
            self.paths.dnsmasq_hosts,
        )
        for folder in folders:
            with contextlib.suppress(OSError):
                os.rmdir(folder)

    def _restarts_anything(self) -> bool:
        return self._restarts_system() or bool({*self.touched, *self._gone, *self._rereading()})

    def _restarts_system(self) -> bool:
        service = self.current.service
        if not self._concerns_system or not service.installed:
            return False
        # Else it reads them when it starts: in its turn after our own service, or when somebody starts it.
        wanted = bool(self.target.served_by_system) or self.current.restart_due
        return service.running or (wanted and not service.ordered_after_us)

    def _start(self) -> None:
        """The system's dnsmasq first: it may have to let go of an address before a private one can take it."""
        if self._restarts_system():
            self._restart_system()
        self._restart_private(sorted(set(self.touched) & set(self.target.members)))

    def _restart_system(self) -> None:
        self.restarted.add("")
        if self.current.service.ordered_after_us:
            self.service.restart_later()
        else:
            self.service.restart()

    def _restart_private(self, names: Sequence[str]) -> None:
        self.restarted.update(names)
        self._clear_unusable(names)
        if self.current.service.ordered_after_us:
            self.instances.restart_later(names)
        else:
            self.instances.restart(names)

    def _clear_unusable(self, names: Iterable[str]) -> None:
        for name in names:
            clear_unusable(self.leases[name])

    def _rereading(self) -> set[str]:
        """Private instances, '' for the system's dnsmasq, that run on and have something to read again."""
        running = {name for name, one in self.current.instances.items() if one.main_pid}
        running |= {""} if self.current.service.pid else set()
        restarted = {*self.touched, *([""] if self._restarts_system() else [])}
        return self.target.instances_of(map(network_of, self.quiet)) & running - restarted

    def _reread(self) -> None:
        """What changed in hosts files alone is read without a restart; where that is not seen to work, with one."""
        for name in sorted(self._rereading()):
            signal = partial(self.instances.reread, name) if name else self.service.reread
            quiet = {path: self.private[path] or "" for path in self.quiet}
            if not has_read_again(name, signal, quiet, self.current, self.target, self.layout):
                if name:
                    self._restart_private([name])
                else:
                    self._restart_system()

    def _rows(self) -> dict[str, list[str]]:
        """Hosts files that say something, of each network."""
        rows = rows_by_network(self.target.private)
        return {choice.spec.name: rows.get(choice.spec.name, []) for choice in self.target.choices}

    def _prove(self, reading: Reading) -> None:
        """Raise DnsmasqFailed unless every network that this run touches is served, if its bridge is there."""
        status = self.service.status()
        config = read_config(status.command, self.reader, self.paths.dnsmasq_fragments)
        running = self.instances.status(sorted(self.target.members))
        whole = not any(self.system.values()) and not self.touched
        rows = self._rows()
        for choice in self.target.choices:
            spec, instance = choice.spec, running.get(choice.instance, Unit())
            if not probe.is_held(spec.interface, spec.bridge.ip):
                continue
            if choice.instance and choice.instance in self.restarted:
                self._prove_one(spec, instance.main_pid, spec.dns, choice.instance, reading, rows[spec.name])
            elif not choice.instance and (whole or spec.name in self.named) and "" in self.restarted:
                self._prove_one(spec, status.pid, config.port == probe.DNS_PORT, "", reading, rows[spec.name])

    def _prove_one(
        self, spec: FragmentSpec, pid: int, dns: bool, instance: str, reading: Reading, rows: Sequence[str]
    ) -> None:
        problem = unserved(spec, pid, dns)
        file = "" if problem else reading.unread(rows, pid)
        if file:
            problem = f"it runs, but has not read {file}, which the user that it runs as has to be able to"
        if problem:
            said = journal([unit(instance)], time.time() - _LATELY) if instance else ""
            raise DnsmasqFailed(f"{problem}: {said}" if said else problem)

    # Going back

    def _way_back(self, originals: Mapping[str, Leases | None], error: VirtnetError) -> VirtnetError:
        """Put everything back as it was; the error to raise."""
        current = self.current
        if not self.system and not self.private:
            return DnsmasqFailed(f"dnsmasq was restarted, but: {error}")
        said = f"dnsmasq did not serve with the new fragments, so the previous ones are back: {error}"
        self.instances.stop([name for name in self.target.members if name in self.touched])
        if originals and self._concerns_system and current.service.running:
            self.service.stop()
        try:
            self._restore(originals)
            if (self._concerns_system or "" in self.restarted) and current.service.running:
                self.service.restart()
            before = [name for name, one in current.instances.items() if one.running]
            self._clear_unusable(before)
            self.instances.restart(before)
        except DnsmasqFailed as again:
            return DnsmasqFailed(f"{said}; and with the previous ones it does not start either: {again}")
        put([File(self.due_file, None)])
        return DnsmasqFailed(said)

    def _restore(self, originals: Mapping[str, Leases | None]) -> None:
        """The files, links and leases that were there."""
        for path, leases in originals.items():
            if leases is not None:
                write_leases(path, leases, path)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(path)
        put([File(file.path, self._before(file.path)) for file in self._files()])
        for name in self.current.links:
            _link(self.layout.link(name), self.layout.template)
        self._unlink(set(self.target.members) - set(self.current.links))
        self._tidy()
        if {self.layout.template, self.paths.dnsmasq_drop_in} & set(self.private):
            self.instances.reload()

    def _before(self, path: str) -> str | None:
        folder, name = os.path.split(path)
        files = self.current.files if folder == self.paths.dnsmasq_fragments else {}
        return files.get(name, self.current.private.get(path))


def _lines(path: str, content: str) -> list[Line]:
    rows = enumerate(content.splitlines(), 1)
    return [Line(row, path, number) for number, row in rows if not row.startswith("conf-file=")]


def _link(path: str, goal: str) -> None:
    if os.path.islink(path) or os.path.exists(path):
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(goal, path)
