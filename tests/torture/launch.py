# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs tasks of a play as their modules do, with a fault before the N-th visible step or a kill after some time.

Reads {"tasks": [[NAME, PARAMETERS], ...], "step": N, "fault": COMMAND, "after": SECONDS, "check": BOOL,
"timeout_divisor": FACTOR}, writes the tasks' results and the steps. Before step N it runs the command, or kills itself
without one. The engine has no code for this: an audit hook (PEP 578) reports files and programs, a wrapper reports
netlink requests.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

PACKAGE = "ansible_collections.virtnet.linux.plugins.module_utils."
_FILE_EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod", "os.chown",
                "os.truncate", "os.utime"}  # fmt: skip
# Arguments of programs that only read, or start nothing visible.
_READING = {"show", "list", "--test", "--version", "get", "is-active", "is-enabled", "-H", "--quiet", "-L", "cat"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class StepCounter:
    """Counts steps, and causes the fault before the N-th."""

    def __init__(self, last: int, fault: str) -> None:
        self.last = last
        self.fault = fault
        self.on = False
        self.steps: list[str] = []

    def step(self, what: str) -> None:
        if not self.on:
            return
        self.steps.append(what)
        if len(self.steps) == self.last and not self.fault:
            os.kill(os.getpid(), signal.SIGKILL)
        if len(self.steps) == self.last:
            self.on = False
            subprocess.run(["sh", "-ec", self.fault], check=True)
            self.on = True

    def audit_hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Counts files that are changed and programs that are started."""
        # A number is a descriptor: the file was opened in an earlier step.
        if event in _FILE_EVENTS and isinstance(arguments[0], str):
            self.step(f"{event} {arguments[0]}")
        elif event == "open" and isinstance(arguments[0], str) and isinstance(arguments[2], int):
            if arguments[2] & _WRITING and arguments[0] != os.devnull:
                self.step(f"open {arguments[0]}")
        elif event == "subprocess.Popen" and not _READING & set(map(str, arguments[1])):
            self.step(" ".join(map(str, arguments[1][:4])))


class ModuleExit(BaseException):
    """The module has finished."""


class Parameters(dict[str, Any]):
    """Ansible passes None for options that are not given."""

    def __missing__(self, key: str) -> None:
        return None


class Module:
    """The part of AnsibleModule that the engine uses."""

    def __init__(self, params: dict[str, Any], check: bool) -> None:
        self.params = Parameters(params)
        self.check_mode = check
        self.answer: dict[str, Any] = {}

    def warn(self, text: str) -> None:
        self.answer.setdefault("warnings", []).append(text)

    def fail_json(self, msg: str) -> None:
        self.answer.update(failed=True, msg=msg)
        raise ModuleExit

    def exit_json(self, **values: Any) -> None:
        self.answer.update(values)
        raise ModuleExit


def run_task(name: str, params: dict[str, Any], check: bool) -> dict[str, Any]:
    module = Module(params, check)
    try:
        import_module(PACKAGE + "tasks.registry").TASKS[name](module)
    except ModuleExit:
        pass
    except Exception:
        return {"failed": True, "msg": "", "traceback": traceback.format_exc()}
    return module.answer


def run_tasks(tasks: list[Any], check: bool) -> list[dict[str, Any]]:
    """Run the tasks in order; as in the role, modules get the return values of virt_network."""
    answers: list[dict[str, Any]] = []
    defined: dict[str, Any] = {}
    for name, params in tasks:
        source = params.pop("from", None)
        if source is not None:
            if not defined.get("pending"):
                continue
            params = {**params, "networks" if name in ("nft_nat", "libvirt_network") else source: defined[source]}
        answer = run_task(name, params, check)
        answers.append({"task": name, **answer})
        if answer.get("failed"):
            break
        if name == "virt_network":
            defined = answer
    return answers


def divide_timeouts(factor: float) -> None:
    """Shorten the engine's timeouts, for programs that hang."""
    communicate_unchanged = subprocess.Popen.communicate

    def communicate(self: Any, input: Any = None, timeout: float | None = None) -> Any:
        return communicate_unchanged(self, input, timeout and timeout / factor)

    subprocess.Popen.communicate = communicate  # type: ignore[method-assign]


def count_netlink(counter: StepCounter) -> None:
    """Netlink requests of pyroute2 raise no audit events."""
    links = import_module(PACKAGE + "kernel.link_changes")
    apply = links._apply

    def counted(route: Any, step: Any) -> None:
        counter.step(str(step))
        apply(route, step)

    links._apply = counted  # type: ignore[attr-defined]


def run_order(order: dict[str, Any]) -> None:
    """Run the tasks of an order, in a process of its own, and print the results."""
    counter = StepCounter(order.get("step", 0), order.get("fault", ""))
    count_netlink(counter)
    if order.get("first"):
        # Fake programs of the test that hide the real ones.
        run = import_module(PACKAGE + "core.command")
        run.SEARCH_PATH = os.pathsep.join([order["first"], run.SEARCH_PATH])  # type: ignore[attr-defined]
    if order.get("timeout_divisor"):
        divide_timeouts(order["timeout_divisor"])
    sys.addaudithook(counter.audit_hook)
    stderr, sys.stderr = sys.stderr, io.StringIO()
    if order.get("after"):
        signal.setitimer(signal.ITIMER_REAL, order["after"])
    start = time.monotonic()
    counter.on = True
    answers = run_tasks(order["tasks"], order.get("check", False))
    counter.on = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    stderr.write(sys.stderr.getvalue())
    print(json.dumps({"answers": answers, "steps": counter.steps, "seconds": time.monotonic() - start}), flush=True)


def main() -> None:
    """Orders, a line each. Everything is imported before the first, as Ansible sends a module as a whole."""
    sys.path.insert(0, sys.argv[1])
    for module in walk_packages([str(Path(sys.argv[1], *PACKAGE.split(".")))], PACKAGE):
        import_module(module.name)
    import_module("pyroute2")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run_order(json.loads(line))
            sys.stdout.flush()
            os._exit(0)
        _pid, status = os.waitpid(child, 0)
        if status:
            print(json.dumps({"status": status}), flush=True)


if __name__ == "__main__":
    main()
