# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rollback of an uplink move, if no run connects to the host afterwards.

A separate process waits on the host, so the rollback needs no connection to it.
"""

from __future__ import annotations

import os
import syslog
import time

from ..core.errors import MissingTool, VirtnetError
from ..core.families import package_of
from ..core.files import write_files
from ..core.lock import lock
from ..core.paths import Paths
from ..kernel.link_changes import apply_steps
from ..kernel.links import read_links
from .uplink import record_file, return_steps, unconfirmed

# Seconds.
_POLL_INTERVAL = 0.2
_LOCK_TIMEOUT = 600.0
_RETRY_INTERVAL = 1
_TRIES = 30


def start_rollback_timer(bridge: str, seconds: float, paths: Paths) -> None:
    """Start the process that rolls back, unless the move is confirmed within ``seconds``."""
    try:
        # Import it now: the process may not find it any more when it needs it.
        import pyroute2.netlink.exceptions  # noqa: F401
    except ImportError:
        raise MissingTool("the Python library pyroute2", package_of("pyroute2")) from None
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
    """Close all inherited files, so that nobody waits for this process, and it keeps no lock."""
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.closerange(3, max(map(int, os.listdir("/proc/self/fd"))) + 1)


def watch(bridge: str, seconds: float, paths: Paths) -> None:
    """Wait until the move is confirmed or undone; else roll back and write that to the journal."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if bridge not in unconfirmed(paths):
            return
        time.sleep(_POLL_INTERVAL)
    for _try in range(_TRIES):
        try:
            with lock(paths.runtime, _LOCK_TIMEOUT):
                roll_back(bridge, paths)
            return
        except VirtnetError as error:
            syslog.syslog(syslog.LOG_ERR, f"virtnet: the rollback of {bridge} failed and is tried again: {error}")
            time.sleep(_RETRY_INTERVAL)


def roll_back(bridge: str, paths: Paths) -> None:
    """Return addresses and routes to the uplink, unless the move is confirmed. The caller holds the lock."""
    uplink = unconfirmed(paths).get(bridge)
    if uplink is None:
        return
    apply_steps(return_steps(uplink, bridge, read_links()))
    write_files([record_file(bridge, None, paths)])
    syslog.syslog(
        syslog.LOG_WARNING,
        f"virtnet: no run connected after {uplink.port} became a port of {bridge}; {uplink.port} has its addresses and "
        "routes again",
    )
