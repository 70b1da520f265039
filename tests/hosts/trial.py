# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tries the collection on one host: first run, second run, a guest, a reboot, the teardown."""

from __future__ import annotations

import difflib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab import snapshot
from lab.guest import Guest
from lab.host import Host
from lab.internet import ADDRESS, WEB_NAME
from lab.lab import Lab
from lab.run import Failed, eventually

from .catalogue import Entry
from .faults import SECONDS_TO_SERVE, Fault, wait_for
from .playbook import LOGS, SHORTEST, Outcome, first_error, play_in_lab

BRIDGE, GUEST = "vn-lab", "guest"
FULL_NAME = f"{GUEST}.lab.internal"
OUTSIDE = "outside: "
STEPS = ("check", "first run", "foretold", "second run", "lease", "name", "way out", "others", "reboot", "teardown")
# Tasks that install packages: without an index, a fresh host cannot tell beforehand which ones these are.
PACKAGES = (
    "Refresh the index, as far as its sources answer",
    "Packages are installed",
    "from the index that the host has",
)
OK, FAILED, NOT_TRIED = "ok", "FAILED", "-"


@dataclass
class Trial:
    """What came of each step on a host."""

    entry: Entry
    results: dict[str, str] = field(default_factory=lambda: dict.fromkeys(STEPS, NOT_TRIED))
    faults: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return all(result.startswith(OK) for result in self.results.values())

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Note whether the block raises, and how long it takes."""
        began = time.monotonic()
        try:
            yield
        except (Fault, Failed, OSError, ValueError) as error:
            self.results[name] = FAILED
            self.faults.append(f"{name}: {error}")
        else:
            self.results[name] = f"{OK} {time.monotonic() - began:.0f} s" if name.endswith(" run") else OK


def try_host(entry: Entry) -> Trial:
    """All steps on a new host; its log is in LOGS."""
    trial, lab = Trial(entry), Lab(f"hosts-{entry.name}")
    log = LOGS / f"{entry.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    lab.down()
    try:
        _Run(trial, _make_host(lab, entry), log).all_steps()
    except (Failed, KeyError) as error:
        trial.faults.append(f"the host cannot be made: {error}")
    finally:
        if os.environ.get("KEEP_HOSTS", "") == "":
            lab.down()
    return trial


def _make_host(lab: Lab, entry: Entry) -> Host:
    lab.up({entry.name: entry.image})
    host = lab.host(entry.name)
    for script in entry.scripts:
        host.run(["env", f"ADDRESS={host.address}", f"SERVER={ADDRESS}", "sh", "-eu"], 300, stdin=script)
    if entry.setup:
        host.reboot()
    return host


def _is_answered(answer: str) -> bool:
    """Whether a probe succeeded."""
    return answer.startswith("0 ")


@dataclass
class _Run:
    trial: Trial
    host: Host
    log: Path

    def all_steps(self) -> None:
        entry, step = self.trial.entry, self.trial.step
        # What starts after the boot, as libvirt's network does, is there before the run and not by it.
        eventually(lambda: all(map(_is_answered, self._probe().values())), SECONDS_TO_SERVE, interval=1)
        before, seen = snapshot.take(self.host), self._probe()
        foretold = done = Outcome("", status=1)
        with step("check"):
            foretold = self._play("site", "--check", "--diff")
            self._compare(before)
        with step("first run"):
            done = self._play("site", "--diff")
            if not done.changed:
                raise Fault("nothing has changed")
            if entry.warns and entry.warns not in self.log.read_text():
                raise Fault(f"no warning says: {entry.warns}")
        with step("foretold"):
            self._compare_tasks(foretold, done)
        with step("second run"):
            if changed := self._play("site").changed:
                raise Fault(f"{changed} tasks have changed something")
        guest = Guest(self.host, GUEST)
        for name, serve in self._services(guest).items():
            with step(name):
                serve()
        with step("others"):
            self._wait_for_probes(seen)
        with step("reboot"):
            self.host.reboot()
            guest = Guest(self.host, GUEST)
            for serve in self._services(guest).values():
                serve()
            self._wait_for_probes(seen)
        with step("teardown"):
            guest.unplug()
            self._play("teardown")
            self._compare(before)
            self._wait_for_probes(seen)

    def _services(self, guest: Guest) -> dict[str, Callable[[], None]]:
        def lease() -> None:
            guest.plug(BRIDGE)
            guest.lease()

        def name() -> None:
            address = [guest.address()]
            if self.trial.entry.host_resolves:
                wait_for("the host resolves its guest", lambda: self.host.resolves(FULL_NAME), address)
            wait_for("the guest resolves its own name", lambda: guest.resolves(GUEST), address)
            wait_for("the guest resolves a name outside", lambda: guest.resolves(WEB_NAME), [ADDRESS])
            wait_for("the host resolves a name outside", lambda: self.host.resolves(WEB_NAME), [ADDRESS])

        def way_out() -> None:
            address = self.trial.entry.leaves_as or self.host.address
            wait_for("the guest reaches the outside", lambda: guest.fetch(f"http://{WEB_NAME}/"), address)

        return {"lease": lease, "name": name, "way out": way_out}

    def _probe(self) -> dict[str, str]:
        """What others get from the programs that were there before."""
        answers = {}
        for what, command in self.trial.entry.probes.items():
            if command.startswith(OUTSIDE):
                result = self.host.internet.attempt(["sh", "-c", command.removeprefix(OUTSIDE)])
            else:
                result = self.host.attempt(["sh", "-c", command])
            answers[what] = f"{result.code} {result.out}"
        return answers

    def _wait_for_probes(self, expected: dict[str, str]) -> None:
        if missing := [what for what, answer in expected.items() if not _is_answered(answer)]:
            raise Fault(f"before the first run there was no answer: {', '.join(missing)}")
        wait_for("others get", self._probe, expected)

    def _compare(self, before: snapshot.Snapshot) -> None:
        differences: list[str] = []

        def is_as_before() -> bool:
            found = snapshot.differences(before, snapshot.take(self.host))
            allowed = (*self.trial.entry.installs, *self.trial.entry.leaves)
            differences[:] = [line for line in found if not any(re.search(pattern, line) for pattern in allowed)]
            return not differences

        if not eventually(is_as_before, SECONDS_TO_SERVE, interval=3):
            self._note("\n".join(differences))
            raise Fault(f"{len(differences)} differences, the first: {differences[0]}")

    def _compare_tasks(self, foretold: Outcome, done: Outcome) -> None:
        """Check mode has to show each task's diff as the run does."""
        lines = [
            line
            for name, text in done.tasks.items()
            if not name.endswith(PACKAGES) and text != foretold.tasks.get(name)
            for line in (name, *difflib.ndiff(foretold.tasks.get(name, "").splitlines(), text.splitlines()))
        ]
        if lines:
            self._note("\n".join(["check mode did not foretell:", *lines]))
            raise Fault(f"check mode did not foretell the task {lines[0]}")

    def _play(self, playbook: str, *options: str) -> Outcome:
        """Run a playbook."""
        typed, result = play_in_lab(self.host, self.log.with_suffix(".json"), playbook, SHORTEST, *options)
        self._note(f"{typed}\n{result.output}")
        if result.status or not result.passed or result.changed is None:
            raise Fault(f"the playbook {playbook} failed: {first_error(result.output)}")
        return result

    def _note(self, text: str) -> None:
        with self.log.open("a") as log:
            log.write(text + "\n")
