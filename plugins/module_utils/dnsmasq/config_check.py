# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests a whole configuration before any file of it is written: with ``dnsmasq --test``, and by a start."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NoReturn

from ..core.command import run
from ..core.errors import VirtnetError
from ..dhcp.dnsmasq_syntax import read_lines
from .dangerous_options import FURTHER_CONFIGURATION, acts_when_started
from .hosts_files import as_config_lines
from .refused_lines import with_place
from .system_config import Config, Line, fragment_network, lines_of


def check_syntax(config: Config, fragments: Mapping[str, str], hosts_files: Mapping[str, str]) -> None:
    """Test the system's configuration with these fragments, see lines_to_test(); raises VirtnetError."""
    check_lines((config.program, *config.arguments), lines_to_test(config, fragments, hosts_files))


def lines_to_test(config: Config, fragments: Mapping[str, str], hosts_files: Mapping[str, str]) -> list[Line]:
    """The system's configuration with these fragments (file name to content) instead of the current ones.

    ``hosts_files`` (path to content) are read only when dnsmasq runs, so their rows are tested as configuration lines.
    """
    lines = list(config.lines)
    for name in sorted(fragments):
        lines += lines_of(os.path.join(config.own_folder, name), fragments[name], fragment_network(name))
    for path in sorted(hosts_files):
        lines += as_config_lines(path, hosts_files[path])
    return lines


def check_lines(command: Sequence[str], lines: Sequence[Line]) -> None:
    """Test lines with ``dnsmasq --test``; raises VirtnetError.

    They go to dnsmasq's standard input, so that no file is written before it is known to be correct. A program that
    writes further lines (conf-script) is not run: dnsmasq would run it as root, in check mode too.
    """
    lines = [line for line in lines if all(one.name != "conf-script" for one in read_lines(line.text, line.file))]
    text = "".join(f"{line.text}\n" for line in lines)
    result = run([*command, "--conf-file=-", "--test"], stdin=text, check=False)
    if result.code != 0:
        _refuse((result.stderr or result.stdout).strip(), lines)


def check_start(program: str, lines: Sequence[Line], network: str) -> None:
    """Start dnsmasq with the lines of the private instance of a network, and end it; raises VirtnetError.

    ``--test`` reads a configuration, and no more: an unknown user, a folder that is missing, options that exclude each
    other are told by a start alone. Its network and process namespaces are its own, so it reaches nobody and nobody
    reaches it; it writes no lease file. It is started when it goes into the background, and ends with the namespace.
    Lines with which it would do more are left out. What files and programs of further configuration say is not known
    here, so with one there is no start.
    """
    settings = [setting for line in lines for setting in read_lines(line.text, line.file)]
    names = {setting.name for setting in settings if not acts_when_started(setting)}
    if any(setting.name in (*FURTHER_CONFIGURATION, "conf-script") for setting in settings):
        return
    lines = [line for line in lines if not any(map(acts_when_started, read_lines(line.text, line.file)))]
    # dnsmasq makes a DUID of the MAC address of an interface, of which the namespace has none.
    more = [name for name in ("leasefile-ro", "dhcp-duid=1,00") if name.partition("=")[0] not in names]
    arguments = ["--conf-file=-", "--pid-file=", *(() if "log-facility" in names else ("--log-facility=-",))]
    text = "".join(f"{line}\n" for line in (*(line.text for line in lines), *more))
    result = run(["unshare", "--net", "--pid", "--fork", program, *arguments], stdin=text, check=False)
    # The service of the guard, and some containers, may make no namespaces.
    if result.code != 0 and not result.stderr.startswith("unshare: "):
        _refuse((result.stderr.strip() or f"it ended with status {result.code}").splitlines()[-1], lines, network)


def _refuse(message: str, lines: Sequence[Line], network: str = "") -> NoReturn:
    place = with_place(message, lines, network)
    raise VirtnetError(f"dnsmasq refuses the configuration, nothing was changed: {place}")
