# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of files that change in a few folders, by inotify(7)."""

from __future__ import annotations

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


class Folders:
    """Watches folders; one that is not there is watched from the next ``add`` on that finds it."""

    _mask = _CHANGES | _ONLY_FOLDERS

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = self._libc.inotify_init1(_NONBLOCK_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify: see fs.inotify.max_user_instances")
        self._folders: dict[int, str] = {}

    def fileno(self) -> int:
        """For select."""
        return self._descriptor

    def add(self, folders: Iterable[str]) -> None:
        """Watch these too; those that are watched already stay so."""
        for folder in folders:
            watch = self._libc.inotify_add_watch(self._descriptor, os.fsencode(folder), ctypes.c_uint32(self._mask))
            if watch >= 0:
                self._folders[watch] = folder

    def receive(self) -> Iterator[tuple[str, str]]:
        """Folder and name of what changed; the name is empty where the folder itself went."""
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
        """Let go."""
        os.close(self._descriptor)


class Readers(Folders):
    """Watches files; received are those that somebody has opened for reading and closed."""

    _mask = _READ
