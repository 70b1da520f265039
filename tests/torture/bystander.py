# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest of a network that no run changes: a flow at 1 ms, a download, and a lease that is renewed.

bystander.py serve: the other end. bystander.py guest ADDRESS SERVER MAC LEASE: works until its input ends; at each
line of input it pauses the flow until all answers have arrived or are lost, and prints the counts.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct
import sys
import threading
import time

PORT = 8000
# Seconds that an answer may take on a busy machine.
_TIMEOUT = 10.0
_BUFFER = 8 << 20


def _udp(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # SO_RCVBUFFORCE: a large buffer loses no packets while this process waits for the processor.
    sock.setsockopt(socket.SOL_SOCKET, 33, _BUFFER)
    sock.bind((address, port))
    return sock


def serve() -> None:
    """Echoes each datagram; sends an endless stream to each TCP client."""
    udp = _udp("", PORT)
    tcp = socket.create_server(("", PORT))

    def send_forever(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while True:
                connection.sendall(bytes(4096))
                time.sleep(0.01)

    def accept() -> None:
        while True:
            threading.Thread(target=send_forever, args=(tcp.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print("ready", flush=True)
    while True:
        data, peer = udp.recvfrom(100)
        udp.sendto(data, peer)


class Flow:
    """Datagrams at 1 ms, numbered."""

    def __init__(self, server: str) -> None:
        self.sock = _udp("", 0)
        self.sock.connect((server, PORT))
        self.sent = 0
        self.waiting: set[int] = set()
        self.lock = threading.Lock()
        self.paused = threading.Event()
        for work in (self._send, self._receive):
            threading.Thread(target=work, daemon=True).start()

    def _send(self) -> None:
        while True:
            if not self.paused.is_set():
                with self.lock:
                    self.sent += 1
                    self.waiting.add(self.sent)
                # An ICMP error reports a lost packet; it is counted by its missing answer.
                with contextlib.suppress(OSError):
                    self.sock.send(struct.pack("!Q", self.sent))
            time.sleep(0.001)

    def _receive(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                (number,) = struct.unpack("!Q", self.sock.recv(100))
                with self.lock:
                    self.waiting.discard(number)

    def counts(self) -> tuple[int, int]:
        """The numbers of packets sent and lost since the last call."""
        self.paused.set()
        end = time.monotonic() + _TIMEOUT
        while self.waiting and time.monotonic() < end:
            time.sleep(0.005)
        with self.lock:
            counts = self.sent, len(self.waiting)
            self.waiting.clear()
            self.sent = 0
        self.paused.clear()
        return counts


class Download:
    """One connection that must never break."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.received = 0
        self.broken = 0
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while True:
            with contextlib.suppress(OSError), socket.create_connection((self.server, PORT), 60) as connection:
                while True:
                    data = connection.recv(1 << 16)
                    if not data:
                        break
                    self.received += len(data)
            self.broken += 1
            time.sleep(0.1)


class Lease:
    """Renewed by unicast all the time, as a client does (RFC 2131 section 4.4.5); retried until there is an answer."""

    def __init__(self, address: str, server: str, mac: str) -> None:
        self.address, self.server, self.mac = address, server, bytes.fromhex(mac.replace(":", ""))
        self.renewed = self.refused = 0
        self.longest = 0.0
        threading.Thread(target=self._work, daemon=True).start()

    def _ask(self, number: int) -> bytes:
        head = struct.pack("!4BIHH4s", 1, 1, 6, 0, number, 0, 0, socket.inet_aton(self.address))
        return head + bytes(12) + self.mac.ljust(16, b"\0") + bytes(192) + b"\x63\x82\x53\x63" + bytes([53, 1, 3, 255])

    def _work(self) -> None:
        number = 0
        with _udp(self.address, 68) as sock:
            while True:
                number += 1
                start = time.monotonic()
                kind = self._renew(sock, number)
                self.longest = max(self.longest, time.monotonic() - start)
                self.renewed += kind == 5
                self.refused += kind == 6
                time.sleep(0.2)

    def _renew(self, sock: socket.socket, number: int) -> int:
        while True:
            with contextlib.suppress(OSError):
                sock.sendto(self._ask(number), (self.server, 67))
            end = time.monotonic() + 1
            while time.monotonic() < end:
                if not select.select([sock], [], [], max(0.0, end - time.monotonic()))[0]:
                    break
                with contextlib.suppress(OSError):
                    answer = sock.recv(2048)
                    at = answer.find(b"\x35\x01", 240)
                    if answer[4:8] == struct.pack("!I", number) and at > 0 and answer[at + 2] in (5, 6):
                        return answer[at + 2]


def guest(address: str, server: str, gateway: str, mac: str) -> None:
    flow, download, lease = Flow(server), Download(server), Lease(address, gateway, mac)
    for _line in sys.stdin:
        sent, lost = flow.counts()
        counts = {"sent": sent, "lost": lost, "bytes": download.received, "broken": download.broken,
                 "renewed": lease.renewed, "refused": lease.refused, "longest": lease.longest}  # fmt: skip
        lease.longest = 0.0
        print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        guest(*sys.argv[2:])
