# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a guest gets no answer while its network changes: ``make dnsmasq-outage``.

A guest asks every millisecond; told is the longest time between two answers, in milliseconds, the median of several
changes. Without a change that is about one.
"""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.virtnet.linux.plugins.module_utils import dnsmasq_probe
from kernel.dnsmasq_bed import BRIDGE_ADDRESS, Bed, made_bed, open_folder, serving

RUNS = 5


def network(i: int) -> dict[str, Any]:
    subnet = "192.168.100" if i == 0 else f"172.20.{i}"
    return {
        "name": f"n{i}",
        "interface": f"virt{i}",
        "address": f"{subnet}.1/24",
        "ranges": [{"start": f"{subnet}.2", "end": f"{subnet}.200"}],
        "domain": f"n{i}.test",
    }


# Each makes of a network, and the number of the run, one that differs from that of every other run.
CHANGES: dict[str, Callable[[dict[str, Any], int], list[dict[str, Any]]]] = {
    "nothing": lambda one, n: [one],
    "static host": lambda one, n: [{**one, "hosts": [{"mac": "52:54:00:00:00:09", "ip": f"192.168.100.{90 + n}"}]}],
    "DNS record": lambda one, n: [{**one, "names": {"hosts": [{"ip": f"192.168.100.{90 + n}", "names": ["nas"]}]}}],
    "both removed": lambda one, n: [one],
    "TXT record": lambda one, n: [{**one, "names": {"txt": [{"name": "a", "value": f"{n}"}]}}],
    "DHCP option": lambda one, n: [{**one, "options": {"mtu": 1400 + n}}],
    "range": lambda one, n: [{**one, "ranges": [{"start": "192.168.100.2", "end": f"192.168.100.{200 + n}"}]}],
    "another network": lambda one, n: [one, network(200 + n)],
}


class Asking:
    """A guest that asks the whole time."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.gap = 0.0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Asking:
        self.thread.start()
        time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(0.05)
        self.done.set()
        self.thread.join()

    def _ask(self) -> None:
        query = dnsmasq_probe.query("version.bind", 16, 3)
        with self.bed.guest.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind(("192.168.100.250", 0))
            client.settimeout(0.001)
            last = time.perf_counter()
            while not self.done.is_set():
                client.sendto(query, (BRIDGE_ADDRESS, 53))
                try:
                    client.recv(2048)
                except (TimeoutError, ConnectionRefusedError):
                    continue
                now = time.perf_counter()
                self.gap, last = max(self.gap, now - last), now
                time.sleep(0.001)


def measured(bed: Bed, count: int) -> dict[str, float]:
    """The longest silence of each kind of change beside ``count`` networks."""
    with open_folder() as folder, serving(bed, folder) as daemon:
        others = [network(i) for i in range(1, count)]
        told = {}
        for kind, change in CHANGES.items():
            daemon.converge(network(0), *others, purge=True)
            gaps = []
            for n in range(RUNS):
                with Asking(bed) as asking:
                    daemon.converge(*change(network(0), n), *others, purge=True)
                gaps.append(asking.gap * 1000)
            told[kind] = statistics.median(gaps)
        return told


def main() -> None:
    with made_bed() as bed:
        bed.bridge()
        bed.plug()
        bed.guest.run("ip", "address", "add", "192.168.100.250/24", "dev", "eth0")
        columns = {count: measured(bed, count) for count in (1, 100)}
    print(f"{'longest silence in ms':<22}" + "".join(f"{count:>4} networks" for count in columns))
    for kind in CHANGES:
        print(f"{kind:<22}" + "".join(f"{one[kind]:>13.1f}" for one in columns.values()))


if __name__ == "__main__":
    main()
