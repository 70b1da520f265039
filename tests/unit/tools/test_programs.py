# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs for the hosts of labs and scenarios use names that the engine has.

They import the installed engine as the package `engine`, which no type checker finds, and run in Molecule alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
ENGINE = REPOSITORY / "plugins/module_utils"
PACKAGE = "ansible_collections.virtnet.linux.plugins.module_utils"


def imports() -> Iterator[tuple[Path, str, str]]:
    """Each name that a program imports from the installed engine: file, module, name."""
    for folder in ("tests", "molecule", "demo"):
        for file in sorted((REPOSITORY / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "engine":
                    yield from ((file.relative_to(REPOSITORY), node.module or "", alias.name) for alias in node.names)


@pytest.mark.parametrize(("file", "module", "name"), list(imports()))
def test_a_program_for_a_host_imports_what_the_engine_has(file: Path, module: str, name: str) -> None:
    found = import_module(module.replace("engine", PACKAGE, 1))
    assert hasattr(found, name) or import_module(f"{found.__name__}.{name}")


def functions(file: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}


def steps() -> dict[str, set[str]]:
    """The functions of the engine at which molecule/adopt/cut_short.py kills a run."""
    for node in ast.parse((REPOSITORY / "molecule/adopt/cut_short.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "STEPS":
            table: dict[str, set[str]] = ast.literal_eval(node.value)
            return table
    raise LookupError("cut_short.py has no STEPS")


@pytest.mark.parametrize(("file", "names"), list(steps().items()))
def test_a_run_is_killed_at_functions_that_the_engine_has(file: str, names: set[str]) -> None:
    assert names <= functions(ENGINE / file)
