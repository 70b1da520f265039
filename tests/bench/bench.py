# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long the engine and the playbook take for 1, 10 and 100 networks, on a host in a container.

The engine is timed in one process on the host, imports and the restart of dnsmasq included. The playbook's second run
is compared, in the same run of this program and interleaved, with a playbook of as many pings as it has tasks.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from lab.host import Host  # noqa: E402
from lab.lab import Lab  # noqa: E402
from lab.progress import step  # noqa: E402
from lab.run import Failed, attempt  # noqa: E402

COUNTS = (1, 10, 100)
ROUNDS = 5
# Seconds in which the guard examines the changes of a run; it holds the lock that the next run needs.
GUARD_SECONDS = 2.0
NAME = "bench-host"
HOST_PROGRAMS = Path(__file__).with_name("on_host")
REMOTE_FOLDER = "/opt/bench"


def inventory(folder: Path, count: int) -> Path:
    names = "".join(f"\n        - {{name: net{i}, dns: {{domain: net{i}.test}}}}" for i in range(count))
    file = folder / f"networks-{count}.yml"
    file.write_text(
        f"all:\n  hosts:\n    {NAME}:\n      ansible_connection: lab\n      lab_name: bench-engine\n"
        f"      virtnet_purge: true\n      virtnet_networks:{names or ' []'}\n"
    )
    return file


def playbook(
    file: Path, name: str, *words: str, timeout: float = 600, environment: Mapping[str, str] | None = None
) -> tuple[float, str]:
    """Seconds and output of a playbook that must succeed."""
    program = Path(sys.executable).with_name("ansible-playbook")
    env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **(environment or {})}
    began = time.perf_counter()
    result = attempt([str(program), "-i", str(file), name, *words], timeout, env=env)
    if not result.ok:
        raise Failed(f"ansible-playbook ended with code {result.code}\n{result.out}\n{result.err}")
    return time.perf_counter() - began, result.out


def pings(folder: Path, tasks: int) -> Path:
    """A playbook with as many pings as a second run has tasks on the host."""
    file = folder / "pings.yml"
    lines = "".join(f"    - name: Ping {i}\n      ansible.builtin.ping:\n" for i in range(tasks))
    file.write_text(f"- name: Pings\n  hosts: all\n  gather_facts: false\n  tasks:\n{lines}")
    return file


def engine(host: Host, count: int) -> dict[str, float]:
    result = json.loads(host.run(["/usr/bin/python3", f"{REMOTE_FOLDER}/ours.py", "parts", str(count)], timeout=120))[
        "result"
    ]
    return {**result["times"], "changes": result["changes"]}


def engine_rows(host: Host, counts: Sequence[int]) -> list[dict[str, Any]]:
    """Rounds of a first run and of one that changes nothing."""
    rows = []
    for count in counts:
        first, again = [], []
        for _ in range(ROUNDS):
            engine(host, 0)
            first.append(engine(host, count))
            time.sleep(GUARD_SECONDS)
            again.append(engine(host, count))
        if any(row["changes"] for row in again):
            raise Failed(f"the second run with {count} networks changed something")
        rows += [{"count": count, "run": run, "rounds": rounds} for run, rounds in (("first", first), ("no-op", again))]
    return rows


def playbook_rows(folder: Path, counts: Sequence[int]) -> list[dict[str, Any]]:
    """A first run, then rounds of one that changes nothing and of as many pings."""
    rows = []
    for count in counts:
        file = inventory(folder, count)
        first, _ = playbook(file, "virtnet.linux.site")
        no_op_seconds, ping_seconds, tasks = [], [], 0
        for _ in range(ROUNDS):
            seconds, out = playbook(file, "virtnet.linux.site")
            no_op_seconds.append(seconds)
            if "changed=0" not in out:
                raise Failed(f"the second run with {count} networks changed something:\n{out}")
            tasks = int(re.findall(r"ok=(\d+)", out)[-1])
            ping_seconds.append(playbook(file, str(pings(folder, tasks)))[0])
        rows.append({"count": count, "tasks": tasks, "first": first, "no-op": no_op_seconds, "pings": ping_seconds})
    return rows


def measure(counts: Sequence[int] = COUNTS) -> dict[str, Any]:
    """All measurements, on a host of their own."""
    lab = Lab("bench-engine")
    # Remove what a killed run may have left.
    lab.down()
    try:
        lab.up({NAME: "bookworm"})
        host = lab.host(NAME)
        host.run(["mkdir", "-p", REMOTE_FOLDER])
        for file in HOST_PROGRAMS.glob("*.py"):
            host.run(["dd", f"of={REMOTE_FOLDER}/{file.name}", "status=none"], stdin=file.read_text())
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with step("put the engine on the host"):
                playbook(inventory(folder, 0), "virtnet.linux.site")
            with step("time the engine"):
                of_engine = engine_rows(host, counts)
            with step("time the playbook"):
                engine(host, 0)
                of_playbook = playbook_rows(folder, counts)
        return {"engine": of_engine, "playbook": of_playbook, "image": "Debian 12"}
    finally:
        lab.down()
