# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part that gives networks DHCP and DNS: by the system's dnsmasq, or by private instances of ours."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence

from ..core.command import find
from ..core.files import is_open_folder, read_text
from ..core.lock import say_at_lock
from ..core.paths import Paths
from ..core.reconcile import Plan
from ..core.systemctl import Unit
from . import probe
from .changes import FragmentChange, file_change, service_change, with_hosts_files
from .conflicts import refuse_clashes, refuse_missing_folders
from .dangerous_options import line_dangers, tftp_danger
from .foreign_names import other_names
from .hosts_files import configuration, network_of
from .lease_file import lease_file_fault, system_leases
from .private_files import Layout, members_of, unit
from .private_service import Instances, SystemdInstances
from .reserved_names import of_records, static_names
from .sockets import Socket, foreign, is_shared, of_dnsmasq_unit, read_sockets
from .spec import PRESENT, PRIVATE, SYSTEM, FragmentSpec
from .state import AWAITS, DUE_FILE, State
from .system_config import (
    BIND_INTERFACES,
    Config,
    HostReader,
    Reader,
    fragment_file,
    fragment_network,
    is_fragment_file,
    read_config,
)
from .system_service import UNIT, DnsmasqService, ServiceStatus, SystemDnsmasq
from .target import Target, membership, target

__all__ = ["FragmentSpec", "Fragments", "State"]

# systemd's words for a unit that will soon be something else; how long that is waited for.
_PASSING = ("activating", "deactivating", "reloading")
_SETTLING_STEPS = 20
_SETTLING_PAUSE = 0.1


def _is_unsettled(state: State) -> bool:
    if state.service.ordered_after_us:
        return False
    return state.service.active in _PASSING or any(not one.pid or of_dnsmasq_unit(one.pid) for one in state.others)


