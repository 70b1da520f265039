# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line of ``virtnet``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from ..core.errors import VirtnetError, WrongUsage, printable_lines
from ..core.paths import Paths
from ..core.protocols import PROTOCOLS
from ..guard.daemon import Guard
from ..orchestration.fragment_refresh import refresh
from ..orchestration.restore import STAGES, log_line, restore
from . import commands as cli_commands

# Commands that change the host, or read its rules, and that people run.
_FOR_ROOT = ("check", "trace", "start", "stop", "restore")

_TRACE = """
FROM and TO are each one of: 'host'; 'outside', a public address; an address; a network, which stands for one of its
guests; the name of a guest with a fixed address or a lease. Without PROTOCOL it is a ping. The exit status is 0 if the
packet passes in all families that both ends have, 1 if it is refused or may be, and 2 for words that cannot be used.

Followed are a first packet and its answer through the routes and rules of this host as they are loaded, whoever made
them. Not known are routes and firewalls of guests and of the outside, whether anything listens there, by which port of
a bridge a guest is connected, and translations of the destination by others, such as published ports of containers.
"""


def parser() -> argparse.ArgumentParser:
    """The parser; commands are named like those of virsh, without ``net-``."""
    top = argparse.ArgumentParser(prog="virtnet", description="Virtual networks of this host.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text, with_name, with_json in (
        ("list", "list all networks and their state", False, True),
        ("show", "show a network: definition, addresses, guests, conflicts", True, True),
        ("xml", "print a network as libvirt XML, with its automatic addresses", True, True),
        ("leases", "list the DHCP leases", False, True),
        ("policies", "list the entries of policies and what they have matched", False, True),
        ("start", "start a stopped network, until it is stopped or the host boots", True, True),
        ("stop", "stop a network until it is started or the host boots; its definition is kept", True, True),
        ("trace", "tell whether a packet would pass, and by which rule", False, True),
        ("check", "check that the host is in the desired state; exit status 1 if it is not", False, True),
        ("restore", "bring the host to the desired state, as at boot", False, False),
        ("fragments", "update the files that dnsmasq reads (its service runs this before each start)", False, False),
        ("guard", "restore, and repair what breaks (the service runs this)", False, False),
    ):
        command = commands.add_parser(name, help=text, description=text)
        if with_name:
            command.add_argument("name", metavar="NAME")
        if name in ("leases", "policies"):
            command.add_argument("name", metavar="NAME", nargs="?", default="", help="only of this network")
        if with_json:
            command.add_argument("--json", action="store_true", help="print JSON")
        if name == "trace":
            _add_trace(command)
        if name == "restore":
            stages = "only the networks, or only the host's resolver; default: both"
            command.add_argument("--stage", choices=STAGES, help=stages)
    return top


def _add_trace(command: argparse.ArgumentParser) -> None:
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.epilog = _TRACE
    command.add_argument("source", metavar="FROM")
    command.add_argument("destination", metavar="TO")
    words = (*PROTOCOLS.values(), "icmp")
    command.add_argument(
        "protocol", metavar="PROTOCOL", nargs="?", default="", choices=("", *words), help=" ".join(words)
    )
    command.add_argument("port", metavar="PORT", nargs="?", type=int)


def run_command(arguments: Sequence[str] | None, paths: Paths) -> int:
    """Run a command; the status is 0, 1 for problems, 2 for wrong usage. Raises VirtnetError."""
    given = parser().parse_args(arguments)
    if given.command in _FOR_ROOT and os.geteuid() != 0:
        raise VirtnetError(f"only root can do that; run it as root, such as by 'sudo virtnet {given.command}'")
    if given.command == "guard":
        return Guard(paths).run()
    if given.command == "fragments":
        return refresh(paths)
    if given.command == "restore":
        return restore(paths, [given.stage] if given.stage else STAGES)
    if given.command == "trace":
        answer = cli_commands.trace_packet(paths, given.source, given.destination, given.protocol, given.port)
    else:
        answer = cli_commands.COMMANDS[given.command](paths, getattr(given, "name", ""))
    sys.stdout.write(json.dumps(answer.data, indent=2) + "\n" if given.json else printable_lines(answer.text))
    return answer.status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    try:
        return run_command(arguments, Paths())
    except VirtnetError as error:
        log_line(f"error: {error}")
        return 2 if isinstance(error, WrongUsage) else 1
    except BrokenPipeError:
        # The reader closed the pipe, such as head(1).
        sys.stderr.close()
        return 0
