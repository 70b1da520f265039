# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs of the host that listen on a port, as ``ss`` tells them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..core.command import find, run
from ..core.errors import InvalidOption
from ..nft.port_forwards import Forward

_PROGRAM = re.compile(r'users:\(\("([^"]*)",pid=(\d+)')


@dataclass(frozen=True)
class Listener:
    """``address`` empty: all of the family; ``both``: IPv4 too, though the socket is one of IPv6."""

    protocol: str
    port: int
    address: str = ""
    ipv6: bool = False
    both: bool = False
    program: str = "a program"

    def meets(self, forward: Forward) -> bool:
        """Whether a forward would take packets from it."""
        family = self.ipv6 == forward.ipv6 or self.both
        address = not self.address or not forward.address or self.address == forward.address
        return self.protocol == forward.protocol and family and address and forward.first <= self.port <= forward.last


def parse(text: str) -> list[Listener]:
    """``ss -H -l -n -t -u -p -e`` as data, without what listens on loopback, which forwards leave alone."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 5:
            continue
        host, _colon, port = words[4].rpartition(":")
        host = host.strip("[]").partition("%")[0]
        if not port.isdecimal() or _is_loopback(host):
            continue
        program = _PROGRAM.search(line)
        # Only a socket of both families is shown as "*".
        wild = host in ("*", "0.0.0.0", "::")
        found.append(
            Listener(
                protocol=words[0],
                port=int(port),
                address="" if wild else host,
                ipv6=host == "*" or ":" in host,
                both=host == "*",
                program=f"{program[1]} (process {program[2]})" if program else "a program",
            )
        )
    return found


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_listeners() -> list[Listener]:
    """All listeners of TCP and UDP; none where there is no ss."""
    return parse(run(["ss", "-H", "-l", "-n", "-t", "-u", "-p", "-e"]).stdout) if find("ss") else []


def check_listeners(forwards: Iterable[tuple[Forward, str]], listeners: Sequence[Listener]) -> None:
    """Refuse a forward of a port on which the host itself serves; raises InvalidOption naming both."""
    for forward, owner in forwards:
        for listener in listeners:
            if listener.meets(forward):
                raise InvalidOption(
                    f"{forward.path}.port" if forward.path else "port_forwards",
                    f"{forward} would take port {listener.port} from {listener.program}, which listens on "
                    f"{listener.address or 'all addresses'} of this host; use another port or address, or stop it",
                    owner,
                )
