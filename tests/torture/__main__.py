# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``make torture``: scenarios of all kinds in a random order, for a number of seconds, and a table of the outcomes.

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
from torture.scenario import AGAIN, GONE, Cuts, Outcome, Scenario, ScenarioFailed, again, gone


@dataclass
class Summary:
    """All outcomes, grouped by kind."""

    seconds: float
    only: str = ""
    outcomes: list[Outcome] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    start: float = field(default_factory=time.monotonic)

    @property
    def over(self) -> bool:
        return time.monotonic() - self.start > self.seconds

    def add(self, outcome: Outcome) -> None:
        if not outcome.kind:
            return
        with self.lock:
            self.outcomes.append(outcome)
            for failure in outcome.failures:
                print(f"FAILURE {failure}\n", flush=True)

    def table(self) -> str:
        rows: list[tuple[str, ...]] = [("kind", "tried", "converged", "left over", "bystander lost", "failures")]
        for kind in sorted({outcome.kind for outcome in self.outcomes}):
            mine = [outcome for outcome in self.outcomes if outcome.kind == kind]
            numbers = (
                len(mine),
                sum(one.converged for one in mine),
                sum(one.left for one in mine),
                sum(one.lost for one in mine),
                sum(len(one.failures) for one in mine),
            )
            rows.append((kind, *map(str, numbers)))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


Round = Callable[[Scenario, Cuts], Iterator[Outcome]]


def cut_and_again(scenario: Scenario, cuts: Cuts) -> Iterator[Outcome]:
    """Each plan in turn is killed once and run again; after the last the host is as before the first."""
    for name in scenario.plans:
        yield again(scenario, name, cuts.next(scenario, name, AGAIN))


def cut_and_gone(scenario: Scenario, cuts: Cuts) -> Iterator[Outcome]:
    name = cuts.chance.choice(list(scenario.plans))
    yield gone(scenario, name, cuts.next(scenario, name, GONE))


def tools(scenario: Scenario, cuts: Cuts) -> Iterator[Outcome]:
    chance = cuts.chance
    for name in scenario.plans:
        fault = chance.choice((faults.HANG, faults.FAIL, faults.FAIL))
        yield faults.tool_fails(scenario, name, chance.choice(faults.TOOLS), chance.randint(1, 8), fault)


def disks(scenario: Scenario, cuts: Cuts) -> Iterator[Outcome]:
    chance = cuts.chance
    for name in scenario.plans:
        number = chance.randint(1, len(scenario.steps[name]))
        yield faults.disk_fails(scenario, name, number, chance.choice(list(faults.DISKS)))


def two_runs(scenario: Scenario, cuts: Cuts) -> Iterator[Outcome]:
    chance = cuts.chance
    for name in scenario.plans:
        yield faults.two_runs_at_once(scenario, name, chance)


def reboots(scenario: Scenario, cuts: Cuts) -> Iterator[Outcome]:
    chance = cuts.chance
    for name in scenario.plans:
        yield faults.reboot(scenario, name, chance.randint(1, len(scenario.steps[name])))


def guards(scenario: Scenario, cuts: Cuts) -> Iterator[Outcome]:
    chance = cuts.chance
    scenario.advance_to("change")
    yield faults.guard_killed(scenario, chance)
    scenario.play_without_error(scenario.teardown)


def damages(scenario: Scenario, cuts: Cuts) -> Iterator[Outcome]:
    chance = cuts.chance
    scenario.advance_to("change")
    for damage in chance.sample(list(damage_done.DAMAGE), 3):
        yield damage_done.definition_damaged(scenario, damage)
    for path in chance.sample(damage_done.MEMORY, 3):
        yield damage_done.note_damaged(scenario, path, chance.choice(list(damage_done.DAMAGE)))
    scenario.play_without_error(scenario.teardown)


def odd_hosts(scenario: Scenario, cuts: Cuts) -> Iterator[Outcome]:
    chance = cuts.chance
    yield odd.odd_host(scenario, chance.choice(list(odd.ODD)))


# With a bystander beside them, and without: then all that is ours can go, and the power too.
BESIDE: tuple[Round, ...] = (cut_and_again, tools, cut_and_again, disks, cut_and_gone, damages, two_runs)
ALONE: tuple[Round, ...] = (cut_and_gone, cut_and_again, reboots, odd_hosts, cut_and_gone, guards)


def work(summary: Summary, cuts: Cuts, *, serving: bool, beside: bool) -> None:
    """Scenarios on one host; a failed scenario is followed by a new host."""
    rounds = [one for one in (BESIDE if beside else ALONE) if summary.only in one.__name__]
    while rounds and not summary.over:
        with new_host(serving=serving) as host:
            scenario = Scenario(host, beside)
            try:
                scenario.record_baseline()
                while not summary.over:
                    _one_round(summary, rounds[0], scenario, cuts)
                    rounds = [*rounds[1:], rounds[0]]
            except (ScenarioFailed, Stuck) as error:
                rounds = [*rounds[1:], rounds[0]]
                if str(error):
                    summary.add(Outcome("undisturbed", "a run", converged=False, failures=[str(error)]))


def _one_round(summary: Summary, one: Round, scenario: Scenario, cuts: Cuts) -> None:
    for outcome in one(scenario, cuts):
        summary.add(outcome)
        if outcome.failures:
            raise ScenarioFailed


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
    failures = sum(len(outcome.failures) for outcome in summary.outcomes)
    done, steps = sum(len(one.done) for one in cuts), sum(one.steps for one in cuts)
    print(f"\nsteps at which plans were killed, on four hosts, then run again or torn down: {done} of {steps}")
    print(f"{len(summary.outcomes)} scenarios, {failures} failures; seed {given.seed}")
    return 1 if failures or not summary.outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
