# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The process that answers neighbour solicitations for guests, beside the guard, whose repairs may take seconds.

It ends with the guard. It keeps nothing that another one needs: who asks repeats it after a second.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from ..kernel import events
from ..kernel.ndp import NdpSocket
from .journal import Journal
from .ndp_relay import NdpProxy, NdpRelay

# The name of the process, as ps(1) shows it.
_NAME = "virtnet-ndp"
# Seconds until a process that has ended is started again.
_RETRY = 1.0


class NdpProxyProcess:
    """The process while a network needs it. Its end of a pair of sockets tells each of the two that the other ended."""

    def __init__(self, selector: selectors.BaseSelector, journal: Journal) -> None:
        self._selector = selector
        self._journal = journal
        self._proxies: tuple[NdpProxy, ...] = ()
        self._process = 0
        self._other_end: socket.socket | None = None
        self._retry_at = 0.0

    def update(self, proxies: tuple[NdpProxy, ...]) -> None:
        """Have it answer for these."""
        if proxies != self._proxies:
            self.close()
            self._proxies, self._retry_at = proxies, 0.0
            answered = "; ".join(map(str, proxies))
            line = f"Guests that answer are found by neighbour discovery: {answered}." if proxies else ""
            self._journal.log_if_changed("ndp", line)
        self.maintain()

    def maintain(self) -> None:
        """Start it where it does not run and should; one that has ended is started after a while."""
        if self._other_end is not None and _has_ended(self._other_end):
            self.close()
            self._journal.log("The process that answers neighbour solicitations has ended; it is started again.")
            self._retry_at = time.monotonic() + _RETRY
        if self._proxies and self._other_end is None and self._retry_at <= time.monotonic():
            self._start()

    def retry_time(self) -> float | None:
        """When to start it again, by time.monotonic(); None if it runs or is not needed."""
        return self._retry_at if self._proxies and self._other_end is None else None

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        self._process = os.fork()
        if self._process == 0:
            _run(theirs, self._proxies)
        theirs.close()
        self._other_end = ours
        self._selector.register(ours, selectors.EVENT_READ)

    def close(self) -> None:
        """End it; it holds nothing but sockets."""
        if self._other_end is not None:
            self._selector.unregister(self._other_end)
            self._other_end.close()
            self._other_end = None
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)


def _has_ended(other_end: socket.socket) -> bool:
    try:
        return not other_end.recv(1, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _run(guard: socket.socket, proxies: Sequence[NdpProxy]) -> NoReturn:
    try:
        # The guard's own files: nobody who waits for it to close them waits for this process.
        for number in map(int, os.listdir("/proc/self/fd")):
            if number > 2 and number != guard.fileno():
                with contextlib.suppress(OSError):
                    os.close(number)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as name:
            name.write(_NAME)
        _serve(guard, [NdpRelay(proxy) for proxy in proxies])
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _serve(guard: socket.socket, relays: Sequence[NdpRelay]) -> None:
    """Answer until the guard ends."""
    with events.listen_to_links() as links:
        while True:
            for _event in events.receive(links):
                pass
            with selectors.DefaultSelector() as selector:
                selector.register(guard, selectors.EVENT_READ)
                selector.register(links, selectors.EVENT_READ)
                for relay in relays:
                    relay.sync()
                    for source in relay.sockets:
                        selector.register(source, selectors.EVENT_READ, relay)
                ready: set[Any] = set()
                while not ready & {guard, links}:
                    keys = [key for key, _events in selector.select()]
                    ready = {key.fileobj for key in keys}
                    for key in keys:
                        if isinstance(key.fileobj, NdpSocket):
                            key.data.receive(key.fileobj, time.monotonic())
                if guard in ready:
                    return
