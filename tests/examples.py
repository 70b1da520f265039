# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every example that the documentation shows: of the guides, of README and the roles' READMEs, of plugins."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
GUIDES = sorted((ROOT / "docs/docsite/rst").glob("*.rst"))
READMES = [ROOT / "README.md", *sorted(ROOT.glob("roles/*/README.md"))]
_DIRECTIVE = re.compile(r"^\.\. code-block:: (\S+)\n\n((?:(?: {4}.*)?\n)+)", re.MULTILINE)
_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """One block, and where it stands."""

    place: str
    language: str
    text: str

    def __str__(self) -> str:
        return self.place

    def commands(self) -> list[str]:
        """The commands of a block of the shell: what follows a prompt, or all of it where there are no prompts."""
        prompted = self.language in ("console", "shell-session")
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line[2:] for line in lines if line[:2] in ("$ ", "# ")] if prompted else [one for one in lines if one]


def shown() -> Iterator[Example]:
    """The blocks of guides and READMEs."""
    for file, pattern in ((file, _FENCE if file.suffix == ".md" else _DIRECTIVE) for file in (*READMES, *GUIDES)):
        text = file.read_text()
        for found in pattern.finditer(text):
            line = text[: found.start()].count("\n") + 1
            yield Example(f"{file.relative_to(ROOT)}:{line}", found[1], textwrap.dedent(found[2]).strip("\n") + "\n")


def documented() -> Iterator[Example]:
    """EXAMPLES of modules, filters and the inventory."""
    for file in sorted((ROOT / "plugins").glob("*/*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "EXAMPLES":
                yield Example(str(file.relative_to(ROOT)), "yaml", ast.literal_eval(node.value))
    for file in sorted((ROOT / "plugins").glob("*/*.yml")):
        yield Example(str(file.relative_to(ROOT)), "yaml", yaml.safe_load(file.read_text())["EXAMPLES"])