class Fragments:
    """The networks that are given, and the services that serve them."""

    def __init__(
        self,
        wanted: Sequence[FragmentSpec],
        purge: bool,
        paths: Paths,
        *,
        service: DnsmasqService | None = None,
        reader: Reader | None = None,
        instances: Instances | None = None,
    ) -> None:
        self.wanted = wanted
        self.purge = purge
        self.paths = paths
        self.layout = Layout(paths)
        self.folder = paths.dnsmasq_fragments
        self.service = service or SystemDnsmasq(paths.root)
        self.reader = reader or HostReader()
        self.instances = instances or SystemdInstances()

    @property
    def present(self) -> list[FragmentSpec]:
        """The specs of networks that shall be served."""
        return [spec for spec in self.wanted if spec.state == PRESENT]

    def read(self) -> State:
        """What there is, once no dnsmasq is on its way up or down.

        In between, its socket and its process number do not match, and it would be taken for somebody else's.
        """
        state = self.look()
        if not _is_unsettled(state):
            return state
        # Before it starts, it would otherwise wait for the lock.
        say_at_lock(self.paths.runtime, AWAITS)
        for _step in range(_SETTLING_STEPS):
            time.sleep(_SETTLING_PAUSE)
            state = self.look()
            if not _is_unsettled(state):
                break
        say_at_lock(self.paths.runtime, "")
        return state

    def look(self) -> State:
        """The files that are there, the configuration around them, the services, and who else holds their ports."""
        names = [name for name in self.reader.names(self.folder) if is_fragment_file(name)]
        service = self.service.status()
        config = read_config(service.command, self.reader, self.folder)
        private = self._private_files()
        confs = {self.layout.name_of(p): text for p, text in private.items() if p.startswith(self._instances_folder)}
        # One whose file was removed may still run, and hold the ports that it is to have again.
        links = self._links()
        instances = self.instances.status(sorted({*confs, *links}))
        pids = {service.pid, *(one.main_pid for one in instances.values())} - {0}
        asked = bool(confs) or any(spec.instance != SYSTEM for spec in self.present)
        sockets = read_sockets(pids) if asked else []
        return State(
            service=service,
            config=config,
            files={name: self.reader.text(os.path.join(self.folder, name)) or "" for name in sorted(names)},
            restart_due=os.path.exists(os.path.join(self.paths.runtime, DUE_FILE)),
            unheard=tuple(self._unheard(service, config)),
            missing=[spec.tftp_root for spec in self.present if spec.tftp_root and not is_open_folder(spec.tftp_root)],
            tftp_roots={spec.tftp_root: os.path.realpath(spec.tftp_root) for spec in self.present if spec.tftp_root},
            private=private,
            links=links,
            instances=instances,
            unbound=[name for name in confs if _is_unbound(confs[name], instances.get(name, Unit()), sockets)],
            sockets=sockets,
            barred=[
                port for port in (probe.DHCP_PORT, probe.DHCP6_PORT) if not is_shared(port, foreign(sockets, pids))
            ],
            faults=[fault for file in self._lease_files(config, {*confs, *links}) if (fault := lease_file_fault(file))],
            other_names=other_names(
                {name for spec in self.present if spec.instance != PRIVATE for name in static_names(spec)},
                config,
                self.reader,
                os.path.join(self.paths.root, "etc/hosts"),
            ),
            resolv_conf=os.path.realpath(os.path.join(self.paths.root, "etc/resolv.conf")),
            program=find("dnsmasq") or "",
            engine=os.path.exists(os.path.join(self.paths.engine, "virtnet")),
        )

    def _lease_files(self, config: Config, instances: Iterable[str]) -> list[str]:
        return [system_leases(config, self.paths.root), *map(self.layout.leases, sorted(instances))]

    def _links(self) -> list[str]:
        """Instances that are started at boot."""
        try:
            units = os.listdir(self.layout.links)
        except FileNotFoundError:
            return []
        return [name for name in self.layout.instances_in(units) if os.path.islink(self.layout.link(name))]

    @property
    def _instances_folder(self) -> str:
        return os.path.join(self.paths.private_instances, "")

    def _private_files(self) -> dict[str, str]:
        """All that is there of ours but the fragments of the system's dnsmasq."""
        paths = [self.layout.template, self.paths.dnsmasq_drop_in]
        for folder in (self.paths.private_fragments, self.paths.private_instances):
            paths += [os.path.join(folder, name) for name in self.reader.names(folder) if _is_ours(name)]
        hosts = self.paths.dnsmasq_hosts
        paths += [os.path.join(hosts, name) for name in self.reader.names(hosts) if _is_hosts_file(name)]
        found = {path: read_text(path) for path in sorted(paths)}
        return {path: content for path, content in found.items() if content is not None}

    def _unheard(self, service: ServiceStatus, config: Config) -> Iterable[str]:
        """With bind-interfaces, dnsmasq never hears an address that came after its start."""
        if config.binding != BIND_INTERFACES or not (service.running and service.pid and config.port):
            return []
        sockets = probe.listening(service.pid)
        return [
            spec.name
            for spec in self.present
            if spec.instance != PRIVATE
            and any(
                not sockets & {(probe.wildcard(one.ip), config.port), (str(one.ip), config.port)}
                and probe.is_held(spec.interface, one.ip)
                for one in spec.addresses
            )
        ]

    def plan(self, current: State) -> Plan[FragmentChange]:
        """Which dnsmasq serves which network, the files to write and remove, and what has to be started for it."""
        kept = {} if self.purge else self._others(current)
        refuse_clashes(self.present, kept, self.folder)
        if not current.service.ordered_after_us:
            refuse_missing_folders(self.present, current.missing)
        wanted = target(self.wanted, self.purge, current, self.layout)
        reasons = {choice.spec.name: choice.reason for choice in wanted.choices if choice.instance}
        changes = [
            *self._fragment_changes(wanted, current),
            *self._private_changes(wanted, current, reasons),
        ]
        changes = with_hosts_files(changes, wanted, current)
        restarted = any(change.file for change in changes)
        touched = {change.instance for change in changes if change.instance}
        changes += self._service_changes(wanted, current, restarted)
        changes += self._instance_changes(wanted, current, touched)
        return Plan(changes, _holds(wanted), self._notes(wanted, current))

    def _others(self, current: State) -> dict[str, str]:
        """Fragments of networks that this run does not name, and what these have dnsmasq read, as lines of the same."""
        named = {fragment_file(spec.name) for spec in self.wanted}
        networks = {spec.name for spec in self.wanted}
        fragments = {self.layout.fragment(name) for name in networks}
        folder = os.path.join(self.paths.private_fragments, "")
        private = {p: t for p, t in current.private.items() if p.startswith(folder) and p not in fragments}
        hosts = {
            path: "".join(f"{line.text}\n" for line in configuration(path, of_records(text)))
            for path, text in current.private.items()
            if network_of(path) and network_of(path) not in networks
        }
        return {**{name: text for name, text in current.files.items() if name not in named}, **private, **hosts}

    def _fragment_changes(self, wanted: Target, current: State) -> Iterable[FragmentChange]:
        for file, after in wanted.system.items():
            before = current.files.get(file)
            if before != after:
                place = os.path.join(self.folder, file)
                yield file_change(fragment_network(file), file, before, after, file=file, place=place)

    def _private_changes(self, wanted: Target, current: State, reasons: Mapping[str, str]) -> Iterable[FragmentChange]:
        """Files of private instances: what is wanted and what is gone. Those of networks that are not named stay."""
        before = membership(current, self.layout)
        everyone = {**before, **wanted.members}
        # Where a network comes from has to let go of it, so it is named with the instance that has it now.
        home = {
            member.network: name for members in (wanted.members, before) for name in members for member in members[name]
        }
        for path in sorted({*current.private, *wanted.private}):
            have, want = current.private.get(path), wanted.private.get(path)
            if have == want or network_of(path):
                continue
            name = os.path.basename(path)[: -len(".conf")]
            if path == self.layout.fragment(name):
                reason = reasons.get(name, "") if have is None else ""
                yield file_change(name, f"dnsmasq.d/{name}.conf", have, want, path, home.get(name, ""), reason=reason)
            elif path == self.layout.instance(name) and name in everyone:
                yield file_change(unit(name), "its configuration", have, want, path, name)
            else:
                yield file_change(
                    UNIT if path == self.paths.dnsmasq_drop_in else "private dnsmasq",
                    os.path.basename(path),
                    have,
                    want,
                    path,
                )

    def _service_changes(self, wanted: Target, current: State, restarted_anyway: bool) -> Iterable[FragmentChange]:
        service = current.service
        served = wanted.served_by_system
        if service.ordered_after_us or not service.installed:
            return []
        if not service.running:
            due = current.restart_due and service.usable
            if not served and not due:
                return []
            return [service_change(UNIT, service.active, "started", f"started (was {service.active})")]
        unheard = [name for name in current.unheard if name in {spec.name for spec in served}]
        if restarted_anyway or not (current.restart_due or unheard):
            return []
        reason = "an earlier run was interrupted"
        if unheard:
            reason = f"it does not listen on the bridge of {', '.join(unheard)}"
        return [service_change(UNIT, f"runs, but {reason}", "restarted", f"restarted ({reason})")]

    def _instance_changes(self, wanted: Target, current: State, touched: Iterable[str]) -> Iterable[FragmentChange]:
        """Instances whose files are right but which do not run, run as they should not, or are not started at boot."""
        for name in sorted(set(wanted.members) - set(touched)):
            one = current.instances.get(name, Unit())
            if not one.running and not (current.service.ordered_after_us and name in current.links):
                yield service_change(unit(name), one.active, "started", f"started (was {one.active})", name)
            elif name not in current.links:
                yield service_change(unit(name), "not started at boot", "enabled", "enabled", name)
            elif name in current.unbound or current.restart_due:
                reason = "its bridge was made anew" if name in current.unbound else "an earlier run was interrupted"
                yield service_change(unit(name), f"runs, but {reason}", "restarted", f"restarted ({reason})", name)
        # A run that was cut short removed its file.
        for name in sorted(set(current.links) - {*wanted.members, *touched}):
            yield service_change(unit(name), "started at boot", "not started at boot", "disabled", name)

    def _notes(self, wanted: Target, current: State) -> list[str]:
        config, served = current.config, wanted.served_by_system
        notes = [f"leases are not read: {fault}" for fault in current.faults]
        notes += [f"network {spec.name!r}: {danger}" for spec in self.present for danger in _dangers(spec, current)]
        if config.port == probe.DNS_PORT or not served:
            return notes
        named = ", ".join(spec.name for spec in served)
        return [
            *notes,
            f"dnsmasq serves no DNS on port 53 here ({config.named('port')[0]}): "
            f"guests of {named} get addresses, but no DNS server from it",
        ]

    def apply(self, plan: Plan[FragmentChange]) -> None:
        """Test the new set, write it, restart, prove; where that fails, put the old set back and say why."""
        current = self.read()
        # What does it is large, and mostly there is nothing to do.
        from .deploy import Doing

        doing = Doing(
            paths=self.paths,
            service=self.service,
            instances=self.instances,
            reader=self.reader,
            current=current,
            target=target(self.wanted, self.purge, current, self.layout),
            system={change.file: change.content for change in plan.changes if change.file},
            private={
                **{change.path: change.content for change in plan.changes if change.path},
                **{path: content for change in plan.changes for path, content in change.beside.items()},
            },
            quiet=[change.path for change in plan.changes if change.quiet],
            named={change.name for change in plan.changes},
            touched={change.instance for change in plan.changes if change.instance},
            service_too=any(change.name == UNIT and not (change.file or change.path) for change in plan.changes),
        )
        doing.run()


def _dangers(spec: FragmentSpec, current: State) -> Iterable[str]:
    yield from line_dangers(spec.raw)
    danger = tftp_danger(spec.tftp_root, current.tftp_roots.get(spec.tftp_root, ""))
    if danger:
        yield danger


def _is_ours(name: str) -> bool:
    return name.endswith(".conf") and not name.startswith(".")


def _is_hosts_file(name: str) -> bool:
    return bool(network_of(name)) and not name.startswith(".")


def _is_unbound(conf: str, instance: Unit, sockets: Iterable[Socket]) -> bool:
    """Whether an instance of one network, whose bridge is there, gets DHCP packets of other interfaces too.

    Its bridge came after its start, or was made anew, which dnsmasq before 2.87 does not notice.
    """
    members = members_of(conf)
    if len(members) != 1 or not instance.main_pid or not probe.exists(members[0].interface):
        return False
    held = [one for one in sockets if one.pid == instance.main_pid and one.port == probe.DHCP_PORT]
    return any(one.device != members[0].interface for one in held)


def _holds(wanted: Target) -> list[Mapping[str, object]]:
    return [
        {**choice.spec.as_options(), "instance": PRIVATE if choice.instance else SYSTEM} for choice in wanted.choices
    ]
