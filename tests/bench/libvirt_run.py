# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a host with libvirt: how long its daemon takes until N networks are active.

python3 libvirt_run.py N      prints {"autostart": {...}, "re-adopt": {...}}: seconds, CPU, MiB, as JSON

``autostart``: only the definitions of the networks exist, as after a boot. ``re-adopt``: the daemon is restarted while
they are active. Both until virsh gets its first answer, which is when all are. Without DHCP and DNS: each such network
of libvirt has a dnsmasq of its own, and each of these uses one of the 128 inotify instances that Linux allows a user.
Their time would come on top.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

# It takes minutes for hundreds of networks.
TIMEOUT = 3600
UNITS = ("libvirtd.service", "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket")
NETWORK = """
<network>
  <name>net{i}</name>
  <forward mode="nat"/>
  <bridge name="vb{i}" stp="off"/>
  <dns enable="no"/>
  <ip address="10.{high}.{low}.1" netmask="255.255.255.0"/>
</network>
"""


def call(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT).stdout


def names(*which: str) -> list[str]:
    return call("virsh", "-c", "network:///system", "net-list", "--name", *which).split()


def undefine() -> None:
    """Removes all networks, also the one of the package."""
    import libvirt

    connection = libvirt.open("network:///system")
    for network in connection.listAllNetworks():
        if network.isActive():
            network.destroy()
        network.undefine()
    connection.close()


def define(count: int) -> None:
    import libvirt

    connection = libvirt.open("network:///system")
    for i in range(count):
        connection.networkDefineXML(NETWORK.format(i=i, high=i // 250, low=i % 250)).setAutostart(True)
    connection.close()


def forget(count: int) -> None:
    """The state after a boot: definitions only."""
    call("systemctl", "stop", *UNITS)
    lines = [f"link delete vb{i}" for i in range(count)]
    subprocess.run(["ip", "-force", "-batch", "-"], input="\n".join(lines), text=True, check=False, capture_output=True)
    call("nft", "flush", "ruleset")
    call("sh", "-c", "rm -rf /run/libvirt/network")


def started(verb: str, count: int) -> dict[str, float]:
    start = time.monotonic()
    call("systemctl", verb, UNITS[0])
    running = len(names())
    seconds = time.monotonic() - start
    if running != count:
        raise SystemExit(f"{running} of {count} networks run")
    # CPU time of the daemon and its children; without dnsmasq the control group starts at zero.
    cpu = int(call("systemctl", "show", UNITS[0], "-P", "CPUUsageNSec")) / 1e9
    return {
        "seconds": seconds,
        "cpu": cpu,
        "MiB": resident(call("systemctl", "show", "-P", "MainPID", UNITS[0]).strip()),
    }


def resident(pid: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def main() -> None:
    count = int(sys.argv[1])
    os.environ["LC_ALL"] = "C"
    undefine()
    define(count)
    forget(count)
    results = {"autostart": started("start", count), "re-adopt": started("restart", count)}
    version = call("virsh", "--version").strip()
    undefine()
    print(json.dumps({"version": version, **results}))


if __name__ == "__main__":
    main()
