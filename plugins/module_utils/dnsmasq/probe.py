# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a dnsmasq really serves a bridge: its sockets, and an answer as a guest would get it."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
import time
from collections.abc import Collection, Iterable

from ..core.errors import printable
from ..core.files import read_text
from ..core.options import Address

DNS_PORT = 53
DHCP_PORT = 67
DHCP6_PORT = 547
TFTP_PORT = 69

_PTR, _TXT, _A, _AAAA = 12, 16, 1, 28
_INTERNET, _CHAOS = 1, 3


def listening(pid: int) -> frozenset[tuple[str, int]]:
    """Address and port of the UDP sockets that a process holds, seen in its own network namespace."""
    inodes = _sockets_of(pid)
    tables = [_table(f"/proc/{pid}/net/{name}") for name in ("udp", "udp6")]
    return frozenset(endpoint for table in tables for inode, endpoint in table.items() if inode in inodes)


def port_holder(port: int, *pids: int) -> str:
    """Which process other than ``pids`` holds a UDP port of this network namespace; '' for none."""
    table = _table(f"/proc/thread-self/net/{'udp6' if port == DHCP6_PORT else 'udp'}")
    held = {inode for inode, endpoint in table.items() if endpoint[1] == port}.difference(*map(_sockets_of, pids))
    if not held:
        return ""
    holders = socket_owners(held, ())
    if not holders:
        return "a process that is not to be seen from here"
    pid = next(iter(holders.values()))
    return f"{process_name(pid)} (process {pid})"


def socket_owners(inodes: Collection[str], known: Iterable[int]) -> dict[str, int]:
    """The processes that hold sockets; those that are ``known`` are asked first, and often they are all."""
    found: dict[str, int] = {}
    rest = (int(name) for name in os.listdir("/proc") if name.isdecimal())
    for pid in (*known, *rest) if inodes else ():
        for inode in _sockets_of(pid) & set(inodes):
            found.setdefault(inode, pid)
        if len(found) == len(inodes):
            break
    return found


def process_name(pid: int) -> str:
    """What a process is called, by itself (PR_SET_NAME in prctl(2))."""
    return printable((read_text(f"/proc/{pid}/comm") or "?").strip()) if pid else ""


def _sockets_of(pid: int) -> set[str]:
    """The inodes of a process's sockets; none for a process that ended, or into which we may not look."""
    inodes = set()
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/{pid}/fd/{name}")
                if target.startswith("socket:["):
                    inodes.add(target[len("socket:[") : -1])
    return inodes


def _table(path: str) -> dict[str, tuple[str, int]]:
    """The UDP sockets of a network namespace: inode to address and port."""
    rows = [row.split() for row in (read_text(path) or "").splitlines()[1:]]
    return {row[9]: _endpoint(row[1]) for row in rows}


def _endpoint(text: str) -> tuple[str, int]:
    """``0100007F:0035``: the address, word by word as the host's byte order shows it, and the port."""
    address, _colon, port = text.partition(":")
    words = [struct.pack("=I", int(address[at : at + 8], 16)) for at in range(0, len(address), 8)]
    return str(ipaddress.ip_address(b"".join(words))), int(port, 16)


def wildcard_address(address: Address) -> str:
    """The address of a socket that hears every address of a family."""
    return "0.0.0.0" if address.version == 4 else "::"


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def interface_exists(interface: str) -> bool:
    """Whether there is such an interface."""
    try:
        socket.if_nametoindex(interface)
    except OSError:
        return False
    return True


def interface_has_address(interface: str, address: Address) -> bool:
    """Whether the interface is there and the address is one of this host's."""
    try:
        socket.if_nametoindex(interface)
        with socket.socket(_family(address), socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def answers_dns(address: Address, patience: float = 10.0) -> bool:
    """Whether the DNS server at an address of this host answers. Any answer will do, a refusal too.

    Linux shows a server such a query as coming in on the interface that has the address, though it takes the way over
    loopback (ip_route_output_key_hash_rcu()); so dnsmasq's rules on interfaces apply, as to a guest's.
    """
    # What dnsmasq answers by itself; no-ident takes the first away, and a dead upstream the others.
    questions = (
        dns_query("version.bind", _TXT, _CHAOS),
        dns_query(address.reverse_pointer, _PTR, _INTERNET),
        dns_query("localhost", _A, _INTERNET),
    )
    return bool(_answer(address, questions, patience))


def resolve_addresses(server: Address, name: str, version: int, patience: float = 3.0) -> set[str]:
    """The addresses of one family that a DNS server tells for a name; none where it tells none, or nothing."""
    kind = _A if version == 4 else _AAAA
    answer = _answer(server, [dns_query(name, kind, _INTERNET)], patience)
    found = set()
    questions, count = struct.unpack_from("!2H", answer, 4) if answer else (0, 0)
    at = 12
    for _question in range(questions):
        at = _after_name(answer, at) + 4
    for _record in range(count):
        at = _after_name(answer, at)
        its_kind, length = struct.unpack_from("!H6xH", answer, at)
        at += 10 + length
        if its_kind == kind:
            found.add(str(ipaddress.ip_address(answer[at - length : at])))
    return found


def _answer(server: Address, queries: Iterable[bytes], patience: float) -> bytes:
    """The first answer of a DNS server to any of these; b'' for none."""
    deadline = time.monotonic() + patience
    with socket.socket(_family(server), socket.SOCK_DGRAM) as client:
        client.connect((str(server), DNS_PORT))
        client.settimeout(0.25)
        while time.monotonic() < deadline:
            try:
                for one in queries:
                    client.send(one)
                return client.recv(4096)
            except socket.timeout:  # noqa: UP041 - up to Python 3.9 another class than TimeoutError
                continue
            except ConnectionRefusedError:
                time.sleep(0.02)
    return b""


def _after_name(message: bytes, at: int) -> int:
    """Where a name of a DNS message ends (RFC 1035 section 4.1.4)."""
    while message[at] and message[at] < 0xC0:
        at += 1 + message[at]
    return at + (2 if message[at] else 1)


def dns_query(name: str, kind: int, world: int) -> bytes:
    """A DNS query (RFC 1035 section 4.1) that wishes for recursion."""
    question = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split("."))
    return struct.pack("!6H", os.getpid() & 0xFFFF, 0x0100, 1, 0, 0, 0) + question + struct.pack("!xHH", kind, world)
