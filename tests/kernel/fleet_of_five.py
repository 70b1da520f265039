# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet of five hosts of which one is down, as a table: what two runs of the playbook do on each (``make fleet``).

Exit status 1 unless every host that is up has a subnet of its own after the first run, and the second changes nothing.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from .fleet_testbed import QUIET, FleetTestbed, Run

HOSTS = ("hv1", "hv2", "hv3", "hv4", "hv5")
# The third, so that hosts before and after it are seen.
DOWN = "hv3"
ROW = "{:<5} {:<12} {:<12} {:<18}"


def converge(fleet: FleetTestbed) -> tuple[Run, Run, dict[str, str]]:
    """Two runs over the hosts, and the subnet of each that is up."""
    for name in HOSTS:
        variables = {"virtnet_networks": {"lab": QUIET}}
        if name == DOWN:
            fleet.host_that_is_down(name, **variables)
        else:
            fleet.host(name, **variables)
    first, second = (fleet.run("-evirtnet_fleet_unique=true") for _ in range(2))
    subnets = {
        name: str(network["ipv4"]["address"])
        for name, host in fleet.hosts.items()
        for network in host.networks().values()
    }
    return first, second, subnets


def result(run: Run, host: str) -> str:
    """What a run did on a host, in a word."""
    counters = run.recap.get(host, {})
    if counters.get("unreachable"):
        return "unreachable"
    if not counters or counters["failed"]:
        return "FAILED"
    return "changed" if counters["changed"] else "unchanged"


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="vnf-") as folder:
        fleet = FleetTestbed(Path(folder), bare=True)
        try:
            first, second, subnets = converge(fleet)
        finally:
            fleet.close()
    print(ROW.format("host", "first run", "second run", "subnet"))
    for name in HOSTS:
        print(ROW.format(name, result(first, name), result(second, name), subnets.get(name, "-")).rstrip())
    print(f"status of ansible-playbook: {first.code}, {second.code}")
    up = [name for name in HOSTS if name != DOWN]
    complete = len({subnets.get(name) for name in up}) == len(up) and all(subnets.get(name) for name in up)
    expected = {"changed": first, "unchanged": second}
    return 0 if complete and all(result(run, name) == word for word, run in expected.items() for name in up) else 1


if __name__ == "__main__":
    sys.exit(main())
