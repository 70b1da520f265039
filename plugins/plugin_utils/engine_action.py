# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all action plugins of this collection do: run a module by the engine that the host has, where it is the same."""

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
    """A module of this collection: first by the host's engine, else with one of its own.

    What the options are checked against is the module's own list. Where they are wrong, the module says so itself.
    """

    _supports_async = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The module's result, whichever way it was run."""
        answer: dict[str, Any] = super().run(tmp, task_vars)
        name = self._task.action.rpartition(".")[2]
        checked = ArgumentSpecValidator(import_module(f"{MODULES}.{name}").ARGUMENTS).validate(self._task.args)
        # An engine that is about to be removed, or replaced, is not the one to do it.
        leaving = name == "host" and self._task.args.get("state", "present") != "present"
        if not checked.error_messages and not leaving and not self._task.async_val:
            arguments = {"task": name, "digest": _digest(), "arguments": checked.validated_parameters}
            found = self._execute_module("virtnet.linux.engine", arguments, task_vars=task_vars)
            if not found.pop("engine_differs", False):
                invocation = {"module_args": checked.validated_parameters}
                return {**answer, **self._without_facts(found), "invocation": invocation}
        full = self._execute_module(f"virtnet.linux.{name}", task_vars=task_vars, wrap_async=self._task.async_val)
        return {**answer, **self._without_facts(full)}

    def _without_facts(self, result: dict[str, Any]) -> dict[str, Any]:
        """A module's result without facts and statistics, of which no module of this collection has any.

        Ansible gives facts of a task that is run once or delegated to other hosts, above their inventory. So a host
        would set variables of another host, or the file that the report is written to. Ansible itself adds the
        interpreter that it found.
        """
        kept = {name: value for name, value in result.items() if name not in ("ansible_facts", "ansible_stats")}
        found = self._discovered_interpreter_key
        return {**kept, "ansible_facts": {found: self._discovered_interpreter}} if found else kept
