# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host and its desired state after each plan. A scenario disturbs a run and checks that two more runs repair it."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torture.host import Cut, Guest, Host, unlike
from torture.plans import BESIDE, FIRST, Tasks, plans, site

# Seconds that a program may hang: the engine's limits of 30 and 120 s, divided.
HURRY = 15.0


@dataclass
class Outcome:
    """The result of a disturbed run. Each failure is a sentence that says how to reproduce it."""

    kind: str
    what: str
    converged: bool = True
    left: int = 0
    lost: int = 0
    failures: list[str] = field(default_factory=list)

    def fail(self, text: str) -> None:
        self.failures.append(f"{self.kind}, {self.what}: {text}")


class ScenarioFailed(Exception):
    """The host differs from the desired state, so that no other scenario can start on it."""


def error_of(done: dict[str, Any]) -> str:
    """The error message of a failed run; empty for a run that succeeded."""
    last = done["answers"][-1]
    if "traceback" in last:
        return f"{last['task']}: {last['traceback']}"
    return f"{last['task']}: {last['msg']}" if last.get("failed") else ""


def changes(done: dict[str, Any]) -> list[str]:
    return [change for answer in done["answers"] for change in answer.get("changes", ())]


@dataclass
class Scenario:
    """A host, the plans in order, and the snapshots and steps of undisturbed runs as the baseline."""

    host: Host
    beside: bool = False
    wanted: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    guest: Guest | None = None
    renewed: int = 0

    @property
    def plans(self) -> dict[str, Tasks]:
        return plans(BESIDE) if self.beside else plans()

    @property
    def networks(self) -> list[dict[str, Any]]:
        """The networks of the first run."""
        return [*FIRST, *([BESIDE] if self.beside else [])]

    @property
    def teardown(self) -> Tasks:
        """The tasks after which nothing of the engine is left."""
        return self.plans["teardown"]

    def record_baseline(self) -> None:
        """Run all plans undisturbed and record snapshots, steps and durations."""
        if self.beside:
            self.play_without_error(site([BESIDE]))
            self.guest = self.host.plug("vn-beside")
        self.wanted["start"] = self.host.snapshot()
        for name, tasks in self.plans.items():
            done = self.play_without_error(tasks)
            self.steps[name], self.seconds[name] = done["steps"], done["seconds"]
            self.wanted[name] = self.host.snapshot()
        if self.beside:
            # Leases of networks that are gone are kept, as long as anything of ours is there.
            self.wanted["start"] = self.wanted["teardown"]
        found = self.unlike("start")
        if found:
            raise ScenarioFailed(f"after an undisturbed teardown: {'; '.join(found)[:1500]}")

    def unlike(self, name: str) -> list[str]:
        """Differences between the host and the baseline after a plan."""
        found = unlike(self.wanted[name], self.host.snapshot())
        # Where something of ours stays, it is remembered which subnets and bridges others had.
        memory = "file /var/lib/virtnet/networks.json"
        return [line for line in found if not (self.beside and line.startswith(memory))]

    def play_without_error(self, tasks: Tasks) -> dict[str, Any]:
        """Run tasks; raise ScenarioFailed if one fails."""
        done = self.host.play(tasks)
        if error_of(done):
            raise ScenarioFailed(error_of(done))
        return done

    def finish(self, outcome: Outcome, name: str = "") -> None:
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
        told = self.guest.counts()
        outcome.lost = told["lost"]
        if told["lost"]:
            outcome.fail(f"{told['lost']} of {told['sent']} datagrams of a bystander were lost")
        if told["broken"]:
            outcome.fail("the download of a bystander broke")
        if told["refused"]:
            outcome.fail("a bystander was refused the renewal of its lease")
        if told["renewed"] == self.renewed:
            outcome.fail("a bystander could not renew its lease")
        self.renewed = told["renewed"]

    def advance_to(self, name: str) -> None:
        """Run the plans that come before this one."""
        for one, tasks in self.plans.items():
            if one == name:
                break
            self.play_without_error(tasks)

    def verify_converged(self, outcome: Outcome, name: str) -> None:
        """Run the plan again: the host converges, and a third run has nothing to do."""
        again = self.host.play(self.plans[name])
        if error_of(again):
            outcome.converged = False
            raise ScenarioFailed(f"run again, it failed: {error_of(again)}")
        found = self.unlike(name)
        if found:
            outcome.converged = False
            raise ScenarioFailed(f"run again, {len(found)} differences: " + "; ".join(found)[:1500])
        third = self.host.play(self.plans[name], check=True)
        if error_of(third) or changes(third):
            outcome.converged = False
            raise ScenarioFailed(f"a third run would change: {error_of(third)}{'; '.join(changes(third))}")

    def verify_teardown(self, outcome: Outcome) -> None:
        """Tear down: nothing is left."""
        done = self.host.play(self.teardown)
        if error_of(done):
            outcome.converged = False
            raise ScenarioFailed(f"torn down, it failed: {error_of(done)}")
        found = self.unlike("start")
        if found:
            outcome.left = len(found)
            raise ScenarioFailed(f"torn down, {len(found)} left over: " + "; ".join(found)[:1500])


