# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The current state of DHCP and DNS on a host: files, services, sockets. Only data; nothing is read here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ..core.systemctl import Unit
from .private_files import USER, parse_members, redirects
from .probe import DHCP6_PORT, DHCP_PORT, DNS_PORT
from .sockets import Socket, foreign_sockets
from .spec import FragmentSpec
from .system_config import WILDCARD, Config, fragment_network, serves_ipv6
from .system_service import ServiceStatus

# This file exists while we restart dnsmasq, and after a run that was interrupted then.
RESTART_DUE_FILE = "dnsmasq-restart-due"
# The note at the lock while its holder waits for dnsmasq: a dnsmasq that starts does not wait for this holder.
WAITS_FOR_DNSMASQ = "waits for dnsmasq"

# ActiveState of a unit that systemd is about to bring into another state.
_TRANSITIONS = ("activating", "deactivating", "reloading")

# What a fragment that only forwards queries consists of.
FORWARD = "server=/"


def is_forward(content: str) -> bool:
    """Whether a fragment only forwards queries for a network's names to a private instance."""
    lines = [line for line in content.splitlines() if line and not line.startswith("#")]
    return bool(lines) and all(line.startswith(FORWARD) for line in lines)


@dataclass(frozen=True)
class State:
    """The current state.

    - ``fragments``: our files for the system's dnsmasq, file name to content.
    - ``private_files``: files of private instances, hosts files and our systemd units, path to content.
    - ``missed_networks``: networks on whose bridges the system's dnsmasq does not listen.
    - ``missing_tftp_roots``: TFTP folders that do not exist, or that dnsmasq's user cannot read.
    - ``real_tftp_roots``: each TFTP folder, and its path without symbolic links.
    - ``closed_files``: files that lines of the networks name, and that dnsmasq cannot read.
    - ``enabled_instances``: private instances that systemd starts at boot.
    - ``unbound_instances``: instances of one network whose DHCP socket is not bound to its bridge.
    - ``transient_pids``: processes of dnsmasq units that systemd does not name as their main process: not yet, or no
      longer.
    - ``blocked_ports``: DHCP ports whose current holders leave no room for a second server.
    - ``lease_file_faults``: lease files that cannot be used, one sentence each.
    - ``administrator_names``: names of our static hosts that the administrator's configuration has too, in lower case.
    - ``resolv_conf``: the path of /etc/resolv.conf without symbolic links, unless systemd-resolved has no stub.
    - ``program``: the path of dnsmasq, '' if it is not installed.
    - ``user``: of private instances.
    """

    service: ServiceStatus
    config: Config
    fragments: Mapping[str, str]
    restart_due: bool = False
    missed_networks: Sequence[str] = ()
    missing_tftp_roots: Sequence[str] = ()
    private_files: Mapping[str, str] = field(default_factory=dict)
    enabled_instances: Collection[str] = ()
    instances: Mapping[str, Unit] = field(default_factory=dict)
    unbound_instances: Collection[str] = ()
    sockets: Sequence[Socket] = ()
    transient_pids: Collection[int] = ()
    blocked_ports: Collection[int] = ()
    resolv_conf: str = "/etc/resolv.conf"
    real_tftp_roots: Mapping[str, str] = field(default_factory=dict)
    closed_files: Collection[str] = ()
    lease_file_faults: Sequence[str] = ()
    administrator_names: Collection[str] = ()
    program: str = "/usr/sbin/dnsmasq"
    user: str = USER

    @property
    def in_transition(self) -> bool:
        """Whether a dnsmasq is starting or stopping, so that the state is another one soon.

        A socket without a process is one of a process that ends.

        False while systemd keeps dnsmasq waiting for our own service: then it starts only after us.
        """
        if self.service.ordered_after_us:
            return False
        without_process = any(not socket.pid for socket in self.foreign_sockets)
        return self.service.active in _TRANSITIONS or bool(self.transient_pids) or without_process

    @property
    def redirects_by_network(self) -> dict[str, bool]:
        """Each network that a dnsmasq serves, and whether that has ports of its own."""
        served = {fragment_network(name): False for name, text in self.fragments.items() if not is_forward(text)}
        for text in self.private_files.values():
            served.update({member.network: redirects(text) for member in parse_members(text)})
        return served

    @property
    def has_serving_fragments(self) -> bool:
        """Whether the system's dnsmasq serves networks of ours."""
        return any(not is_forward(text) for text in self.fragments.values())

    @property
    def system_runs_or_is_enabled(self) -> bool:
        """Whether the system's dnsmasq runs now or will run after the next boot."""
        return self.service.installed and (self.service.running or self.service.usable)

    @property
    def own_pids(self) -> set[int]:
        """The processes of private instances, and those of dnsmasq units that are starting or stopping."""
        return {*(instance.main_pid for instance in self.instances.values()), *self.transient_pids} - {0}

    @cached_property
    def foreign_sockets(self) -> list[Socket]:
        """Sockets of programs other than our private instances and the system's dnsmasq."""
        return foreign_sockets(self.sockets, {*self.own_pids, self.service.pid})

    def dns_port_holder(self, interface: str, address: str) -> str:
        """Who keeps a private instance from serving DNS at an address, with the remedy; '' for nobody."""
        holds_port = self.system_runs_or_is_enabled and self.config.port == DNS_PORT
        if holds_port and self.config.listens_at(interface, address):
            settings = f"'bind-dynamic' and 'except-interface={interface}'"
            if self.config.binding != WILDCARD:
                settings = f"'except-interface={interface}'"
            return (
                f"the system's dnsmasq holds port 53 there; write {settings} into {self.config.main_file}, "
                "or disable that service"
            )
        holder = self.holder(DNS_PORT, interface, address)
        if not holder:
            return ""
        return (
            f"{holder}; stop that, have it listen on other addresses only, or leave dnsmasq.redirect out and run "
            "again: the network gets ports of its own then"
        )

    def holder(self, port: int, interface: str, address: str) -> Socket | None:
        """The socket of another program that keeps ours from an address of an interface."""
        blocking = (one for one in self.foreign_sockets if one.port == port and one.blocks(interface, address))
        return next(blocking, None)

    def dns_holders(self, spec: FragmentSpec) -> list[Socket]:
        """The sockets of other programs at the port of DNS of a network's addresses."""
        holders = (self.holder(spec.dns_port, spec.interface, str(address.ip)) for address in spec.addresses)
        return [holder for holder in holders if holder is not None] if spec.dns else []

    def dhcp_port_holder(self, port: int, system_serves: bool) -> str:
        """Who keeps a private instance from serving DHCP (67) or DHCPv6 (547), with the remedy; '' for nobody.

        ``system_serves``: the system's dnsmasq serves networks of ours that need the port too.
        """
        system_needs_port = system_serves or any(
            serves_ipv6(setting) == (port == DHCP6_PORT) for setting in self.config.named("dhcp-range")
        )
        wildcard = self.config.binding == WILDCARD and not self.config.only_localhost
        if self.system_runs_or_is_enabled and system_needs_port and wildcard:
            return (
                f"the system's dnsmasq holds UDP port {port} for itself alone; "
                f"write 'bind-dynamic' into {self.config.main_file}, or disable that service"
            )
        return self.exclusive_dhcp_holder(port)

    def exclusive_dhcp_holder(self, port: int) -> str:
        """Which other program leaves no room for a second server of DHCP or DHCPv6, with the remedy; '' for none."""
        holders = [socket for socket in self.foreign_sockets if socket.port == port]
        if not holders or port not in self.blocked_ports:
            return ""
        other = ", or leave ipv6.dhcp out: guests make their own addresses then" if port == DHCP6_PORT else ""
        return f"{holders[0]} for itself alone; stop that{other}"

    def has_unbound_dhcp_server(self, system_serves: bool) -> bool:
        """Whether a DHCP server other than our instances receives packets of every interface.

        ``system_serves``: the system's dnsmasq serves DHCP to networks of ours.
        """
        if any(socket.port == DHCP_PORT and not socket.device for socket in self.foreign_sockets):
            return True
        if not self.system_runs_or_is_enabled:
            return False
        interfaces = self.config.named("interface", "listen-address")
        bound = [setting.name for setting in interfaces] == ["interface"] and "*" not in (interfaces[0].value or "")
        return system_serves or (bool(self.config.named("dhcp-range")) and not bound)
