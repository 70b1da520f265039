# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read files, and write them atomically: each is afterwards the old or the new one."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from .errors import VirtnetError

# With the leading dot and this suffix no reader of a conf-dir takes a temporary file for a finished one.
_TEMPORARY = ".virtnet-tmp"
# write_files() removes unfinished files of other runs, but not those of write_volatile().
_VOLATILE = "~"
_LABEL = "security.selinux"
# The number of threads that wait for the disk.
_SYNC_THREADS = 8


@dataclass(frozen=True)
class File:
    """The desired content and mode of a file; ``content`` None: the file shall not exist."""

    path: str
    content: str | None
    mode: int = 0o644


def read_text(path: str) -> str | None:
    """The content of a file, None if it does not exist."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def list_folder(path: str, suffix: str = "") -> list[str]:
    """The sorted names in a folder that end with a suffix; none if there is no such folder. Raises OSError."""
    try:
        return sorted(name for name in os.listdir(path) if name.endswith(suffix))
    except (FileNotFoundError, NotADirectoryError):
        return []


def is_open_folder(path: str) -> bool:
    """Whether a folder exists and every user of the host can enter and read it."""
    folder = os.path.realpath(path)
    return _is_readable(folder, stat.S_ISDIR) and _is_enterable(folder)


def is_open_file(path: str) -> bool:
    """Whether a regular file exists and every user of the host can read it."""
    file = os.path.realpath(path)
    return _is_readable(file, stat.S_ISREG) and _is_enterable(os.path.dirname(file))


def _is_readable(path: str, is_kind: Callable[[int], bool]) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return bool(mode & stat.S_IROTH) and is_kind(mode)


def _is_enterable(folder: str) -> bool:
    try:
        while os.stat(folder).st_mode & stat.S_IXOTH:
            if folder == os.path.dirname(folder):
                return True
            folder = os.path.dirname(folder)
    except OSError:
        pass
    return False


def _temporary(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}{_TEMPORARY}")


def keep_label(replaced: str, new: int) -> None:
    """Give a new file the SELinux label of the file that it replaces, if that has one.

    Otherwise it has that of its folder: for /etc/resolv.conf it is another one (selinux(8), file_contexts(5)).
    """
    with contextlib.suppress(OSError):
        os.setxattr(new, _LABEL, os.getxattr(replaced, _LABEL, follow_symlinks=False))


@contextlib.contextmanager
def open_new(path: str, mode: int, replaced: str) -> Iterator[TextIO]:
    """Open a new file for writing, which is to become the file ``replaced``; raises OSError.

    An existing file or link of that name is removed and never followed: a service may write to the folder too.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as stream:
        os.fchmod(descriptor, mode)
        keep_label(replaced, descriptor)
        yield stream
        stream.flush()


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """An OSError of the block names a file: those of write(2) and fsync(2) name none, as on a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise OSError(error.errno, error.strerror, path) from error
        raise


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with _named(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_all(paths: Sequence[str]) -> None:
    """Flush files to the disk, several at once, since one wait for the disk serves all of them.

    Raises the first OSError.
    """
    errors: list[OSError] = []

    def work(share: Sequence[str]) -> None:
        try:
            for path in share:
                _sync(path)
        except OSError as error:
            errors.append(error)

    workers = min(_SYNC_THREADS, len(paths))
    threads = [threading.Thread(target=work, args=(paths[start::workers],)) for start in range(1, workers)]
    for thread in threads:
        thread.start()
    work(paths[::workers] if workers else ())
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def write_files(files: Iterable[File]) -> None:
    """Write and remove files; each is the old or the new one at any time, even after a power cut.

    All contents reach the disk before the first file is replaced, so one flush serves all of them. Raises VirtnetError
    naming the file that cannot be written.
    """
    desired = list(files)
    # No folder is made only to remove a file from it.
    needed = {os.path.dirname(file.path) for file in desired if file.content is not None}
    existing = {folder for folder in {os.path.dirname(file.path) for file in desired} if os.path.isdir(folder)}
    folders = sorted(needed | existing)
    try:
        for folder in folders:
            make_folder(folder)
            for path in unfinished_files(folder):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
        for file in desired:
            if file.content is not None:
                with _named(file.path), open_new(_temporary(file.path), file.mode, file.path) as stream:
                    stream.write(file.content)
        _sync_all([_temporary(file.path) for file in desired if file.content is not None])
        for file in desired:
            if file.content is None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(file.path)
            else:
                os.replace(_temporary(file.path), file.path)
        _sync_all(folders)
    except OSError as error:
        for file in desired:
            with contextlib.suppress(OSError):
                os.unlink(_temporary(file.path))
        # filename2 is the file that was to be replaced.
        raise VirtnetError(f"cannot write {error.filename2 or error.filename}: {error.strerror}") from error


def write_volatile(file: File) -> None:
    """Write a file that does not outlive a reboot; without the lock, while another run writes to its folder.

    Raises VirtnetError naming the file that cannot be written.
    """
    temporary = _temporary(file.path) + _VOLATILE
    try:
        make_folder(os.path.dirname(file.path))
        with open_new(temporary, file.mode, file.path) as stream:
            stream.write(file.content or "")
        os.replace(temporary, file.path)
    except OSError as error:
        raise VirtnetError(f"cannot write {file.path}: {error.strerror}") from error


def write_in_place(path: str, content: str) -> None:
    """Write a text file that cannot be replaced, since something is mounted on it; raises VirtnetError.

    In between the file has the new lines, and blank ones up to its former length.
    """
    new = content.encode("utf-8", "surrogateescape")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            old = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
            padded = new.ljust(len(old), b"\n")
            if os.pwrite(descriptor, padded, 0) < len(padded):
                os.pwrite(descriptor, old, 0)
                os.ftruncate(descriptor, len(old))
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.ftruncate(descriptor, len(new))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise VirtnetError(f"cannot write {path}: {error.strerror}") from error


def is_mount_point(path: str) -> bool:
    """Whether something is mounted on a file or folder: also a file of the same file system (proc(5), mountinfo)."""
    mounts = (read_text("/proc/self/mountinfo") or "").splitlines()
    return os.path.realpath(path) in (line.split()[4] for line in mounts)


def write_fault(path: str) -> str:
    """Why not even root can write to a file, '' if it can, or if there is none; the file is not opened."""
    if not os.path.exists(path) or os.access(path, os.W_OK):
        return ""
    return "is read-only" if os.statvfs(path).f_flag & os.ST_RDONLY else "is protected from changes (chattr +i)"


def make_folder(path: str) -> None:
    """Make a folder and its parents, readable for all whatever the umask is; an existing folder is not changed."""
    if not os.path.isdir(path):
        make_folder(os.path.dirname(path))
        os.mkdir(path, 0o755)
        os.chmod(path, 0o755)


def unfinished_files(folder: str) -> list[str]:
    """Temporary files in a folder, of a run that was interrupted while writing."""
    return [os.path.join(folder, name) for name in list_folder(folder, _TEMPORARY) if name.startswith(".")]
