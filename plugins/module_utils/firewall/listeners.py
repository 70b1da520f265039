# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs of the host that listen on a port, as ``ss`` lists them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..core.command import find, run
from ..nft.port_forwards import Forward

_PROGRAM = re.compile(r'users:\(\("([^"]*)",pid=(\d+)')


@dataclass(frozen=True)
class Listener:
    """A listening socket; ``address`` "": all addresses; ``dual_stack``: an IPv6 socket that accepts IPv4 too."""

    protocol: str
    port: int
    address: str = ""
    ipv6: bool = False
    dual_stack: bool = False
    program: str = "a program"

    def conflicts_with(self, forward: Forward) -> bool:
        """Whether a port forward would redirect packets for this socket."""
        same_family = self.ipv6 == forward.ipv6 or self.dual_stack
        same_port = self.protocol == forward.protocol and forward.first <= self.port <= forward.last
        return same_port and same_family and forward.includes_address(self.address)


def parse(text: str) -> list[Listener]:
    """The sockets in the output of ``ss -H -l -n -t -u -p -e``; not those on loopback, which is not forwarded."""
    listeners = []
    for line in text.splitlines():
        columns = line.split()
        if len(columns) < 5:
            continue
        host, _colon, port = columns[4].rpartition(":")
        host = host.strip("[]").partition("%")[0]
        if not port.isdecimal() or _is_loopback(host):
            continue
        program = _PROGRAM.search(line)
        # ss prints "*" for a socket of both families.
        any_address = host in ("*", "0.0.0.0", "::")
        listeners.append(
            Listener(
                protocol=columns[0],
                port=int(port),
                address="" if any_address else host,
                ipv6=host == "*" or ":" in host,
                dual_stack=host == "*",
                program=f"{program[1]} (process {program[2]})" if program else "a program",
            )
        )
    return listeners


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_listeners() -> list[Listener]:
    """The listening TCP and UDP sockets; none where ss is not installed."""
    return parse(run(["ss", "-H", "-l", "-n", "-t", "-u", "-p", "-e"]).stdout) if find("ss") else []


def check_listeners(forwards: Iterable[tuple[Forward, str]], listeners: Sequence[Listener]) -> None:
    """Refuse to forward a port on which a program of the host listens; raises InvalidOption that names both."""
    for forward, owner in forwards:
        for listener in listeners:
            if listener.conflicts_with(forward):
                forward.refuse_option(
                    owner,
                    f"{forward} would take port {listener.port} from {listener.program}, which listens on "
                    f"{listener.address or 'all addresses'} of this host; use another port or address, or stop it",
                )
