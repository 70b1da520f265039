# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs Molecule's scenarios, three at a time, each on hosts of its own, and `make demo` as if it were a scenario.

PYTHONPATH=tests python -m tools.scenarios [SCENARIO... | demo | nightly]
    By default all scenarios except the nightly ones, the longest first.

Prints when a scenario starts and ends. In between it prints the current step of each: on a terminal every 5 s, else
every minute, with a point every 5 s so that nobody takes the run for dead. The output of each scenario is in
.build/molecule/SCENARIO.log. A failed scenario is run again, alone, up to twice, only if tests/tools/retries.py lists
it with a reason. The errors of a failed run are printed at once and, for each try, again at the end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from tools import retries
from tools.molecule_log import digest, place

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / ".build" / "molecule"
AT_ONCE = int(os.environ.get("SCENARIOS_AT_ONCE", "3"))
# The order in which the long scenarios start: one that started last would run alone at the end.
LONGEST = ("resolvers", "firewalls", "awx", "adopt", "libvirt", "private", "ovs", "default", "states")
# Scenarios for whose time `make test` has no room; `make test-all` runs them.
NIGHTLY = ("resolvers", "awx", "libvirt", "ovs", "qemu")
# Commands that run like a scenario but are not one of Molecule's.
OTHERS = {"demo": ["sh", "-ec", "make demo-clean; make demo; make demo-clean"]}
TRIES = ("first", "second", "third")
# Seconds between signs of life, how many of them make one line with the current step, and the width of that step.
INTERVAL = 5
SIGNS_PER_LINE = 1 if sys.stdout.isatty() else 12
WIDTH = 100

printing = threading.Lock()
# Points of the output line that is not finished.
points: list[str] = []


def scenarios() -> list[str]:
    """All scenarios except the nightly ones, in the order in which they start."""
    names = {file.parent.name for file in ROOT.glob("molecule/*/molecule.yml")} - set(NIGHTLY) | OTHERS.keys()
    return sorted(sorted(names), key=lambda name: LONGEST.index(name) if name in LONGEST else len(LONGEST))


def run(name: str) -> bool:
    """Run a scenario; return whether it passes."""
    log = LOGS / f"{name}.log"
    show(f"==> scenario {name} ...")
    began = time.monotonic()
    with log.open("w") as output:
        environment = {variable: value for variable, value in os.environ.items() if variable != "PYTHONPATH"}
        # No colours and a fixed width, so that a person can read the log.
        environment |= {"NO_COLOR": "1", "COLUMNS": "200", "PY_COLORS": "0", "ANSIBLE_NOCOLOR": "1"}
        command = OTHERS.get(name) or ["molecule", "test", "--scenario-name", name]
        with subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env=environment) as molecule:
            for sign in count(1):
                try:
                    passed = molecule.wait(INTERVAL) == 0
                    break
                except subprocess.TimeoutExpired:
                    step = place(log.read_text(errors="replace"))[:WIDTH]
                    line = f"    {name:<10} {time.monotonic() - began:4.0f} s  {step}"
                    show(line if sign % SIGNS_PER_LINE == 0 else "")
    result = f"==> scenario {name}: {'passed' if passed else 'FAILED'} in {time.monotonic() - began:.0f} s"
    show(result, *([] if passed else errors(name)))
    return passed


def show(*lines: str) -> None:
    """Print lines together, with no line of another scenario between them; a single empty line prints a point."""
    with printing:
        if lines == ("",):
            points.append(".")
            print(".", end="", flush=True)
        else:
            print(*([""] if points else []), *lines, sep="\n", flush=True)
            points.clear()


def errors(name: str) -> list[str]:
    """The lines of a scenario's log that say why it failed."""
    return [f"    {line}" for line in digest((LOGS / f"{name}.log").read_text(errors="replace"))]


def retry(name: str) -> tuple[str, list[str]]:
    """Run a failed scenario again if it is listed; return its final result and the errors of all failed tries."""
    failures: list[str] = []
    tries = TRIES[: 1 + retries.RETRIES] if name in retries.SCENARIOS else TRIES[:1]
    for number, current in enumerate(tries):
        if number and run(name):
            return f"passed at the {current} try ({retries.SCENARIOS[name]})", failures
        failures += [f"==> scenario {name}, {current} try:", *errors(name)]
        (LOGS / f"{name}.log").rename(LOGS / f"{name}.{current}.log")
    return "FAILED", failures


def main(arguments: Sequence[str]) -> int:
    LOGS.mkdir(parents=True, exist_ok=True)
    selected = list(NIGHTLY) if list(arguments) == ["nightly"] else list(arguments) or scenarios()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        passed = dict(zip(selected, pool.map(run, selected), strict=True))
    results = dict.fromkeys(selected, "passed")
    failures: list[str] = []
    for name in (name for name in selected if not passed[name]):
        results[name], errors_of_tries = retry(name)
        failures += errors_of_tries
    show(*(f"{name:<12} {result}" for name, result in results.items()), *failures)
    return 1 if "FAILED" in results.values() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
