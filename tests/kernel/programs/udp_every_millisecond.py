# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every millisecond, a datagram of one flow and one of a new flow: udp_every_millisecond.py ADDRESS PORT

Prints "ready" when the flow is established. A line on stdin ends it: prints {sent, lost, lost of new flows} as JSON.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import time

INTERVAL = 0.001
# Seconds in which an answer comes, on a busy machine too.
TIMEOUT = 5.0
target = (sys.argv[1], int(sys.argv[2]))


def connected() -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in target[0] else socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(target)
    sock.setblocking(False)
    return sock


def send(sock: socket.socket) -> None:
    # A datagram that is rejected is one without an answer.
    with contextlib.suppress(OSError):
        sock.send(b"?")


def answers(sock: socket.socket) -> int:
    count = 0
    with contextlib.suppress(OSError):
        while sock.recv(100):
            count += 1
    return count


def answered(sock: socket.socket, count: int, deadline: float) -> int:
    """How many of so many answers come until the deadline."""
    seen = answers(sock)
    while seen < count and (left := deadline - time.monotonic()) > 0:
        select.select([sock], [], [], left)
        seen += answers(sock)
    return seen


flow = connected()
send(flow)
select.select([flow], [], [], TIMEOUT)
received = answers(flow)
print("ready", flush=True)
sent, lost_new = 1, 0
new: list[socket.socket] = []
while not select.select([sys.stdin], [], [], INTERVAL)[0]:
    send(flow)
    sent += 1
    received += answers(flow)
    new.append(connected())
    send(new[-1])
    if len(new) > 500:
        with new.pop(0) as oldest:
            lost_new += 1 - answered(oldest, 1, time.monotonic() + TIMEOUT)
deadline = time.monotonic() + TIMEOUT
lost = sent - received - answered(flow, sent - received, deadline)
lost_new += sum(1 - answered(sock, 1, deadline) for sock in new)
print(json.dumps([sent, lost, lost_new]))
