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

from torture import damage as damage_done
from torture import faults, odd
from torture.host import Stuck, new_host
from torture.trials import AGAIN, GONE, Course, Cuts, Trial, Wrong, again, gone


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


Round = Callable[[Course, Cuts], Iterator[Trial]]


def cut_and_again(course: Course, cuts: Cuts) -> Iterator[Trial]:
    """Each plan in turn, killed once; after the last the host is where it was."""
    for name in course.plans:
        yield again(course, name, cuts.next(course, name, AGAIN))


def cut_and_gone(course: Course, cuts: Cuts) -> Iterator[Trial]:
    name = cuts.chance.choice(list(course.plans))
    yield gone(course, name, cuts.next(course, name, GONE))


def tools(course: Course, cuts: Cuts) -> Iterator[Trial]:
    chance = cuts.chance
    for name in course.plans:
        harm = chance.choice((faults.HANG, faults.FAIL, faults.FAIL))
        yield faults.tool_fails(course, name, chance.choice(faults.TOOLS), chance.randint(1, 8), harm)


def disks(course: Course, cuts: Cuts) -> Iterator[Trial]:
    chance = cuts.chance
    for name in course.plans:
        number = chance.randint(1, len(course.steps[name]))
        yield faults.disk_fails(course, name, number, chance.choice(list(faults.DISKS)))


def two_runs(course: Course, cuts: Cuts) -> Iterator[Trial]:
    chance = cuts.chance
    for name in course.plans:
        yield faults.at_once(course, name, chance)


def reboots(course: Course, cuts: Cuts) -> Iterator[Trial]:
    chance = cuts.chance
    for name in course.plans:
        yield faults.reboot(course, name, chance.randint(1, len(course.steps[name])))


def guards(course: Course, cuts: Cuts) -> Iterator[Trial]:
    chance = cuts.chance
    course.reach("change")
    yield faults.guard_killed(course, chance)
    course.well(course.away)


def damages(course: Course, cuts: Cuts) -> Iterator[Trial]:
    chance = cuts.chance
    course.reach("change")
    for damage in chance.sample(list(damage_done.DAMAGE), 3):
        yield damage_done.definition_damaged(course, damage)
    for path in chance.sample(damage_done.MEMORY, 3):
        yield damage_done.note_damaged(course, path, chance.choice(list(damage_done.DAMAGE)))
    course.well(course.away)


def odd_hosts(course: Course, cuts: Cuts) -> Iterator[Trial]:
    chance = cuts.chance
    yield odd.odd_host(course, chance.choice(list(odd.ODD)))


# With a bystander beside them, and without: then all that is ours can go, and the power too.
BESIDE: tuple[Round, ...] = (cut_and_again, tools, cut_and_again, disks, cut_and_gone, damages, two_runs)
ALONE: tuple[Round, ...] = (cut_and_gone, cut_and_again, reboots, odd_hosts, cut_and_gone, guards)


def work(summary: Summary, cuts: Cuts, *, serving: bool, beside: bool) -> None:
    """Trials on one host; another where one was left in a state that trials cannot begin with."""
    rounds = [one for one in (BESIDE if beside else ALONE) if summary.only in one.__name__]
    while rounds and not summary.over:
        with new_host(serving=serving) as host:
            course = Course(host, beside)
            try:
                course.learn()
                while not summary.over:
                    _one_round(summary, rounds[0], course, cuts)
                    rounds = [*rounds[1:], rounds[0]]
            except (Wrong, Stuck) as wrong:
                rounds = [*rounds[1:], rounds[0]]
                if str(wrong):
                    summary.add(Trial("undisturbed", "a run", converged=False, flaws=[str(wrong)]))


def _one_round(summary: Summary, one: Round, course: Course, cuts: Cuts) -> None:
    for trial in one(course, cuts):
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
    workers, cuts = [], []
    for number, (serving, beside) in enumerate(((True, True), (False, True), (True, False), (False, False))):
        cuts.append(Cuts(random.Random(given.seed + number)))
        kept = {"serving": serving, "beside": beside}
        workers.append(threading.Thread(target=work, args=(summary, cuts[-1]), kwargs=kept))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(summary.table())
    flaws = sum(len(trial.flaws) for trial in summary.trials)
    done, steps = sum(len(one.done) for one in cuts), sum(one.steps for one in cuts)
    print(f"\nsteps at which plans were killed, on four hosts, then run again or torn down: {done} of {steps}")
    print(f"{len(summary.trials)} trials, {flaws} flaws; seed {given.seed}")
    return 1 if flaws or not summary.trials else 0


if __name__ == "__main__":
    sys.exit(main())
