# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests a whole configuration with ``dnsmasq --test`` before any file of it is written."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.command import run
from ..core.errors import VirtnetError
from .hosts_files import as_config_lines
from .system_config import Config, Line


@dataclass(frozen=True)
class SyntaxTest:
    """A run of ``dnsmasq --test``; ``origins`` are the places of the lines of its standard input."""

    command: tuple[str, ...]
    stdin: str
    origins: tuple[Line, ...]


def syntax_test(config: Config, fragments: Mapping[str, str], hosts_files: Mapping[str, str]) -> SyntaxTest:
    """The test of the system's configuration with these fragments (file name to content) instead of the current ones.

    All lines go to dnsmasq's standard input, so that no file is written before it is known to be correct.
    ``hosts_files`` (path to content) are read only when dnsmasq runs, so their rows are tested as configuration lines.
    """
    lines = list(config.lines)
    for name in sorted(fragments):
        rows = fragments[name].splitlines()
        path = os.path.join(config.own_folder, name)
        lines += [Line(row, path, number) for number, row in enumerate(rows, 1)]
    for path in sorted(hosts_files):
        lines += as_config_lines(path, hosts_files[path])
    command = (config.program, *config.arguments, "--conf-file=-", "--test")
    return SyntaxTest(command, "".join(f"{line.text}\n" for line in lines), tuple(lines))


def check_syntax(config: Config, fragments: Mapping[str, str], hosts_files: Mapping[str, str]) -> None:
    """Test the system's configuration with these fragments, as syntax_test() does; raises VirtnetError."""
    _run_test(syntax_test(config, fragments, hosts_files))


def check_private_syntax(program: str, lines: Sequence[Line]) -> None:
    """Test the lines of a private instance; raises VirtnetError."""
    text = "".join(f"{line.text}\n" for line in lines)
    _run_test(SyntaxTest((program, "--conf-file=-", "--test"), text, tuple(lines)))


def _run_test(test: SyntaxTest) -> None:
    result = run(test.command, stdin=test.stdin, check=False)
    if result.code == 0:
        return
    message = (result.stderr or result.stdout).strip().removeprefix("dnsmasq: ")
    match = re.search(r" at line (\d+) of stdin", message)
    if match and 0 < int(match[1]) <= len(test.origins):
        line = test.origins[int(match[1]) - 1]
        message = f"{message[: match.start()]} in line {line.number} of {line.file}: {line.text.strip()!r}"
    raise VirtnetError(f"dnsmasq refuses the configuration, nothing was changed: {message}")
