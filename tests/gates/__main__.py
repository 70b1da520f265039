# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`python tests/gates FOLDER`: what those who publish collections run over them, with a line for each as it ends.

What a gate says is shown where it fails. Two run at a time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PATIENCE = 1800


@dataclass(frozen=True)
class Gate:
    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    seconds: float
    passed: bool
    said: str


def gates(folder: Path) -> list[Gate]:
    """The longest first."""
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    environment = ("--venv", "--python", python, "--requirements")
    ansible_test = (sys.executable, str(HERE / "run_ansible_test.py"))
    return [
        Gate("ansible-test sanity", (*ansible_test, str(folder / "sanity"), "sanity", *environment)),
        Gate("ansible-test units", (*ansible_test, str(folder / "units"), "units", *environment)),
        Gate("antsibull-docs", ("antsibull-docs", "lint-collection-docs", "--plugin-docs", str(ROOT))),
        Gate("galaxy-importer", (sys.executable, str(HERE / "run_galaxy_importer.py"), str(folder / "galaxy"))),
        Gate("antsibull-changelog", ("antsibull-changelog", "lint")),
        Gate("REUSE", ("reuse", "lint", "--lines")),
    ]


def judge(gate: Gate) -> Outcome:
    start = time.monotonic()
    try:
        done = subprocess.run(
            gate.command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False, env=dict(os.environ)
        )
        passed, said = done.returncode == 0, done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        passed, said = False, f"not through after {PATIENCE} s"
    return Outcome(time.monotonic() - start, passed, said)


def main() -> int:
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [gate for gate in gates(folder) if len(sys.argv) < 3 or gate.name in sys.argv[2:]]
    print(f"{len(chosen)} gates:", ", ".join(gate.name for gate in chosen), flush=True)
    failed = []
    with ThreadPoolExecutor(2) as pool:
        running = {pool.submit(judge, gate): gate for gate in chosen}
        for future in as_completed(running):
            gate, outcome = running[future], future.result()
            verdict = "passed" if outcome.passed else "FAILED"
            print(f"{gate.name:<22} {verdict} {outcome.seconds:6.1f} s", flush=True)
            if not outcome.passed:
                failed.append(gate.name)
                print(outcome.said, flush=True)
    if failed:
        print("failed:", ", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
