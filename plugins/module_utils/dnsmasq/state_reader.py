# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the current state of DHCP and DNS from the host. Writes nothing and does not wait."""

from __future__ import annotations

import os
import pwd
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..core.command import find_for_unit
from ..core.files import is_open_folder, list_folder, read_text
from ..core.paths import Paths
from ..core.ports import REDIRECTED_DHCP
from ..core.systemctl import Unit
from ..resolver.resolved import STUB_FILE
from . import probe
from .config_reader import HostReader, read_config
from .foreign_names import names_used_by_administrator
from .hosts_files import hosts_file_network
from .lease_file import lease_file_fault, system_leases
from .private_files import USER, Layout, instances_in, parse_members, unit_name
from .private_service import SystemdInstances
from .reserved_names import static_names
from .sockets import Socket, dnsmasq_unit_of, foreign_sockets, port_can_be_shared, read_sockets
from .spec import PRIVATE, SYSTEM, FragmentSpec
from .state import RESTART_DUE_FILE, State
from .system_config import BIND_INTERFACES, Config, is_fragment_file
from .system_service import UNIT, ServiceStatus, SystemDnsmasq
from .unit_limits import closed_files

# ActiveState of a unit without processes.
_ENDED = ("inactive", "failed")
# The address of a socket that is bound to every address of a family.
_WILDCARD = {4: "0.0.0.0", 6: "::"}


@dataclass(frozen=True)
class _Services:
    """The services and all sockets of DNS and DHCP servers, read at about the same time."""

    system: ServiceStatus
    instances: Mapping[str, Unit]
    sockets: Sequence[Socket]

    @property
    def main_pids(self) -> set[int]:
        """The processes that systemd knows as the main processes of these services."""
        return {self.system.pid, *(instance.main_pid for instance in self.instances.values())} - {0}

    @property
    def unassigned_sockets(self) -> list[Socket]:
        """Sockets of other processes."""
        return foreign_sockets(self.sockets, self.main_pids)

    @property
    def is_consistent(self) -> bool:
        """Whether no service started or stopped a process between the two readings, as far as can be seen."""
        return all(socket.pid and not dnsmasq_unit_of(socket.pid) for socket in self.unassigned_sockets)

    @property
    def transient_pids(self) -> set[int]:
        """Processes of units that have not ended, other than their main processes."""
        live = {unit_name(name) for name, instance in self.instances.items() if instance.active not in _ENDED}
        live |= {UNIT} if self.system.active not in _ENDED else set()
        return {socket.pid for socket in self.unassigned_sockets if socket.pid and dnsmasq_unit_of(socket.pid) in live}


