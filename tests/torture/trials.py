# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One host and what it shall be after each plan; trials harm a run of one and see what two more make of it."""

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
class Trial:
    """What became of one: each flaw is a sentence with what it takes to see it again."""

    kind: str
    what: str
    converged: bool = True
    left: int = 0
    lost: int = 0
    flaws: list[str] = field(default_factory=list)

    def flaw(self, text: str) -> None:
        self.flaws.append(f"{self.kind}, {self.what}: {text}")


class Wrong(Exception):
    """The host is not as it shall be, and no more use."""


def failure(done: dict[str, Any]) -> str:
    """What the user was told of a run that failed, '' where it did not."""
    last = done["answers"][-1]
    if "traceback" in last:
        return f"{last['task']}: {last['traceback']}"
    return f"{last['task']}: {last['msg']}" if last.get("failed") else ""


def changes(done: dict[str, Any]) -> list[str]:
    return [change for answer in done["answers"] for change in answer.get("changes", ())]


@dataclass
class Course:
    """A host, the plans in order, and what an undisturbed course showed: snapshots and steps."""

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
        """Those of the first run."""
        return [*FIRST, *([BESIDE] if self.beside else [])]

    @property
    def away(self) -> Tasks:
        """All that the trials made is gone after it."""
        return self.plans["teardown"]

    def learn(self) -> None:
        """Go through once undisturbed."""
        if self.beside:
            self.well(site([BESIDE]))
            self.guest = self.host.plug("vn-beside")
        self.wanted["start"] = self.host.snapshot()
        for name, tasks in self.plans.items():
            done = self.well(tasks)
            self.steps[name], self.seconds[name] = done["steps"], done["seconds"]
            self.wanted[name] = self.host.snapshot()
        if self.beside:
            # Leases of networks that are gone are kept, as long as anything of ours is there.
            self.wanted["start"] = self.wanted["teardown"]
        found = self.unlike("start")
        if found:
            raise Wrong(f"after a teardown without any harm: {'; '.join(found)[:1500]}")

    def unlike(self, name: str) -> list[str]:
        """How the host differs from what it shall be after a plan."""
        found = unlike(self.wanted[name], self.host.snapshot())
        # Where something of ours stays, it is remembered which subnets and bridges others had.
        memory = "file /var/lib/virtnet/networks.json"
        return [line for line in found if not (self.beside and line.startswith(memory))]

    def well(self, tasks: Tasks) -> dict[str, Any]:
        """Run tasks that must not fail."""
        done = self.host.play(tasks)
        if failure(done):
            raise Wrong(failure(done))
        return done

    def end(self, trial: Trial, name: str = "") -> None:
        """Settle where a plan ends, or clear the host; what goes wrong is a flaw. The guest is asked in any case."""
        try:
            if name:
                self.settle(trial, name)
            else:
                self.clear(trial)
        except Wrong as wrong:
            trial.flaw(str(wrong))
        self.ask_guest(trial)

    def ask_guest(self, trial: Trial) -> None:
        """What the guest of another network lost meanwhile; it must be nothing."""
        if self.guest is None:
            return
        told = self.guest.counts()
        trial.lost = told["lost"]
        if told["lost"]:
            trial.flaw(f"{told['lost']} of {told['sent']} datagrams of a bystander were lost")
        if told["broken"]:
            trial.flaw("the download of a bystander broke")
        if told["refused"]:
            trial.flaw("a bystander was refused the renewal of its lease")
        if told["renewed"] == self.renewed:
            trial.flaw("a bystander could not renew its lease")
        self.renewed = told["renewed"]

    def reach(self, name: str) -> None:
        """From the start to where this plan begins."""
        for one, tasks in self.plans.items():
            if one == name:
                break
            self.well(tasks)

    def settle(self, trial: Trial, name: str) -> None:
        """Run again: converged, and a third run has nothing to do."""
        again = self.host.play(self.plans[name])
        if failure(again):
            trial.converged = False
            raise Wrong(f"run again, it failed: {failure(again)}")
        found = self.unlike(name)
        if found:
            trial.converged = False
            raise Wrong(f"run again, {len(found)} differences: " + "; ".join(found)[:1500])
        third = self.host.play(self.plans[name], check=True)
        if failure(third) or changes(third):
            trial.converged = False
            raise Wrong(f"a third run would change: {failure(third)}{'; '.join(changes(third))}")

    def clear(self, trial: Trial) -> None:
        """Tear down: nothing left."""
        done = self.host.play(self.away)
        if failure(done):
            trial.converged = False
            raise Wrong(f"torn down, it failed: {failure(done)}")
        found = self.unlike("start")
        if found:
            trial.left = len(found)
            raise Wrong(f"torn down, {len(found)} left over: " + "; ".join(found)[:1500])


def cut(course: Course, trial: Trial, name: str, order: dict[str, Any]) -> None:
    """Run a plan that is killed on its way."""
    try:
        done = course.host.play(course.plans[name], **order)
        if failure(done):
            trial.flaw(f"a run that was to be killed failed before: {failure(done)}")
    except Cut:
        pass


def instant(course: Course, name: str, chance: random.Random) -> tuple[str, dict[str, Any]]:
    after = chance.uniform(0.0, course.seconds[name])
    return f"{name} after {after:.3f} s", {"after": max(after, 0.001)}


def step(course: Course, name: str, number: int) -> tuple[str, dict[str, Any]]:
    return f"{name} before step {number} ({course.steps[name][number - 1][:90]})", {"step": number}


# What is done after a cut.
AGAIN, GONE = "run again", "torn down"
# One of so many cuts is at an instant and not at a step.
_INSTANTS = 4
# Of the engine one file is like the other.
_ENGINE = re.compile(r"\S*/(?:engine|pycache)\b\S*")


@dataclass
class Cuts:
    """The steps at which the plans of one host were cut, each once before any is a second time."""

    chance: random.Random
    left: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    done: set[tuple[str, str, int]] = field(default_factory=set)
    steps: int = 0

    def next(self, course: Course, name: str, then: str) -> tuple[str, str, dict[str, Any]]:
        """Where to cut a plan, after which this is done."""
        self.steps = 2 * sum(len(_unlike(steps)) for steps in course.steps.values())
        if self.chance.randrange(_INSTANTS) == 0:
            return ("killed at an instant", *instant(course, name, self.chance))
        left = self.left.setdefault((name, then), [])
        if not left:
            left += _unlike(course.steps[name])
            self.chance.shuffle(left)
        number = left.pop()
        self.done.add((name, then, number))
        return ("killed at a step", *step(course, name, number))


def _unlike(steps: Sequence[str]) -> list[int]:
    """Numbers of steps, of those at files of the engine one of each kind."""
    kinds: dict[str, int] = {}
    for number, text in enumerate(steps, 1):
        kinds.setdefault(_ENGINE.sub("", text) if _ENGINE.search(text) else str(number), number)
    return list(kinds.values())


def again(course: Course, name: str, order: tuple[str, str, dict[str, Any]]) -> Trial:
    """Cut a plan, run it again. Leaves the host where the plan ends."""
    kind, what, how = order
    trial = Trial(f"{kind}, {AGAIN}", what)
    cut(course, trial, name, how)
    course.end(trial, name)
    return trial


def gone(course: Course, name: str, order: tuple[str, str, dict[str, Any]]) -> Trial:
    """Cut a plan, tear down. Takes the host from the start to the start."""
    kind, what, how = order
    trial = Trial(f"{kind}, {GONE}", what)
    course.reach(name)
    cut(course, trial, name, how)
    course.end(trial)
    return trial
