# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Isolation of the guests of one bridge from each other.

A bridge forwards no frame between two ports that are marked as isolated (bridge(8)). The guard marks a link that is
plugged in later, or else the next run. Until then our rules drop its IP packets; nf_call_iptables passes the frames of
this bridge to these rules. Where the bridge has ports of the host, whose frames must pass, only the mark isolates.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from ..core.files import read_text
from ..kernel.link_changes import SetSysctl
from ..kernel.links import Link

# These two pass frames to the rules.
_FILTERS = ("nf_call_iptables", "nf_call_ip6tables")
# This one has hardly any effect, and is our sign on the bridge that its marks are ours.
_SIGN = "nf_call_arptables"

# The settings of a new bridge.
NEW = {key: 0 for key in (*_FILTERS, _SIGN)}


def is_on(filters: Mapping[str, int]) -> bool:
    """Whether we isolate the guests of a bridge with these settings."""
    return bool(filters.get(_SIGN))


def _set_attribute(link: str, name: str, value: int) -> SetSysctl:
    return SetSysctl(f"/sys/class/net/{link}/{name}", str(value))


def _read_attribute(link: str, folder: str, name: str) -> str:
    return (read_text(os.path.join("/sys/class/net", link, folder, name)) or "").strip()


def mark_guest(port: str, bridge: str) -> bool:
    """Mark a link that was just plugged in; returns whether that was necessary. The caller holds the lock.

    It marks nothing while the bridge has no sign that its marks are ours.
    """
    if _read_attribute(bridge, "bridge", _SIGN) != "1" or _read_attribute(port, "brport", "isolated") != "0":
        return False
    _set_attribute(port, "brport/isolated", 1).apply()
    return True


def steps(
    bridge: str, isolate: bool, host_ports: Sequence[str], ports: Iterable[Link], filters: Mapping[str, int]
) -> list[SetSysctl]:
    """Steps to the desired isolation; ``ports`` and ``filters`` are the current ones of the bridge.

    ``host_ports`` are interfaces of the host itself, which guests may reach.
    """
    if isolate:
        desired = {_SIGN: 1, **dict.fromkeys(_FILTERS, int(not host_ports))} if filters else {}
    elif is_on(filters):
        desired = NEW
    else:
        # Settings and marks that are not ours stay.
        return []
    marks = [
        _set_attribute(port.name, "brport/isolated", int(isolate))
        for port in ports
        if port.name not in host_ports and port.isolated != isolate
    ]
    # The sign that the marks are ours is set before them, and removed after them.
    settings = [
        _set_attribute(bridge, f"bridge/{key}", value) for key, value in desired.items() if filters.get(key) != value
    ]
    return [*settings, *marks] if isolate else [*marks, *settings]
