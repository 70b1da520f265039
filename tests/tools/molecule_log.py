# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads a log of `molecule test`: the progress of the scenario, and its errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

# Limits of a digest: lines, of which the first and the last are kept; characters of a failed task, and of other lines.
FIRST, LAST = 42, 18
OF_TASK, OF_LINE = 2000, 300
# The most useful keys of a task's result.
USEFUL_KEYS = ("msg", "assertion", "evaluated_to", "cmd", "rc", "stderr", "stdout", "module_stderr", "module_stdout")

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
ACTION = re.compile(r"INFO +\[\S+ > (\w+)\] Executing$")
TESTS = re.compile(r"INFO +\[\S+ > verify\] Executing Testinfra tests found in \S*/molecule/\S+?/(\S+?)/?\.\.\.$")
TASK = re.compile(r"(?:TASK|RUNNING HANDLER) \[(.*)\]")
RETRY = re.compile(r"FAILED - RETRYING: (\[.*\]: .* \(\d+ retries left\))")
TESTED = re.compile(r"(\S+\.py [.FEsxXR]+)")
FATAL = re.compile(r"(fatal: \[.*?\]: (?:FAILED|UNREACHABLE)! => |failed: \[.*?\] \(item=.*\) => )(\{.*)")
BROKEN = re.compile(r"CRITICAL |(?:INFO|WARNING|ERROR) +\[.*\] Executed: Failed")
IGNORED = "...ignoring"
# The current step of `make demo`.
STEP = re.compile(r"==> +(.*?)(?: \.\.\.|: done in .*)?$")
# Headings of pytest: of all failures, of one of them, of its captured output.
FAILURES = re.compile(r"=+ (FAILURES|ERRORS) =+$")
ONE_FAILURE = re.compile(r"_{3,} .* _{3,}$")
PRINTED = re.compile(r"-{3,} Captured (stdout|stderr) (setup|call|teardown) -{3,}$")
OTHER_HEADING = re.compile(r"={3,} .* ={3,}$|-{3,} .* -{3,}$")
SUMMARY = re.compile(r"(FAILED|ERROR) \S+::")


def lines_of(log: str) -> list[str]:
    return COLOUR.sub("", log).splitlines()


def place(log: str) -> str:
    """The progress of a scenario: Molecule's action, and in it Ansible's task or pytest's file."""
    action = step = ""
    for line in lines_of(log):
        if match := ACTION.match(line):
            action, step = match[1], ""
        elif match := TESTS.match(line):
            action, step = f"verify {match[1]}", ""
        elif match := TASK.match(line) or RETRY.match(line) or TESTED.match(line) or STEP.match(line):
            step = match[1]
    return ": ".join(word for word in (action, step) if word)


def digest(log: str) -> list[str]:
    """The errors of a scenario, in some lines: failed tasks, pytest's failures, Molecule's own errors."""
    digest_lines = [line for action, lines in broken(lines_of(log)) for line in (f"in {action}:", *error_lines(lines))]
    if len(digest_lines) > FIRST + LAST:
        digest_lines[FIRST:-LAST] = [f"... {len(digest_lines) - FIRST - LAST} lines more ..."]
    return digest_lines


def broken(lines: list[str]) -> list[tuple[str, list[str]]]:
    """The failed actions, with their lines; if none is marked as failed, the last one: it was killed."""
    actions: list[tuple[str, list[str]]] = [("the beginning", [])]
    for line in lines:
        if match := ACTION.match(line):
            actions.append((match[1], []))
        actions[-1][1].append(line)
    return [action for action in actions if any(BROKEN.match(line) for line in action[1])] or actions[-1:]


def error_lines(lines: list[str]) -> list[str]:
    """The lines of an action that show why it failed; if there are none, its last ones."""
    useful_lines = [*of_tasks(lines), *of_tests(lines), *of_molecule(lines)]
    return useful_lines or [cut(line) for line in lines[-LAST:]]


def of_tasks(lines: list[str]) -> Iterator[str]:
    """The failed tasks, their results, and Ansible's errors outside of tasks."""
    task = ""
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if match := TASK.match(line):
            task = match[1]
        elif (match := FATAL.match(line)) and after != IGNORED:
            if task:
                yield f"TASK [{task}]"
                task = ""
            yield cut(match[1] + telling(match[2]), OF_TASK)
        elif line.startswith("[ERROR]"):
            yield cut(line)


def telling(result: str) -> str:
    """The result of a task, with the most useful keys first and nothing twice."""
    try:
        values = json.loads(result)
    except ValueError:
        return result
    names = [*(name for name in USEFUL_KEYS if name in values), *(name for name in values if name not in USEFUL_KEYS)]
    return json.dumps({name: values[name] for name in names if not name.endswith("_lines")})


def of_tests(lines: list[str]) -> Iterator[str]:
    """pytest's failures: the test, the assertion, its captured output."""
    inside = printed = False
    for line in lines:
        if FAILURES.match(line):
            inside, printed = True, False
        elif ONE_FAILURE.match(line) or PRINTED.match(line):
            printed = bool(PRINTED.match(line))
            if inside:
                yield cut(line.strip("_- "))
        elif OTHER_HEADING.match(line):
            inside, printed = inside and line.startswith("-"), False
        elif SUMMARY.match(line) or (inside and (printed or line.startswith("E  "))):
            yield cut(line)


def of_molecule(lines: list[str]) -> Iterator[str]:
    """Molecule's last lines, such as the tasks that changed something in the second run."""
    speaking = False
    for line in lines:
        speaking = line.startswith("CRITICAL") or (speaking and line.startswith("*"))
        if speaking:
            yield cut(line)


def cut(line: str, length: int = OF_LINE) -> str:
    return line if len(line) <= length else f"{line[:length]} ..."
