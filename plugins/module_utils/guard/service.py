# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guard has to do with systemd and signals."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable
from typing import Any


def handle_signals(stop: Callable[[int, Any], None], stack: contextlib.ExitStack) -> socket.socket:
    """Call ``stop`` for SIGTERM and SIGINT, until the stack unwinds; returns a socket that wakes a selector up."""
    ours, theirs = socket.socketpair()
    stack.enter_context(ours)
    stack.enter_context(theirs)
    theirs.setblocking(False)
    ours.setblocking(False)
    signal.set_wakeup_fd(theirs.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    # systemd then kills the processes that are left (systemd.kill(5), KillMode=mixed), and the next start repairs.
    signal.signal(signal.SIGALRM, lambda _number, _frame: os._exit(0))
    stack.callback(_release_signals)
    return ours


def _release_signals() -> None:
    """Disarm the timer that limits the stop, and ignore further requests to stop.

    An interpreter that shuts down has no handlers any more, so that an alarm would kill it (signal(7), SIGALRM).
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.set_wakeup_fd(-1)


def notify(message: str) -> None:
    """Tell systemd (sd_notify(3)), if it listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        with channel, contextlib.suppress(OSError):
            channel.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)
