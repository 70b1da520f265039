# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folders that the guard watches, and the part that a change in one of them concerns."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

from ..core.inotify import watch_folders
from ..core.paths import Paths
from ..orchestration.desired_state import ENTRIES, FRAGMENTS
from ..orchestration.restore import resolver_ready
from ..resolver.watch import is_relevant as is_resolver_file
from ..resolver.watch import watched_folders as resolver_folders

# Not a part: definitions, or records of a run, concern all parts.
DEFINITIONS = "definitions"


def watched_folders(paths: Paths) -> Mapping[str, str]:
    """What each folder concerns: a part, or DEFINITIONS. Folders that do not exist yet are included."""
    return {
        paths.dnsmasq_fragments: FRAGMENTS,
        **dict.fromkeys(_own_folders(paths), FRAGMENTS),
        **dict.fromkeys(resolver_folders(paths.root), ENTRIES),
        paths.definitions: DEFINITIONS,
        paths.transient_definitions: DEFINITIONS,
        paths.runtime: DEFINITIONS,
    }


class FolderWatch:
    """Reports changes of files in these folders; ``poll_interval`` in seconds if the host has no inotify to spare."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._folders = watch_folders()
        self.poll_interval = self._folders.pause
        # systemd creates this folder with the first private instance. At boot that is after the guard has started.
        with contextlib.suppress(OSError):
            os.makedirs(paths.private_running, mode=0o755, exist_ok=True)
        self.add_new_folders()

    @property
    def problem(self) -> str:
        """Why files are polled; '' if they are not."""
        if self.poll_interval is None:
            return ""
        return (
            "No inotify instance is left (fs.inotify.max_user_instances, which other programs have used up): "
            f"files are polled every {self.poll_interval:g} s instead."
        )

    def filenos(self) -> list[int]:
        """The descriptors to select, none if the folders are polled."""
        return self._folders.filenos()

    def add_new_folders(self) -> set[str]:
        """Watch folders that exist by now; returns what those concern that were not watched before."""
        folders = watched_folders(self._paths)
        return {folders[folder] for folder in self._folders.add(folders)}

    def receive(self) -> Iterator[str]:
        """A part, or DEFINITIONS, for each change since the last call."""
        folders = watched_folders(self._paths)
        for folder, name in self._folders.receive():
            concerned = folders.get(folder)
            if concerned is not None and is_relevant(concerned, folder, name, self._paths):
                yield concerned

    def close(self) -> None:
        """Stop watching."""
        self._folders.close()


def is_relevant(concerned: str, folder: str, name: str, paths: Paths) -> bool:
    """Whether the change of a file concerns what its folder does; ``name`` '': the folder itself."""
    if concerned == DEFINITIONS:
        return not name.startswith(".") and name.endswith(".json")
    # In folders of others our files carry our name.
    ours = ("virtnet" in name or folder in _own_folders(paths)) and not name.startswith(".")
    return ours or not name or (concerned == ENTRIES and _concerns_resolver(folder, name, paths))


def _concerns_resolver(folder: str, name: str, paths: Paths) -> bool:
    """Whether the host's resolver changed. While the host boots, it changes with each service that starts."""
    return is_resolver_file(folder, name) and os.path.exists(resolver_ready(paths))


def _own_folders(paths: Paths) -> tuple[str, ...]:
    return (paths.private_fragments, paths.private_instances, paths.private_running, paths.dnsmasq_hosts)
