# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the part that serves networks finds on a host. Data, and questions to it; nothing is read here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ..core.systemctl import Unit
from .probe import DHCP6_PORT, DHCP_PORT, DNS_PORT
from .sockets import Socket, foreign
from .system_config import WILDCARD, Config, serves_ipv6
from .system_service import ServiceStatus

# There while a restart of ours is under way or was cut short.
DUE_FILE = "dnsmasq-restart-due"
# What the holder of the lock says while it waits for dnsmasq to be up.
AWAITS = "waits for dnsmasq"


@dataclass(frozen=True)
class State:
    """What there is.

    ``files`` are our fragments for the system's dnsmasq, name to content; ``unheard`` the networks that it does not
    hear; ``missing`` folders for TFTP that are not there for dnsmasq's own user. ``private`` are the files of private
    instances and of what goes with them, path to content; ``links`` those instances that are started at boot,
    ``unbound`` those whose DHCP socket is not bound to their one bridge.
    ``barred``: ports of DHCP beside whose holders there is no room. ``resolv_conf``: where the host's file really lies.
    ``tftp_roots``: where folders for TFTP really are. ``faults``: lease files that cannot be used, a sentence each.
    ``other_names``: those of static hosts of ours that the administrator's own configuration has too, in lower case.
    ``program``: there is a dnsmasq to run, as a service or not; ``engine``: ours is installed for the boot.
    """

    service: ServiceStatus
    config: Config
    files: Mapping[str, str]
    restart_due: bool = False
    unheard: Sequence[str] = ()
    missing: Sequence[str] = ()
    private: Mapping[str, str] = field(default_factory=dict)
    links: Collection[str] = ()
    instances: Mapping[str, Unit] = field(default_factory=dict)
    unbound: Collection[str] = ()
    sockets: Sequence[Socket] = ()
    barred: Collection[int] = ()
    resolv_conf: str = "/etc/resolv.conf"
    tftp_roots: Mapping[str, str] = field(default_factory=dict)
    faults: Sequence[str] = ()
    other_names: Collection[str] = ()
    program: str = "/usr/sbin/dnsmasq"
    engine: bool = False

    @property
    def system_counts(self) -> bool:
        """Whether the system's dnsmasq runs now or will at the next boot."""
        return self.service.installed and (self.service.running or self.service.usable)

    @property
    def own_pids(self) -> set[int]:
        """The processes of private instances."""
        return {instance.main_pid for instance in self.instances.values() if instance.main_pid}

    @property
    def others(self) -> list[Socket]:
        """Sockets of programs that are neither ours nor the system's dnsmasq."""
        return foreign(self.sockets, {*self.own_pids, self.service.pid} - {0})

    def holder(self, interface: str, address: str) -> str:
        """Who keeps a private instance from serving DNS at an address; '' for nobody."""
        if self.system_counts and self.config.port == DNS_PORT and self.config.listens_at(interface, address):
            settings = f"'bind-dynamic' and 'except-interface={interface}'"
            if self.config.binding != WILDCARD:
                settings = f"'except-interface={interface}'"
            return (
                f"the system's dnsmasq holds port 53 there; write {settings} into {self.config.main_file}, "
                "or disable that service"
            )
        held = [one for one in self.others if one.port == DNS_PORT and one.bars(interface, address)]
        return f"{held[0]}; stop that, or have it listen on other addresses only" if held else ""

    def dhcp_holder(self, port: int, system_serves: bool) -> str:
        """Who keeps a private instance from serving DHCP or, by its port, DHCPv6.

        ``system_serves``: the system's dnsmasq has networks that need the port too.
        """
        wants = system_serves or any(
            serves_ipv6(one) == (port == DHCP6_PORT) for one in self.config.named("dhcp-range")
        )
        wildcard = self.config.binding == WILDCARD and not self.config.only_localhost
        if self.system_counts and wants and wildcard:
            return (
                f"the system's dnsmasq holds UDP port {port} for itself alone; "
                f"write 'bind-dynamic' into {self.config.main_file}, or disable that service"
            )
        held = [one for one in self.others if one.port == port]
        return f"{held[0]} for itself alone; stop that" if held and port in self.barred else ""

    def beside_dhcp(self, system_serves: bool) -> bool:
        """Whether a DHCP server of somebody else's gets packets of every interface."""
        if any(one.port == DHCP_PORT and not one.device for one in self.others):
            return True
        if not self.system_counts:
            return False
        listed = self.config.named("interface")
        bound = len(listed) == 1 and "*" not in (listed[0].value or "") and not self.config.named("listen-address")
        return system_serves or (bool(self.config.named("dhcp-range")) and not bound)
