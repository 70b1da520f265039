# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many MAC addresses a bridge learns: the kernel's ``fdb_max_learned``, Open vSwitch's ``mac-table-size``.

Neither iproute2 before 6.8 nor pyroute2 0.7 know the kernel's attribute (Linux 6.7), so it is read and set by netlink
itself (include/uapi/linux/{rtnetlink,if_link}.h).
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from . import netlink
from .links import index_of
from .netlink import attribute, attributes

# Learned from guests only; the size of Open vSwitch's own table (MAC_DEFAULT_MAX in lib/mac-learning.h).
DEFAULT = 8192
# Open vSwitch replaces smaller and larger numbers by these (mac_learning_set_max_entries()).
MOST = 1_000_000
LEAST_OPENVSWITCH = 10

# The version of Linux.
_SINCE = (6, 7)
# RTM_NEWLINK, RTM_GETLINK
_NEW_LINK, _GET_LINK = 16, 18
# IFLA_LINKINFO, IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_BR_FDB_MAX_LEARNED
_LINK_INFO, _INFO_KIND, _INFO_DATA, _FDB_MAX_LEARNED = 18, 1, 2, 49
# struct ifinfomsg
_LINK = struct.Struct("=BxHiII")


@dataclass(frozen=True)
class FdbLimits:
    """The limits of the host's bridges by index, 0 for none; ``supported``: whether the kernel has such limits."""

    supported: bool = False
    limits: Mapping[int, int] = field(default_factory=dict)

    def of(self, index: int) -> int:
        """The limit of a bridge; 0 for one that does not exist."""
        return self.limits.get(index, 0)

    def steps(self, name: str, index: int, limit: int) -> list[SetFdbLimit]:
        """The steps that give an existing bridge its limit."""
        return [SetFdbLimit(name, limit)] if self.supported and self.of(index) != limit else []


@dataclass(frozen=True)
class SetFdbLimit:
    """A bridge learns so many MAC addresses, 0 for any number. A kernel without the attribute ignores it."""

    name: str
    limit: int

    def apply(self) -> None:
        """Set it; raises CommandFailed."""
        data = attribute(_INFO_DATA, attribute(_FDB_MAX_LEARNED, struct.pack("=I", self.limit)))
        info = attribute(_LINK_INFO, attribute(_INFO_KIND, b"bridge\0") + data)
        index = index_of(self.name)
        with netlink.connect(netlink.ROUTE, f"the kernel does not limit MAC addresses of {self.name}") as kernel:
            kernel.request(_NEW_LINK, _LINK.pack(0, 0, index, 0, 0) + info)


def read_fdb_limits() -> FdbLimits:
    """The limits of all bridges of this network namespace; raises CommandFailed."""
    only_bridges = attribute(_LINK_INFO, attribute(_INFO_KIND, b"bridge\0"))
    bridges: dict[int, int | None] = {}
    with netlink.connect(netlink.ROUTE, "the kernel does not list the host's bridges") as kernel:
        links = kernel.dump(_GET_LINK, _LINK.pack(0, 0, 0, 0, 0) + only_bridges)
    for link in links:
        info = dict(attributes(dict(attributes(link, _LINK.size)).get(_LINK_INFO, b"")))
        # A kernel may list more than it is asked for.
        if netlink.text(info.get(_INFO_KIND, b"")) == "bridge":
            limit = dict(attributes(info.get(_INFO_DATA, b""))).get(_FDB_MAX_LEARNED)
            bridges[_LINK.unpack_from(link)[2]] = None if limit is None else struct.unpack("=I", limit)[0]
    limits = {index: limit for index, limit in bridges.items() if limit is not None}
    release = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))
    return FdbLimits(bool(limits) if bridges else release >= _SINCE, limits)
