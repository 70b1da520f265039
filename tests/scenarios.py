# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs Molecule's scenarios, two at a time, each on hosts of its own.

python tests/scenarios.py [SCENARIO... | nightly]      by default all but the nightly ones, those that take long first

Tells when one has started and ended. The whole output of each is in .build/molecule/SCENARIO.log; of one that fails the
end is printed. It is run once more, alone, and both outcomes are told: on a busy machine containers, clients and timers
meet in ways that are no defect of what is tested. What fails twice has failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / ".build" / "molecule"
AT_ONCE = int(os.environ.get("SCENARIOS_AT_ONCE", "2"))
# Else a long one that comes last runs alone.
LONGEST = ("resolvers", "firewalls", "ovs", "adopt", "private", "states", "libvirt")
# Those that take longer than all else together are for `make test-all`.
NIGHTLY = ("resolvers",)
TAIL = 400


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
        code = subprocess.run(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, env=environment, check=False)
    passed = code.returncode == 0
    print(f"==> scenario {name}: {'passed' if passed else 'FAILED'} in {time.monotonic() - began:.0f} s", flush=True)
    return passed


def show(name: str) -> None:
    """The end of what a scenario printed."""
    lines = (LOGS / f"{name}.log").read_text(errors="replace").splitlines()
    print(f"==> scenario {name}: the last of {len(lines)} lines", *lines[-TAIL:], sep="\n", flush=True)


def main() -> int:
    LOGS.mkdir(parents=True, exist_ok=True)
    wanted = {"nightly": list(NIGHTLY)}.get(" ".join(sys.argv[1:]), sys.argv[1:]) or scenarios()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcome = dict(zip(wanted, pool.map(run, wanted), strict=True))
    failed = [name for name, passed in outcome.items() if not passed]
    again = {}
    for name in failed:
        show(name)
        (LOGS / f"{name}.log").rename(LOGS / f"{name}.first.log")
        again[name] = run(name)
        if not again[name]:
            show(name)
    for name in wanted:
        told = "passed" if outcome[name] else "passed at the second try" if again[name] else "FAILED"
        print(f"{name:<12} {told}")
    return 0 if all(passed or again[name] for name, passed in outcome.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
