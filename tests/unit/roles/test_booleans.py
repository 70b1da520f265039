# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every boolean option of the roles is read by the filter bool: AWX, ini inventories and -e NAME=true give texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from jinja2 import nodes

ROOT = Path(__file__).resolve().parents[3]
SPECS = [yaml.safe_load(file.read_text()) for file in ROOT.glob("roles/*/meta/argument_specs.yml")]
BOOLEANS = {
    name
    for spec in SPECS
    for entry in spec["argument_specs"].values()
    for name, option in entry["options"].items()
    if option["type"] == "bool"
}
FILES = sorted([*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/**/*.yml")])
# Keywords whose values are expressions without braces.
BARE = ("when", "until", "changed_when", "failed_when", "that")


def expressions(value: Any, bare: bool = False) -> Iterator[str]:
    """The templates within a value of YAML."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from expressions(item, key in BARE)
    elif isinstance(value, list):
        for item in value:
            yield from expressions(item, bare)
    elif isinstance(value, str):
        yield f"{{{{ {value} }}}}" if bare else value


def unfiltered(template: str) -> set[str]:
    """The booleans that a template reads without the filter bool."""
    tree = jinja2.Environment().parse(template)
    read = [one for one in tree.find_all(nodes.Name) if one.name in BOOLEANS]
    filtered = [id(one.node) for one in tree.find_all(nodes.Filter) if one.name == "bool"]
    return {one.name for one in read if id(one) not in filtered}


def test_the_check_sees_a_boolean_without_the_filter() -> None:
    assert "virtnet_fleet_unique" in BOOLEANS
    tasks = {"when": ["not virtnet_purge", "virtnet_guard | bool"], "vars": {"x": "{{ virtnet_fleet_unique or 1 }}"}}
    assert {name for one in expressions(tasks) for name in unfiltered(one)} == {"virtnet_purge", "virtnet_fleet_unique"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_booleans_are_read_by_the_filter_bool(file: Path) -> None:
    found = {name for one in expressions(yaml.safe_load(file.read_text())) for name in unfiltered(one)}
    assert found == set()
