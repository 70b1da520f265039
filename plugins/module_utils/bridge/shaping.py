# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the bandwidth that a bridge shall have to the steps that give it: a qdisc inbound, a policer outbound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import InvalidOption
from ..kernel.bandwidth import Bandwidth
from ..kernel.link_changes import Step
from ..kernel.links import Link
from ..kernel.policer import Policer, SetPolicer, chain
from ..kernel.qdisc import HtbClass, RootQdisc, SetQdiscs, clear_htb_commands, htb_commands

_UNLIMITED = "unlimited"


@dataclass(frozen=True)
class Limits:
    """The host's current limits: root qdiscs by the index of a link, policers by chain (None: not as we make them)."""

    qdiscs: Mapping[int, RootQdisc] = field(default_factory=dict)
    policers: Mapping[str, Policer | None] = field(default_factory=dict)

    def qdisc(self, link: Link | None) -> RootQdisc:
        """The root qdisc of a link, which may not exist yet."""
        return RootQdisc() if link is None else self.qdiscs.get(link.index, RootQdisc())


def check(bridge: str, wanted: Bandwidth, link: Link | None, limits: Limits, path: str, owner: str) -> None:
    """Refuse what would take something from somebody else; raises InvalidOption."""
    root = limits.qdisc(link).foreign_kind
    if wanted.inbound is not None and root:
        raise InvalidOption(
            f"{path}bandwidth.inbound",
            f"{bridge} has a queue of kind {root} already, which virtnet.linux did not make; remove it "
            f"(tc qdisc delete dev {bridge} root), or leave this out",
            owner,
        )


def steps(bridge: str, wanted: Bandwidth, link: Link | None, limits: Limits) -> list[Step]:
    """What it takes; none where all is as wanted. ``link`` None: the bridge is yet to be made."""
    here = limits.qdisc(link)
    commands = (
        clear_htb_commands(bridge, here)
        if wanted.inbound is None
        else htb_commands(bridge, HtbClass.of(wanted.inbound), here)
    )
    found: list[Step] = [SetQdiscs(tuple(commands))] if commands else []
    if wanted.outbound is None:
        return [*found, *remove(bridge, limits)]
    policer = Policer.of(wanted.outbound)
    # A chain goes with its device, or has to be made anew to be bound to the new one.
    if link is None or limits.policers.get(chain(bridge)) != policer:
        found.append(SetPolicer(bridge, policer))
    return found


def remove(bridge: str, limits: Limits) -> list[Step]:
    """What it takes that a bridge, which may be gone, has no policer."""
    return [SetPolicer(bridge, None)] if chain(bridge) in limits.policers else []


def now(wanted: Bandwidth, link: Link, limits: Limits) -> dict[str, Any]:
    """Both limits as they are, for a diff; in the words of what is wanted where the kernel makes no difference."""
    shape = limits.qdisc(link).htb_class
    same = shape is not None and wanted.inbound is not None and shape.equals(HtbClass.of(wanted.inbound))
    policer = limits.policers.get(chain(link.name), Policer())
    return {
        "inbound": after(wanted)["inbound"] if same else str(shape or _UNLIMITED),
        "outbound": "not as ours is" if policer is None else str(policer) if policer.rates else _UNLIMITED,
    }


def after(wanted: Bandwidth) -> dict[str, Any]:
    """Both limits as they shall be, for a diff."""
    return {
        "inbound": _UNLIMITED if wanted.inbound is None else str(HtbClass.of(wanted.inbound)),
        "outbound": _UNLIMITED if wanted.outbound is None else str(Policer.of(wanted.outbound)),
    }
