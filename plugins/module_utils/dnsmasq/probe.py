# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Probes of a running dnsmasq: the sockets of its process, and its answers to DNS queries."""

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
from ..kernel.links import has_address

DNS_PORT = 53
DHCP_PORT = 67
DHCP6_PORT = 547
TFTP_PORT = 69

_PTR, _TXT, _A, _AAAA = 12, 16, 1, 28
_INTERNET, _CHAOS = 1, 3


def listening(pid: int) -> frozenset[tuple[str, int]]:
    """Address and port of the UDP sockets of a process, in the network namespace of that process."""
    inodes = _sockets_of(pid)
    tables = [_table(f"/proc/{pid}/net/{name}") for name in ("udp", "udp6")]
    return frozenset(endpoint for table in tables for inode, endpoint in table.items() if inode in inodes)


def port_holder(port: int, *pids: int) -> str:
    """A process other than ``pids`` that holds a UDP port in this network namespace; '' for none."""
    table = _table(f"/proc/thread-self/net/{'udp6' if port == DHCP6_PORT else 'udp'}")
    inodes = {inode for inode, endpoint in table.items() if endpoint[1] == port}.difference(*map(_sockets_of, pids))
    if not inodes:
        return ""
    holders = socket_owners(inodes, ())
    if not holders:
        return "a process that is not to be seen from here"
    pid = next(iter(holders.values()))
    return f"{process_name(pid)} (process {pid})"


def socket_owners(inodes: Collection[str], likely_pids: Iterable[int]) -> dict[str, int]:
    """The processes that hold sockets, by inode. ``likely_pids`` are searched first: often they hold all of them."""
    owners: dict[str, int] = {}
    all_pids = (int(name) for name in os.listdir("/proc") if name.isdecimal())
    for pid in (*likely_pids, *all_pids) if inodes else ():
        for inode in _sockets_of(pid) & set(inodes):
            owners.setdefault(inode, pid)
        if len(owners) == len(inodes):
            break
    return owners


def process_name(pid: int) -> str:
    """The name that a process has given itself (PR_SET_NAME in prctl(2)); '' for process 0."""
    return printable((read_text(f"/proc/{pid}/comm") or "?").strip()) if pid else ""


def _sockets_of(pid: int) -> set[str]:
    """The inodes of the sockets of a process; none if it has ended, or if we may not read them."""
    inodes = set()
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/{pid}/fd/{name}")
                if target.startswith("socket:["):
                    inodes.add(target[len("socket:[") : -1])
    return inodes


def _table(path: str) -> dict[str, tuple[str, int]]:
    """The UDP sockets of a network namespace, inode to address and port; ``path`` is a file like /proc/PID/net/udp."""
    rows = [row.split() for row in (read_text(path) or "").splitlines()[1:]]
    return {row[9]: _endpoint(row[1]) for row in rows}


def _endpoint(text: str) -> tuple[str, int]:
    """Address and port of ``0100007F:0035``: the address is in words of 32 bits in the byte order of the host."""
    address, _colon, port = text.partition(":")
    words = [struct.pack("=I", int(address[at : at + 8], 16)) for at in range(0, len(address), 8)]
    return str(ipaddress.ip_address(b"".join(words))), int(port, 16)


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def interface_exists(interface: str) -> bool:
    """Whether an interface exists."""
    try:
        socket.if_nametoindex(interface)
    except OSError:
        return False
    return True


def interface_has_address(interface: str, address: Address) -> bool:
    """Whether the interface exists and the host has the address."""
    return interface_exists(interface) and has_address(str(address))


def answers_dns(address: Address, port: int = DNS_PORT) -> bool:
    """Whether the DNS server at an address of this host answers within 10 seconds, be it with a refusal.

    The query goes over loopback, but for the server it arrives on the interface that has the address
    (ip_route_output_key_hash_rcu()). So dnsmasq's settings of interfaces apply to it as to the query of a guest.
    """
    # dnsmasq answers these itself: the first one not with no-ident, the others perhaps not if its upstream is down.
    queries = (
        dns_query("version.bind", _TXT, _CHAOS),
        dns_query(address.reverse_pointer, _PTR, _INTERNET),
        dns_query("localhost", _A, _INTERNET),
    )
    return bool(_answer(address, port, queries, timeout=10.0))


def resolve_addresses(server: Address, name: str, version: int, port: int = DNS_PORT) -> set[str]:
    """The addresses of one family to which a DNS server resolves a name; none without an answer within 3 seconds."""
    record_type = _A if version == 4 else _AAAA
    answer = _answer(server, port, [dns_query(name, record_type, _INTERNET)], timeout=3.0)
    addresses = set()
    questions, count = struct.unpack_from("!2H", answer, 4) if answer else (0, 0)
    offset = 12
    for _question in range(questions):
        offset = _name_end(answer, offset) + 4
    for _record in range(count):
        offset = _name_end(answer, offset)
        found_type, length = struct.unpack_from("!H6xH", answer, offset)
        offset += 10 + length
        if found_type == record_type:
            addresses.add(str(ipaddress.ip_address(answer[offset - length : offset])))
    return addresses


def _answer(server: Address, port: int, queries: Iterable[bytes], timeout: float) -> bytes:
    """The first answer of a DNS server to any of the queries; b'' for none."""
    deadline = time.monotonic() + timeout
    with socket.socket(_family(server), socket.SOCK_DGRAM) as client:
        client.settimeout(0.25)
        while time.monotonic() < deadline:
            try:
                client.connect((str(server), port))
                for message in queries:
                    client.send(message)
                return client.recv(4096)
            except socket.timeout:  # noqa: UP041 - up to Python 3.9 another class than TimeoutError
                continue
            except OSError:
                # Nobody listens, or a rule of the host drops what it sends itself (EPERM).
                time.sleep(0.02)
    return b""


def _name_end(message: bytes, offset: int) -> int:
    """The end of the name at an offset of a DNS message (RFC 1035 section 4.1.4)."""
    while message[offset] and message[offset] < 0xC0:
        offset += 1 + message[offset]
    return offset + (2 if message[offset] else 1)


def dns_query(name: str, record_type: int, record_class: int) -> bytes:
    """A DNS query (RFC 1035 section 4.1) with recursion desired."""
    question = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split("."))
    return (
        struct.pack("!6H", os.getpid() & 0xFFFF, 0x0100, 1, 0, 0, 0)
        + question
        + struct.pack("!xHH", record_type, record_class)
    )
