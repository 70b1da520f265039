# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet: site.yml, the first and the second time, on systemd containers and on increasing numbers of light hosts."""

from __future__ import annotations

import json
import re
import resource
from collections.abc import Sequence
from pathlib import Path

from bench.bench import playbook
from bench.light import LightHosts
from bench.store import FOLDER, ROOT, Data

from lab.lab import Lab
from lab.progress import print_progress
from lab.run import Failed

COUNTS = (1, 10, 30)
FORKS = (5, 20, 50)
USUAL_FORKS = 20
CONTAINERS = 4
LAB = "bench-fleet"
PLUGINS = f"{Path(__file__).with_name('connection')}:{ROOT / 'molecule' / 'shared' / 'connection'}"
TIMEOUT = 1800
# A user may have 128 instances of inotify; a host uses one for dnsmasq and one for the guard.
GUARDED = 45


def inventory(lab: str, names: Sequence[str]) -> Path:
    """Two networks a host; the guard only if the kernel allows enough inotify instances (inotify(7))."""
    variables = {
        "ansible_connection": "counted",
        "lab_name": lab,
        "ansible_python_interpreter": "/usr/bin/python3",
        "virtnet_guard": len(names) <= GUARDED,
        "virtnet_networks": [
            {"name": "lab", "dns": {"domain": "lab.test"}},
            {"name": "dmz", "mode": "isolated", "dns": {"enabled": False}},
        ],
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / "fleet.yml"
    file.write_text(json.dumps({"all": {"hosts": dict.fromkeys(names, {}), "vars": variables}}))
    return file


def run(kind: str, file: Path, hosts: int, forks: int, which: str) -> Data:
    """One run of site.yml: wall-clock time, CPU time of the controller and of the hosts' side, tasks of a host."""
    log = FOLDER / "fleet.cpu"
    log.unlink(missing_ok=True)
    environment = {"ANSIBLE_CONNECTION_PLUGINS": PLUGINS, "BENCH_CPU": str(log)}
    before = _spent()
    seconds, out = playbook(file, "virtnet.linux.site", "--forks", str(forks), timeout=TIMEOUT, environment=environment)
    total = _spent() - before
    remote = sum(map(float, log.read_text().split()))
    oks = [int(number) for number in re.findall(r"ok=(\d+)", out)]
    changed = [int(number) for number in re.findall(r"changed=(\d+)", out)]
    if len(oks) != hosts or (which == "second" and any(changed)):
        raise Failed(f"{which} run on {hosts} hosts:\n{out[-2000:]}")
    print_progress(f"{kind}: {hosts} hosts, {forks} forks, {which} run: {seconds:.1f} s")
    return {
        "kind": kind, "hosts": hosts, "forks": forks, "run": which, "seconds": seconds, "tasks": max(oks),
        "controller": total - remote, "remote": remote, "guard": hosts <= GUARDED,
    }  # fmt: skip


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(counts: Sequence[int] = COUNTS) -> Data:
    rows = []
    lab = Lab(LAB)
    names = [f"fleet{number}" for number in range(1, CONTAINERS + 1)]
    # Remove what a killed run may have left.
    lab.down()
    try:
        lab.up(dict.fromkeys(names, "trixie-bench"))
        file = inventory(LAB, names)
        rows += [run("containers", file, CONTAINERS, USUAL_FORKS, which) for which in ("first", "second")]
    finally:
        lab.down()
    for count in counts:
        with LightHosts(count) as hosts:
            file = inventory("light", [host.name for host in hosts])
            rows.append(run("light", file, count, USUAL_FORKS, "first"))
            for forks in FORKS if count == max(counts) else (USUAL_FORKS,):
                rows.append(run("light", file, count, forks, "second"))
    return {"rows": rows}
