# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machine on which figures were measured, and the versions of the tools."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path

from lab.host import Host
from lab.run import attempt

PACKAGES = ("dnsmasq-base", "libvirt-daemon", "libvirt-daemon-driver-network", "network-manager", "systemd", "nftables",
            "iproute2", "python3", "dnsperf")  # fmt: skip


def machine() -> dict[str, str]:
    """CPU, cores, memory, kernel, Python of the controller, Ansible."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    ansible = attempt([str(Path(sys.executable).with_name("ansible")), "--version"]).out.partition("\n")[0]
    return {
        "CPU": cpu[1] if cpu else platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{int(memory[1]) / 1024**2:.0f} GiB" if memory else "",
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "controller": f"Python {platform.python_version()}, {ansible.replace('[core ', 'core ').rstrip(']')}",
    }


def versions(host: Host) -> dict[str, str]:
    """Versions of Debian's packages on a host that matter here, the upstream part first."""
    listed = host.attempt(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *PACKAGES]).out
    return {name: version for name, _, version in (line.partition(" ") for line in listed.splitlines()) if version}
