# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`python tests/gates FOLDER [WORD...]`: the checks that every change must pass, with a line for each when it ends.

The words name gates, or all of a kind: `lint` checks the sources, `publish` runs the tools of those who publish
collections; `unit`, `docs` and `browser` are what make has by these names; `nightly` runs the unit tests again, as
ansible-test does. The output of a gate is in FOLDER/GATE.log; if it fails, its errors are printed at the end. Two gates
run at a time.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TIMEOUT = 1800
# Checked by mypy: the engine, the labs, and the programs that tests and benchmarks run.
TYPED = (
    "ansible_collections.virtnet.linux.plugins.module_utils",
    "lab",
    "hosts",
    "kernel.programs",
    "bench.programs",
    "torture.programs",
)
# Seconds between messages about running gates.
PROGRESS_SECONDS = 5
# Lines that show why a gate failed, and how many of them are printed.
ERROR_LINE = re.compile(r"ERROR|FATAL|FAILED|^E  |error:|\[error\]", re.IGNORECASE)
MAX_LINES = 60


@dataclass(frozen=True)
class Gate:
    kind: str
    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    seconds: float
    passed: bool


def gates(folder: Path) -> list[Gate]:
    """The longest first, in a fresh clone."""
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    environment = ("--venv", "--python", python, "--requirements")
    ansible_test = (sys.executable, str(HERE / "run_ansible_test.py"))
    return [
        Gate("publish", "ansible-test sanity", (*ansible_test, str(folder / "sanity"), "sanity", *environment)),
        Gate("nightly", "ansible-test units", (*ansible_test, str(folder / "units"), "units", *environment)),
        Gate("unit", "unit tests", ("pytest", "tests/unit", "--color=no", "-rfER")),
        Gate("lint", "ansible-lint", ("ansible-lint", "--offline")),
        Gate("browser", "browser tests", ("pytest", "tests/browser", "--color=no", "-rfER")),
        Gate("lint", "mypy strict", ("mypy", *(word for package in TYPED for word in ("-p", package)))),
        Gate("docs", "documentation", ("make", "docs")),
        Gate(
            "publish", "galaxy-importer", (sys.executable, str(HERE / "run_galaxy_importer.py"), str(folder / "galaxy"))
        ),
        Gate("publish", "antsibull-docs", ("antsibull-docs", "lint-collection-docs", "--plugin-docs", str(ROOT))),
        Gate("publish", "antsibull-changelog", ("antsibull-changelog", "lint")),
        Gate("publish", "REUSE", ("reuse", "lint", "--lines")),
        Gate("lint", "yamllint", ("yamllint", "--strict", ".")),
        Gate("lint", "ruff", ("ruff", "check", ".")),
        Gate("lint", "ruff format", ("ruff", "format", "--check", ".")),
    ]


def run_gate(gate: Gate, log: Path) -> Outcome:
    start = time.monotonic()
    with log.open("w") as output:
        try:
            result = subprocess.run(gate.command, cwd=ROOT, stdout=output, stderr=output, timeout=TIMEOUT, check=False)
            passed = result.returncode == 0
        except subprocess.TimeoutExpired:
            output.write(f"not through after {TIMEOUT} s\n")
            passed = False
    return Outcome(time.monotonic() - start, passed)


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:60]


def errors(log: Path) -> str:
    """The lines of a log that show why the gate failed."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    error_lines = [line for line in lines if ERROR_LINE.search(line)][:MAX_LINES]
    return "\n".join(f"  {line}" for line in error_lines or lines[-MAX_LINES:])


def main() -> int:
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    words = set(sys.argv[2:])
    chosen = [gate for gate in gates(folder) if not words or words & {gate.kind, gate.name}]
    logs = {gate: folder / f"{gate.name.replace(' ', '-')}.log" for gate in chosen}
    for log in logs.values():
        log.unlink(missing_ok=True)
    failed = []
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        running = {pool.submit(run_gate, gate, logs[gate]): gate for gate in chosen}
        while running:
            finished, _others = wait(running, PROGRESS_SECONDS, FIRST_COMPLETED)
            for future in finished:
                gate, outcome = running.pop(future), future.result()
                verdict = "passed" if outcome.passed else "FAILED"
                print(f"{gate.name:<20} {verdict} {outcome.seconds:6.1f} s", flush=True)
                if not outcome.passed:
                    failed.append(gate)
            current = [
                f"{gate.name} {last_line(logs[gate])}".strip() for gate in running.values() if logs[gate].exists()
            ]
            if not finished:
                print(f"    {time.monotonic() - began:4.0f} s  {', '.join(current)}", flush=True)
    for gate in failed:
        print(f"{gate.name}, all in {logs[gate]}:\n{errors(logs[gate])}")
    print(f"gates failed: {', '.join(gate.name for gate in failed)}" if failed else f"all {len(chosen)} gates passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
