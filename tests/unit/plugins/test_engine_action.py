# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of the two ways a module goes: by the engine that the host has, or with one of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.playbook.task import Task
from ansible_collections.virtnet.linux.plugins.module_utils.host import files as host_files
from ansible_collections.virtnet.linux.plugins.module_utils.tasks.registry import TASKS, run_order
from ansible_collections.virtnet.linux.plugins.modules.engine import digest
from ansible_collections.virtnet.linux.plugins.plugin_utils.engine_action import ENGINE, EngineAction

PLUGINS = ENGINE.parent
PLAIN = sorted(
    file.stem for file in (PLUGINS / "modules").glob("*.py") if file.stem not in ("engine", "sent_engine", "show")
)


class Recorder(EngineAction):
    """An action that answers for the host, and remembers what it was asked."""

    def __init__(self, task: Task, engine_differs: bool, more: dict[str, Any]) -> None:
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
        super().__init__(task, connection, None, None, None, None)
        self.engine_differs = engine_differs
        self.more = more
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def _execute_module(self, module_name=None, module_args=None, **more: Any) -> dict[str, Any]:
        self.asked.append((module_name.rpartition(".")[2], module_args))
        if module_name.endswith(".engine"):
            return {"changed": False, "engine_differs": True} if self.engine_differs else {"changed": True, **self.more}
        return {"changed": True, "full": True, **self.more}


def ran(
    module: str,
    *,
    engine_differs: bool = False,
    background: int = 0,
    answers: dict[str, Any] | None = None,
    **options: Any,
) -> Recorder:
    task = Task()
    task.action = f"virtnet.linux.{module}"
    task.args = options
    task.async_val = background
    action = Recorder(task, engine_differs, answers or {})
    action.answer = action.run(task_vars={})
    return action


def test_every_module_has_its_action_and_its_task() -> None:
    assert (
        sorted(TASKS) == PLAIN == sorted(file.stem for file in (PLUGINS / "action").glob("*.py") if file.stem != "show")
    )


@pytest.mark.parametrize("module", PLAIN)
def test_every_module_runs_its_own_task(module: str) -> None:
    found = import_module(f"ansible_collections.virtnet.linux.plugins.modules.{module}")
    assert getattr(found, module) is TASKS[module]


def test_an_unknown_task_is_named() -> None:
    failures: list[str] = []
    module = SimpleNamespace(params={"task": "bridges", "arguments": {}}, fail_json=lambda msg: failures.append(msg))
    run_order(module)
    assert failures == [f"task: 'bridges' is no module of this collection; use one of {', '.join(sorted(TASKS))}"]


def test_the_hosts_engine_is_used_where_it_is_the_same() -> None:
    action = ran("bridge", name="vn-lab", mtu="1400")
    assert [name for name, _ in action.asked] == ["engine"]
    sent = action.asked[0][1]
    assert (sent["task"], sent["digest"]) == ("bridge", digest(ENGINE))
    assert (sent["arguments"]["mtu"], sent["arguments"]["purge"]) == (1400, False)
    assert action.answer["changed"] is True
    assert action.answer["invocation"]["module_args"]["name"] == "vn-lab"


def test_the_engine_is_sent_along_where_the_host_has_another() -> None:
    """By one module for all tasks, which Ansible packs once for a run."""
    action = ran("bridge", engine_differs=True, name="vn-lab")
    assert [name for name, _ in action.asked] == ["engine", "sent_engine"]
    sent = action.asked[1][1]
    assert (sent["task"], sent["arguments"]["name"]) == ("bridge", "vn-lab")
    assert action.answer["invocation"]["module_args"]["name"] == "vn-lab"
    assert action.answer["full"]
    assert "engine_differs" not in action.answer


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("bridge", {"name": "vn-lab", "colour": "red"}),
        ("bridge", {"name": "vn-lab", "mtu": "large"}),
        ("host", {"state": "absent"}),
        ("host", {"state": "stopped"}),
        ("virt_network_info", {"background": 60}),
    ],
)
def test_a_module_comes_with_its_engine_at_once(module: str, options: dict[str, Any]) -> None:
    assert [name for name, _ in ran(module, **options).asked] == [module]


@pytest.mark.parametrize("engine_differs", [False, True])
def test_a_host_sets_no_variable_by_its_answer(engine_differs: bool) -> None:
    """A task that is delegated or run once would set it for other hosts, and above the inventory's."""
    answers = {"ansible_facts": {"virtnet_networks": []}, "ansible_stats": {"data": {"a": 1}}, "bridges": []}
    action = ran("bridge", name="vn-lab", engine_differs=engine_differs, answers=answers)
    assert "ansible_facts" not in action.answer
    assert "ansible_stats" not in action.answer
    assert action.answer["bridges"] == []


def test_the_interpreter_that_ansible_found_itself_is_kept() -> None:
    answers = {"ansible_facts": {"discovered_interpreter_python": "/usr/bin/python3", "virtnet_pools": []}}
    task = Task()
    task.action, task.args = "virtnet.linux.bridge", {"name": "vn-lab"}
    action = Recorder(task, False, answers)
    action._discovered_interpreter_key, action._discovered_interpreter = (
        "discovered_interpreter_python",
        "/usr/bin/python3",
    )
    assert action.run(task_vars={})["ansible_facts"] == {"discovered_interpreter_python": "/usr/bin/python3"}


def test_an_engine_as_the_host_has_it_hashes_as_the_collections(tmp_path: Path) -> None:
    for name, text in host_files.engine_files().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert digest(tmp_path) == digest(ENGINE)
    (tmp_path / "part.py").write_text("")
    assert digest(tmp_path) != digest(ENGINE)


def test_an_installed_engine_runs_a_task(tmp_path: Path) -> None:
    shutil.copytree(ENGINE, tmp_path / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); from types import SimpleNamespace as N\n"
        "from engine.tasks.registry import TASKS\n"
        "told = {}\n"
        "module = N(params={'names': ['none-of-that-name']}, check_mode=False, exit_json=told.update,"
        " fail_json=told.update)\n"
        "TASKS['virt_network_info'](module); print(json.dumps(told))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code, tmp_path], check=True, capture_output=True, text=True)
    assert "none-of-that-name" in done.stdout
    assert json.loads(done.stdout)
