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
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from lab.host import Host  # noqa: E402
from lab.lab import Lab  # noqa: E402
from lab.progress import step  # noqa: E402
from lab.run import Failed, attempt, run  # noqa: E402

COUNTS = (1, 10, 100)
ROUNDS = 5
NAME = "bench-host"
SCRIPT = Path(__file__).with_name("engine_run.py").read_text()
PARTS = {
    "imports": "imports",
    "definitions": "definitions",
    "NatRules": "rules",
    "ManagedBridges": "bridges",
    "Fragments": "DHCP, DNS",
    "Entries": "resolver",
    "total": "total",
}


def inventory(folder: Path, count: int) -> Path:
    names = "".join(f"\n        - {{name: net{i}, dns: {{domain: net{i}.test}}}}" for i in range(count))
    file = folder / f"networks-{count}.yml"
    file.write_text(
        f"all:\n  hosts:\n    {NAME}:\n      ansible_connection: lab\n      lab_name: bench\n"
        f"      virtnet_purge: true\n      virtnet_networks:{names or ' []'}\n"
    )
    return file


def playbook(file: Path, name: str) -> tuple[float, str]:
    program = Path(sys.executable).with_name("ansible-playbook")
    os.environ["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")
    began = time.perf_counter()
    done = attempt([str(program), "-i", str(file), name], 600)
    if not done.ok:
        raise Failed(f"ansible-playbook ended with code {done.code}\n{done.out}\n{done.err}")
    return time.perf_counter() - began, done.out


def pings(folder: Path, tasks: int) -> Path:
    """As many pings as a steady run has tasks that reach the host."""
    file = folder / "pings.yml"
    lines = "".join(f"    - name: Ping {i}\n      ansible.builtin.ping:\n" for i in range(tasks))
    file.write_text(f"- name: Pings\n  hosts: all\n  gather_facts: false\n  tasks:\n{lines}")
    return file


def engine(host: Host, count: int) -> dict[str, float]:
    done = json.loads(host.run(["/usr/bin/python3", "-", str(count)], timeout=120, stdin=SCRIPT))
    return {**done["times"], "changes": done["changes"]}


def median(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def engine_rows(host: Host) -> list[str]:
    rows = []
    for count in COUNTS:
        first, again = [], []
        for _ in range(ROUNDS):
            engine(host, 0)
            first.append(engine(host, count))
            again.append(engine(host, count))
        if any(row["changes"] for row in again):
            raise Failed(f"the second run with {count} networks changed something")
        for what, found in (("first", median(first)), ("no-op", median(again))):
            cells = [f"{found[part]:.3f}" for part in PARTS]
            rows.append(f"| {count} | {what} | " + " | ".join(cells) + " |")
    return rows


def playbook_rows(folder: Path) -> list[str]:
    rows = []
    for count in COUNTS:
        file = inventory(folder, count)
        first, _ = playbook(file, "virtnet.linux.site")
        ours, theirs, tasks = [], [], 0
        for _ in range(ROUNDS):
            seconds, out = playbook(file, "virtnet.linux.site")
            ours.append(seconds)
            if "changed=0" not in out:
                raise Failed(f"the second run with {count} networks changed something:\n{out}")
            tasks = int(re.findall(r"ok=(\d+)", out)[-1])
            theirs.append(playbook(file, str(pings(folder, tasks)))[0])
        ratio = statistics.median(ours) / statistics.median(theirs)
        rows.append(
            f"| {count} | {tasks} | {first:.2f} | {statistics.median(ours):.2f} | "
            f"{statistics.median(theirs):.2f} | {ratio:.2f} |"
        )
    return rows


def main() -> int:
    lab = Lab("bench")
    try:
        lab.up({NAME: "bookworm"})
        host = lab.host(NAME)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with step("put the engine on the host"):
                playbook(inventory(folder, 0), "virtnet.linux.site")
            with step("time the engine"):
                of_engine = engine_rows(host)
            with step("time the playbook"):
                engine(host, 0)
                of_playbook = playbook_rows(folder)
    finally:
        lab.down()
    print(f"\nEngine on the host, seconds, median of {ROUNDS}\n")
    print("| networks | run | " + " | ".join(PARTS.values()) + " |")
    print("|---" * (len(PARTS) + 2) + "|")
    print("\n".join(of_engine))
    print(f"\nPlaybook, seconds, median of {ROUNDS}, beside as many pings as it has tasks\n")
    print("| networks | tasks | first | no-op | pings | no-op / pings |\n|---|---|---|---|---|---|")
    print("\n".join(of_playbook))
    print("\n" + run(["uname", "-sr"]).strip() + f", Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    return 0


if __name__ == "__main__":
    sys.exit(main())
