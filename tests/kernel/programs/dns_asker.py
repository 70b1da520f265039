# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends datagrams to a name server without end, from one port: dns_asker.py ADDRESS

Prints "answer" after the first answer. On SIGTERM prints whether a question of the next second is answered.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import time

sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("0.0.0.0", 5555))
sock.connect((sys.argv[1], 53))
sock.settimeout(0.2)


def answered() -> bool:
    try:
        sock.send(b"?")
        return bool(sock.recv(100))
    except OSError:
        return False


def end(*_: object) -> None:
    """Discard the answers to earlier questions, then ask some more: a refusal comes at once."""
    sock.setblocking(False)
    with contextlib.suppress(OSError):
        while sock.recv(100):
            pass
    sock.settimeout(0.3)
    until = time.monotonic() + 1.0
    while not (found := answered()) and time.monotonic() < until:
        time.sleep(0.01)
    print("answer" if found else "silence", flush=True)
    sys.exit()


signal.signal(signal.SIGTERM, end)
while not answered():
    pass
print("answer", flush=True)
while True:
    answered()
    time.sleep(0.01)
