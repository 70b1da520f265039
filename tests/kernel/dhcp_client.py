# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""DHCP clients: leases for many MAC addresses in one namespace, their renewals by unicast (RFC 2131), and DHCPv6."""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kernel.dnsmasq_testbed import NamedNamespace
from kernel.polling import wait_until

_DISCOVER, _REQUEST, _DECLINE, _ACK, _RELEASE = 1, 3, 4, 5, 7
_COOKIE = b"\x63\x82\x53\x63"
# A packet may be lost, for example while a bridge begins to forward: clients send again (RFC 2131 section 4.1).
_SENDINGS, _SECONDS_EACH = 4, 2.5


def _message(kind: int, mac: bytes, xid: int, ciaddr: str = "0.0.0.0", options: bytes = b"") -> bytes:
    flags = 0x8000 if ciaddr == "0.0.0.0" else 0
    head = struct.pack("!4BIHH4s", 1, 1, 6, 0, xid, 0, flags, socket.inet_aton(ciaddr))
    return head + bytes(12) + mac.ljust(16, b"\0") + bytes(192) + _COOKIE + bytes([53, 1, kind]) + options + b"\xff"


def _options(answer: bytes) -> dict[int, bytes]:
    options, offset = {}, 240
    while offset < len(answer) and answer[offset] != 255:
        if answer[offset]:
            options[answer[offset]] = answer[offset + 2 : offset + 2 + answer[offset + 1]]
            offset += 1 + answer[offset + 1]
        offset += 1
    return options


