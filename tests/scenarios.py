# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs Molecule's scenarios, two at a time, each on hosts of its own.

python tests/scenarios.py [SCENARIO... | nightly]      by default all but the nightly ones, those that take long first

Tells when one has started and ended, and every 5 s what each is at. The whole output of each is in
.build/molecule/SCENARIO.log. One that fails is run again, alone, up to twice, and all outcomes are told: on a busy
machine containers, clients and timers meet in ways that are no defect of what is tested. What fails three times has
failed. What went wrong is printed at once and, of each try, at the very end again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

from molecule_log import digest, place

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / ".build" / "molecule"
AT_ONCE = int(os.environ.get("SCENARIOS_AT_ONCE", "2"))
# Else a long one that comes last runs alone.
LONGEST = ("resolvers", "firewalls", "ovs", "adopt", "private", "states", "libvirt")
# Those that take longer than all else together are for `make test-all`.
NIGHTLY = ("resolvers",)
# Seconds after which it is told what a scenario is at, and how much of that.
BREATH = 5
WIDTH = 120


def scenarios() -> list[str]:
    """All of them but the nightly ones, in the order in which they are started."""
    found = sorted({file.parent.name for file in ROOT.glob("molecule/*/molecule.yml")} - set(NIGHTLY))
    return sorted(found, key=lambda name: LONGEST.index(name) if name in LONGEST else len(LONGEST))


def run(name: str) -> bool:
    """Whether a scenario passes."""
    log = LOGS / f"{name}.log"
    print(f"==> scenario {name} ...", flush=True)
    began = time.monotonic()
    with log.open("w") as out:
        # Without colours and as wide as what is printed, so that the log can be read.
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "PY_COLORS": "0", "ANSIBLE_NOCOLOR": "1"}
        command = ["molecule", "test", "--scenario-name", name]
        with subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, env=environment) as molecule:
            while True:
                try:
                    passed = molecule.wait(BREATH) == 0
                    break
                except subprocess.TimeoutExpired:
                    at = place(log.read_text(errors="replace"))[:WIDTH]
                    print(f"    {name:<10} {time.monotonic() - began:4.0f} s  {at}", flush=True)
    told = f"==> scenario {name}: {'passed' if passed else 'FAILED'} in {time.monotonic() - began:.0f} s"
    # In one go, so that nothing of another scenario comes between.
    print("\n".join([told] if passed else [told, *wrong(name)]), flush=True)
    return passed


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
    for name in wanted:
        print(f"{name:<12} {told[name]}")
    if complaints:
        print(*complaints, sep="\n")
    return 1 if "FAILED" in told.values() else 0


if __name__ == "__main__":
    sys.exit(main())
