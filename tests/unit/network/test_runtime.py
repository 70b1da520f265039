# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Notes that hold until the next boot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import Locked, VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.core.reconcile import Plan
from ansible_collections.virtnet.linux.plugins.module_utils.network import runtime
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.desired_state import PARTS
from ansible_collections.virtnet.linux.plugins.module_utils.tasks import module as task


def test_a_run_ends_with_its_last_part(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    runtime.record_pending_run(["lab"], PARTS, paths)
    runtime.record_pending_run(["dmz"], PARTS, paths)
    for kind in PARTS:
        assert runtime.read_pending(paths).names == {"lab", "dmz"}
        runtime.mark_part_done(kind, paths)
    assert runtime.read_pending(paths) == runtime.Pending()
    assert not Path(runtime.pending_path(paths)).exists()
    runtime.mark_part_done("rules", paths)


def test_an_unreadable_note_is_ignored(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    note = Path(runtime.pending_path(paths))
    note.parent.mkdir(parents=True)
    for text in ("", "{", "[]", '{"names": 3}', '{"names": ["a"], "kinds": ["rules"], "until": "x"}'):
        note.write_text(text)
        assert runtime.read_pending(paths) == runtime.Pending()


class Module:
    """The members of AnsibleModule that a task uses; ``failed``: what it failed with."""

    check_mode = False

    def __init__(self) -> None:
        self.params = {"things": [{"name": "lab"}]}
        self.failed = ""

    def fail_json(self, msg: str) -> None:
        self.failed = msg

    def exit_json(self, **_values: Any) -> None:
        """The task is done."""


class Reconciler:
    """Changes nothing, or raises an error."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def read(self) -> None:
        if self.error is not None:
            raise self.error

    def plan(self, _current: None) -> Plan[Any]:
        return Plan()

    def apply(self, _plan: Plan[Any]) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    ("error", "part", "at_work"),
    [
        (VirtnetError("refused"), "rules", False),
        (OSError("no space"), "rules", False),
        # The record may be that of the run that holds the lock.
        (Locked("another run"), "rules", True),
        # A refusal to store definitions is no end of a run that has stored others.
        (VirtnetError("refused"), "", True),
        (None, "rules", True),
    ],
)
def test_a_failed_task_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None, part: str, at_work: bool
) -> None:
    paths = Paths(str(tmp_path))
    monkeypatch.setattr(task, "Paths", lambda: paths)
    runtime.record_pending_run(["lab"], PARTS, paths)
    module = Module()
    try:
        task.run_objects(module, "things", lambda options: options, lambda *_: Reconciler(error), kind=part)
    except OSError as raised:
        module.failed = str(raised)
    assert module.failed == str(error or "")
    pending = runtime.read_pending(paths)
    # The record stays, so that the guard sees what it has to complete.
    assert pending.names == {"lab"}
    assert bool(pending.seconds_left(runtime.seconds_since_boot())) is at_work


def test_a_run_that_cannot_say_what_is_left_to_do_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = Paths(str(tmp_path))
    monkeypatch.setattr(task, "Paths", lambda: paths)
    runtime.record_pending_run(["lab"], PARTS, paths)
    module = Module()

    def finish(_plan: Plan[Any], _paths: Paths) -> dict[str, Any]:
        raise VirtnetError("unreadable")

    task.run_objects(module, "things", lambda options: options, lambda *_: Reconciler(None), finish=finish)
    assert module.failed == "unreadable"
    assert not runtime.read_pending(paths).seconds_left(runtime.seconds_since_boot())
