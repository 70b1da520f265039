# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read what of the collection is installed on the host: units, folders, files."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..core import systemctl
from ..core.families import DEBIAN, Distribution
from ..core.files import File, read_text
from ..core.paths import Paths
from ..core.systemctl import Unit
from .requirements import NEEDS, Need

# The mode of a folder that another user owns, or of anything else in its place.
NOT_OURS = -1

_UNIT_FOLDERS = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")


@dataclass(frozen=True)
class Tree:
    """Files and folders below a folder, the deepest first, the folder itself last; empty if it does not exist."""

    files: Sequence[str] = ()
    folders: Sequence[str] = ()


@dataclass(frozen=True)
class State:
    """The current state. ``links``: targets of symbolic links; ``folders``: modes.

    ``system_python``: requirements.read_system_python(), read where pyroute2 is missing.
    ``interpreter``: files.boot_interpreter().
    ``unfinished``: temporary files that an interrupted run left in shared folders, and folders that it made for them.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    needs: Sequence[Need] = NEEDS
    system_python: str = ""
    interpreter: str = ""
    distribution: Distribution = Distribution(family=DEBIAN)
    systemd: bool = True
    units: Mapping[str, Unit] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, File] = field(default_factory=dict)
    trees: Mapping[str, Tree] = field(default_factory=dict)
    restart_due: bool = False
    command_taken: bool = False
    unfinished: Sequence[str] = ()

    def unit(self, name: str) -> Unit:
        """The state of a unit; the default if systemd does not know it."""
        return self.units.get(name, Unit())

    def tree(self, folder: str) -> Tree:
        """The content of a folder."""
        return self.trees.get(folder, Tree())


def read_units(paths: Paths, names: Sequence[str]) -> dict[str, Unit]:
    """The units from systemd, or from their files if it does not run."""
    if has_systemd(paths):
        return systemctl.show(names)
    units = {}
    for name in names:
        if any(os.path.lexists(os.path.join(paths.root, folder, name)) for folder in _UNIT_FOLDERS):
            enabled = os.path.lexists(os.path.join(paths.units, "multi-user.target.wants", name))
            units[name] = Unit("loaded", "enabled" if enabled else "disabled")
    return units


def has_systemd(paths: Paths) -> bool:
    """Whether systemd runs (sd_booted(3))."""
    return os.path.isdir(os.path.join(paths.root, "run/systemd/system"))


def is_empty(folder: str, but_for: Sequence[str]) -> bool:
    """Whether a folder exists and contains nothing but these paths."""
    try:
        return all(os.path.join(folder, name) in but_for for name in os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return False


def read_files(paths: Sequence[str]) -> dict[str, File]:
    """The existing files; symbolic links are not followed."""
    files = {}
    for path in paths:
        content = read_text(path) if os.path.isfile(path) and not os.path.islink(path) else None
        if content is not None:
            files[path] = File(path, content, stat.S_IMODE(os.stat(path).st_mode))
    return files


def read_folders(folders: Sequence[str]) -> dict[str, int]:
    """Modes of the existing folders."""
    modes = {}
    for path in folders:
        if os.path.lexists(path):
            status = os.lstat(path)
            ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
            modes[path] = stat.S_IMODE(status.st_mode) if ours else NOT_OURS
    return modes


def read_links(paths: Sequence[str]) -> dict[str, str]:
    """The targets of those paths that are symbolic links."""
    return {path: os.readlink(path) for path in paths if os.path.islink(path)}


def read_tree(folder: str) -> Tree:
    """The files and folders below a folder."""
    files: list[str] = []
    folders: list[str] = []
    # Without recursion, which os.walk() uses: the owner of a folder can nest more levels than Python's stack allows.
    waiting = [folder]
    while waiting:
        base = waiting.pop()
        with contextlib.suppress(OSError), os.scandir(base) as entries:
            folders.append(base)
            for entry in entries:
                (waiting if entry.is_dir(follow_symlinks=False) else files).append(entry.path)
    # The content of a folder comes before the folder.
    return Tree(files, folders[::-1])
