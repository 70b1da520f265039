# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which program answers the host at a loopback address."""

from __future__ import annotations

import re

from ..core.command import find, run

DNSMASQ = "dnsmasq"
# A program may choose its name, which becomes part of a message.
_PROGRAM = re.compile(r'users:\(\("([\w.+-]{1,15})"')
_WILDCARDS = {4: ("0.0.0.0", "*"), 6: ("::", "*")}


def read_program(server: str) -> str:
    """The program that listens on UDP port 53 of a loopback address; empty if that cannot be found out."""
    if find("ss") is None:
        return ""
    return parse_program(run(["ss", "-H", "-l", "-n", "-u", "-p", "sport = :53"], check=False).stdout, server)


def parse_program(text: str, server: str) -> str:
    """The same from the output of ss. A socket of that address gets its packets, rather than one of all addresses."""
    programs: dict[str, str] = {}
    for line in text.splitlines():
        columns, program = line.split(), _PROGRAM.search(line)
        if len(columns) > 3 and program:
            # With one protocol there is no column for it.
            address = columns[3].rpartition(":")[0].partition("%")[0].strip("[]")
            programs.setdefault(address, program[1])
    addresses = (server, *_WILDCARDS[6 if ":" in server else 4])
    return next((programs[address] for address in addresses if address in programs), "")
