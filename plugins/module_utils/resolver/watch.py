# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folders in which the guard sees changes of our entries, or of the owner of resolv.conf."""

from __future__ import annotations

import os

from .provider import DEBIAN, OPENRESOLV
from .resolvconf import entries_folder

_ETC = "etc"
_LINKS_OF_RESOLVED = "run/systemd/resolve/netif"
_STUB_FILES = "run/systemd/resolve"
_NETWORK_MANAGER = ("etc/NetworkManager/dnsmasq.d", "run/NetworkManager/system-connections")


def watched_folders(root: str) -> list[str]:
    """The folders to watch; some may not exist."""
    folders = (_ETC, _STUB_FILES, _LINKS_OF_RESOLVED, *_NETWORK_MANAGER)
    return [
        *(os.path.join(root, folder) for folder in folders),
        *(entries_folder(root, name) for name in (OPENRESOLV, DEBIAN)),
    ]


def is_relevant(folder: str, name: str) -> bool:
    """Whether a change of a file that is not ours may concern our entries."""
    if folder.endswith(f"/{_LINKS_OF_RESOLVED}"):
        # A file for each link, named by its index; few links have settings here.
        return not name.startswith(".")
    return name == "resolv.conf" or (folder.endswith(f"/{_STUB_FILES}") and name == "stub-resolv.conf")
