# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A trial of a whole configuration by dnsmasq itself, before any file of it is written."""

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
    """A run of ``dnsmasq --test`` on a whole configuration, with other fragments than those that are there."""

    command: tuple[str, ...]
    stdin: str
    origins: tuple[Line, ...]


def syntax_test(config: Config, fragments: Mapping[str, str], hosts: Mapping[str, str]) -> SyntaxTest:
    """The test of a configuration with these fragments (file name to content) instead of the present ones.

    All lines go to dnsmasq's standard input, so that nothing has to be written before it is known to be right.
    ``hosts`` are the files that the fragments name, which dnsmasq does not test itself, path to content.
    """
    lines = list(config.lines)
    for name in sorted(fragments):
        rows = fragments[name].splitlines()
        path = os.path.join(config.own_folder, name)
        lines += [Line(row, path, number) for number, row in enumerate(rows, 1)]
    for path in sorted(hosts):
        lines += as_config_lines(path, hosts[path])
    command = (config.program, *config.arguments, "--conf-file=-", "--test")
    return SyntaxTest(command, "".join(f"{line.text}\n" for line in lines), tuple(lines))


def check_syntax(config: Config, fragments: Mapping[str, str], hosts: Mapping[str, str]) -> None:
    """Have dnsmasq itself test the whole configuration with these fragments; raises VirtnetError."""
    _check(syntax_test(config, fragments, hosts))


def check_private_syntax(program: str, lines: Sequence[Line]) -> None:
    """Have dnsmasq itself test the lines of a private instance; raises VirtnetError."""
    text = "".join(f"{line.text}\n" for line in lines)
    _check(SyntaxTest((program, "--conf-file=-", "--test"), text, tuple(lines)))


def _check(test: SyntaxTest) -> None:
    done = run(test.command, stdin=test.stdin, check=False)
    if done.code == 0:
        return
    said = (done.stderr or done.stdout).strip().removeprefix("dnsmasq: ")
    match = re.search(r" at line (\d+) of stdin", said)
    if match and 0 < int(match[1]) <= len(test.origins):
        line = test.origins[int(match[1]) - 1]
        said = f"{said[: match.start()]} in line {line.number} of {line.file}: {line.text.strip()!r}"
    raise VirtnetError(f"dnsmasq refuses the configuration, nothing was changed: {said}")
