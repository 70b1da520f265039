# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the plans of Linux bridges and of Open vSwitch bridges share: the state of the host, changes, ownership."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..core.identity import MARK
from ..core.reconcile import Change
from ..kernel.fdb import FdbLimits
from ..kernel.frame_filter import FrameFilter, FrameFilters
from ..kernel.link_changes import Step
from ..kernel.links import Link
from ..kernel.routes import Route
from ..openvswitch.bridges import Command, OvsState, PortSettings
from .shaping import Limits
from .uplink import Uplink, Uplinks

# The mark of a bridge that is being created. A run that was killed at that time left guests without it.
UNFINISHED = f"{MARK} (unfinished)"


@dataclass(frozen=True)
class DetachedPort:
    """A former port of a bridge: a link by name and index.

    ``settings`` are the columns in the database of Open vSwitch. ``index`` 0: Open vSwitch itself creates the link.
    """

    name: str
    index: int
    settings: PortSettings = field(default_factory=dict)


@dataclass(frozen=True)
class BridgeChange(Change):
    """A change of one bridge. apply() runs ``ovs_deletions``, then ``ovs_commands``, then ``steps``.

    ``detached``: the ports that a deletion detaches; None where nothing is deleted. ``listed``: the ports that it has
    because its options name them; ``hairpin``: those that we set to hairpin mode; None where that does not change.
    ``frame_filters``: see frame_filter.load(). ``moved``: the uplink whose addresses and routes move to the bridge;
    ``confirm_within``: seconds until they return without a confirmation.
    ``forget_uplink``: the steps return the uplink, so its record goes.
    """

    steps: Sequence[Step] = ()
    detached: Sequence[DetachedPort] | None = None
    listed: Sequence[DetachedPort] | None = None
    hairpin: Sequence[DetachedPort] | None = None
    frame_filters: Mapping[str, FrameFilter | None] = field(default_factory=dict)
    bridge: str = ""
    ovs_deletions: Sequence[Command] = ()
    ovs_commands: Sequence[Command] = ()
    moved: Uplink | None = None
    forget_uplink: bool = False
    confirm_within: int = 0


@dataclass(frozen=True)
class BridgeState:
    """The current state: the host's links, and what else concerns the bridges that are asked for.

    ``default_routes``: the interfaces of the default routes and of the connection of this run.
    ``detached``: by bridge, the links that it had when it was stopped.
    ``listed``: by bridge, the ports that a run attached because its options named them.
    ``hairpin``: by bridge, the ports that we set to hairpin mode.
    ``renamed_sysctls``: IPv6 settings of the links with our mark that no spec names.
    ``routes``: our routes by bridge. ``other_routes``: who else has a route to a subnet of ours.
    ``port_sysctls``: IP settings of links that are or become ports of Open vSwitch (openvswitch/userspace_ports.py).
    ``known_macs``: the MAC addresses of all bridges that networks ever had; read only for a purge.
    """

    links: Mapping[str, Link]
    default_routes: frozenset[str] = frozenset()
    detached: Mapping[str, Sequence[DetachedPort]] = field(default_factory=dict)
    listed: Mapping[str, Sequence[DetachedPort]] = field(default_factory=dict)
    hairpin: Mapping[str, Sequence[DetachedPort]] = field(default_factory=dict)
    renamed_sysctls: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ipv6: bool = True
    limits: Limits = field(default_factory=Limits)
    routes: Mapping[str, Sequence[Route]] = field(default_factory=dict)
    other_routes: Mapping[tuple[str, int], str] = field(default_factory=dict)
    ovs: OvsState = field(default_factory=OvsState)
    port_sysctls: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    known_macs: Mapping[str, str] = field(default_factory=dict)
    uplinks: Uplinks = field(default_factory=Uplinks)
    fdb: FdbLimits = field(default_factory=FdbLimits)
    frame_filters: FrameFilters = field(default_factory=FrameFilters)

    def ports_of(self, bridge: str) -> list[Link]:
        """The ports of a bridge."""
        return [link for link in self.links.values() if link.master == bridge]


def has_mark(link: Link) -> bool:
    """Whether a link has our mark."""
    return link.alias in (MARK, UNFINISHED)


def is_ours(link: Link, mac: str) -> bool:
    """Whether we created this Linux bridge."""
    # A run that was killed between the creation of the link and its mark left only our MAC address.
    return link.kind == "bridge" and (has_mark(link) or (not link.alias and link.mac == mac))


def kept_note(bridge: str) -> str:
    """The note on a bridge that is to be deleted, but is not ours."""
    return f"{bridge} was not created by virtnet.linux and is not deleted"


def detached_text(names: Iterable[str]) -> str:
    """The end of the sentence on a deletion: which ports it detaches."""
    listed = ", ".join(names)
    return f", which detaches {listed}" if listed else ""


def created_text(names: Iterable[str]) -> str:
    """The sentence on a creation: which former ports return."""
    listed = ", ".join(names)
    return f"created, with its former ports {listed}" if listed else "created"
