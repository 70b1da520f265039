# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every example of the documentation: in guides, in README and the roles' READMEs, in plugins."""

from __future__ import annotations

import ast
import importlib
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

ROOT = Path(__file__).resolve().parents[2]
GUIDES = sorted((ROOT / "docs/docsite/rst").glob("*.rst"))
SAMPLE = (ROOT / "tests/unit/libvirt_xml/samples/default.xml").read_text()
READMES = [ROOT / "README.md", *sorted(ROOT.glob("roles/*/README.md"))]
_DIRECTIVE = re.compile(r"^\.\. code-block:: (\S+)\n\n((?:(?: {4}.*)?\n)+)", re.MULTILINE)
_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """One block, and its file and line."""

    place: str
    language: str
    text: str

    def __str__(self) -> str:
        return self.place

    def commands(self) -> list[str]:
        """The commands of a shell block: text after a prompt, or the whole block if there are no prompts."""
        prompted = self.language in ("console", "shell-session")
        lines = self.text.replace("\\\n", " ").splitlines()
        return (
            [line[2:] for line in lines if line[:2] in ("$ ", "# ")] if prompted else [line for line in lines if line]
        )


def shown() -> Iterator[Example]:
    """The blocks of guides and READMEs."""
    for file, pattern in ((file, _FENCE if file.suffix == ".md" else _DIRECTIVE) for file in (*READMES, *GUIDES)):
        text = file.read_text()
        for match in pattern.finditer(text):
            line = text[: match.start()].count("\n") + 1
            yield Example(f"{file.relative_to(ROOT)}:{line}", match[1], textwrap.dedent(match[2]).strip("\n") + "\n")


def documented() -> Iterator[Example]:
    """EXAMPLES of modules, filters and the inventory plugin."""
    for file in sorted((ROOT / "plugins").glob("*/*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "EXAMPLES":
                yield Example(str(file.relative_to(ROOT)), "yaml", ast.literal_eval(node.value))
    for file in sorted((ROOT / "plugins").glob("*/*.yml")):
        yield Example(str(file.relative_to(ROOT)), "yaml", yaml.safe_load(file.read_text())["EXAMPLES"])


def filled(value: Any) -> Any:
    """A value with a sample for a lookup, and None for other templates."""
    if isinstance(value, Mapping):
        return {key: filled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item) for item in value]
    if isinstance(value, str) and "{{" in value:
        jinja2.Environment().parse(value)
        return SAMPLE if value.strip().startswith("{{ lookup(") and "|" not in value else None
    return value


def lists_within(data: Any) -> Iterator[Any]:
    """Every list or mapping of networks, at any depth of variables, hosts or plays."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            if key == "virtnet_networks":
                # A template is for a test that runs Ansible.
                yield from () if isinstance(value, str) else [value]
            else:
                yield from lists_within(value)
    elif isinstance(data, list):
        for item in data:
            yield from lists_within(item)


def tasks_within(data: Any) -> Iterator[Mapping[str, Any]]:
    for item in data if isinstance(data, list) else ():
        yield from tasks_within(item["tasks"]) if "tasks" in item else [item]


def as_ansible_has_them(module: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a task as the module gets them, with all defaults; without values from templates."""
    code = importlib.import_module(f"ansible_collections.virtnet.linux.plugins.modules.{module}")
    specification = getattr(code, "ARGUMENTS", None) or yaml.safe_load(code.DOCUMENTATION)["options"]
    assert set(arguments) <= set(specification)
    known = {key: value for key, value in filled(arguments).items() if value is not None}
    validated = ArgumentSpecValidator(specification).validate(known)
    assert not validated.error_messages
    return dict(validated.validated_parameters)
