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


def say_at_lock(folder: str, note: str) -> None:
    """Have others know what this process does, if it holds the host's lock; '' for nothing in particular."""
    if folder in _held:
        _sign(lock_file(folder), note)


def lock_file(folder: str) -> str:
    """The file that a run locks, and in which it says who it is."""
    return os.path.join(folder, "lock")


@contextlib.contextmanager
def lock(folder: str, patience: float = 60.0, unless: str = "") -> Iterator[None]:
    """Hold the host's lock; wait for another run at most ``patience`` seconds, and for none that says ``unless``.

    Raises Locked, naming the process that holds it.
    """
    path = lock_file(folder)
    with open(_opened(path), "r+", encoding="ascii") as stream:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                stream.seek(0)
                said, _space, note = stream.read().strip().partition(" ")
                holder = said or "unknown"
                if time.monotonic() >= deadline or (unless and note == unless):
                    raise Locked(
                        f"another run of virtnet (process {holder}) has held {path} for {patience:g} s; "
                        "wait for it to end, or see what keeps it",
                        note=note,
                    ) from None
                time.sleep(0.05)
        _sign(path)
        _held.add(folder)
        try:
            yield
        finally:
            _held.discard(folder)


def _opened(path: str) -> int:
    try:
        make_folder(os.path.dirname(path))
        # For root alone: whoever has a file open, be it for reading, can lock it (flock(2)).
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        os.fchmod(descriptor, 0o600)
        return descriptor
    except OSError as error:
        raise VirtnetError(f"cannot write {path}: {error.strerror}") from error


def _sign(path: str, note: str = "") -> None:
    """Say who holds a lock; it is held as well where the disk has no room for that."""
    with contextlib.suppress(OSError), open(path, "r+", encoding="ascii") as stream:
        stream.write(f"{os.getpid()} {note}".strip() + "\n")
        stream.truncate()
