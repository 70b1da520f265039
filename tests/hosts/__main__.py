# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PYTHONPATH=tests python -m hosts [HOST...]: tries hosts, two at a time, and prints a table; by default all.

Exit status 1 if a step failed on a host. The log of each is in .build/hosts/HOST.log; with KEEP_HOSTS=1 they stay.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from . import catalogue
from .trial import STEPS, Trial, try_host

AT_ONCE = int(os.environ.get("HOSTS_AT_ONCE", "2"))


def main(names: Sequence[str]) -> int:
    entries = catalogue.read()
    if unknown := set(names) - {entry.name for entry in entries}:
        print(f"no such host: {', '.join(sorted(unknown))}; there are {', '.join(e.name for e in entries)}")
        return 2
    chosen = [entry for entry in entries if not names or entry.name in names]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        trials = list(pool.map(_try_and_tell, chosen))
    print(*_table(trials), sep="\n")
    for trial in trials:
        for fault in trial.faults:
            print(f"{trial.entry.name}: {fault}")
    return 0 if all(trial.passed for trial in trials) else 1


def _try_and_tell(entry: catalogue.Entry) -> Trial:
    trial = try_host(entry)
    print(f"==> {entry.name}: {'passed' if trial.passed else 'FAILED'}", file=sys.stderr, flush=True)
    return trial


def _table(trials: Sequence[Trial]) -> list[str]:
    rows = [["host", "kind", *STEPS]]
    rows += [[trial.entry.name, trial.entry.kind, *trial.results.values()] for trial in trials]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
