# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The base of the action plugins of this collection: run a module by the engine of the host, if it is the same."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible_collections.virtnet.linux.plugins.modules.engine import digest

ENGINE = Path(__file__).parents[1] / "module_utils"
MODULES = "ansible_collections.virtnet.linux.plugins.modules"


@lru_cache(maxsize=1)
def _digest() -> str:
    return digest(ENGINE)


class EngineAction(ActionBase):
    """Run a module of this collection by the engine of the host, or else send the engine with the module.

    Options are checked against the argument spec of the module. If they are invalid, the module itself reports it.
    """

    _supports_async = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of the module, however it was run."""
        base: dict[str, Any] = super().run(tmp, task_vars)
        name = self._task.action.rpartition(".")[2]
        checked = ArgumentSpecValidator(import_module(f"{MODULES}.{name}").ARGUMENTS).validate(self._task.args)
        # An engine does not remove itself.
        removes_engine = name == "host" and self._task.args.get("state", "present") != "present"
        if not checked.error_messages and not removes_engine and not self._task.async_val:
            order = {"task": name, "arguments": checked.validated_parameters}
            result = self._execute_module("virtnet.linux.engine", {**order, "digest": _digest()}, task_vars=task_vars)
            if result.pop("engine_differs", False):
                # Not the module itself: Ansible packs the engine anew for each module that has to bring it along.
                result = self._execute_module("virtnet.linux.sent_engine", order, task_vars=task_vars)
            invocation = {"module_args": checked.validated_parameters}
            return {**base, **self._without_facts(result), "invocation": invocation}
        result = self._execute_module(f"virtnet.linux.{name}", task_vars=task_vars, wrap_async=self._task.async_val)
        return {**base, **self._without_facts(result)}

    def _without_facts(self, result: dict[str, Any]) -> dict[str, Any]:
        """A result without facts and statistics, which no module of this collection returns.

        Ansible gives the facts of a task with run_once or delegate_to to other hosts, with precedence over their
        inventory. So a host could set variables of another host, or the path of the report. Ansible itself adds the
        interpreter that it discovered.
        """
        kept = {name: value for name, value in result.items() if name not in ("ansible_facts", "ansible_stats")}
        key = self._discovered_interpreter_key
        return {**kept, "ansible_facts": {key: self._discovered_interpreter}} if key else kept
