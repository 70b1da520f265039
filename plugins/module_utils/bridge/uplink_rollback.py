# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way back, when nobody comes over the connection after the interface that carries it became a port.

A process of its own waits beside the run that made the move, so that nothing has to reach the host for it.
"""

from __future__ import annotations

import os
import syslog
import time

from ..core.command import PACKAGES
from ..core.errors import MissingTool, VirtnetError
from ..core.files import put
from ..core.lock import lock
from ..core.paths import Paths
from ..kernel.link_changes import take
from ..kernel.links import read_links
from .uplink import give_back, read_record, record

_PAUSE = 0.2
_PATIENCE = 600.0
_TRIES = 30


def arm(bridge: str, seconds: float, paths: Paths) -> None:
    """Start the process that restores what was, unless somebody confirms within ``seconds``."""
    try:
        # What this process has not imported it may not find any more when it needs it.
        import pyroute2.netlink.exceptions  # noqa: F401
    except ImportError:
        raise MissingTool("the Python library pyroute2", PACKAGES["pyroute2"]) from None
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            _detach()
            watch(bridge, seconds, paths)
    finally:
        os._exit(0)


def _detach() -> None:
    """Nobody waits for this process by an open file, and it keeps no lock."""
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:
                continue


def watch(bridge: str, seconds: float, paths: Paths) -> None:
    """Wait for the confirmation; without it, restore what was and say so in the journal."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if _settled(bridge, paths):
            return
        time.sleep(_PAUSE)
    for _try in range(_TRIES):
        try:
            with lock(paths.runtime, _PATIENCE):
                go_back(bridge, paths)
            return
        except VirtnetError as error:
            syslog.syslog(syslog.LOG_ERR, f"virtnet: the way back from {bridge} is tried again: {error}")
            time.sleep(1)


def _settled(bridge: str, paths: Paths) -> bool:
    found = read_record(bridge, paths)
    return found is None or found.confirmed


def go_back(bridge: str, paths: Paths) -> None:
    """Restore what was, unless that has been confirmed. The caller holds the lock."""
    found = read_record(bridge, paths)
    if found is None or found.confirmed:
        return
    take(give_back(found, bridge, read_links()))
    put([record(bridge, None, paths)])
    syslog.syslog(
        syslog.LOG_WARNING,
        f"virtnet: nobody came back after {found.port} became a port of {bridge}; it has what it had again",
    )
