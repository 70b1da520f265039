# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service that replies with the client's address, a client that prints the reply, flows, and a sink."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time

# Replies come at once, but not always on a busy machine.
TIMEOUT = 3.0


def serve(port: int) -> None:
    for family in (socket.AF_INET, socket.AF_INET6):
        udp = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        udp.bind(("", port))
        threading.Thread(target=answer_udp, args=(udp,), daemon=True).start()
        tcp = socket.create_server(("", port), family=family)
        threading.Thread(target=answer_tcp, args=(tcp,), daemon=True).start()
        sink = socket.create_server(("", port + 1), family=family)
        threading.Thread(target=receive_all, args=(sink,), daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


def answer_udp(udp: socket.socket) -> None:
    """Reply from the address that was queried: a connected client accepts no other."""
    ipv6 = udp.family == socket.AF_INET6
    # IP_PKTINFO and IPV6_PKTINFO of Linux, which Python names since 3.14 or not on every platform.
    level, option, kind = (socket.IPPROTO_IPV6, 49, 50) if ipv6 else (socket.IPPROTO_IP, 8, 8)
    udp.setsockopt(level, option, 1)
    while True:
        _data, control, _flags, peer = udp.recvmsg(100, 100)
        info = next(data for _level, control_type, data in control if control_type == kind)
        # in6_pktinfo: address, interface; in_pktinfo: interface, address to answer from, address in the packet.
        own = (kind, info[:16] + bytes(4)) if ipv6 else (kind, bytes(4) + info[8:12] + bytes(4))
        udp.sendmsg([peer[0].encode()], [(level, *own)], 0, peer)


def answer_tcp(tcp: socket.socket) -> None:
    while True:
        connection, peer = tcp.accept()
        with connection:
            connection.sendall(peer[0].encode())


def receive_all(tcp: socket.socket) -> None:
    """Receive all data of a connection, then confirm it."""
    while True:
        connection, _peer = tcp.accept()
        with connection, contextlib.suppress(ConnectionError):
            while connection.recv(1 << 16):
                pass
            connection.sendall(b"done")


def send(address: str, port: int, kilobytes: int) -> float:
    """Seconds until this much data has arrived at a sink."""
    with socket.socket(family_of(address), socket.SOCK_STREAM) as sock:
        sock.connect((address, port))
        start = time.monotonic()
        sock.sendall(bytes(kilobytes * 1000))
        sock.shutdown(socket.SHUT_WR)
        if sock.recv(100) != b"done":
            raise SystemExit("not all arrived")
        return time.monotonic() - start


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def ask(protocol: str, address: str, port: int, source: str = "") -> str:
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family_of(address), kind) as sock:
        sock.settimeout(TIMEOUT)
        try:
            if source:
                sock.bind((source, 0))
            sock.connect((address, port))
            if protocol == "udp":
                sock.send(b"?")
            return sock.recv(100).decode()
        except OSError:
            return ""


def flow(address: str, port: int, seconds: float) -> str:
    """One UDP flow, a packet each ms, for some seconds, or with 0 until the input ends: how many sent and answered."""
    answered, stop = 0, threading.Event()

    def count() -> None:
        nonlocal answered
        while True:
            # An ICMP error counts as one packet without an answer.
            with contextlib.suppress(OSError):
                if sock.recv(100):
                    answered += 1

    with socket.socket(family_of(address), socket.SOCK_DGRAM) as sock:
        sock.connect((address, port))
        threading.Thread(target=count, daemon=True).start()
        sent, end = 0, time.monotonic() + seconds
        if not seconds:
            threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
        while not stop.is_set() and (not seconds or time.monotonic() < end):
            with contextlib.suppress(OSError):
                sock.send(b"?")
            sent += 1
            time.sleep(0.001)
        last = time.monotonic() + TIMEOUT
        while answered < sent and time.monotonic() < last:
            time.sleep(0.02)
    return f"{sent} {answered}"


if __name__ == "__main__":
    verb, *rest = sys.argv[1:]
    if verb == "serve":
        serve(int(rest[0]))
    elif verb == "ask":
        print(ask(rest[0], rest[1], int(rest[2]), *rest[3:]))
    elif verb == "send":
        print(send(rest[0], int(rest[1]), int(rest[2])))
    else:
        print(flow(rest[0], int(rest[1]), float(rest[2])))
