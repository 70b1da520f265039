# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who holds the ports of DNS and DHCP on this host, and whether that leaves room for a dnsmasq of ours."""

from __future__ import annotations

import re
import socket
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from ..core.command import find, run
from ..core.files import read_text
from .probe import DHCP6_PORT, DHCP_PORT, DNS_PORT, name_of, owners

_ANY = ("0.0.0.0", "*", "::")
_INODE = re.compile(r" ino:(\d+)")
# cgroups(7): the last word of a row is the path, which systemd names after the unit.
_DNSMASQ_UNIT = re.compile(r"/(dnsmasq|virtnet-dnsmasq@[^/]*)\.service$")


@dataclass(frozen=True)
class Socket:
    """A socket that waits for queries; ``device`` is the interface that it is bound to, if any."""

    protocol: str
    address: str
    port: int
    device: str = ""
    process: str = ""
    pid: int = 0

    def __str__(self) -> str:
        who = f"{self.process} (process {self.pid})" if self.pid else "a process that is not to be seen from here"
        where = "every address" if self.address in _ANY else self.address
        return f"{who} holds {self.protocol.upper()} port {self.port} on {self.device or where}"

    def bars(self, interface: str, address: str) -> bool:
        """Whether it keeps a DNS server from an address of an interface."""
        return self.device in ("", interface) and self.address in (*_ANY, address)


def parse_sockets(text: str) -> dict[str, Socket]:
    """``ss -Hlntue`` by inode: protocol, state, two queues, ``ADDRESS%DEVICE:PORT``, peer, and more words."""
    found = {}
    for row in text.splitlines():
        words = row.split(None, 6)
        inode = _INODE.search(row)
        if len(words) < 6 or inode is None:
            continue
        place, _colon, port = words[4].rpartition(":")
        address, _percent, device = place.replace("[", "").replace("]", "").partition("%")
        found[inode[1]] = Socket(words[0], address, int(port), device)
    return found


def read_sockets(known: Collection[int]) -> list[Socket]:
    """Those of DNS and DHCP in this network namespace; ``known`` are processes that are likely to hold them."""
    if find("ss") is None:
        return []
    ports = " or ".join(f"sport = :{port}" for port in (DNS_PORT, DHCP_PORT, DHCP6_PORT))
    command = ["ss", "-Hlntue", f"( {ports} )"]
    found = parse_sockets(run(command, check=False).stdout)
    pids = owners(set(found), known)
    return [replace(one, process=name_of(pids.get(inode, 0)), pid=pids.get(inode, 0)) for inode, one in found.items()]


def foreign(sockets: Iterable[Socket], own: Collection[int]) -> list[Socket]:
    """Those of processes that are not ours."""
    return [one for one in sockets if not one.pid or one.pid not in own]


def of_dnsmasq_unit(pid: int) -> bool:
    """Whether a process belongs to the system's dnsmasq or a private one, whatever the service manager knows of it."""
    return any(_DNSMASQ_UNIT.search(row) for row in (read_text(f"/proc/{pid}/cgroup") or "").splitlines())


def is_shared(port: int, sockets: Sequence[Socket]) -> bool:
    """Whether another DHCP server leaves room beside it: asked of the kernel, which alone knows the sockets' options.

    The trial does as dnsmasq does with bind-dynamic (src/dhcp.c, make_fd(); src/dhcp6.c, dhcp6_init()).
    """
    if not any(one.port == port for one in sockets):
        return True
    family = socket.AF_INET6 if port == DHCP6_PORT else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            trial.bind(("", port))
        except OSError:
            return False
    return True
