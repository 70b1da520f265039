# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a guest gets no answer while its network changes: ``make dnsmasq-outage``.

A guest sends a query every millisecond. Reported are the longest time between two answers, the queries without an
answer, and the restarts of dnsmasq. The first line is the baseline: what the load of the machine alone causes. The
networks are served by the system's dnsmasq, or by a private one at ports of its own beside it.
"""

from __future__ import annotations

import contextlib
import select
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq import probe as dnsmasq_probe
from kernel.dnsmasq_options import load_rules
from kernel.dnsmasq_testbed import BRIDGE_ADDRESS, DnsmasqTestbed, new_testbed, open_folder, serving

RUNS = 5
# Seconds at the end in which late answers still count.
_GRACE_SECONDS = 0.1


def fragment(i: int) -> dict[str, Any]:
    subnet = "192.168.100" if i == 0 else f"172.20.{i}"
    return {
        "name": f"n{i}",
        "interface": f"virt{i}",
        "address": f"{subnet}.1/24",
        "ranges": [{"start": f"{subnet}.2", "end": f"{subnet}.200"}],
        "domain": f"n{i}.test",
    }


# Each makes, from a network and the number of the run, networks that differ from those of every other run.
CHANGES: dict[str, Callable[[dict[str, Any], int], list[dict[str, Any]]]] = {
    "nothing": lambda base, n: [base],
    "static host": lambda base, n: [{**base, "hosts": [{"mac": "52:54:00:00:00:09", "ip": f"192.168.100.{90 + n}"}]}],
    "DNS record": lambda base, n: [{**base, "names": {"hosts": [{"ip": f"192.168.100.{90 + n}", "names": ["nas"]}]}}],
    "TXT record": lambda base, n: [{**base, "names": {"txt": [{"name": "a", "value": f"{n}"}]}}],
    "DHCP option": lambda base, n: [{**base, "options": {"mtu": 1400 + n}}],
    "range": lambda base, n: [{**base, "ranges": [{"start": "192.168.100.2", "end": f"192.168.100.{200 + n}"}]}],
    "another network": lambda base, n: [base, fragment(200 + n)],
}


class QueryLoop:
    """A guest that sends queries all the time, from a process with a high priority, so that load does not delay it."""

    def __init__(self, testbed: DnsmasqTestbed) -> None:
        command = ["nice", "-n", "-19", sys.executable, "-m", "kernel.dnsmasq_outage", "ask"]
        self.process = subprocess.Popen(
            testbed.guest.argv(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.silence, self.lost = 0.0, 0

    def __enter__(self) -> QueryLoop:
        assert self.process.stdout
        assert self.process.stdout.readline() == "answered\n"
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(_GRACE_SECONDS)
        output, _nothing = self.process.communicate("stop\n")
        self.silence, self.lost = float(output.split()[0]), int(output.split()[1])


def run_queries() -> None:
    """Sends a query every millisecond until stopped; prints the longest time without an answer in ms, and the lost."""
    query = dnsmasq_probe.dns_query("version.bind", 16, 3)[2:]
    sent, answered, last, gap = 0, set[bytes](), 0.0, 0.0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("192.168.100.250", 0))
        client.settimeout(0.001)
        end = float("inf")
        while time.perf_counter() < end:
            if end == float("inf") and select.select([sys.stdin], [], [], 0)[0]:
                end = time.perf_counter() + _GRACE_SECONDS
            if end == float("inf"):
                sent += 1
                client.sendto(struct.pack("!H", sent % 65536) + query, (BRIDGE_ADDRESS, 53))
            # A refused query is reported as an error of the next call.
            with contextlib.suppress(TimeoutError, ConnectionRefusedError):
                answered.add(client.recv(2048)[:2])
                now = time.perf_counter()
                if not last:
                    print("answered", flush=True)
                gap, last = max(gap, now - last if last else 0), now
                time.sleep(0.001)
    print(gap * 1000, sent - len(answered))


def measure(testbed: DnsmasqTestbed, count: int, *, redirect: bool = False) -> dict[str, dict[str, Any]]:
    """The longest times without an answer (ms) for each change with ``count`` networks, lost queries, restarts."""
    load_rules(testbed, [BRIDGE_ADDRESS] if redirect else [])
    choice = {"instance": "private", "redirect": True} if redirect else {}
    with open_folder() as folder, serving(testbed, folder) as daemon:

        def converge(*networks: dict[str, Any]) -> None:
            others = [fragment(i) for i in range(1, count)]
            daemon.converge(*({**one, **choice} for one in (*networks, *others)), purge=True)

        results = {}
        for kind, change in CHANGES.items():
            converge(fragment(0))
            restarts, silences, lost = daemon.restarts + len(daemon.private.starts), [], []
            for n in range(RUNS):
                with QueryLoop(testbed) as queries:
                    converge(*change(fragment(0), n))
                silences.append(queries.silence)
                lost.append(queries.lost)
            restarts = daemon.restarts + len(daemon.private.starts) - restarts
            results[kind] = {"silence": silences, "lost": lost, "restarts": restarts}
        return results


def columns(counts: Sequence[int] = (1, 100), *, redirect: bool = False) -> dict[int, dict[str, dict[str, Any]]]:
    """The results for each number of networks."""
    with new_testbed() as testbed:
        testbed.bridge()
        testbed.plug()
        testbed.guest.run("ip", "address", "add", "192.168.100.250/24", "dev", "eth0")
        return {count: measure(testbed, count, redirect=redirect) for count in counts}


def as_text(result: dict[str, Any]) -> str:
    silence, lost = statistics.median(result["silence"]), statistics.median(result["lost"])
    return f"{silence:.1f} ms, {lost:.0f} lost, {result['restarts']} restarts"


def main() -> None:
    for redirect in (False, True):
        print("a private one at ports of its own" if redirect else "the system's dnsmasq")
        print_results(columns(redirect=redirect))


def print_results(results: dict[int, dict[str, dict[str, Any]]]) -> None:
    print(f"{f'medians of {RUNS} changes':<22}" + "".join(f"{f'{count} networks':<34}" for count in results))
    for kind in CHANGES:
        print(f"{kind:<22}" + "".join(f"{as_text(by_kind[kind]):<34}" for by_kind in results.values()))


if __name__ == "__main__":
    run_queries() if sys.argv[1:] == ["ask"] else main()
