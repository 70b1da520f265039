# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Only tests and scenarios with a recorded reason are run again after a failure."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest
from tools import retries, scenarios

REPOSITORY = Path(__file__).resolve().parents[3]
RETRYING = re.compile(r"--(force-)?reruns\b|\bmark\.flaky\b|\breruns *=")
# The table, the hook that reads it, and this test.
ALLOWED = {"tests/conftest.py", "tests/tools/retries.py", "tests/unit/tools/test_retries.py"}


def names_of_tests(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_each_retried_test_exists() -> None:
    for place in retries.TESTS:
        file, _, name = place.partition("::")
        assert name in names_of_tests(REPOSITORY / file), place


def test_each_retried_scenario_exists() -> None:
    assert retries.SCENARIOS.keys() <= {*scenarios.scenarios(), *scenarios.NIGHTLY}


def test_each_retry_has_a_reason_that_names_its_issue() -> None:
    for place, reason in {**retries.TESTS, **retries.SCENARIOS}.items():
        assert re.search(r"\bissue \d+\b", reason), place


def test_nothing_else_asks_for_retries() -> None:
    listed = subprocess.run(
        ["git", "-C", REPOSITORY, "ls-files", "*.py", "Makefile", "pyproject.toml", "*.yml", "*.cfg", "*.sh"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    names = [name for name in listed if name not in ALLOWED and (REPOSITORY / name).is_file()]
    assert [name for name in names if RETRYING.search((REPOSITORY / name).read_text())] == []


@pytest.fixture
def scenario_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the scenarios in the order in which they run; a scenario `broken` always fails, `racy` only once."""
    runs: list[str] = []

    def run(name: str) -> bool:
        runs.append(name)
        (tmp_path / f"{name}.log").write_text(f"run {runs.count(name)} of {name}\n")
        return name == "sound" or (name == "racy" and runs.count(name) > 1)

    monkeypatch.setattr(scenarios, "LOGS", tmp_path)
    monkeypatch.setattr(scenarios, "AT_ONCE", 1)
    monkeypatch.setattr(scenarios, "run", run)
    return runs


def test_a_scenario_that_is_not_listed_is_not_run_again(
    scenario_runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert scenarios.main(["sound", "broken"]) == 1
    assert scenario_runs == ["sound", "broken"]
    assert "broken       FAILED\n" in capsys.readouterr().out


def test_a_listed_scenario_is_run_again_and_each_failed_try_is_shown(
    scenario_runs: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(retries, "SCENARIOS", {"racy": "a race of the test, issue 1", "broken": "the same, issue 1"})
    assert scenarios.main(["racy"]) == 0
    assert scenario_runs == ["racy", "racy"]
    shown = capsys.readouterr().out
    assert "racy         passed at the second try (a race of the test, issue 1)\n" in shown
    assert "==> scenario racy, first try:\n    in the beginning:\n    run 1 of racy\n" in shown

    assert scenarios.main(["broken"]) == 1
    assert scenario_runs[2:] == ["broken"] * 3
    assert "run 3 of broken" in capsys.readouterr().out