@contextlib.contextmanager
def _client(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        client.bind((address, 68))
        client.settimeout(_SECONDS_EACH)
        yield client


def _exchange(client: socket.socket, message: bytes, server: str) -> bytes:
    """The reply to a message, or b'' if there is none."""
    for _sending in range(_SENDINGS):
        client.sendto(message, (server, 67))
        with contextlib.suppress(socket.timeout):
            while True:
                answer = client.recv(2048)
                if answer[4:8] == message[4:8]:
                    return answer
    return b""


def offers(namespace: NamedNamespace, mac: bytes, timeout: float) -> list[str]:
    """The servers that offer an address to a MAC: waits for the first offer, and for others for a moment."""
    servers: list[str] = []
    with namespace.entered(), _client("") as client:
        client.settimeout(timeout)
        message = _message(_DISCOVER, mac, secrets.randbits(32))
        client.sendto(message, ("255.255.255.255", 67))
        with contextlib.suppress(socket.timeout):
            while True:
                answer = client.recv(2048)
                if answer[4:8] == message[4:8]:
                    servers.append(socket.inet_ntoa(_options(answer)[54]))
                    client.settimeout(min(timeout, 0.2))
    return servers


@dataclass(frozen=True)
class Offer:
    """What a server offers a client that starts from the network; option 67 stands for the field ``file``."""

    file: str
    server: str
    options: Mapping[int, bytes]


def boot_offer(namespace: NamedNamespace, options: bytes = b"", *asked: int) -> Offer:
    """The answer to a request with these options that asks for the boot file (option 67) too, and other options."""
    answers = []
    with namespace.entered(), _client("") as client:
        client.settimeout(1.0)
        wanted = bytes([55, 2 + len(asked), 67, 60, *asked])
        message = _message(_DISCOVER, b"\x52\x54\0\2\0\1", secrets.randbits(32), options=wanted + options)
        # A link that has just come up may lose the first one.
        wait_until(lambda: answers.append(_exchange(client, message, "255.255.255.255")) or answers[-1] != b"", 10)
    answer = answers[-1]
    given = _options(answer)
    file = given.get(67, answer[108:236]).rstrip(b"\0").decode()
    return Offer(file, socket.inet_ntoa(answer[20:24]), given)


def take_leases(
    namespace: NamedNamespace,
    count: int,
    first: bytes = bytes([0x52, 0x54, 0, 1, 0, 0]),
    name: str = "",
    options: bytes = b"",
) -> dict[bytes, str]:
    """Leases for so many MAC addresses; each client sends this host name (option 12) and these options."""
    leases = {}
    options_sent = (bytes([12, len(name)]) + name.encode() if name else b"") + options
    with namespace.entered(), _client("") as client:
        for i in range(count):
            mac = (int.from_bytes(first, "big") + i).to_bytes(6, "big")
            offer = _exchange(client, _message(_DISCOVER, mac, 1000 + i, options=options_sent), "255.255.255.255")
            if not offer:
                continue
            request_options = options_sent + bytes([50, 4]) + offer[16:20] + bytes([54, 4]) + _options(offer)[54]
            answer = _exchange(client, _message(_REQUEST, mac, 2000 + i, options=request_options), "255.255.255.255")
            if _options(answer).get(53) == bytes([_ACK]):
                leases[mac] = socket.inet_ntoa(answer[16:20])
    return leases


def forge_release(namespace: NamedNamespace, mac: bytes, address: str, server: str) -> None:
    """Release the lease of another client (RFC 2131 section 4.4.6); there is no reply."""
    _forge(namespace, _message(_RELEASE, mac, 4000, address, _server_option(server)), server)


def forge_decline(namespace: NamedNamespace, mac: bytes, address: str, server: str) -> None:
    """Decline the address of another client as in use (RFC 2131 section 3.1, 5); there is no reply."""
    options = bytes([50, 4]) + socket.inet_aton(address) + _server_option(server)
    _forge(namespace, _message(_DECLINE, mac, 5000, options=options), "255.255.255.255")


def _server_option(server: str) -> bytes:
    return bytes([54, 4]) + socket.inet_aton(server)


def _forge(namespace: NamedNamespace, message: bytes, to: str) -> None:
    with namespace.entered(), _client("") as client:
        client.sendto(message, (to, 67))


def renewals(namespace: NamedNamespace, leases: dict[bytes, str], server: str) -> int:
    """How many of these leases the server renews when each client asks once, by unicast."""
    for address in leases.values():
        namespace.run("ip", "address", "replace", f"{address}/24", "dev", "eth0")
    renewed = 0
    with namespace.entered():
        for i, (mac, address) in enumerate(leases.items()):
            with _client(address) as client:
                answer = _exchange(client, _message(_REQUEST, mac, 3000 + i, address), server)
                renewed += _options(answer).get(53) == bytes([_ACK])
    return renewed


def dhcp6(
    namespace: NamedNamespace, folder: Path, *arguments: str, duid: str = "", name: str = "", timeout: int = 30
) -> dict[str, str]:
    """The variables that dhclient sets from DHCPv6 with this host name; empty if there is no reply in time."""
    script, answer_file, lease_file = folder / "dhclient-script", folder / "dhclient-answer", folder / "dhclient-leases"
    reasons = "BOUND6|RENEW6|REBIND6"
    keep = f"env >{answer_file}.new; mv {answer_file}.new {answer_file}"
    script.write_text(f'#!/bin/sh\ncase "$reason" in {reasons}) {keep};; PREINIT6) ;; *) exit 1;; esac\n')
    script.chmod(0o755)
    answer_file.unlink(missing_ok=True)
    lease_file.write_text(f'default-duid "{duid}";\n' if duid else "")
    config = folder / "dhclient-config"
    name_options = f'send fqdn.fqdn "{name}";\nsend fqdn.server-update on;\n' if name else ""
    config.write_text(f"timeout {timeout};\nalso request dhcp6.domain-search, dhcp6.sntp-servers;\n{name_options}")
    files = ("-lf", str(lease_file), "-pf", f"{folder}/dhclient-pid", "-cf", str(config), "-sf", str(script))
    dhclient = ("dhclient", "-6", "-1", "-d", "-D", "LL", *arguments, *files, "eth0")
    with namespace.start("timeout", "-k", "1", str(timeout + 2), *dhclient) as client:
        # In the foreground it would stay for the time of its lease.
        wait_until(lambda: answer_file.exists() or client.poll() is not None, timeout + 10)
        client.terminate()
        client.communicate(timeout=10)
    if not answer_file.exists():
        return {}
    return dict(line.partition("=")[::2] for line in answer_file.read_text().splitlines())
