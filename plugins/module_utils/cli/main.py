# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program ``virtnet`` on the host."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..core.errors import VirtnetError, printable_lines
from ..core.paths import Paths
from ..guard.daemon import Guard
from ..orchestration.fragment_refresh import refresh
from ..orchestration.restore import STAGES, log_line, restore
from . import commands as cli_commands


def parser() -> argparse.ArgumentParser:
    """The command line, in virsh's words without its ``net-``."""
    top = argparse.ArgumentParser(prog="virtnet", description="Virtual networks of this host.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text, with_name, with_json in (
        ("list", "all networks and whether they run", False, True),
        ("show", "one network: definition, addresses, guests, conflicts", True, True),
        ("xml", "one network as libvirt's XML, with the addresses that were chosen", True, True),
        ("leases", "who has which address", False, True),
        ("start", "start a network that is stopped, until it is stopped or the host boots", True, True),
        ("stop", "stop a network until it is started or the host boots; its definition stays", True, True),
        ("check", "whether everything is as defined; exit status 1 where it is not", False, True),
        ("restore", "bring the host to the definitions, as at boot", False, False),
        ("fragments", "decide anew what dnsmasq reads of ours (its service does this before each start)", False, False),
        ("guard", "restore, and put right what breaks (the service does this)", False, False),
    ):
        one = commands.add_parser(name, help=text, description=text)
        if with_name:
            one.add_argument("name", metavar="NAME")
        if name == "leases":
            one.add_argument("name", metavar="NAME", nargs="?", default="", help="of this network only")
        if with_json:
            one.add_argument("--json", action="store_true", help="for programs")
        if name == "restore":
            stages = "only the networks, or only the host's resolver; both if not given"
            one.add_argument("--stage", choices=STAGES, help=stages)
    return top


def run_command(arguments: Sequence[str] | None, paths: Paths) -> int:
    """Run a command: 0 well, 1 not well, 2 wrong usage; raises VirtnetError."""
    given = parser().parse_args(arguments)
    if given.command == "guard":
        return Guard(paths).run()
    if given.command == "fragments":
        return refresh(paths)
    if given.command == "restore":
        return restore(paths, [given.stage] if given.stage else STAGES)
    answer = cli_commands.COMMANDS[given.command](paths, getattr(given, "name", ""))
    sys.stdout.write(answer.as_json() if given.json else printable_lines(answer.text))
    return answer.status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    try:
        return run_command(arguments, Paths())
    except VirtnetError as error:
        log_line(f"error: {error}")
        return 1
    except BrokenPipeError:
        # Somebody looked at the first lines only.
        sys.stderr.close()
        return 0
