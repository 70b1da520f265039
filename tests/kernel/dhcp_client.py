# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""DHCP clients: leases for many MAC addresses in one namespace, their renewals by unicast (RFC 2131), and DHCPv6."""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from kernel.dnsmasq_bed import Space, eventually

_DISCOVER, _REQUEST, _DECLINE, _ACK, _RELEASE = 1, 3, 4, 5, 7
_COOKIE = b"\x63\x82\x53\x63"


def _message(kind: int, mac: bytes, xid: int, ciaddr: str = "0.0.0.0", options: bytes = b"") -> bytes:
    flags = 0x8000 if ciaddr == "0.0.0.0" else 0
    head = struct.pack("!4BIHH4s", 1, 1, 6, 0, xid, 0, flags, socket.inet_aton(ciaddr))
    return head + bytes(12) + mac.ljust(16, b"\0") + bytes(192) + _COOKIE + bytes([53, 1, kind]) + options + b"\xff"


def _options(answer: bytes) -> dict[int, bytes]:
    found, at = {}, 240
    while at < len(answer) and answer[at] != 255:
        if answer[at]:
            found[answer[at]] = answer[at + 2 : at + 2 + answer[at + 1]]
            at += 1 + answer[at + 1]
        at += 1
    return found


@contextlib.contextmanager
def _client(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        client.bind((address, 68))
        client.settimeout(5.0)
        yield client


def _exchange(client: socket.socket, message: bytes, server: str) -> bytes:
    """The answer to a message, b'' for none."""
    client.sendto(message, (server, 67))
    with contextlib.suppress(socket.timeout):
        while True:
            answer = client.recv(2048)
            if answer[4:8] == message[4:8]:
                return answer
    return b""


def offers(space: Space, mac: bytes, patience: float) -> list[str]:
    """The servers that offer an address to a MAC: the first answer is waited for, others for a moment."""
    found: list[str] = []
    with space.entered(), _client("") as client:
        client.settimeout(patience)
        message = _message(_DISCOVER, mac, secrets.randbits(32))
        client.sendto(message, ("255.255.255.255", 67))
        with contextlib.suppress(socket.timeout):
            while True:
                answer = client.recv(2048)
                if answer[4:8] == message[4:8]:
                    found.append(socket.inet_ntoa(_options(answer)[54]))
                    client.settimeout(min(patience, 0.2))
    return found


def take_leases(
    space: Space, count: int, first: bytes = bytes([0x52, 0x54, 0, 1, 0, 0]), name: str = "", options: bytes = b""
) -> dict[bytes, str]:
    """An address for each of so many MAC addresses; all say that they have this name (option 12), and these options."""
    leases = {}
    named = (bytes([12, len(name)]) + name.encode() if name else b"") + options
    with space.entered(), _client("") as client:
        for i in range(count):
            mac = (int.from_bytes(first, "big") + i).to_bytes(6, "big")
            offer = _exchange(client, _message(_DISCOVER, mac, 1000 + i, options=named), "255.255.255.255")
            if not offer:
                continue
            wish = named + bytes([50, 4]) + offer[16:20] + bytes([54, 4]) + _options(offer)[54]
            answer = _exchange(client, _message(_REQUEST, mac, 2000 + i, options=wish), "255.255.255.255")
            if _options(answer).get(53) == bytes([_ACK]):
                leases[mac] = socket.inet_ntoa(answer[16:20])
    return leases


def forge_release(space: Space, mac: bytes, address: str, server: str) -> None:
    """Give back somebody else's lease (RFC 2131 section 4.4.6); nobody answers that."""
    _forge(space, _message(_RELEASE, mac, 4000, address, _server_option(server)), server)


def forge_decline(space: Space, mac: bytes, address: str, server: str) -> None:
    """Say for somebody else that its address is in use (RFC 2131 section 3.1, 5); nobody answers that."""
    wish = bytes([50, 4]) + socket.inet_aton(address) + _server_option(server)
    _forge(space, _message(_DECLINE, mac, 5000, options=wish), "255.255.255.255")


def _server_option(server: str) -> bytes:
    return bytes([54, 4]) + socket.inet_aton(server)


def _forge(space: Space, message: bytes, to: str) -> None:
    with space.entered(), _client("") as client:
        client.sendto(message, (to, 67))


def renewals(space: Space, leases: dict[bytes, str], server: str) -> int:
    """How many of these leases are renewed by the server when each guest asks it once, by unicast."""
    for address in leases.values():
        space.run("ip", "address", "replace", f"{address}/24", "dev", "eth0")
    renewed = 0
    with space.entered():
        for i, (mac, address) in enumerate(leases.items()):
            with _client(address) as client:
                answer = _exchange(client, _message(_REQUEST, mac, 3000 + i, address), server)
                renewed += _options(answer).get(53) == bytes([_ACK])
    return renewed


def dhcp6(space: Space, folder: Path, *more: str, duid: str = "", name: str = "", patience: int = 30) -> dict[str, str]:
    """What a DHCPv6 server tells dhclient, which says that it has this name; empty when nobody answers in time."""
    script, told, leases = folder / "dhclient-script", folder / "dhclient-told", folder / "dhclient-leases"
    wanted = "BOUND6|RENEW6|REBIND6"
    keep = f"env >{told}.new; mv {told}.new {told}"
    script.write_text(f'#!/bin/sh\ncase "$reason" in {wanted}) {keep};; PREINIT6) ;; *) exit 1;; esac\n')
    script.chmod(0o755)
    told.unlink(missing_ok=True)
    leases.write_text(f'default-duid "{duid}";\n' if duid else "")
    config = folder / "dhclient-config"
    named = f'send fqdn.fqdn "{name}";\nsend fqdn.server-update on;\n' if name else ""
    config.write_text(f"timeout {patience};\nalso request dhcp6.domain-search, dhcp6.sntp-servers;\n{named}")
    files = ("-lf", str(leases), "-pf", f"{folder}/dhclient-pid", "-cf", str(config), "-sf", str(script))
    dhclient = ("dhclient", "-6", "-1", "-d", "-D", "LL", *more, *files, "eth0")
    command = ("timeout", "-k", "1", str(patience + 2), *dhclient)
    with space.start(*command) as client:
        # In the foreground it would stay for the time of its lease.
        eventually(lambda: told.exists() or client.poll() is not None, patience + 10)
        client.terminate()
        client.communicate(timeout=10)
    if not told.exists():
        return {}
    return dict(line.partition("=")[::2] for line in told.read_text().splitlines())
