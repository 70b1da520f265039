# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Apply the changes of the preparation of a host."""

from __future__ import annotations

import compileall
import os
from collections.abc import Sequence
from dataclasses import dataclass

from ..core import systemctl
from ..core.errors import VirtnetError
from ..core.files import File, write_files
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


def apply_change(change: HostChange) -> None:
    """Apply a change; raises VirtnetError naming the path that cannot be changed, and CommandFailed."""
    if change.stop_before:
        systemctl.stop([change.stop_before])
    try:
        remove(change.remove)
        if change.folder:
            os.makedirs(change.folder, exist_ok=True)
            os.chown(change.folder, os.geteuid(), os.getegid())
            os.chmod(change.folder, FOLDER_MODE)
        write_files(change.files)
        if change.link:
            remove([change.link])
            os.makedirs(os.path.dirname(change.link), exist_ok=True)
            # The same link as systemctl enable makes.
            os.symlink(change.target or f"/etc/systemd/system/{os.path.basename(change.link)}", change.link)
    except OSError as error:
        raise VirtnetError(f"cannot change {error.filename}: {error.strerror}") from error
    if change.reset_failed:
        systemctl.reset_failed([change.reset_failed])
    if change.daemon_reload:
        systemctl.daemon_reload()


def remove(paths: Sequence[str]) -> None:
    """Remove files and empty folders; a folder that is not empty any more stays.

    The folder of leases belongs to the user dnsmasq, who may have replaced a folder in it by a link. Raises
    UnusableFile and OSError.
    """
    for path in paths:
        remove_untrusted(path)


def compile_engine(folder: str) -> None:
    """Compile the engine to bytecode, since services cannot write it: /usr is read-only for them.

    Current bytecode is not compiled again. Without bytecode everything works, but starts more slowly.
    """
    old = os.umask(0o022)
    try:
        compileall.compile_dir(folder, maxlevels=1, quiet=2)
    finally:
        os.umask(old)
