# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host and its desired state after each plan. A scenario disturbs a run and checks that two more runs repair it."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torture.host import Bystander, Host, RunKilled, differences
from torture.plans import BYSTANDER, FIRST, Tasks, plans, site

# Seconds that a program may hang: the engine's limits of 30 and 120 s, divided.
TIMEOUT_DIVISOR = 15.0


@dataclass
class Outcome:
    """The result of a disturbed run. Each failure is a sentence that says how to reproduce it."""

    kind: str
    what: str
    converged: bool = True
    leftovers: int = 0
    lost: int = 0
    failures: list[str] = field(default_factory=list)

    def fail(self, text: str) -> None:
        self.failures.append(f"{self.kind}, {self.what}: {text}")


class ScenarioFailed(Exception):
    """The host differs from the desired state, so no other scenario can start on it."""


def error_of(result: dict[str, Any]) -> str:
    """The error message of a failed run; empty for a run that succeeded."""
    last = result["answers"][-1]
    if "traceback" in last:
        return f"{last['task']}: {last['traceback']}"
    return f"{last['task']}: {last['msg']}" if last.get("failed") else ""


def changes(result: dict[str, Any]) -> list[str]:
    return [change for answer in result["answers"] for change in answer.get("changes", ())]


@dataclass
class Scenario:
    """A host, the plans in order, and the snapshots and steps of undisturbed runs as the baseline."""

    host: Host
    with_bystander: bool = False
    expected: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    guest: Bystander | None = None
    renewed: int = 0

    @property
    def plans(self) -> dict[str, Tasks]:
        return plans(BYSTANDER) if self.with_bystander else plans()

    @property
    def networks(self) -> list[dict[str, Any]]:
        """The networks of the first run."""
        return [*FIRST, *([BYSTANDER] if self.with_bystander else [])]

    @property
    def teardown(self) -> Tasks:
        """The tasks that remove everything of the engine."""
        return self.plans["teardown"]

    def record_baseline(self) -> None:
        """Run all plans undisturbed and record snapshots, steps and durations."""
        if self.with_bystander:
            self.run_without_error(site([BYSTANDER]))
            self.guest = self.host.plug("vn-beside")
        self.expected["start"] = self.host.snapshot()
        for name, tasks in self.plans.items():
            result = self.run_without_error(tasks)
            self.steps[name], self.seconds[name] = result["steps"], result["seconds"]
            self.expected[name] = self.host.snapshot()
        if self.with_bystander:
            # Leases of removed networks are kept as long as the engine is installed.
            self.expected["start"] = self.expected["teardown"]
        changed = self.differences("start")
        if changed:
            raise ScenarioFailed(f"after an undisturbed teardown: {'; '.join(changed)[:1500]}")

    def differences(self, name: str) -> list[str]:
        """Differences between the host and the baseline after a plan."""
        changed = differences(self.expected[name], self.host.snapshot())
        # While the engine is installed, it remembers subnets and bridges of other programs.
        history_file = "file /var/lib/virtnet/networks.json"
        return [line for line in changed if not (self.with_bystander and line.startswith(history_file))]

    def run_without_error(self, tasks: Tasks) -> dict[str, Any]:
        """Run tasks; raise ScenarioFailed if one fails."""
        result = self.host.run_tasks(tasks)
        if error_of(result):
            raise ScenarioFailed(error_of(result))
        return result

    def verify(self, outcome: Outcome, name: str = "") -> None:
        """Verify that a plan converges, or that a teardown leaves nothing; record failures. Always ask the guest."""
        try:
            if name:
                self.verify_converged(outcome, name)
            else:
                self.verify_teardown(outcome)
        except ScenarioFailed as error:
            outcome.fail(str(error))
        self.ask_guest(outcome)

    def ask_guest(self, outcome: Outcome) -> None:
        """Record a failure if the guest of another network lost packets, its download or its lease."""
        if self.guest is None:
            return
        counts = self.guest.counts()
        outcome.lost = counts["lost"]
        if counts["lost"]:
            outcome.fail(f"{counts['lost']} of {counts['sent']} datagrams of a bystander were lost")
        if counts["broken"]:
            outcome.fail("the download of a bystander broke")
        if counts["refused"]:
            outcome.fail("a bystander was refused the renewal of its lease")
        if counts["renewed"] == self.renewed:
            outcome.fail("a bystander could not renew its lease")
        self.renewed = counts["renewed"]

    def advance_to(self, name: str) -> None:
        """Run the plans before this one."""
        for plan, tasks in self.plans.items():
            if plan == name:
                break
            self.run_without_error(tasks)

    def verify_converged(self, outcome: Outcome, name: str) -> None:
        """Run the plan again: the host converges, and a third run changes nothing."""
        second = self.host.run_tasks(self.plans[name])
        if error_of(second):
            outcome.converged = False
            raise ScenarioFailed(f"run again, it failed: {error_of(second)}")
        changed = self.differences(name)
        if changed:
            outcome.converged = False
            raise ScenarioFailed(f"run again, {len(changed)} differences: " + "; ".join(changed)[:1500])
        third = self.host.run_tasks(self.plans[name], check=True)
        if error_of(third) or changes(third):
            outcome.converged = False
            raise ScenarioFailed(f"a third run would change: {error_of(third)}{'; '.join(changes(third))}")

    def verify_teardown(self, outcome: Outcome) -> None:
        """Tear down: nothing of the engine remains."""
        result = self.host.run_tasks(self.teardown)
        if error_of(result):
            outcome.converged = False
            raise ScenarioFailed(f"torn down, it failed: {error_of(result)}")
        changed = self.differences("start")
        if changed:
            outcome.leftovers = len(changed)
            raise ScenarioFailed(f"torn down, {len(changed)} left over: " + "; ".join(changed)[:1500])


