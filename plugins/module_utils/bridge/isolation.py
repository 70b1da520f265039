# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests of one bridge kept from each other.

A bridge passes no frame between two ports that are marked as isolated (bridge(8)). A link that is plugged in later is
marked by the guard, or else when this runs again; until then its IP packets are refused by our rules, which frames of
this bridge are made to meet (nf_call_iptables). Where the bridge has ports of the host, whose frames must pass, the
mark alone has to do.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from ..core.files import read_text
from ..kernel.link_changes import SetSysctl
from ..kernel.links import Link

# The first two make rules meet the frames. The third means little, and tells us later that the marks are ours.
_FILTERS = ("nf_call_iptables", "nf_call_ip6tables")
_OURS = "nf_call_arptables"

# What a new bridge has.
NEW = {key: 0 for key in (*_FILTERS, _OURS)}


def is_on(filters: Mapping[str, int]) -> bool:
    """Whether we isolate the guests of the bridge that has these filters."""
    return bool(filters.get(_OURS))


def _attribute(link: str, name: str, value: int) -> SetSysctl:
    return SetSysctl(f"/sys/class/net/{link}/{name}", str(value))


def mark_guest(port: str, bridge: str) -> bool:
    """Mark a link that was just plugged in; whether it had to be done. Only under the lock that runs take.

    Nothing is marked before a run has said by its sign that the marks are ours, nor after it has taken that away.
    """
    mark, sign = (
        os.path.join("/sys/class/net", *one) for one in ((port, "brport", "isolated"), (bridge, "bridge", _OURS))
    )
    if (read_text(sign) or "").strip() != "1" or (read_text(mark) or "").strip() != "0":
        return False
    _attribute(port, "brport/isolated", 1).write()
    return True


def wanted_filters(isolate: bool, host_ports: Sequence[str], filters: Mapping[str, int]) -> dict[str, int]:
    """The filters as they shall be; another hand's are left alone where we isolate nothing."""
    if isolate:
        return {_OURS: 1, **{key: int(not host_ports) for key in _FILTERS}} if filters else {}
    return dict.fromkeys((*_FILTERS, _OURS), 0) if filters.get(_OURS) else {}


def _wanted_isolation(isolate: bool, filters: Mapping[str, int]) -> bool | None:
    """Whether guests' ports shall be isolated; None where that is not for us to say."""
    return True if isolate else False if filters.get(_OURS) else None


def steps(
    bridge: str, isolate: bool, host_ports: Sequence[str], ports: Iterable[Link], filters: Mapping[str, int]
) -> list[SetSysctl]:
    """What it takes; ``ports`` are those of the bridge, ``filters`` those of the bridge as it is.

    ``host_ports`` are interfaces of the host itself, which guests may reach.
    """
    state = _wanted_isolation(isolate, filters)
    wanted = wanted_filters(isolate, host_ports, filters)
    marks = [
        _attribute(port.name, "brport/isolated", int(state))
        for port in ports
        if state is not None and port.name not in host_ports and port.isolated != state
    ]
    # The sign that the marks are ours comes before them, and goes after them.
    signs = [_attribute(bridge, f"bridge/{key}", value) for key, value in wanted.items() if filters.get(key) != value]
    return [*signs, *marks] if isolate else [*marks, *signs]
