# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files and folders of the host. Tests use another root."""

from __future__ import annotations

import os
from dataclasses import dataclass


class _Below:
    """A path below the root."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __get__(self, paths: Paths, _owner: type[Paths]) -> str:
        return os.path.join(paths.root, self._path)


@dataclass(frozen=True)
class Paths:
    """Paths below ``root``."""

    root: str = "/"

    # Definitions of persistent networks.
    definitions = _Below("etc/virtnet/networks")
    # Definitions of transient networks, which do not outlive a reboot.
    transient_definitions = _Below("run/virtnet/networks")
    # State that outlives a reboot.
    state = _Below("var/lib/virtnet")
    # How subnets are chosen.
    allocation_settings = _Below("var/lib/virtnet/choosing.json")
    # State that does not outlive a reboot: the lock, ports of stopped bridges.
    runtime = _Below("run/virtnet")
    # Fragments for the system's dnsmasq.
    dnsmasq_fragments = _Below("etc/dnsmasq.d")
    # Fragments for private instances of dnsmasq.
    private_fragments = _Below("etc/virtnet/dnsmasq.d")
    # The main configuration file of each private instance of dnsmasq.
    private_instances = _Below("etc/virtnet/dnsmasq")
    # Guests with fixed addresses and names of addresses, which dnsmasq reads again on a signal.
    dnsmasq_hosts = _Below("etc/virtnet/dnsmasq.hosts")
    # A folder for each private instance that runs, made and removed by systemd.
    private_running = _Below("run/virtnet-dnsmasq")
    # Leases of the private instances; made by their unit.
    private_leases = _Below("var/lib/virtnet/dnsmasq")
    # libvirt's definitions of adopted networks, and leases during the hand-over.
    adopted = _Below("var/lib/virtnet/adopted")
    # Where libvirt keeps the leases of its own networks.
    libvirt_leases = _Below("var/lib/libvirt/dnsmasq")
    # What we add to the unit of the system's dnsmasq.
    dnsmasq_drop_in = _Below("etc/systemd/system/dnsmasq.service.d/virtnet.conf")
    # Our sysctl settings, loaded at boot by systemd-sysctl.
    sysctl_file = _Below("etc/sysctl.d/60-virtnet.conf")
    # Sysctls of the running kernel; never below ``root``, since there is one kernel.
    proc_sys = "/proc/sys"
    # The engine as the boot service runs it.
    engine = _Below("usr/local/lib/virtnet")
    # systemd units that are not from a package.
    units = _Below("etc/systemd/system")
    # The program ``virtnet`` where a shell finds it.
    command = _Below("usr/local/bin/virtnet")
