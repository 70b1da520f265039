# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files and folders of the host. Tests use another root."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Paths:
    """Paths below ``root``."""

    root: str = "/"

    def _at(self, path: str) -> str:
        return os.path.join(self.root, path)

    @property
    def definitions(self) -> str:
        """Definitions of persistent networks."""
        return self._at("etc/virtnet/networks")

    @property
    def transient_definitions(self) -> str:
        """Definitions of transient networks, which do not outlive a reboot."""
        return self._at("run/virtnet/networks")

    @property
    def state(self) -> str:
        """State that outlives a reboot."""
        return self._at("var/lib/virtnet")

    @property
    def runtime(self) -> str:
        """State that does not outlive a reboot: the lock, ports of stopped bridges."""
        return self._at("run/virtnet")

    @property
    def dnsmasq_fragments(self) -> str:
        """Fragments for the system's dnsmasq."""
        return self._at("etc/dnsmasq.d")

    @property
    def private_fragments(self) -> str:
        """Fragments for private instances of dnsmasq."""
        return self._at("etc/virtnet/dnsmasq.d")

    @property
    def private_instances(self) -> str:
        """The main configuration file of each private instance of dnsmasq."""
        return self._at("etc/virtnet/dnsmasq")

    @property
    def dnsmasq_hosts(self) -> str:
        """Guests with fixed addresses and names of addresses, which dnsmasq reads again on a signal."""
        return self._at("etc/virtnet/dnsmasq.hosts")

    @property
    def private_running(self) -> str:
        """A folder for each private instance that runs, made and removed by systemd."""
        return self._at("run/virtnet-dnsmasq")

    @property
    def private_leases(self) -> str:
        """Leases of the private instances; made by their unit."""
        return self._at("var/lib/virtnet/dnsmasq")

    @property
    def adopted(self) -> str:
        """What networks were before they were taken over from libvirt, and leases on their way."""
        return self._at("var/lib/virtnet/adopted")

    @property
    def libvirt_leases(self) -> str:
        """Where libvirt keeps the leases of its own networks."""
        return self._at("var/lib/libvirt/dnsmasq")

    @property
    def dnsmasq_drop_in(self) -> str:
        """What we add to the unit of the system's dnsmasq."""
        return self._at("etc/systemd/system/dnsmasq.service.d/virtnet.conf")

    @property
    def sysctl_file(self) -> str:
        """Our sysctl settings, loaded at boot by systemd-sysctl."""
        return self._at("etc/sysctl.d/60-virtnet.conf")

    @property
    def proc_sys(self) -> str:
        """Sysctls of the running kernel; never below ``root``, since there is one kernel."""
        return "/proc/sys"

    @property
    def engine(self) -> str:
        """The engine as the boot service runs it."""
        return self._at("usr/local/lib/virtnet")

    @property
    def units(self) -> str:
        """systemd units of the administrator's own making."""
        return self._at("etc/systemd/system")

    @property
    def command(self) -> str:
        """The program ``virtnet`` where a shell finds it."""
        return self._at("usr/local/bin/virtnet")