def cut(scenario: Scenario, outcome: Outcome, name: str, order: dict[str, Any]) -> None:
    """Run a plan that is killed before it ends."""
    try:
        done = scenario.host.play(scenario.plans[name], **order)
        if error_of(done):
            outcome.fail(f"a run that was to be killed failed before: {error_of(done)}")
    except Cut:
        pass


def instant(scenario: Scenario, name: str, chance: random.Random) -> tuple[str, dict[str, Any]]:
    after = chance.uniform(0.0, scenario.seconds[name])
    return f"{name} after {after:.3f} s", {"after": max(after, 0.001)}


def step(scenario: Scenario, name: str, number: int) -> tuple[str, dict[str, Any]]:
    return f"{name} before step {number} ({scenario.steps[name][number - 1][:90]})", {"step": number}


# What follows a killed run.
AGAIN, GONE = "run again", "torn down"
# One of so many runs is killed at a random time instead of at a step.
_INSTANTS = 4
# Files of the engine count as one kind of step.
_ENGINE = re.compile(r"\S*/(?:engine|pycache)\b\S*")


@dataclass
class Cuts:
    """The steps at which plans of one host were killed; no step is used twice before all were used once."""

    chance: random.Random
    left: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    done: set[tuple[str, str, int]] = field(default_factory=set)
    steps: int = 0

    def next(self, scenario: Scenario, name: str, then: str) -> tuple[str, str, dict[str, Any]]:
        """Where to kill a plan next, for what follows."""
        self.steps = 2 * sum(len(_unlike(steps)) for steps in scenario.steps.values())
        if self.chance.randrange(_INSTANTS) == 0:
            return ("killed at an instant", *instant(scenario, name, self.chance))
        left = self.left.setdefault((name, then), [])
        if not left:
            left += _unlike(scenario.steps[name])
            self.chance.shuffle(left)
        number = left.pop()
        self.done.add((name, then, number))
        return ("killed at a step", *step(scenario, name, number))


def _unlike(steps: Sequence[str]) -> list[int]:
    """Numbers of steps, of those at files of the engine one of each kind."""
    kinds: dict[str, int] = {}
    for number, text in enumerate(steps, 1):
        kinds.setdefault(_ENGINE.sub("", text) if _ENGINE.search(text) else str(number), number)
    return list(kinds.values())


def again(scenario: Scenario, name: str, order: tuple[str, str, dict[str, Any]]) -> Outcome:
    """Kill a plan and run it again. The host is then in the state after the plan."""
    kind, what, how = order
    outcome = Outcome(f"{kind}, {AGAIN}", what)
    cut(scenario, outcome, name, how)
    scenario.finish(outcome, name)
    return outcome


def gone(scenario: Scenario, name: str, order: tuple[str, str, dict[str, Any]]) -> Outcome:
    """Kill a plan and tear down. The host is then in the state before all plans."""
    kind, what, how = order
    outcome = Outcome(f"{kind}, {GONE}", what)
    scenario.advance_to(name)
    cut(scenario, outcome, name, how)
    scenario.finish(outcome)
    return outcome
