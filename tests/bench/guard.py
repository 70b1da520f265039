# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what breaks to what is healed, 20 times each; and how long the service takes to restore 100 and 300 networks."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

from bench import playbook  # noqa: E402

from lab.lab import Lab  # noqa: E402
from lab.progress import step  # noqa: E402

ROUNDS = 20
FLOOD = 5000
COUNTS = (1, 100, 300)
NAME = "bench-guard"
SCRIPT = Path(__file__).with_name("guard_run.py").read_text()


def main() -> int:
    lab = Lab("guardbench")
    try:
        lab.up({NAME: "bookworm"})
        host = lab.host(NAME)
        with tempfile.TemporaryDirectory() as name:
            file = Path(name) / "hosts.yml"
            file.write_text(
                f"all:\n  hosts:\n    {NAME}:\n      ansible_connection: lab\n      lab_name: guardbench\n"
                "      virtnet_networks:\n        - name: lab\n"
            )
            with step("a network on a host"):
                playbook(file, "virtnet.linux.site")
        with step(f"break and heal, {ROUNDS} times each"):
            found = json.loads(host.run(["/usr/bin/python3", "-", "heal", str(ROUNDS)], timeout=900, stdin=SCRIPT))
        with step("a flood of addresses elsewhere"):
            flooded = json.loads(host.run(["/usr/bin/python3", "-", "flood", str(FLOOD)], timeout=300, stdin=SCRIPT))
        restored = {}
        for count in COUNTS:
            with step(f"restore {count} networks"):
                restored[count] = json.loads(
                    host.run(["/usr/bin/python3", "-", "restore", str(count)], timeout=300, stdin=SCRIPT)
                )
    finally:
        lab.down()
    print(f"\nFrom the event to right again, seconds, {ROUNDS} times\n")
    print("| what | median | worst |\n|---|---|---|")
    for kind, times in found.items():
        print(f"| {kind} | {statistics.median(times):.2f} | {max(times):.2f} |")
    print(f"\n{FLOOD} addresses came and went elsewhere in {flooded['seconds']:.1f} s: the guard took", end=" ")
    print(f"{flooded['cpu']:.2f} s of CPU, then {flooded['idle']:.2f} s in 10 s of calm; {flooded['MiB']:.1f} MiB")
    print("\nThe service restores networks of which nothing is left, until it is ready\n")
    print("| networks | seconds | CPU, seconds | guard resident, MiB |\n|---|---|---|---|")
    for count, row in restored.items():
        assert row["bridges"] == count, row
        print(f"| {count} | {row['seconds']:.2f} | {row['cpu']:.2f} | {row['MiB']:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
