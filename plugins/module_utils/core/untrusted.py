# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files in folders of users other than root: dnsmasq's leases, the state of systemd-networkd, resolv.conf.

A user who can write to a folder can replace a file there by anything: a named pipe on which a reader blocks (fifo(7)),
a symbolic link to a file of root, an endless file. So a path is opened component by component, the link of another
user is followed only to what belongs to that user, and only regular files are read, up to a limit.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator

from .errors import VirtnetError
from .files import keep_label

# The kernel reports ELOOP after the same number (path_resolution(7)).
_MOST_LINKS = 40
_REMEDY = "; move it away"

# glibc uses three servers and reads any number of lines (resolv.conf(5)); a file of search domains is some kilobytes.
LARGEST_RESOLV_CONF = 64 * 1024

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = _PATH | os.O_DIRECTORY
# The open does not block on a named pipe, and no terminal becomes that of the process (open(2)).
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_TEMPORARY = ".virtnet-tmp-"
_SET_ASIDE = ".virtnet-unusable"


class UnusableFile(VirtnetError):
    """A file that is not safe to read or to replace; the text says why."""

    def __init__(self, path: str, fault: str) -> None:
        self.path = path
        super().__init__(f"{path} {fault}")


def read_untrusted_text(path: str, limit: int) -> str | None:
    """The text of a file that an ordinary user can replace, None if it does not exist; ``limit`` in bytes.

    It never waits for a writer, follows no link of such a user to what belongs to another, and stops at the limit even
    if the file grows meanwhile. Raises UnusableFile naming the file, the reason and the remedy.
    """
    makers: set[int] = set()
    try:
        with _located(path, makers) as (folder, name, status):
            _refuse_irregular(path, status, limit)
            # The file may have been replaced after its status was read.
            descriptor = os.open(name, _READ, dir_fd=folder)
        with open(descriptor, "rb") as stream:
            opened = os.fstat(descriptor)
            _refuse_irregular(path, opened, limit)
            _refuse_foreign(path, opened, makers)
            content = stream.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UnusableFile(path, f"cannot be read ({error.strerror}){_REMEDY}") from error
    if len(content) > limit:
        raise UnusableFile(path, f"has more than {limit} bytes{_REMEDY}")
    return content.decode("utf-8", errors="surrogateescape")


def unusable_reason(path: str, limit: int) -> str:
    """Why read_untrusted_text() would refuse a file, '' if it would not; the file is not opened."""
    try:
        with _located(path, set()) as (_folder, _name, status):
            _refuse_irregular(path, status, limit)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return f"{path} cannot be read ({error.strerror}){_REMEDY}"
    except UnusableFile as error:
        return str(error)
    return ""


def replace_untrusted(path: str, content: str, like: str) -> None:
    """Replace a file atomically, and never through a link; the folder may belong to an ordinary user.

    In a user's folder the file gets that owner. In a folder of root it keeps the owner of the replaced file; a new file
    gets the owner of the file or folder ``like``, and its SELinux label. The mode of the replaced file is kept for
    reading. Raises UnusableFile, and VirtnetError naming what cannot be written.
    """
    try:
        with _folder_of(path) as (folder, name):
            replaced = _regular(name, folder)
            mode = stat.S_IMODE(replaced.st_mode) & 0o644 if replaced else 0o644
            _clear_temporary(name, folder)
            # The name is random: a folder of a known name could not be replaced by a file.
            temporary = f".{name}{_TEMPORARY}{os.urandom(8).hex()}"
            descriptor = os.open(temporary, _NEW, 0o600, dir_fd=folder)
            with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as stream:
                os.fchown(descriptor, *_owner(os.fstat(folder), replaced, like))
                os.fchmod(descriptor, mode | 0o600)
                keep_label(f"/proc/self/fd/{folder}/{name}" if replaced else like, descriptor)
                stream.write(content)
                stream.flush()
                os.fsync(descriptor)
            os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        raise VirtnetError(f"cannot write {path}: {error.strerror}") from error


