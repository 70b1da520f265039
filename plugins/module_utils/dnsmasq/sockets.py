# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sockets at the ports of DNS and DHCP: their processes, and whether they leave room for another dnsmasq."""

from __future__ import annotations

import re
import socket
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from ..core.command import find, run
from ..core.files import read_text
from ..core.ports import REDIRECTED_DHCP, REDIRECTED_DNS
from .probe import DHCP6_PORT, DHCP_PORT, DNS_PORT, process_name, socket_owners

_ANY_ADDRESS = ("0.0.0.0", "*", "::")
_PORTS = (DNS_PORT, DHCP_PORT, DHCP6_PORT, REDIRECTED_DNS, REDIRECTED_DHCP)
_INODE = re.compile(r" ino:(\d+)")
# cgroups(7): the last field of a row is the path; systemd names its last component after the unit.
_DNSMASQ_UNIT = re.compile(r"/((?:dnsmasq|virtnet-dnsmasq@[^/]*)\.service)$")


@dataclass(frozen=True)
class Socket:
    """A listening socket; ``device`` is the interface that it is bound to, '' for none. ``pid`` 0: not visible."""

    protocol: str
    address: str
    port: int
    device: str = ""
    process: str = ""
    pid: int = 0

    def __str__(self) -> str:
        who = f"{self.process} (process {self.pid})" if self.pid else "a process that is not to be seen from here"
        where = "every address" if self.address in _ANY_ADDRESS else self.address
        return f"{who} holds {self.protocol.upper()} port {self.port} on {self.device or where}"

    def blocks(self, interface: str, address: str) -> bool:
        """Whether a second DNS server cannot bind to this address of the interface."""
        return self.device in ("", interface) and self.address in (*_ANY_ADDRESS, address)


def parse_sockets(text: str) -> dict[str, Socket]:
    """The output of ``ss -Hlntue``, by inode.

    Its columns are protocol, state, two queue lengths, ``ADDRESS%DEVICE:PORT``, peer, and details.
    """
    sockets = {}
    for row in text.splitlines():
        columns = row.split(None, 6)
        inode = _INODE.search(row)
        if len(columns) < 6 or inode is None:
            continue
        endpoint, _colon, port = columns[4].rpartition(":")
        address, _percent, device = endpoint.replace("[", "").replace("]", "").partition("%")
        sockets[inode[1]] = Socket(columns[0], address, int(port), device)
    return sockets


def read_sockets(likely_pids: Collection[int]) -> list[Socket]:
    """The sockets of DNS and DHCP servers in this network namespace; the ``likely_pids`` are searched first."""
    if find("ss") is None:
        return []
    ports = " or ".join(f"sport = :{port}" for port in _PORTS)
    command = ["ss", "-Hlntue", f"( {ports} )"]
    sockets = parse_sockets(run(command, check=False).stdout)
    pids = socket_owners(set(sockets), likely_pids)
    return [
        replace(entry, process=process_name(pids.get(inode, 0)), pid=pids.get(inode, 0))
        for inode, entry in sockets.items()
    ]


def foreign_sockets(sockets: Iterable[Socket], own_pids: Collection[int]) -> list[Socket]:
    """The sockets of other processes."""
    return [entry for entry in sockets if not entry.pid or entry.pid not in own_pids]


def sockets_at_every_address(sockets: Iterable[Socket], addresses: Collection[str]) -> list[Socket]:
    """One socket of each program and protocol that has port 53 at each of the ``addresses`` by itself.

    If these are all addresses of the host, it takes that of a new interface as soon as it exists, as BIND does
    (automatic-interface-scan in named.conf(5)), and dnsmasq with bind-dynamic.
    """
    held: dict[tuple[str, int], list[Socket]] = {}
    for entry in sockets:
        if entry.port == DNS_PORT and entry.pid:
            held.setdefault((entry.protocol, entry.pid), []).append(entry)
    return [own[0] for own in held.values() if addresses and {entry.address for entry in own}.issuperset(addresses)]


def dnsmasq_unit_of(pid: int) -> str:
    """The unit of the system's dnsmasq, or of a private instance, in whose cgroup a process runs; '' for none."""
    rows = (read_text(f"/proc/{pid}/cgroup") or "").splitlines()
    return next((match[1] for row in rows if (match := _DNSMASQ_UNIT.search(row))), "")


def port_can_be_shared(port: int, sockets: Sequence[Socket]) -> bool:
    """Whether the DHCP servers that hold these sockets leave room for one more.

    Only the kernel knows the options of their sockets, so a bind is tried as dnsmasq does it with bind-dynamic
    (src/dhcp.c, make_fd(); src/dhcp6.c, dhcp6_init()).
    """
    if not any(entry.port == port for entry in sockets):
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
