# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's lock: one run at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from .errors import Locked, VirtnetError
from .files import make_folder

# Folders whose lock this process holds.
_held: set[str] = set()


def set_lock_status(folder: str, status: str) -> None:
    """Write into the lock file what this process does, if it holds the host's lock; '' for no status."""
    if folder in _held:
        _write_lock_owner(lock_file(folder), status)


def lock_file(folder: str) -> str:
    """The file that a run locks, with its process number and status."""
    return os.path.join(folder, "lock")


@contextlib.contextmanager
def lock(folder: str, timeout: float = 60.0, unless: str = "") -> Iterator[None]:
    """Hold the host's lock; wait at most ``timeout`` seconds for another run, and not if its status is ``unless``.

    Raises Locked, naming the process that holds it.
    """
    path = lock_file(folder)
    with open(_open_lock_file(path), "r+", encoding="ascii") as stream:
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                stream.seek(0)
                owner, _space, status = stream.read().strip().partition(" ")
                if time.monotonic() >= deadline or (unless and status == unless):
                    raise Locked(
                        f"another run of virtnet (process {owner or 'unknown'}) has held {path} for {timeout:g} s; "
                        "wait for it to end, or see what keeps it",
                        status=status,
                    ) from None
                time.sleep(0.05)
        _write_lock_owner(path)
        _held.add(folder)
        try:
            yield
        finally:
            _held.discard(folder)


def _open_lock_file(path: str) -> int:
    try:
        make_folder(os.path.dirname(path))
        # For root only: every process that has a file open, even for reading, can lock it (flock(2)).
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        os.fchmod(descriptor, 0o600)
        return descriptor
    except OSError as error:
        raise VirtnetError(f"cannot write {path}: {error.strerror}") from error


def _write_lock_owner(path: str, status: str = "") -> None:
    """Write who holds the lock. The lock is held even if the disk is full."""
    with contextlib.suppress(OSError), open(path, "r+", encoding="ascii") as stream:
        stream.write(f"{os.getpid()} {status}".strip() + "\n")
        stream.truncate()
