# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files: whole or not at all, and one run at a time."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from .errors import VirtnetError

# Leading dot and own ending: no reader of a conf-dir takes it for a finished file.
_TEMPORARY = ".virtnet-tmp"
# Runs clear what others left unfinished, but not this.
_JOTTED = "~"
# Threads that wait for the disk.
_SYNCING = 8


@dataclass(frozen=True)
class File:
    """A file as it shall be; ``content`` None means that it shall not be there."""

    path: str
    content: str | None
    mode: int = 0o644


def read_text(path: str) -> str | None:
    """The content of a file, or None where there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_note(path: str) -> Any:
    """What we noted as JSON, None where there is no such file; raises ValueError for all that cannot be read."""
    try:
        text = read_text(path)
        return None if text is None else json.loads(text)
    except OSError as error:
        raise ValueError(error.strerror) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def is_open_folder(path: str) -> bool:
    """Whether there is a folder that every user of the host can enter and read."""
    try:
        whole = os.path.realpath(path)
        if not os.stat(whole).st_mode & stat.S_IROTH or not os.path.isdir(whole):
            return False
        while os.stat(whole).st_mode & stat.S_IXOTH:
            if whole == os.path.dirname(whole):
                return True
            whole = os.path.dirname(whole)
    except OSError:
        pass
    return False


def _temporary(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}{_TEMPORARY}")


@contextlib.contextmanager
def written_anew(path: str, mode: int) -> Iterator[TextIO]:
    """A file of our own making, open to be written; raises OSError.

    What is there under its name goes, and is never followed: the folder may be one in which a service writes too.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as stream:
        os.fchmod(descriptor, mode)
        yield stream
        stream.flush()


def _write_temporary(file: File, content: str) -> None:
    with written_anew(_temporary(file.path), file.mode) as stream:
        stream.write(content)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_all(paths: Sequence[str]) -> None:
    """Have files on the disk; several at once, since the disk has to be waited for but once for all that wait then.

    Raises the first OSError.
    """
    errors: list[OSError] = []

    def work(share: Sequence[str]) -> None:
        try:
            for path in share:
                _sync(path)
        except OSError as error:
            errors.append(error)

    workers = min(_SYNCING, len(paths))
    threads = [threading.Thread(target=work, args=(paths[start::workers],)) for start in range(1, workers)]
    for thread in threads:
        thread.start()
    work(paths[::workers] if workers else ())
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def put(files: Iterable[File]) -> None:
    """Write and remove many files; each is afterwards the old or the new one, also after a power cut.

    All contents reach the disk before the first file is replaced, so that one flush serves them all.
    Raises VirtnetError naming the file that could not be written.
    """
    wanted = list(files)
    # For what shall not be there no folder is made.
    needed = {os.path.dirname(file.path) for file in wanted if file.content is not None}
    there = {folder for folder in {os.path.dirname(file.path) for file in wanted} if os.path.isdir(folder)}
    folders = sorted(needed | there)
    try:
        for folder in folders:
            make_folder(folder)
            clear_unfinished(folder)
        for file in wanted:
            if file.content is not None:
                _write_temporary(file, file.content)
        _sync_all([_temporary(file.path) for file in wanted if file.content is not None])
        for file in wanted:
            if file.content is None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(file.path)
            else:
                os.replace(_temporary(file.path), file.path)
        _sync_all(folders)
    except OSError as error:
        # Of a file that replaces another, that other.
        raise VirtnetError(f"cannot write {error.filename2 or error.filename or folders}: {error.strerror}") from error


def jot(file: File) -> None:
    """Write a file that a reboot takes away anyhow, beside runs that put() others into its folder.

    Raises VirtnetError naming the file that could not be written.
    """
    temporary = _temporary(file.path) + _JOTTED
    try:
        make_folder(os.path.dirname(file.path))
        with written_anew(temporary, file.mode) as stream:
            stream.write(file.content or "")
        os.replace(temporary, file.path)
    except OSError as error:
        raise VirtnetError(f"cannot write {file.path}: {error.strerror}") from error


def make_folder(path: str) -> None:
    """A folder, with its parents, that everybody may read whatever the umask; one that is there stays as it is."""
    if not os.path.isdir(path):
        make_folder(os.path.dirname(path))
        os.mkdir(path, 0o755)
        os.chmod(path, 0o755)


def clear_unfinished(folder: str) -> None:
    """Remove what a run that was interrupted while writing left in a folder."""
    for path in unfinished(folder):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def unfinished(folder: str) -> list[str]:
    """What a run that was interrupted while writing left in a folder."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(os.path.join(folder, name) for name in names if name.startswith(".") and name.endswith(_TEMPORARY))