def set_aside(path: str) -> None:
    """Rename what is in place of a file; a link itself, not its target. Raises VirtnetError."""
    try:
        with _folder_of(path) as (folder, name):
            os.rename(name, f"{name}{_SET_ASIDE}-{os.urandom(4).hex()}", src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        raise VirtnetError(f"cannot move {path} away: {error.strerror}; remove it") from error


def remove_untrusted(path: str) -> None:
    """Remove a file, a link or an empty folder, if it exists; its folder may belong to an ordinary user.

    A folder that is not empty stays. Raises UnusableFile if a link of such a user leads elsewhere, and OSError.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), _folder_of(path) as (folder, name):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)


def _refuse_irregular(path: str, status: os.stat_result, limit: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnusableFile(path, f"is {_KINDS.get(stat.S_IFMT(status.st_mode), 'no file')}, not a file{_REMEDY}")
    if status.st_size > limit:
        raise UnusableFile(path, f"has {status.st_size} bytes, more than the possible {limit}{_REMEDY}")


def _refuse_foreign(path: str, status: os.stat_result, makers: Collection[int]) -> None:
    """``makers``: the owners of links in the path, without root and the current user."""
    for maker in makers:
        if status.st_uid != maker:
            raise UnusableFile(path, f"is reached by a link of user {maker}'s, to whom it does not belong{_REMEDY}")


@contextlib.contextmanager
def _located(path: str, makers: set[int]) -> Iterator[tuple[int, str, os.stat_result]]:
    """The open folder of a file, the name of the file in it, and its status. Safe links are followed.

    The owners of links are added to ``makers``. Raises UnusableFile, FileNotFoundError and other OSErrors.
    """
    given = path
    for _link in range(_MOST_LINKS):
        folder_path, name = os.path.split(path)
        folder = _open_folder(folder_path, makers)
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISLNK(status.st_mode):
                _refuse_foreign(given, status, makers)
                yield folder, name, status
                return
            path = os.path.join(folder_path, _target(name, folder, makers))
        finally:
            os.close(folder)
    raise UnusableFile(given, f"leads through more than {_MOST_LINKS} links{_REMEDY}")


@contextlib.contextmanager
def _folder_of(path: str) -> Iterator[tuple[int, str]]:
    """The open folder of a file to change, and the name of the file in it; raises UnusableFile and OSError."""
    folder_path, name = os.path.split(path)
    makers: set[int] = set()
    folder = _open_folder(folder_path, makers)
    try:
        _refuse_foreign(folder_path, os.fstat(folder), makers)
        yield folder, name
    finally:
        os.close(folder)


def _regular(name: str, folder: int) -> os.stat_result | None:
    """The status of a regular file, None if there is none."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _target(name: str, folder: int, makers: set[int]) -> str:
    """The target of a link; its owner is added to ``makers``, unless it is root or the current user.

    Both are read from one open link, since the owner of the folder may replace it at any time.
    """
    descriptor = os.open(name, _PATH, dir_fd=folder)
    try:
        makers |= {os.fstat(descriptor).st_uid} - {0, os.geteuid()}
        return os.readlink("", dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _open_folder(path: str, makers: set[int]) -> int:
    """Open a folder component by component, from the root on; raises UnusableFile and OSError."""
    waiting = [part for part in reversed(os.path.join(os.getcwd(), path).split("/")) if part]
    descriptor = os.open("/", _FOLDER)
    links = 0
    try:
        while waiting:
            name = waiting.pop()
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                links += 1
                if links > _MOST_LINKS:
                    raise UnusableFile(path, f"leads through more than {_MOST_LINKS} links{_REMEDY}")
                target = _target(name, descriptor, makers)
                waiting += [part for part in reversed(target.split("/")) if part]
                name = "/" if target.startswith("/") else "."
            following = os.open(name, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = following
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _owner(folder: os.stat_result, replaced: os.stat_result | None, like: str) -> tuple[int, int]:
    """The user and group of a file that replaces another; in a user's folder they are those of the folder."""
    if folder.st_uid == 0:
        if replaced is not None:
            return replaced.st_uid, replaced.st_gid
        for other in (os.path.dirname(like), like):
            with contextlib.suppress(OSError):
                status = os.stat(other, follow_symlinks=False)
                if status.st_uid != 0 and stat.S_IFMT(status.st_mode) in (stat.S_IFREG, stat.S_IFDIR):
                    return status.st_uid, status.st_gid
    return folder.st_uid, folder.st_gid


def _clear_temporary(name: str, folder: int) -> None:
    """Remove temporary files of a run that was interrupted while writing."""
    listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        for other in os.listdir(listed):
            if other.startswith(f".{name}{_TEMPORARY}"):
                with contextlib.suppress(OSError):
                    os.unlink(other, dir_fd=folder)
    finally:
        os.close(listed)
