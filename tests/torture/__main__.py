# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``make torture``: trials of all kinds, in a random order, for so many seconds; a table of what became of them.

python -m torture [--seconds 600] [--seed N] [--hosts 2] [--only WORD]
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from torture import faults
from torture.host import new_host
from torture.trials import Course, Trial, Wrong, again, gone, orders


@dataclass
class Summary:
    """All trials, by kind."""

    seconds: float
    only: str = ""
    trials: list[Trial] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    start: float = field(default_factory=time.monotonic)

    @property
    def over(self) -> bool:
        return time.monotonic() - self.start > self.seconds

    def add(self, trial: Trial) -> None:
        if not trial.kind:
            return
        with self.lock:
            self.trials.append(trial)
            for flaw in trial.flaws:
                print(f"FLAW {flaw}\n", flush=True)

    def table(self) -> str:
        rows: list[tuple[str, ...]] = [("kind", "tried", "converged", "left over", "bystander lost", "flaws")]
        for kind in sorted({trial.kind for trial in self.trials}):
            mine = [trial for trial in self.trials if trial.kind == kind]
            numbers = (
                len(mine),
                sum(one.converged for one in mine),
                sum(one.left for one in mine),
                sum(one.lost for one in mine),
                sum(len(one.flaws) for one in mine),
            )
            rows.append((kind, *map(str, numbers)))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


Round = Callable[[Course, random.Random], Iterator[Trial]]


def cut_and_again(course: Course, chance: random.Random) -> Iterator[Trial]:
    """Each plan in turn, killed once; after the last the host is where it was."""
    each = orders(course, chance)
    for name in course.plans:
        yield again(course, name, each[name][0])


def cut_and_gone(course: Course, chance: random.Random) -> Iterator[Trial]:
    name = chance.choice(list(course.plans))
    yield gone(course, name, orders(course, chance)[name][0])


def tools(course: Course, chance: random.Random) -> Iterator[Trial]:
    for name in course.plans:
        harm = chance.choice((faults.HANG, faults.FAIL, faults.FAIL))
        yield faults.tool_fails(course, name, chance.choice(faults.TOOLS), chance.randint(1, 8), harm)


def disks(course: Course, chance: random.Random) -> Iterator[Trial]:
    for name in course.plans:
        number = chance.randint(1, len(course.steps[name]))
        yield faults.disk_fails(course, name, number, chance.choice(list(faults.DISKS)))


def two_runs(course: Course, chance: random.Random) -> Iterator[Trial]:
    for name in course.plans:
        yield faults.at_once(course, name, chance)


def reboots(course: Course, chance: random.Random) -> Iterator[Trial]:
    for name in course.plans:
        yield faults.reboot(course, name, chance.randint(1, len(course.steps[name])))


def guards(course: Course, chance: random.Random) -> Iterator[Trial]:
    course.well(course.plans["first run"])
    yield faults.guard_killed(course, chance)
    course.well(course.away)


# With a bystander beside them, and without: then all that is ours can go, and the power too.
BESIDE: tuple[Round, ...] = (cut_and_again, tools, cut_and_again, disks, cut_and_gone, two_runs)
ALONE: tuple[Round, ...] = (cut_and_gone, cut_and_again, reboots, cut_and_gone, guards)


def work(summary: Summary, chance: random.Random, *, serving: bool, beside: bool) -> None:
    """Trials on one host; another where one was left in a state that trials cannot begin with."""
    rounds = [one for one in (BESIDE if beside else ALONE) if summary.only in one.__name__]
    while rounds and not summary.over:
        with new_host(serving=serving) as host:
            course = Course(host, beside)
            try:
                course.learn()
                while not summary.over:
                    _one_round(summary, rounds[0], course, chance)
                    rounds = [*rounds[1:], rounds[0]]
            except Wrong as wrong:
                rounds = [*rounds[1:], rounds[0]]
                if str(wrong):
                    summary.add(Trial("undisturbed", "a run", converged=False, flaws=[str(wrong)]))


def _one_round(summary: Summary, one: Round, course: Course, chance: random.Random) -> None:
    for trial in one(course, chance):
        summary.add(trial)
        if trial.flaws:
            raise Wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--only", default="", help="only rounds with this in their name")
    given = parser.parse_args()
    print(f"seed {given.seed}, {given.seconds:g} seconds", flush=True)
    summary = Summary(given.seconds, given.only)
    workers = []
    for number, (serving, beside) in enumerate(((True, True), (False, True), (True, False), (False, False))):
        chance = random.Random(given.seed + number)
        kept = {"serving": serving, "beside": beside}
        workers.append(threading.Thread(target=work, args=(summary, chance), kwargs=kept))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(summary.table())
    flaws = sum(len(trial.flaws) for trial in summary.trials)
    print(f"\n{len(summary.trials)} trials, {flaws} flaws; seed {given.seed}")
    return 1 if flaws or not summary.trials else 0


if __name__ == "__main__":
    sys.exit(main())
