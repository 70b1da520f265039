# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making the changes of the host part."""

from __future__ import annotations

import compileall
import os
from collections.abc import Sequence
from dataclasses import dataclass

from ..core import systemctl
from ..core.errors import VirtnetError
from ..core.files import File, put
from ..core.reconcile import Change
from ..core.untrusted import remove_untrusted

FOLDER_MODE = 0o755


@dataclass(frozen=True)
class HostChange(Change):
    """A change and its steps: stop a unit, remove paths, make a folder, write files, make a link, tell systemd.

    ``start`` and ``stop`` are units that the caller starts or stops after it has released the lock.
    """

    stop_before: str = ""
    remove: Sequence[str] = ()
    folder: str = ""
    files: Sequence[File] = ()
    link: str = ""
    target: str = ""
    reset_failed: str = ""
    daemon_reload: bool = False
    start: str = ""
    stop: str = ""


def make(change: HostChange) -> None:
    """Make one change; raises VirtnetError naming the path that stands in the way, and CommandFailed."""
    if change.stop_before:
        systemctl.stop([change.stop_before])
    try:
        remove(change.remove)
        if change.folder:
            _make_folder(change.folder)
        put(change.files)
        if change.link:
            _make_link(change.link, change.target)
    except OSError as error:
        raise VirtnetError(f"cannot change {error.filename}: {error.strerror}") from error
    if change.reset_failed:
        systemctl.reset_failed([change.reset_failed])
    if change.daemon_reload:
        systemctl.daemon_reload()


def _make_folder(path: str) -> None:
    os.makedirs(path, exist_ok=True)
    os.chown(path, os.geteuid(), os.getegid())
    os.chmod(path, FOLDER_MODE)


def _make_link(path: str, target: str) -> None:
    remove([path])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    # As systemctl enable makes it.
    os.symlink(target or f"/etc/systemd/system/{os.path.basename(path)}", path)


def remove(paths: Sequence[str]) -> None:
    """Remove files and empty folders; what somebody put into a folder in the meantime keeps it.

    Among them is the folder of leases, which is the user dnsmasq's: a folder there may be a link by now. Raises
    UnusableFile and OSError.
    """
    for path in paths:
        remove_untrusted(path)


def compile_engine(folder: str) -> None:
    """Have Python's own form of the engine beside it, for the services cannot write it: to them /usr is read-only.

    What is there and of this Python stays as it is. Without it everything works, but starts later.
    """
    old = os.umask(0o022)
    try:
        compileall.compile_dir(folder, maxlevels=1, quiet=2)
    finally:
        os.umask(old)
