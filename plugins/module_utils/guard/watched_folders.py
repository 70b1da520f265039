# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folders that the guard watches, and the part that a change in one of them concerns."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Union

from ..core.inotify import InotifyWatcher, PollingWatcher, watch_folders
from ..core.paths import Paths
from ..orchestration.desired_state import ENTRIES, FRAGMENTS
from ..orchestration.restore import resolver_ready
from ..resolver.resolved import STUB_FILE
from ..resolver.watch import is_relevant as is_resolver_file
from ..resolver.watch import watched_folders as resolver_folders
from .view import FIREWALLS

# Not a part: definitions, or records of a run, concern all parts.
DEFINITIONS = "definitions"

# Whether ufw is enabled, and its rules. With iptables-legacy no event of the kernel tells of changes.
_UFW_FILES = ("ufw.conf", "user.rules")

POLLED = (
    "No inotify instance is left (fs.inotify.max_user_instances, which other programs have used up): "
    "files are polled every {:g} s instead."
)

Watcher = Union[InotifyWatcher, PollingWatcher]


def watched_folders(paths: Paths) -> Mapping[str, str]:
    """What each folder concerns: a part, DEFINITIONS or FIREWALLS. Folders that do not exist yet are included."""
    return {
        os.path.join(paths.root, "etc/ufw"): FIREWALLS,
        paths.dnsmasq_fragments: FRAGMENTS,
        **dict.fromkeys(_own_folders(paths), FRAGMENTS),
        **dict.fromkeys(resolver_folders(paths.root), ENTRIES),
        paths.definitions: DEFINITIONS,
        paths.transient_definitions: DEFINITIONS,
        paths.runtime: DEFINITIONS,
    }


def start_watch(paths: Paths) -> Watcher:
    """Watch these folders."""
    watcher = watch_folders()
    # systemd creates this folder with the first private instance. At boot that is after the guard has started.
    with contextlib.suppress(OSError):
        os.makedirs(paths.private_running, mode=0o755, exist_ok=True)
    add_new_folders(watcher, paths)
    return watcher


def add_new_folders(watcher: Watcher, paths: Paths) -> set[str]:
    """Watch folders that exist by now; returns what those concern that were not watched before."""
    folders = watched_folders(paths)
    return {folders[folder] for folder in watcher.add(folders)}


def receive(watcher: Watcher, paths: Paths) -> Iterator[str]:
    """A part, DEFINITIONS or FIREWALLS, for each change since the last call."""
    folders = watched_folders(paths)
    for folder, name in watcher.receive():
        concerned = folders.get(folder)
        if concerned is not None and is_relevant(concerned, folder, name, paths):
            yield concerned
            if concerned == ENTRIES and name == os.path.basename(STUB_FILE):
                # Private instances of dnsmasq ask the stub, if there is one. Not at each change of resolv.conf, which a
                # dnsmasq.service that somebody stops makes itself: it would be started again.
                yield FRAGMENTS


def is_relevant(concerned: str, folder: str, name: str, paths: Paths) -> bool:
    """Whether the change of a file concerns what its folder does; ``name`` '': the folder itself."""
    if concerned == DEFINITIONS:
        return not name.startswith(".") and name.endswith(".json")
    if concerned == FIREWALLS:
        return name in _UFW_FILES
    # In folders of others our files carry our name.
    ours = ("virtnet" in name or folder in _own_folders(paths)) and not name.startswith(".")
    if ours or not name:
        return True
    # While the host boots, its resolver changes with each service that starts.
    return concerned == ENTRIES and is_resolver_file(folder, name) and os.path.exists(resolver_ready(paths))


def _own_folders(paths: Paths) -> tuple[str, ...]:
    return (paths.private_fragments, paths.private_instances, paths.private_running, paths.dnsmasq_hosts)
