# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the security guide says of tests is so, and no shell ever reads what the user wrote."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
CODE = sorted(path for path in (REPOSITORY / "plugins").rglob("*.py"))


def names_of_tests(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_the_guide_names_each_test_of_an_attacker_and_none_that_is_not_there() -> None:
    guide = (REPOSITORY / "docs/docsite/rst/security.rst").read_text()
    files = {REPOSITORY / path for path in re.findall(r"``(tests/[\w/]+\.py)``", guide)}
    assert all(path.is_file() for path in files)
    named = set(re.findall(r"``(test_\w+)``", guide))
    attacker = set((REPOSITORY / "tests/kernel").glob("test_attacker*.py"))
    assert set().union(*map(names_of_tests, attacker)) <= named
    assert named <= set().union(*map(names_of_tests, files | attacker))


# Whatever gives a text to a shell, or a program's name to be found in a text.
SHELLS = {"system", "popen", "getoutput", "getstatusoutput", "create_subprocess_shell", "eval", "exec", "spawnlp"}
# The one place of the engine that runs programs; and on the controller what asks ansible-inventory.
RUNNERS = {"plugins/module_utils/core/command.py", "plugins/inventory/guests.py"}
# A conf-script that the administrator gave to the host's dnsmasq, which gives it to a shell too.
SHELL_OF_DNSMASQ = "plugins/module_utils/dnsmasq/config_reader.py"


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_shell_by_construction(path: Path) -> None:
    name = str(path.relative_to(REPOSITORY))
    for node in ast.walk(ast.parse(path.read_text())):
        where = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert called not in SHELLS, where
            assert not any(keyword.arg == "shell" for keyword in node.keywords), where
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert "subprocess" not in modules or name in RUNNERS, where
        if isinstance(node, (ast.List, ast.Tuple)) and len(node.elts) > 1:
            words = [one.value for one in node.elts if isinstance(one, ast.Constant)]
            assert name == SHELL_OF_DNSMASQ or not {"sh", "bash", "/bin/sh", "/bin/bash"} & set(words), where
