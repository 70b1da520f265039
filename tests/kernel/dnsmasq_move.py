# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks move from the system's dnsmasq to a private one and back, with their leases: ``make dnsmasq-move``."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.lease_file import read_leases
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.private_files import SHARED, Layout
from kernel.dhcp_client import dhcp6, renewals, take_leases
from kernel.dnsmasq_testbed import (
    BRIDGE_ADDRESS,
    LAB_FRAGMENT,
    Daemon,
    DnsmasqTestbed,
    get_lease,
    new_testbed,
    open_folder,
    resolve,
    serving,
)

RENEWALS = 40
MAC = "52:54:00:00:00:01"
LAB: dict[str, Any] = {
    **LAB_FRAGMENT,
    "ipv6": {
        "address": "fd00:100::1/64",
        "ranges": [{"start": "fd00:100::100", "end": "fd00:100::1ff", "lease_time": "12h"}],
        # A host entry without an address: the name resolves through the lease only.
        "hosts": [{"mac": MAC, "name": "web"}],
        "ra_names": False,
    },
}
TWO: dict[str, Any] = {
    "name": "two",
    "interface": "virt1",
    "address": "192.168.101.1/24",
    "ranges": [{"start": "192.168.101.2", "end": "192.168.101.200"}],
}


@dataclass(frozen=True)
class Step:
    """The service that guests get from the dnsmasq that serves them now.

    ``known``: the addresses that the guests' names resolve to, before any new request; ``renewed``: how many of the
    leases from the beginning it renews; ``settled``: a second run changes nothing.
    """

    served_by: str
    known: str
    known6: str
    ipv4: str
    ipv6: str
    renewed: int
    server_duid: str
    settled: bool


def move_networks() -> list[Step]:
    """Served by the system's dnsmasq, then by a private one while that is disabled, then by the system's again."""
    with new_testbed() as testbed, open_folder() as folder:
        for namespace in (testbed.host, testbed.guest):
            namespace.run("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
        testbed.bridge()
        testbed.host.run("ip", "address", "add", "fd00:100::1/64", "dev", "virt0", "nodad")
        testbed.bridge("virt1", "192.168.101.1/24")
        testbed.plug()
        with serving(testbed, folder) as daemon:
            daemon.converge(LAB, TWO)
            leases = take_leases(testbed.guest, RENEWALS)
            get_lease(testbed.guest, folder)
            dhcp6(testbed.guest, folder)
            steps = [_step(testbed, folder, daemon, leases)]
            # As 'systemctl disable --now dnsmasq' and 'systemctl enable dnsmasq'; it cannot start while ours runs.
            for enabled in ("disabled", "enabled"):
                if enabled == "disabled":
                    daemon.stop()
                daemon.enabled = enabled
                daemon.converge(LAB, TWO)
                steps.append(_step(testbed, folder, daemon, leases))
            return steps


def _step(testbed: DnsmasqTestbed, folder: Path, daemon: Daemon, leases: dict[bytes, str]) -> Step:
    private = not daemon.fragments
    known, known6 = (resolve(testbed.host, BRIDGE_ADDRESS, "web.virt.test", kind) for kind in ("A", "AAAA"))
    renewed = renewals(testbed.guest, leases, BRIDGE_ADDRESS)
    return Step(
        "private" if private else "system",
        known,
        known6,
        get_lease(testbed.guest, folder).get("ip", ""),
        dhcp6(testbed.guest, folder).get("new_ip6_address", ""),
        renewed,
        read_leases(Layout(daemon.paths).leases(SHARED) if private else f"{folder}/leases").duid,
        not daemon.converge(LAB, TWO).changes,
    )


def main() -> None:
    rows = [tuple(field.name for field in fields(Step)), *(astuple(step) for step in move_networks())]
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
