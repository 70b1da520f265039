# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The packages of the engine: which may import which."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ENGINE = Path(__file__).resolve().parents[3] / "plugins/module_utils"
# A package imports those of the lines above its own, never one of its own line or below.
LINES = (
    ("core",),
    ("kernel", "dhcp", "ruleset", "nft", "ipam", "resolver"),
    ("openvswitch", "libvirt_xml", "dnsmasq"),
    ("bridge", "libvirt"),
    ("network",),
    ("firewall", "host"),
    ("orchestration",),
    ("guard", "adoption", "foreign"),
    ("cli", "tasks"),
)
LINE = {package: number for number, line in enumerate(LINES) for package in line}


def imported_packages(file: Path) -> set[str]:
    """The other packages that a file imports, be it in a function or for its types alone."""
    return {
        package
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level == 2
        for package in ([node.module.split(".")[0]] if node.module else [one.name for one in node.names])
    }


def test_every_package_has_its_line_and_every_file_its_package() -> None:
    assert {folder.name for folder in ENGINE.iterdir() if (folder / "__init__.py").is_file()} == set(LINE)
    assert not list(ENGINE.glob("*.py"))


@pytest.mark.parametrize("package", sorted(LINE))
def test_a_package_imports_only_packages_of_the_lines_above(package: str) -> None:
    wrong = {
        f"{file.name}: {other}"
        for file in (ENGINE / package).glob("*.py")
        for other in imported_packages(file)
        if LINE[other] >= LINE[package]
    }
    assert not wrong


@pytest.mark.parametrize("package", sorted(LINE))
def test_the_init_file_of_a_package_holds_one_docstring_alone(package: str) -> None:
    tree = ast.parse((ENGINE / package / "__init__.py").read_text())
    assert ast.get_docstring(tree) and len(tree.body) == 1
