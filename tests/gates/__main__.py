# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`python tests/gates FOLDER`: what those who publish collections run over them, with a line for each as it ends.

What a gate says is in FOLDER/GATE.log, and is shown where it fails. Two run at a time.
"""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PATIENCE = 1800
# Seconds after which it is told what the gates are at.
BREATH = 5


@dataclass(frozen=True)
class Gate:
    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    seconds: float
    passed: bool


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


def judge(gate: Gate, log: Path) -> Outcome:
    start = time.monotonic()
    with log.open("w") as said:
        try:
            done = subprocess.run(gate.command, cwd=ROOT, stdout=said, stderr=said, timeout=PATIENCE, check=False)
            passed = done.returncode == 0
        except subprocess.TimeoutExpired:
            said.write(f"not through after {PATIENCE} s\n")
            passed = False
    return Outcome(time.monotonic() - start, passed)


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:100]


def main() -> int:
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [gate for gate in gates(folder) if len(sys.argv) < 3 or gate.name in sys.argv[2:]]
    logs = {gate: folder / f"{gate.name.replace(' ', '-')}.log" for gate in chosen}
    for log in logs.values():
        log.unlink(missing_ok=True)
    failed = []
    with ThreadPoolExecutor(2) as pool:
        running = {pool.submit(judge, gate, logs[gate]): gate for gate in chosen}
        while running:
            ended, _others = wait(running, BREATH, FIRST_COMPLETED)
            for future in ended:
                gate, outcome = running.pop(future), future.result()
                verdict = "passed" if outcome.passed else "FAILED"
                print(f"{gate.name:<20} {verdict} {outcome.seconds:6.1f} s", flush=True)
                if not outcome.passed:
                    failed.append(gate.name)
                    print(logs[gate].read_text(errors="replace"), flush=True)
            if not ended:
                for gate in running.values():
                    if logs[gate].exists():
                        print(f"{gate.name:<20} ... {last_line(logs[gate]) or gate.command[0]}", flush=True)
    print(f"gates failed: {', '.join(failed)}" if failed else f"all {len(chosen)} gates passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
