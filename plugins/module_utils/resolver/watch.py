# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the guard sees that entries of ours were altered, or that the resolver got another owner."""

from __future__ import annotations

import os

from .provider import DEBIAN, OPENRESOLV
from .resolvconf import entries_folder

_ETC = "etc"
_LINKS_OF_RESOLVED = "run/systemd/resolve/netif"
_STUB_FILES = "run/systemd/resolve"
_NETWORK_MANAGER = ("etc/NetworkManager/dnsmasq.d", "run/NetworkManager/system-connections")


def watched(root: str) -> list[str]:
    """The folders, those that are not there included."""
    folders = (_ETC, _STUB_FILES, _LINKS_OF_RESOLVED, *_NETWORK_MANAGER)
    return [
        *(os.path.join(root, folder) for folder in folders),
        *(entries_folder(root, name) for name in (OPENRESOLV, DEBIAN)),
    ]


def is_concerned(folder: str, name: str) -> bool:
    """Whether a change of something that does not carry our name concerns us."""
    if folder.endswith(f"/{_LINKS_OF_RESOLVED}"):
        # By the index of the link; few links have settings there that no network manager keeps itself.
        return not name.startswith(".")
    return name == "resolv.conf" or (folder.endswith(f"/{_STUB_FILES}") and name == "stub-resolv.conf")
