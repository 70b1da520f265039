# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A name server that takes port 53 of each new IPv4 address, as BIND does (automatic-interface-scan).

address_taker.py [ADDRESS]: with an address it takes that one alone, at once. Prints "ready" when it listens.
"""

from __future__ import annotations

import socket
import struct
import sys

_ADDRESSES_OF_IPV4 = 0x10  # RTMGRP_IPV4_IFADDR
_NEW_ADDRESS = 20  # RTM_NEWADDR
_LOCAL = 2  # IFA_LOCAL
_DNS_PORT = 53


def take(address: str, held: list[socket.socket]) -> None:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        taken = socket.socket(socket.AF_INET, kind)
        taken.bind((address, _DNS_PORT))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        held.append(taken)


def new_addresses(data: bytes) -> list[str]:
    """The addresses in messages of rtnetlink(7)."""
    addresses = []
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        attributes = data[24:length] if kind == _NEW_ADDRESS else b""
        while len(attributes) >= 4:
            size, name = struct.unpack_from("=HH", attributes)
            if name == _LOCAL:
                addresses.append(socket.inet_ntoa(attributes[4:8]))
            attributes = attributes[(size + 3) & ~3 :]
        data = data[(length + 3) & ~3 :]
    return addresses


def main() -> None:
    held: list[socket.socket] = []
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    if len(sys.argv) > 1:
        take(sys.argv[1], held)
    else:
        events.bind((0, _ADDRESSES_OF_IPV4))
    print("ready", flush=True)
    while True:
        for address in new_addresses(events.recv(65536)):
            take(address, held)


if __name__ == "__main__":
    main()
