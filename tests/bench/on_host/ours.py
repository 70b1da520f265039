# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ours, on a host: the installed engine, all parts in one process.

python3 ours.py ACTION COUNT        prints {"result": seconds} as JSON; "parts" prints {part: seconds} and the changes
"""

from __future__ import annotations

import sys
import time

STARTED = time.perf_counter()
sys.path.insert(0, "/usr/local/lib/virtnet")

from typing import Any  # noqa: E402

from common import CHANGED_LAST, COMMON, LAST, Stopped, bridges, call, clear_kernel, main, seconds, service, subnet  # noqa: E402
from engine.core.identity import host_identity  # noqa: E402
from engine.core.options import Options  # noqa: E402
from engine.core.paths import Paths  # noqa: E402
from engine.core.reconcile import converge  # noqa: E402
from engine.network.model import read_network  # noqa: E402
from engine.network.runtime import clear_pending_run  # noqa: E402
from engine.orchestration.parts import reconcilers_for  # noqa: E402
from engine.orchestration.reconciler import Networks  # noqa: E402


def network(i: int, last: int = LAST) -> dict[str, Any]:
    ranges = [{"start": f"{subnet(i)}.2", "end": f"{subnet(i)}.{last}"}]
    return {
        "name": f"net{i}",
        "ipv4": {"address": f"{subnet(i)}.1/24", "dhcp": {"ranges": ranges}},
        "dns": {"domain": f"net{i}.test"},
    }


def networks(count: int, changed: bool = False) -> list[dict[str, Any]]:
    return [network(i, CHANGED_LAST if changed and i == 0 else LAST) for i in range(count)]


def run(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Runs all parts for a list of networks: seconds of each part, and the number of changes."""
    paths = Paths()
    times = {"imports": time.perf_counter() - STARTED}

    def timed(name: str, start: float) -> None:
        times[name] = times.get(name, 0.0) + time.perf_counter() - start

    start = time.perf_counter()
    networks = [read_network(options, host_identity()) for options in Options({"networks": items}).each("networks")]
    plan = converge(Networks(networks, True, paths), paths, check=False)
    timed("definitions", start)
    changes = len(plan.changes)
    for reconciler in reconcilers_for(plan.return_values, paths).values():  # type: ignore[arg-type]
        start = time.perf_counter()
        changes += len(converge(reconciler, paths, check=False).changes)
        timed(type(reconciler).__name__, start)
    clear_pending_run(paths)
    times["total"] = time.perf_counter() - STARTED
    return {"times": times, "changes": changes}


def part_times(count: str) -> dict[str, Any]:
    """With subnets that the engine allocates."""
    return run([{"name": f"net{i}", "dns": {"domain": f"net{i}.test"}} for i in range(int(count))])


def total(items: list[dict[str, Any]], changes: bool) -> float:
    result = run(items)
    if bool(result["changes"]) != changes:
        raise Stopped(f"{result['changes']} changes")
    return float(result["times"]["total"])


def restart(count: str) -> float:
    elapsed = seconds(lambda: service("restart", "virtnet", "dnsmasq"))
    _check_bridges(count)
    return elapsed


def restore(count: str) -> float:
    """Start the service and dnsmasq while nothing is left in the kernel."""
    call("systemctl", "stop", "virtnet", "dnsmasq")
    clear_kernel(int(count))
    elapsed = seconds(lambda: service("start", "virtnet", "dnsmasq"))
    _check_bridges(count)
    return elapsed


def clear(_count: str) -> None:
    """Clean up after an interrupted step, in any state."""
    service("start", "virtnet", "dnsmasq")
    run([])


def _check_bridges(count: str) -> None:
    if bridges() != int(count):
        raise Stopped(f"{bridges()} of {count} bridges")


if __name__ == "__main__":
    main(
        {
            **COMMON,
            "parts": part_times,
            "first": lambda count: total(networks(int(count)), True),
            "no-op": lambda count: total(networks(int(count)), False),
            "change one": lambda count: total(networks(int(count), True), True),
            "restart": restart,
            "restore": restore,
            "remove one": lambda count: total(networks(int(count), True)[:-1], True),
            "remove all": lambda count: total([], int(count) > 1),
            "clear": clear,
            "on": lambda: None,
            "off": lambda: None,
        }
    )
