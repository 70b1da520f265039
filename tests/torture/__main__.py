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
from torture import faults, unusual_hosts
from torture.host import RunTimeout, new_host
from torture.scenario import (
    RUN_AGAIN,
    TORN_DOWN,
    KillPoints,
    Outcome,
    Scenario,
    ScenarioFailed,
    kill_and_run_again,
    kill_and_tear_down,
)


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
            outcomes = [outcome for outcome in self.outcomes if outcome.kind == kind]
            numbers = (
                len(outcomes),
                sum(outcome.converged for outcome in outcomes),
                sum(outcome.leftovers for outcome in outcomes),
                sum(outcome.lost for outcome in outcomes),
                sum(len(outcome.failures) for outcome in outcomes),
            )
            rows.append((kind, *map(str, numbers)))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


Round = Callable[[Scenario, KillPoints], Iterator[Outcome]]


def kill_and_run_again_round(scenario: Scenario, kill_points: KillPoints) -> Iterator[Outcome]:
    """Each plan in turn is killed once and run again; after the last, the host is as before the first."""
    for name in scenario.plans:
        yield kill_and_run_again(scenario, name, kill_points.next(scenario, name, RUN_AGAIN))


def kill_and_tear_down_round(scenario: Scenario, kill_points: KillPoints) -> Iterator[Outcome]:
    name = kill_points.rng.choice(list(scenario.plans))
    yield kill_and_tear_down(scenario, name, kill_points.next(scenario, name, TORN_DOWN))


def tools(scenario: Scenario, kill_points: KillPoints) -> Iterator[Outcome]:
    rng = kill_points.rng
    for name in scenario.plans:
        fault = rng.choice((faults.HANG, faults.FAIL, faults.FAIL))
        yield faults.tool_fails(scenario, name, rng.choice(faults.TOOLS), rng.randint(1, 8), fault)


def disks(scenario: Scenario, kill_points: KillPoints) -> Iterator[Outcome]:
    rng = kill_points.rng
    for name in scenario.plans:
        number = rng.randint(1, len(scenario.steps[name]))
        yield faults.disk_fails(scenario, name, number, rng.choice(list(faults.DISKS)))


def two_runs(scenario: Scenario, kill_points: KillPoints) -> Iterator[Outcome]:
    rng = kill_points.rng
    for name in scenario.plans:
        yield faults.two_runs_at_once(scenario, name, rng)


def reboots(scenario: Scenario, kill_points: KillPoints) -> Iterator[Outcome]:
    rng = kill_points.rng
    for name in scenario.plans:
        yield faults.reboot(scenario, name, rng.randint(1, len(scenario.steps[name])))


def guards(scenario: Scenario, kill_points: KillPoints) -> Iterator[Outcome]:
    rng = kill_points.rng
    scenario.advance_to("change")
    yield faults.guard_killed(scenario, rng)
    scenario.run_without_error(scenario.teardown)


def damages(scenario: Scenario, kill_points: KillPoints) -> Iterator[Outcome]:
    rng = kill_points.rng
    scenario.advance_to("change")
    for damage in rng.sample(list(damage_done.DAMAGE), 3):
        yield damage_done.definition_damaged(scenario, damage)
    for path in rng.sample(damage_done.RECORDS, 3):
        yield damage_done.record_damaged(scenario, path, rng.choice(list(damage_done.DAMAGE)))
    scenario.run_without_error(scenario.teardown)


def unusual(scenario: Scenario, kill_points: KillPoints) -> Iterator[Outcome]:
    rng = kill_points.rng
    yield unusual_hosts.run_on_unusual_host(scenario, rng.choice(list(unusual_hosts.UNUSUAL_HOSTS)))


# With a bystander; and without one, where the engine may be removed and the power may fail.
ROUNDS_WITH_BYSTANDER: tuple[Round, ...] = (
    kill_and_run_again_round,
    tools,
    kill_and_run_again_round,
    disks,
    kill_and_tear_down_round,
    damages,
    two_runs,
)
ROUNDS_WITHOUT_BYSTANDER: tuple[Round, ...] = (
    kill_and_tear_down_round,
    kill_and_run_again_round,
    reboots,
    unusual,
    kill_and_tear_down_round,
    guards,
)


def work(summary: Summary, kill_points: KillPoints, *, serving: bool, with_bystander: bool) -> None:
    """Scenarios on one host; a failed scenario is followed by a new host."""
    rounds = [
        round_
        for round_ in (ROUNDS_WITH_BYSTANDER if with_bystander else ROUNDS_WITHOUT_BYSTANDER)
        if summary.only in round_.__name__
    ]
    while rounds and not summary.over:
        with new_host(serving=serving) as host:
            scenario = Scenario(host, with_bystander)
            try:
                scenario.record_baseline()
                while not summary.over:
                    _run_round(summary, rounds[0], scenario, kill_points)
                    rounds = [*rounds[1:], rounds[0]]
            except (ScenarioFailed, RunTimeout) as error:
                rounds = [*rounds[1:], rounds[0]]
                if str(error):
                    summary.add(Outcome("undisturbed", "a run", converged=False, failures=[str(error)]))


def _run_round(summary: Summary, round_function: Round, scenario: Scenario, kill_points: KillPoints) -> None:
    for outcome in round_function(scenario, kill_points):
        summary.add(outcome)
        if outcome.failures:
            raise ScenarioFailed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--only", default="", help="only rounds with this in their name")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.seconds:g} seconds", flush=True)
    summary = Summary(options.seconds, options.only)
    workers, kill_points = [], []
    for number, (serving, with_bystander) in enumerate(((True, True), (False, True), (True, False), (False, False))):
        kill_points.append(KillPoints(random.Random(options.seed + number)))
        arguments = {"serving": serving, "with_bystander": with_bystander}
        workers.append(threading.Thread(target=work, args=(summary, kill_points[-1]), kwargs=arguments))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(summary.table())
    failures = sum(len(outcome.failures) for outcome in summary.outcomes)
    used, steps = sum(len(points.used) for points in kill_points), sum(points.steps for points in kill_points)
    print(f"\nsteps at which plans were killed, on four hosts, then run again or torn down: {used} of {steps}")
    print(f"{len(summary.outcomes)} scenarios, {failures} failures; seed {options.seed}")
    return 1 if failures or not summary.outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
