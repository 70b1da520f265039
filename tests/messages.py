# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every message of the engine that ends a run, with what to do, as the guide has it. `make messages` prints it.

Read from the code itself: what is raised, or refused as an option. What varies is shown as an ellipsis. The cure is what
the message says after its semicolon; where it says none, it is here, and a test asks for one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ENGINE = Path(__file__).resolve().parents[1] / "plugins" / "module_utils"
HEAD = ".. csv-table::\n    :header: \"message\", \"what to do\"\n    :widths: 60, 40\n\n"
ERRORS = {
    "CommandFailed", "DnsmasqFailed", "InvalidOption", "Locked", "MissingTool", "NoUsableDnsmasq", "NotConverged",
    "NotRunning", "VirtnetError",
}  # fmt: skip
GAP = "…"
# Of the subject of a message, the first words of its file's name say enough.
SUBJECTS = (
    ("The bridge", ("bridge", "bridged", "links", "managers", "shaping", "bandwidth", "routes", "policing", "queues")),
    ("Open vSwitch", ("openvswitch", "ovsdb", "port", "bridge_ovs")),
    ("Rules and port forwards", ("nft", "nat", "forwards", "forwarding", "listeners", "conntrack", "ruleset")),
    ("DHCP and DNS", ("dhcp", "dhcp6", "dnsmasq")),
    ("The host's resolver", ("resolvconf", "resolver")),
    ("Libvirt", ("libvirt", "adopted", "managed")),
    ("The network and its addresses", ("network", "ipv6", "subnets", "choosing", "virt", "definitions", "options")),
    ("The host and the command", ()),
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
        self.found: list[str] = []
        self.visit(tree)

    def visit_Call(self, node: ast.Call) -> None:
        """raise X(...), and options.error(name, ...)."""
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        arguments = [literal(one, self.constants) or GAP for one in node.args]
        if called == "MissingTool" and len(arguments) == 2:
            self.found.append(f"{arguments[0]} is not installed on this host; install the package {arguments[1]}")
        elif called == "InvalidOption" and len(arguments) > 1:
            self.found.append(arguments[1])
        elif called in ERRORS and len(arguments) == 1:
            self.found.append(arguments[0])
        elif called in ("error", "_refuse") and len(arguments) == 2:
            self.found.append(arguments[1])
        self.generic_visit(node)


def literal(node: ast.expr, constants: dict[str, str]) -> str:
    """The text of an expression, with gaps for what varies; empty if there is none."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.Name):
        return constants.get(node.id, "")
    if isinstance(node, ast.JoinedStr):
        return "".join(
            literal(one, constants) or GAP if not isinstance(one, ast.FormattedValue) else literal(one.value, constants) or GAP
            for one in node.values
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
    for file in sorted(ENGINE.glob("*.py")):
        for text in Reader(ast.parse(file.read_text())).found:
            if any(char.isalpha() for char in text) and len(text.replace(GAP, "").split()) > 2 and text not in seen:
                seen.add(text)
                yield subject(file.stem), text


def subject(stem: str) -> str:
    """The section of a file's messages."""
    for title, words in SUBJECTS:
        if stem in words:
            return title
    return next((title for title, words in SUBJECTS if stem.split("_")[0] in words), SUBJECTS[-1][0])


if __name__ == "__main__":
    for one in sorted(messages()):
        print(*one, sep=" | ")
