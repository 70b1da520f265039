# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host has of the things that we put there: units, folders, files."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..core import systemctl
from ..core.files import read_text
from ..core.paths import Paths
from ..core.systemctl import Unit
from .requirements import NEEDS, Need

# What a folder's mode is where something else stands in its place, or another user owns it.
NOT_OURS = -1

_UNIT_FOLDERS = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")


@dataclass(frozen=True)
class Text:
    """A file that is there."""

    content: str
    mode: int


@dataclass(frozen=True)
class Tree:
    """What is below a folder, the deepest first, and the folder itself last; empty where there is none."""

    files: Sequence[str] = ()
    folders: Sequence[str] = ()


@dataclass(frozen=True)
class State:
    """What was read; ``links`` are those that enable our services, ``folders`` have their mode.

    ``unfinished``: files that a run began to write among those of others, and folders that it made for them.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    needs: Sequence[Need] = NEEDS
    family: str = "Debian"
    systemd: bool = True
    units: Mapping[str, Unit] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, Text] = field(default_factory=dict)
    trees: Mapping[str, Tree] = field(default_factory=dict)
    restart_due: bool = False
    command_taken: bool = False
    unfinished: Sequence[str] = ()

    def unit(self, name: str) -> Unit:
        """A unit; one that systemd does not know has the values of a missing one."""
        return self.units.get(name, Unit())

    def tree(self, folder: str) -> Tree:
        """What is below a folder."""
        return self.trees.get(folder, Tree())


def read_units(paths: Paths, names: Sequence[str]) -> dict[str, Unit]:
    """The units from systemd, or where it does not run, from their files."""
    if has_systemd(paths):
        return systemctl.show(names)
    found = {}
    for name in names:
        if any(os.path.lexists(os.path.join(paths.root, folder, name)) for folder in _UNIT_FOLDERS):
            enabled = os.path.lexists(os.path.join(paths.units, "multi-user.target.wants", name))
            found[name] = Unit("loaded", "enabled" if enabled else "disabled")
    return found


def has_systemd(paths: Paths) -> bool:
    """Whether systemd runs (sd_booted(3))."""
    return os.path.isdir(os.path.join(paths.root, "run/systemd/system"))


def is_empty(folder: str, but_for: Sequence[str]) -> bool:
    """Whether a folder is there and has nothing in it but these paths."""
    try:
        return all(os.path.join(folder, name) in but_for for name in os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return False


def read_files(files: Sequence[str]) -> dict[str, Text]:
    """Those of the files that are there, links not followed."""
    found = {}
    for path in files:
        content = read_text(path) if os.path.isfile(path) and not os.path.islink(path) else None
        if content is not None:
            found[path] = Text(content, stat.S_IMODE(os.stat(path).st_mode))
    return found


def read_folders(folders: Sequence[str]) -> dict[str, int]:
    """The modes of those of the folders that are there."""
    found = {}
    for path in folders:
        if os.path.lexists(path):
            status = os.lstat(path)
            ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
            found[path] = stat.S_IMODE(status.st_mode) if ours else NOT_OURS
    return found


def read_links(paths: Sequence[str]) -> dict[str, str]:
    """Where those of the paths point that are symbolic links."""
    return {path: os.readlink(path) for path in paths if os.path.islink(path)}


def read_tree(folder: str) -> Tree:
    """What is below a folder."""
    files: list[str] = []
    folders: list[str] = []
    # One after the other: os.walk() calls itself, and whoever owns a folder can nest more than Python's stack holds.
    waiting = [folder]
    while waiting:
        base = waiting.pop()
        with contextlib.suppress(OSError), os.scandir(base) as entries:
            folders.append(base)
            for entry in entries:
                (waiting if entry.is_dir(follow_symlinks=False) else files).append(entry.path)
    # What is inside of a folder comes before it.
    return Tree(files, folders[::-1])
