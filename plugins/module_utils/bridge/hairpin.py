# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hairpin mode of the guests' ports of a bridge: frames may leave by the port that they came from (bridge(8)).

A guest that connects to its own port forward needs it where br_netfilter passes bridged frames to iptables: the rules
then translate the frame while it is bridged, so that its way is back through its own port. Source:
br_nf_pre_routing_finish() in net/bridge/br_netfilter_hooks.c.

The guard sets it on a link that is plugged in later, or else the next run. A record has the ports that we set, since
other programs set it too: a port that somebody else set keeps it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..core.files import read_text, write_volatile
from ..core.paths import Paths
from ..kernel.link_changes import SetSysctl
from ..kernel.links import Link
from .port_records import hairpin_ports_record, read_hairpin_ports
from .spec import BridgeSpec
from .state import BridgeState, DetachedPort


def _set(port: str, value: bool) -> SetSysctl:
    return SetSysctl(f"/sys/class/net/{port}/brport/hairpin_mode", str(int(value)))


@dataclass(frozen=True)
class HairpinPorts:
    """The ports of a bridge after a change, and which of them are to be in hairpin mode.

    ``ports``: as they are now; ``guests``: the names of those that must be in hairpin mode; ``ours``: the
    indexes of those that we have set, since a port that gets another name keeps its mode.
    """

    ports: Sequence[Link]
    guests: frozenset[str]
    ours: frozenset[int]

    @staticmethod
    def of(spec: BridgeSpec, names: Iterable[str], current: BridgeState) -> HairpinPorts:
        """The ports ``names`` of a bridge; the kernel clears the mode of a port that gets another bridge."""
        links = [current.links[name] for name in names]
        ports = [link if link.master == spec.name else replace(link, hairpin=False) for link in links]
        guests = {port.name for port in ports if port.name not in spec.ports} if spec.hairpin else set()
        ours = frozenset(port.index for port in current.hairpin.get(spec.name, ()))
        return HairpinPorts(ports, frozenset(guests), ours)

    @property
    def names(self) -> list[str]:
        """The names of the ports that are in hairpin mode after the change: those that others set keep it."""
        return sorted(
            port.name
            for port in self.ports
            if port.name in self.guests or (port.hairpin and port.index not in self.ours)
        )

    def steps(self) -> list[SetSysctl]:
        """The steps to these modes."""
        names = self.names
        return [_set(port.name, port.name in names) for port in self.ports if port.hairpin != (port.name in names)]

    def new_record(self) -> list[DetachedPort]:
        """The ports that we have set after the change."""
        return [
            DetachedPort(port.name, port.index)
            for port in self.ports
            if port.name in self.guests and (port.index in self.ours or not port.hairpin)
        ]


def set_on_guest(port: str, index: int, bridge: str, paths: Paths) -> bool:
    """Set the mode of a link that was just plugged in; returns whether that was necessary. The caller holds the lock.

    Raises VirtnetError.
    """
    if (read_text(f"/sys/class/net/{port}/brport/hairpin_mode") or "").strip() != "0":
        return False
    indexes = {number for number, _name in socket.if_nameindex()}
    existing = [old for old in read_hairpin_ports(bridge, paths) if old.index in indexes]
    write_volatile(hairpin_ports_record(bridge, [*existing, DetachedPort(port, index)], paths))
    _set(port, True).apply()
    return True
