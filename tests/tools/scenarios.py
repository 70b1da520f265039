# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs Molecule's scenarios, two at a time, each on hosts of its own; and `make demo`, as if it were one.

PYTHONPATH=tests python -m tools.scenarios [SCENARIO... | demo | nightly]
    By default all but the nightly ones, the longest first.

Tells when one has started and ended, and what each is at: on a terminal every 5 s, else every minute with a point
every 5 s, since who keeps the output may keep a part of it. The whole output of each is in
.build/molecule/SCENARIO.log. One that fails is run again, alone, up to twice, and all outcomes are told: on a busy
machine containers, clients and timers meet in ways that are no defect of what is tested. What fails three times has
failed. What went wrong is printed at once and, of each try, at the very end again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count, pairwise
from pathlib import Path

from tools.molecule_log import digest, place

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / ".build" / "molecule"
AT_ONCE = int(os.environ.get("SCENARIOS_AT_ONCE", "2"))
# Else a long one that comes last runs alone.
LONGEST = ("resolvers", "firewalls", "ovs", "adopt", "private", "states", "libvirt")
# Those that take longer than all else together are for `make test-all`.
NIGHTLY = ("resolvers",)
# What is no scenario of Molecule's.
OTHERS = {"demo": ["sh", "-ec", "make demo-clean; make demo; make demo-clean"]}
# Seconds after which there is a sign of life, the signs for which it is told what a scenario is at, and how much of it.
BREATH = 5
TOLD = 1 if sys.stdout.isatty() else 12
WIDTH = 100

speaking = threading.Lock()
# Those of the line that is not ended.
points: list[str] = []


def scenarios() -> list[str]:
    """All of them but the nightly ones, in the order in which they are started."""
    found = sorted({file.parent.name for file in ROOT.glob("molecule/*/molecule.yml")} - set(NIGHTLY) | OTHERS.keys())
    return sorted(found, key=lambda name: LONGEST.index(name) if name in LONGEST else len(LONGEST))


def run(name: str) -> bool:
    """Whether a scenario passes."""
    log = LOGS / f"{name}.log"
    say(f"==> scenario {name} ...")
    began = time.monotonic()
    with log.open("w") as out:
        # Without colours and as wide as what is printed, so that the log can be read.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment |= {"NO_COLOR": "1", "COLUMNS": "200", "PY_COLORS": "0", "ANSIBLE_NOCOLOR": "1"}
        command = OTHERS.get(name) or ["molecule", "test", "--scenario-name", name]
        with subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, env=environment) as molecule:
            for sign in count(1):
                try:
                    passed = molecule.wait(BREATH) == 0
                    break
                except subprocess.TimeoutExpired:
                    at = place(log.read_text(errors="replace"))[:WIDTH]
                    say(f"    {name:<10} {time.monotonic() - began:4.0f} s  {at}" if sign % TOLD == 0 else "")
    told = f"==> scenario {name}: {'passed' if passed else 'FAILED'} in {time.monotonic() - began:.0f} s"
    say(*([told] if passed else [told, *wrong(name)]))
    return passed


def say(*lines: str) -> None:
    """Prints lines, in one go, so that nothing of another scenario comes between; an empty one is a point."""
    with speaking:
        if lines == ("",):
            points.append(".")
            print(".", end="", flush=True)
        else:
            print(*([""] if points else []), *lines, sep="\n", flush=True)
            points.clear()


def wrong(name: str) -> list[str]:
    """What the log of a scenario says of its failure."""
    return [f"    {line}" for line in digest((LOGS / f"{name}.log").read_text(errors="replace"))]


def main() -> int:
    LOGS.mkdir(parents=True, exist_ok=True)
    wanted = {"nightly": list(NIGHTLY)}.get(" ".join(sys.argv[1:]), sys.argv[1:]) or scenarios()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcome = dict(zip(wanted, pool.map(run, wanted), strict=True))
    told = dict.fromkeys(wanted, "passed")
    complaints = []
    for name in [name for name, passed in outcome.items() if not passed]:
        for tried, next_try in pairwise(("first", "second", "third", "")):
            complaints += [f"==> scenario {name}, {tried} try:", *wrong(name)]
            (LOGS / f"{name}.log").rename(LOGS / f"{name}.{tried}.log")
            if not next_try:
                told[name] = "FAILED"
            elif run(name):
                told[name] = f"passed at the {next_try} try"
                break
    say(*(f"{name:<12} {told[name]}" for name in wanted), *complaints)
    return 1 if "FAILED" in told.values() else 0


if __name__ == "__main__":
    sys.exit(main())
