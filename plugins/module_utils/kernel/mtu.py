# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The MTU of a bridge whose options give none: the least of its ports.

The kernel keeps it like that until somebody sets it, and never again after that (net/bridge/br_if.c,
br_mtu_auto_adjust()); an MTU with which a bridge is created does not count as set.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from ..core.errors import CommandFailed
from ..core.files import list_folder, read_text

# The MTU of a new link, and of a bridge without ports.
DEFAULT = 1500
# With less, a link has no IPv6, nor settings of it (RFC 8200 section 5; net/ipv6/addrconf.c, addrconf_notify()).
LEAST_IPV6 = 1280

_LINKS = "/sys/class/net"


def least(mtus: Iterable[int]) -> int:
    """The MTU of a bridge whose ports have these."""
    return min(mtus, default=DEFAULT)


@dataclass(frozen=True)
class FollowPorts:
    """Set the MTU of a Linux bridge to the least of its ports, if the kernel has not done so itself."""

    name: str

    def apply(self) -> None:
        """Set it; raises CommandFailed."""
        path = os.path.join(_LINKS, self.name, "mtu")
        ports = list_folder(os.path.join(_LINKS, self.name, "brif"), "")
        # A port may go at any time.
        texts = [read_text(os.path.join(_LINKS, name, "mtu")) for name in ports]
        value = least(int(text) for text in texts if text)
        if (read_text(path) or "").strip() == str(value):
            return
        try:
            with open(path, "w", encoding="ascii") as stream:
                stream.write(str(value))
        except OSError as error:
            raise CommandFailed(f"cannot set {path} to {value}: {error.strerror}") from error
