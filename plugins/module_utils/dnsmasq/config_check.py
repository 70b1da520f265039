# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests a whole configuration with ``dnsmasq --test`` before any file of it is written."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from ..core.command import run
from ..core.errors import VirtnetError
from .hosts_files import as_config_lines
from .system_config import Config, Line, lines_of


def check_syntax(config: Config, fragments: Mapping[str, str], hosts_files: Mapping[str, str]) -> None:
    """Test the system's configuration with these fragments, see lines_to_test(); raises VirtnetError."""
    check_lines((config.program, *config.arguments), lines_to_test(config, fragments, hosts_files))


def lines_to_test(config: Config, fragments: Mapping[str, str], hosts_files: Mapping[str, str]) -> list[Line]:
    """The system's configuration with these fragments (file name to content) instead of the current ones.

    ``hosts_files`` (path to content) are read only when dnsmasq runs, so their rows are tested as configuration lines.
    """
    lines = list(config.lines)
    for name in sorted(fragments):
        lines += lines_of(os.path.join(config.own_folder, name), fragments[name])
    for path in sorted(hosts_files):
        lines += as_config_lines(path, hosts_files[path])
    return lines


def check_lines(command: Sequence[str], lines: Sequence[Line]) -> None:
    """Test lines with ``dnsmasq --test``; raises VirtnetError.

    They go to dnsmasq's standard input, so that no file is written before it is known to be correct.
    """
    text = "".join(f"{line.text}\n" for line in lines)
    result = run([*command, "--conf-file=-", "--test"], stdin=text, check=False)
    if result.code == 0:
        return
    message = (result.stderr or result.stdout).strip().removeprefix("dnsmasq: ")
    match = re.search(r" at line (\d+) of stdin", message)
    if match and 0 < int(match[1]) <= len(lines):
        line = lines[int(match[1]) - 1]
        message = f"{message[: match.start()]} in line {line.number} of {line.file}: {line.text.strip()!r}"
    raise VirtnetError(f"dnsmasq refuses the configuration, nothing was changed: {message}")
