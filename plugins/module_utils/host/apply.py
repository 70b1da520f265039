# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making the changes of the host part."""

from __future__ import annotations

import compileall
import os
from collections.abc import Sequence
from dataclasses import dataclass

from ..core.command import run
from ..core.errors import VirtnetError
from ..core.files import File, put
from ..core.reconcile import Change
from ..core.untrusted import remove_untrusted

FOLDER_MODE = 0o755


@dataclass(frozen=True)
class HostChange(Change):
    """A change with what makes it, in this order: systemctl, removals, a folder, files, a link, systemctl.

    ``start`` and ``stop`` are units for the caller, who starts and stops them when the lock is free.
    """

    first: Sequence[Sequence[str]] = ()
    remove: Sequence[str] = ()
    folder: str = ""
    files: Sequence[File] = ()
    link: str = ""
    then: Sequence[Sequence[str]] = ()
    target: str = ""
    start: str = ""
    stop: str = ""


def make(change: HostChange) -> None:
    """Make one change; raises VirtnetError naming the path that stands in the way, and CommandFailed."""
    for arguments in change.first:
        run(["systemctl", *arguments])
    try:
        remove(change.remove)
        if change.folder:
            _make_folder(change.folder)
        put(change.files)
        if change.link:
            _make_link(change.link, change.target)
    except OSError as error:
        raise VirtnetError(f"cannot change {error.filename}: {error.strerror}") from error
    for arguments in change.then:
        run(["systemctl", *arguments])


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
