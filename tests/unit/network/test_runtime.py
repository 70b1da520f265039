# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Notes that hold until the next boot."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import Locked, VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.core.files import write_files
from ansible_collections.virtnet.linux.plugins.module_utils.core.network_history import NetworkHistory, history_file
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.core.reconcile import Plan
from ansible_collections.virtnet.linux.plugins.module_utils.network import runtime
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.desired_state import PARTS
from ansible_collections.virtnet.linux.plugins.module_utils.tasks import module as task


def at_work(paths: Paths) -> set[str]:
    return {name for name, network in runtime.read_pending(paths).items() if network.seconds_left()}


def test_a_run_ends_with_its_last_part(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    runtime.record_pending_run(["lab"], PARTS, paths)
    runtime.record_pending_run(["dmz"], PARTS, paths)
    for kind in PARTS:
        assert runtime.read_pending(paths).keys() == {"lab", "dmz"}
        runtime.mark_part_done(kind, ["lab", "dmz"], paths)
    assert runtime.read_pending(paths) == {}
    assert not Path(runtime.pending_path(paths)).exists()
    runtime.mark_part_done("rules", None, paths)


def test_a_task_concerns_the_run_on_its_networks_alone(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    history = {name: NetworkHistory(bridges={f"vn-{name}": ""}) for name in ("lab", "dmz", "more")}
    write_files([history_file(history, paths)])
    runtime.record_pending_run(["lab"], PARTS, paths)
    runtime.record_pending_run(["dmz"], PARTS, paths)
    runtime.mark_part_done("bridges", ["vn-dmz", "br-other"], paths)
    pending = runtime.read_pending(paths)
    assert pending["lab"].parts - pending["dmz"].parts == {"bridges"}
    runtime.fail_pending_run(["other", "dmz"], paths)
    assert at_work(paths) == {"lab"}
    # The next run does what the failed one has left.
    runtime.record_pending_run(["more"], PARTS, paths)
    assert at_work(paths) == runtime.read_pending(paths).keys() == {"lab", "more"}
    runtime.fail_pending_run(["vn-lab"], paths)
    assert at_work(paths) == {"more"}
    runtime.fail_pending_run(None, paths)
    assert at_work(paths) == set()


def test_every_task_concerns_what_none_can_name(tmp_path: Path) -> None:
    """A network on a bridge that is not ours, and the settings of all."""
    paths = Paths(str(tmp_path))
    write_files([history_file({"lab": NetworkHistory(bridges={"vn-lab": ""}), "own": NetworkHistory()}, paths)])
    runtime.record_pending_run(["lab", "own", runtime.SETTINGS], PARTS, paths)
    runtime.mark_part_done("bridges", ["vn-other"], paths)
    pending = runtime.read_pending(paths)
    assert pending["lab"].parts - pending["own"].parts == {"bridges"}
    assert pending["own"].parts == pending[runtime.SETTINGS].parts


def test_an_unreadable_note_is_ignored(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    note = Path(runtime.pending_path(paths))
    note.parent.mkdir(parents=True)
    for text in (
        "",
        "{",
        "[]",
        '{"names": 3}',
        '{"a": {"kinds": ["rules"], "until": "x"}}',
        '{"a": {"until": 1}}',
        '{"a": {"until": 1, "kinds": [], "before": 3}}',
        '{"a": {"until": 1, "kinds": [], "before": {"/etc/virtnet/networks/a.json": 3}}}',
        '{"a": {"until": 1, "kinds": [], "before": {"/etc/passwd": "root::0:0::/:/bin/sh"}}}',
        '{"a": {"until": 1, "kinds": [], "before": {"/var/lib/virtnet/choosing.json": "{}"}}}',
        '{"a": {"until": 1, "kinds": [], "before": {}, "record": ["started"]}}',
    ):
        note.write_text(text)
        assert runtime.read_pending(paths) == {}


class Module:
    """The members of AnsibleModule that a task uses; ``failed``: what it failed with."""

    check_mode = False

    def __init__(self, listed: Any) -> None:
        self.params = {"things": listed}
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


LAB, OTHER = {"name": "lab"}, {"name": "other"}
BRIDGE = {"name": "vn-lab"}


@pytest.mark.parametrize(
    ("error", "part", "listed", "expected"),
    [
        (VirtnetError("refused"), "rules", [LAB], False),
        (VirtnetError("refused"), "bridges", [OTHER, BRIDGE], False),
        (VirtnetError("refused"), "entries", [{"interface": "vn-lab"}], False),
        (OSError("no space"), "rules", [LAB], False),
        # Another run, for example one by hand, is no end of the run at work.
        (VirtnetError("refused"), "rules", [OTHER], True),
        (VirtnetError("refused"), "rules", None, True),
        # The record may be that of the run that holds the lock.
        (Locked("another run"), "rules", [LAB], True),
        # A refusal to store definitions is no end of a run that has stored others.
        (VirtnetError("refused"), "", [LAB], True),
        (None, "rules", [LAB], True),
    ],
)
def test_a_failed_task_ends_the_run_of_its_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None, part: str, listed: Any, expected: bool
) -> None:
    paths = Paths(str(tmp_path))
    monkeypatch.setattr(task, "Paths", lambda: paths)
    write_files([history_file({"lab": NetworkHistory(bridges={"vn-lab": ""})}, paths)])
    runtime.record_pending_run(["lab"], PARTS, paths)
    module = Module(listed)
    try:
        task.run_objects(module, "things", lambda options: options, lambda *_: Reconciler(error), kind=part)
    except OSError as raised:
        module.failed = str(raised)
    if listed is not None:
        assert module.failed == str(error or "")
    # The record stays, so that the guard sees what it has to complete.
    assert runtime.read_pending(paths).keys() == {"lab"}
    assert (at_work(paths) == {"lab"}) is expected


@pytest.mark.parametrize(("listed", "expected"), [(LAB, set()), (OTHER, {"lab"}), ({"xml": "lab"}, set())])
def test_a_run_that_cannot_say_what_is_left_to_do_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: dict[str, str], expected: set[str]
) -> None:
    paths = Paths(str(tmp_path))
    monkeypatch.setattr(task, "Paths", lambda: paths)
    write_files([history_file({"lab": NetworkHistory(bridges={"vn-lab": ""})}, paths)])
    runtime.record_pending_run(["lab"], PARTS, paths)
    module = Module([listed])

    def finish(_plan: Plan[Any], _paths: Paths) -> dict[str, Any]:
        raise VirtnetError("unreadable")

    def read(options: Options) -> SimpleNamespace:
        return SimpleNamespace(name=options.raw("name" if options.given("name") else "xml"))

    task.run_objects(module, "things", read, lambda *_: Reconciler(None), finish=finish)
    assert module.failed == "unreadable"
    assert at_work(paths) == expected
