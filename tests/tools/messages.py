# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every error message of the engine that ends a run, with its remedy, as a table for the guide. Printed by
``python tests/tools/messages.py``.

The messages are read from the source code: raised, or refused as an option. Variable parts are shown as an ellipsis.
The remedy is the text after the semicolon, or that in docs/docsite/cures.yml, which a test requires.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "plugins" / "module_utils"
CURES = ROOT / "docs" / "docsite" / "cures.yml"
HEAD = '.. csv-table::\n    :header: "message", "what to do"\n    :widths: 60, 40\n'
ERRORS = {
    "CommandFailed", "DnsmasqFailed", "InvalidOption", "Locked", "MissingTool", "NoUsableDnsmasq", "NotConverged",
    "NotRunning", "VirtnetError", "WrongUsage",
}  # fmt: skip
GAP = "…"
# The packages whose messages have a section.
SUBJECTS = (
    ("The bridge", ("bridge", "kernel")),
    ("Open vSwitch", ("openvswitch",)),
    ("Rules and port forwards", ("nft", "firewall", "ruleset")),
    ("DHCP and DNS", ("dhcp", "dnsmasq")),
    ("The host's resolver", ("resolver",)),
    ("Libvirt", ("libvirt", "libvirt_xml", "adoption")),
    ("The network and its addresses", ("network", "ipam", "orchestration", "foreign")),
    ("The host and the command", ("core", "host", "guard", "cli", "tasks")),
)


class Reader(ast.NodeVisitor):
    """Collects the messages of one file."""

    def __init__(self, tree: ast.Module) -> None:
        self.constants = {
            target.id: value
            for node in tree.body
            if isinstance(node, ast.Assign) and (value := literal(node.value, {}))
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        self.messages: list[str] = []
        self.visit(tree)

    def visit_Call(self, node: ast.Call) -> None:
        """Finds raise X(...), options.error(name, ...), and the problems of connections to the kernel."""
        function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        arguments = [literal(argument, self.constants) or GAP for argument in node.args]
        if function == "MissingTool" and len(arguments) == 2:
            self.messages.append(f"{arguments[0]} is not installed on this host; install the package {arguments[1]}")
        elif function in ("InvalidOption", "UnusableFile") and len(arguments) > 1:
            self.messages.append(arguments[1])
        elif function in ERRORS and len(arguments) == 1:
            self.messages.append(arguments[0])
        elif function == "connect" and len(arguments) == 2:
            # netlink.connect()
            self.messages.append(f"{arguments[1]}: {GAP}")
        elif function in ("error", "refuse_option", "_refuse") and len(arguments) in (2, 3):
            self.messages.append(arguments[-1])
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        """Finds functions that return a message for another to raise, by the semicolon before the remedy."""
        text = literal(node.value, self.constants) if node.value else ""
        if "; " in text and "\n" not in text:
            self.messages.append(text)
        self.generic_visit(node)


def literal(node: ast.expr, constants: dict[str, str]) -> str:
    """The text of an expression, with ellipses for variable parts; empty if there is none."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.Name):
        return constants.get(node.id, "")
    if isinstance(node, ast.JoinedStr):
        return "".join(
            literal(part.value if isinstance(part, ast.FormattedValue) else part, constants) or GAP
            for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return literal(node.left, constants) + literal(node.right, constants)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        parts = literal(node.func.value, constants).replace("{!r}", "{}").split("{}")
        return GAP.join(parts)
    return ""


def messages() -> Iterator[tuple[str, str]]:
    """Subject and text of each message, once."""
    seen = set()
    for file in sorted(ENGINE.rglob("*.py")):
        for text in Reader(ast.parse(file.read_text())).messages:
            # Code that only passes on another message has no text of its own.
            own = text.partition(";")[0].replace(GAP, "")
            if any(map(str.isalpha, own)) and len(text.replace(GAP, "").split()) > 2 and text not in seen:
                seen.add(text)
                yield subject(file.parent.name), text


def subject(package: str) -> str:
    """The section of a package's messages."""
    return next(title for title, packages in SUBJECTS if package in packages)


def known_cures() -> dict[str, str]:
    """Remedies of messages that do not contain one."""
    return {entry["message"]: entry["cure"] for entry in yaml.safe_load(CURES.read_text())}


def cured() -> dict[str, list[tuple[str, str]]]:
    """By section: message and remedy; KeyError if there is no remedy."""
    cures = known_cures()
    sections: dict[str, list[tuple[str, str]]] = {title: [] for title, _words in SUBJECTS}
    for title, text in messages():
        problem, semicolon, cure = text.rpartition(";")
        sections[title].append((problem, cure.strip()) if semicolon and text not in cures else (text, cures[text]))
    return sections


def table() -> str:
    """All messages in reStructuredText."""
    lines = []
    for title, rows in cured().items():
        lines += [title, "-" * len(title), "", HEAD]
        lines += (f'    "{cell(problem)}", "{cell(cure)}"' for problem, cure in sorted(rows))
        lines.append("")
    return "\n".join(lines)


def cell(text: str) -> str:
    """A table cell without markup."""
    plain = text.strip().rstrip(":").replace("\\", "\\\\")
    for mark in "*`_|":
        plain = plain.replace(mark, f"\\{mark}")
    return plain.replace('"', '""')


if __name__ == "__main__":
    print(table(), end="")