def run_and_kill(scenario: Scenario, outcome: Outcome, name: str, order: dict[str, Any]) -> None:
    """Run a plan that is killed before it ends."""
    try:
        result = scenario.host.run_tasks(scenario.plans[name], **order)
        if error_of(result):
            outcome.fail(f"a run that was to be killed failed before: {error_of(result)}")
    except RunKilled:
        pass


def at_random_time(scenario: Scenario, name: str, rng: random.Random) -> tuple[str, dict[str, Any]]:
    after = rng.uniform(0.0, scenario.seconds[name])
    return f"{name} after {after:.3f} s", {"after": max(after, 0.001)}


def before_step(scenario: Scenario, name: str, number: int) -> tuple[str, dict[str, Any]]:
    return f"{name} before step {number} ({scenario.steps[name][number - 1][:90]})", {"step": number}


# What is done after a killed run.
RUN_AGAIN, TORN_DOWN = "run again", "torn down"
# One of this many runs is killed at a random time instead of at a step.
_RANDOM_TIMES = 4
# Files of the engine count as one kind of step.
_ENGINE = re.compile(r"\S*/(?:engine|pycache)\b\S*")


@dataclass
class KillPoints:
    """The steps at which plans of one host were killed; no step is used twice before all were used once."""

    rng: random.Random
    unused: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    used: set[tuple[str, str, int]] = field(default_factory=set)
    steps: int = 0

    def next(self, scenario: Scenario, name: str, then: str) -> tuple[str, str, dict[str, Any]]:
        """The next kill of a plan, by what is done after it."""
        self.steps = 2 * sum(len(_distinct_steps(steps)) for steps in scenario.steps.values())
        if self.rng.randrange(_RANDOM_TIMES) == 0:
            return ("killed at an instant", *at_random_time(scenario, name, self.rng))
        unused = self.unused.setdefault((name, then), [])
        if not unused:
            unused += _distinct_steps(scenario.steps[name])
            self.rng.shuffle(unused)
        number = unused.pop()
        self.used.add((name, then, number))
        return ("killed at a step", *before_step(scenario, name, number))


def _distinct_steps(steps: Sequence[str]) -> list[int]:
    """Numbers of the steps; of those at files of the engine, one of each kind."""
    kinds: dict[str, int] = {}
    for number, text in enumerate(steps, 1):
        kinds.setdefault(_ENGINE.sub("", text) if _ENGINE.search(text) else str(number), number)
    return list(kinds.values())


def kill_and_run_again(scenario: Scenario, name: str, order: tuple[str, str, dict[str, Any]]) -> Outcome:
    """Kill a plan and run it again. The host is then in the state after the plan."""
    kind, what, how = order
    outcome = Outcome(f"{kind}, {RUN_AGAIN}", what)
    run_and_kill(scenario, outcome, name, how)
    scenario.verify(outcome, name)
    return outcome


def kill_and_tear_down(scenario: Scenario, name: str, order: tuple[str, str, dict[str, Any]]) -> Outcome:
    """Kill a plan and tear down. The host is then in the state before all plans."""
    kind, what, how = order
    outcome = Outcome(f"{kind}, {TORN_DOWN}", what)
    scenario.advance_to(name)
    run_and_kill(scenario, outcome, name, how)
    scenario.verify(outcome)
    return outcome
