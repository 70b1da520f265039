# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watch files of a few folders: by inotify(7), or by polling if no inotify instance is available."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterable, Iterator

_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
# IN_CLOSE_WRITE, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE, IN_DELETE_SELF
_CHANGES = 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400
# IN_CLOSE_NOWRITE
_READ = 0x10
_ONLY_FOLDERS = 0x01000000
_IGNORED = 0x8000
_EVENT = struct.Struct("=iIII")


class InotifyWatcher:
    """Watches folders. A folder that does not exist is watched from the first ``add`` that finds it.

    Raises OSError if the user cannot have another inotify instance (fs.inotify.max_user_instances).
    """

    # The interval in seconds at which ``receive`` has to be called although nothing can be read; None: none.
    pause: float | None = None
    _mask = _CHANGES | _ONLY_FOLDERS

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = self._libc.inotify_init1(_NONBLOCK_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify: see fs.inotify.max_user_instances")
        self._folders: dict[int, str] = {}

    def filenos(self) -> list[int]:
        """The file descriptors for select."""
        return [self._descriptor]

    def add(self, folders: Iterable[str]) -> list[str]:
        """Watch these folders too; returns those that exist and were not watched before."""
        new = []
        for folder in folders:
            watch = self._libc.inotify_add_watch(self._descriptor, os.fsencode(folder), ctypes.c_uint32(self._mask))
            if watch >= 0 and watch not in self._folders:
                self._folders[watch] = folder
                new.append(folder)
        return new

    def receive(self) -> Iterator[tuple[str, str]]:
        """Folder and name of each changed file; the name is empty if the folder itself was removed."""
        while True:
            try:
                data = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                return
            at = 0
            while at < len(data):
                watch, mask, _cookie, length = _EVENT.unpack_from(data, at)
                at += _EVENT.size
                name = data[at : at + length].split(b"\0")[0]
                at += length
                folder = self._folders.get(watch, "")
                if mask & _IGNORED:
                    self._folders.pop(watch, None)
                yield folder, os.fsdecode(name)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


class ReadWatcher(InotifyWatcher):
    """Watches files; ``receive`` gives those that a process has opened for reading and closed."""

    _mask = _READ


class PollingWatcher:
    """The same without inotify: each ``receive`` compares the folders with the previous call."""

    pause: float | None = 1.0

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, tuple[int, int, int]]] = {}

    def filenos(self) -> list[int]:
        """No file descriptors."""
        return []

    def add(self, folders: Iterable[str]) -> list[str]:
        """Watch these folders too, also those that do not exist yet; returns those that were not watched before."""
        new = [folder for folder in folders if folder not in self._seen]
        self._seen.update({folder: _files(folder) for folder in new})
        return new

    def receive(self) -> Iterator[tuple[str, str]]:
        """Folder and name of each changed file."""
        for folder, before in self._seen.items():
            after = _files(folder)
            self._seen[folder] = after
            for name in sorted({*before, *after}):
                if before.get(name) != after.get(name):
                    yield folder, name

    def close(self) -> None:
        """Nothing is open."""


def _files(folder: str) -> dict[str, tuple[int, int, int]]:
    """By name: inode, time of modification and size of the files of a folder."""
    files = {}
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                files[entry.name] = (status.st_ino, status.st_mtime_ns, status.st_size)
    return files


def watch_folders() -> InotifyWatcher | PollingWatcher:
    """A watcher by inotify, or a polling one if inotify is not available."""
    try:
        return InotifyWatcher()
    except OSError:
        return PollingWatcher()
