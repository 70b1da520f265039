# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is told of a scenario while it runs, and of one that failed; the logs are cut from real ones."""

from __future__ import annotations

import pytest
from tools.molecule_log import FIRST, LAST, OF_TASK, digest, place

CREATED = """\
INFO     [states > create] Executing

TASK [The lab of this scenario is up] ******************************************
changed: [localhost]

INFO     [states > create] Executed: Successful
"""
DESTROYED = """\
INFO     [states > destroy] Executing

TASK [The lab of this scenario is gone] ****************************************
changed: [localhost]

INFO     [states > destroy] Executed: Successful
"""
# The second task is allowed to fail; the result of the third has its sentence behind all else.
TASKS_FAILED = """\
INFO     [states > side_effect] Executing

TASK [Networks are stopped] ****************************************************
changed: [debian12]

TASK [What may fail does] ******************************************************
fatal: [debian12]: FAILED! => {"changed": false, "msg": "no matter"}
...ignoring

TASK [A second run finds nothing to do] ****************************************
[ERROR]: Task failed: Action failed: Unknown error.
fatal: [debian12]: FAILED! => {"changed": true, "entries": "%s", "msg": "it changed", "stdout_lines": ["twice"]}
failed: [debian13] (item=lab) => {"changed": true, "cmd": ["virtnet", "list"], "msg": "non-zero return code", "rc": 2}
CRITICAL Ansible return code was 2, command was: ansible-playbook stop.yml
\x1b[31mERROR    [states > side_effect] Executed: Failed\x1b[0m
""" % ("x" * OF_TASK)
TESTS_FAILED = """\
INFO     [states > verify] Executing
INFO     [states > verify] Executing Testinfra tests found in /somewhere/molecule/states/stopped/...
===== test session starts =====
collected 2 items

stopped/test_stopped.py F.                                               [100%]

=================================== FAILURES ===================================
___________________________ test_it_stopped[debian13] __________________________

    def test_it_stopped(host):
        print("asked", host)
>       assert 1 == 2
E       assert 1 == 2

stopped/test_stopped.py:4: AssertionError
----------------------------- Captured stdout call -----------------------------
asked debian13
==================================== PASSES ====================================
__________________________ test_another_one[debian13] __________________________
----------------------------- Captured stdout call -----------------------------
nobody asks for this
=========================== short test summary info ============================
FAILED stopped/test_stopped.py::test_it_stopped[debian13] - assert 1 == 2
========================= 1 failed, 1 passed in 0.21s ==========================
CRITICAL Verifier tests failed
ERROR    [states > verify] Executed: Failed
"""
NOT_IDEMPOTENT = """\
INFO     [states > idempotence] Executing

TASK [Rules are loaded] ********************************************************
changed: [debian12]
CRITICAL Idempotence test failed because of the following tasks:
*  => virtnet.linux.virtnet : Rules are loaded
"""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("", ""),
        (CREATED, "create: The lab of this scenario is up"),
        ("\n".join(TASKS_FAILED.splitlines()[:4]), "side_effect: Networks are stopped"),
        ("\n".join(TESTS_FAILED.splitlines()[:2]), "verify stopped"),
        (
            "\n".join(TESTS_FAILED.splitlines()[:6]),
            "verify stopped: stopped/test_stopped.py F.",
        ),
        (
            CREATED + "FAILED - RETRYING: [debian12]: Bridges are quiet (89 retries left).",
            "create: [debian12]: Bridges are quiet (89 retries left)",
        ),
        ("==> plug in two guests and wait for their leases ...", "plug in two guests and wait for their leases"),
    ],
)
def test_it_is_told_what_a_scenario_is_at(log: str, said: str) -> None:
    assert place(log) == said


def test_failed_tasks_are_told_with_what_matters_in_front() -> None:
    told = digest(CREATED + TASKS_FAILED + DESTROYED)
    assert told[:3] == [
        "in side_effect:",
        "[ERROR]: Task failed: Action failed: Unknown error.",
        "TASK [A second run finds nothing to do]",
    ]
    first, second = told[3:5]
    assert first.startswith('fatal: [debian12]: FAILED! => {"msg": "it changed", "changed": true, "entries": "xxx')
    assert len(first) < OF_TASK + 10
    assert second == (
        'failed: [debian13] (item=lab) => {"msg": "non-zero return code", "cmd": ["virtnet", "list"], "rc": 2, '
        '"changed": true}'
    )
    assert told[5:] == ["CRITICAL Ansible return code was 2, command was: ansible-playbook stop.yml"]


def test_failed_tests_are_told_with_what_they_printed() -> None:
    assert digest(CREATED + TESTS_FAILED + DESTROYED) == [
        "in verify:",
        "test_it_stopped[debian13]",
        "E       assert 1 == 2",
        "Captured stdout call",
        "asked debian13",
        "FAILED stopped/test_stopped.py::test_it_stopped[debian13] - assert 1 == 2",
        "CRITICAL Verifier tests failed",
    ]


def test_tasks_that_changed_something_twice_are_told() -> None:
    assert digest(CREATED + NOT_IDEMPOTENT + DESTROYED) == [
        "in idempotence:",
        "CRITICAL Idempotence test failed because of the following tasks:",
        "*  => virtnet.linux.virtnet : Rules are loaded",
    ]


def test_of_a_scenario_that_was_cut_short_the_end_is_told() -> None:
    assert digest(TESTS_FAILED + CREATED.rpartition("INFO")[0])[0] == "in verify:"
    assert digest(CREATED.rpartition("INFO")[0]) == ["in create:", *CREATED.splitlines()[:-1]]


def test_a_digest_stays_short() -> None:
    many = TESTS_FAILED.replace("E       assert 1 == 2", "\n".join(f"E       line {number}" for number in range(500)))
    told = digest(many)
    assert len(told) == FIRST + LAST + 1
    assert told[-2].startswith("FAILED stopped/test_stopped.py::test_it_stopped")