@dataclass(frozen=True)
class StateReader:
    """Reads the state for some networks, those that shall be served.

    ``foretold``: in check mode, bridges that an earlier task makes count as made, and a dnsmasq.service that the role
    installs for a network counts as installed.
    """

    specs: Sequence[FragmentSpec]
    paths: Paths
    service: SystemDnsmasq
    instances: SystemdInstances
    foretold: bool = False
    reader = HostReader()

    @property
    def layout(self) -> Layout:
        """Where the files of private instances are."""
        return Layout(self.paths)

    def read(self) -> State:
        """The current state; raises UnusableFile for a file of dnsmasq's configuration that cannot be read."""
        private_files, enabled = self._private_files(), self._enabled_instances()
        folder = os.path.join(self.paths.private_instances, "")
        instance_files = {self.layout.name_of(p): text for p, text in private_files.items() if p.startswith(folder)}
        # An instance without its file may still run and hold its ports.
        names = sorted({*instance_files, *enabled})
        services = self._services(names, bool(instance_files))
        config = read_config(services.system.command, self.reader, self.paths.dnsmasq_fragments)
        transient_pids = services.transient_pids
        foreign = foreign_sockets(services.sockets, services.main_pids | transient_pids)
        tftp_roots = [spec.tftp_root for spec in self.specs if spec.tftp_root]
        program = find_for_unit("dnsmasq") or ""
        return State(
            service=services.system,
            config=config,
            fragments=self._fragments(),
            restart_due=os.path.exists(os.path.join(self.paths.runtime, RESTART_DUE_FILE)),
            missed_networks=self._missed_networks(services.system, config),
            missing_tftp_roots=[root for root in tftp_roots if not is_open_folder(root)],
            real_tftp_roots={root: os.path.realpath(root) for root in tftp_roots},
            closed_files=[path for spec in self.specs for path in closed_files(spec.raw)],
            private_files=private_files,
            enabled_instances=enabled,
            instances=services.instances,
            unbound_instances=[
                name
                for name, text in instance_files.items()
                if self._is_unbound(text, services.instances.get(name, Unit()), services.sockets)
            ],
            sockets=services.sockets,
            transient_pids=transient_pids,
            blocked_ports=[
                port for port in (probe.DHCP_PORT, probe.DHCP6_PORT) if not port_can_be_shared(port, foreign)
            ],
            lease_file_faults=self._lease_file_faults(config, names),
            administrator_names=self._administrator_names(config),
            resolv_conf=_resolv_conf(self.paths.root),
            program=program,
            user=_user() if program else USER,
        )

    def _services(self, names: Sequence[str], has_instances: bool) -> _Services:
        """The services with their sockets, read a second time where a service changed between the two readings."""
        needs_sockets = has_instances or any(spec.instance != SYSTEM or spec.any_dhcp for spec in self.specs)
        for _attempt in range(2):
            services = _Services(self._system_status(), self.instances.status(names), ())
            sockets = read_sockets(services.main_pids) if needs_sockets else ()
            services = replace(services, sockets=sockets)
            if services.is_consistent:
                break
        return services

    def _system_status(self) -> ServiceStatus:
        status = self.service.status()
        if self.foretold and not status.installed and any(spec.instance == SYSTEM for spec in self.specs):
            return replace(status, installed=True, active="active", enabled="enabled")
        return status

    def _fragments(self) -> dict[str, str]:
        folder = self.paths.dnsmasq_fragments
        names = sorted(name for name in self.reader.names(folder) if is_fragment_file(name))
        return {name: self.reader.text(os.path.join(folder, name)) or "" for name in names}

    def _private_files(self) -> dict[str, str]:
        """All files of ours but the fragments of the system's dnsmasq."""
        paths = [self.layout.template, self.paths.dnsmasq_drop_in]
        for folder in (self.paths.private_fragments, self.paths.private_instances):
            paths += [os.path.join(folder, name) for name in self._names(folder) if name.endswith(".conf")]
        folder = self.paths.dnsmasq_hosts
        paths += [os.path.join(folder, name) for name in self._names(folder) if hosts_file_network(name)]
        contents = {path: read_text(path) for path in sorted(paths)}
        return {path: content for path, content in contents.items() if content is not None}

    def _names(self, folder: str) -> list[str]:
        """The names of the files in a folder but those that are being written."""
        return [name for name in self.reader.names(folder) if not name.startswith(".")]

    def _enabled_instances(self) -> list[str]:
        units = list_folder(self.layout.links)
        return [name for name in instances_in(units) if os.path.islink(self.layout.link(name))]

    def _lease_file_faults(self, config: Config, instances: Collection[str]) -> list[str]:
        files = [system_leases(config, self.paths.root), *map(self.layout.leases, instances)]
        return [fault for file in files if (fault := lease_file_fault(file))]

    def _administrator_names(self, config: Config) -> frozenset[str]:
        names = {name for spec in self.specs if spec.instance != PRIVATE for name in static_names(spec)}
        return names_used_by_administrator(names, config, self.reader, os.path.join(self.paths.root, "etc/hosts"))

    def _missed_networks(self, service: ServiceStatus, config: Config) -> list[str]:
        """With bind-interfaces, dnsmasq does not listen on addresses that came after its start."""
        if config.binding != BIND_INTERFACES or not (service.running and service.pid and config.port):
            return []
        endpoints = probe.listening(service.pid)
        return [
            spec.name
            for spec in self.specs
            if spec.instance != PRIVATE
            and any(
                not endpoints & {(_WILDCARD[bridge.version], config.port), (str(bridge.ip), config.port)}
                and (self.foretold or probe.interface_has_address(spec.interface, bridge.ip))
                for bridge in spec.addresses
            )
        ]

    def _is_unbound(self, instance_file: str, instance: Unit, sockets: Iterable[Socket]) -> bool:
        """Whether an instance of one network, whose bridge exists, receives DHCP packets of other interfaces too.

        Its bridge was created after its start, or created again, which dnsmasq before 2.87 does not notice.
        """
        members = parse_members(instance_file)
        if len(members) != 1 or not instance.main_pid:
            return False
        exists = probe.interface_exists(members[0].interface)
        ports = (probe.DHCP_PORT, REDIRECTED_DHCP)
        dhcp_sockets = [socket for socket in sockets if socket.pid == instance.main_pid and socket.port in ports]
        if not exists:
            return self.foretold and any(not socket.device for socket in dhcp_sockets)
        return any(socket.device != members[0].interface for socket in dhcp_sockets)


def _user() -> str:
    """The user of private instances: that which packages of dnsmasq make, or the default of one built by hand."""
    try:
        return pwd.getpwnam(USER).pw_name
    except KeyError:
        return "nobody"


def _resolv_conf(root: str) -> str:
    """The path of /etc/resolv.conf without symbolic links, or itself where systemd-resolved has no stub.

    With DNSStubListener=no, resolved makes the stub's file a link to the list of servers (manager_write_resolv_conf()
    in its resolved-resolv-conf.c): nobody answers at the stub's address, and the list is as good as any other file.
    """
    path = os.path.join(root, "etc/resolv.conf")
    return path if os.path.islink(os.path.join(root, STUB_FILE)) else os.path.realpath(path)
