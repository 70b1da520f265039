# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bandwidth limits of a bridge: a qdisc for what guests receive, a policer for what they send. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..kernel.bandwidth import Bandwidth
from ..kernel.link_changes import Step
from ..kernel.links import Link
from ..kernel.policer import Policer, SetPolicer, chain
from ..kernel.qdisc import HtbClass, RootQdisc, SetQdiscs, htb_commands

_UNLIMITED = "unlimited"


@dataclass(frozen=True)
class Limits:
    """The current limits of the host: root qdiscs by index of the link, policers by chain.

    A policer is None where its chain is not as we create it.
    """

    qdiscs: Mapping[int, RootQdisc] = field(default_factory=dict)
    policers: Mapping[str, Policer | None] = field(default_factory=dict)

    def qdisc(self, link: Link | None) -> RootQdisc:
        """The root qdisc of a link; an empty one for a link that does not exist yet."""
        return RootQdisc() if link is None else self.qdiscs.get(link.index, RootQdisc())


def steps(bridge: str, desired: Bandwidth, link: Link | None, limits: Limits) -> list[Step]:
    """Steps to the desired limits; none where they are set. ``link`` None: the bridge does not exist yet."""
    qdisc = limits.qdisc(link)
    htb_class = None if desired.inbound is None else HtbClass.of(desired.inbound)
    commands = htb_commands(bridge, htb_class, qdisc)
    qdisc_steps: list[Step] = [SetQdiscs(tuple(commands))] if commands else []
    if desired.outbound is None:
        return [*qdisc_steps, *delete_policer(bridge, limits)]
    policer = Policer.of(desired.outbound)
    # The chain belongs to the device: for a new device it is created again, even if it looks right.
    if link is None or limits.policers.get(chain(bridge)) != policer:
        return [*qdisc_steps, SetPolicer(bridge, policer)]
    return qdisc_steps


def delete_policer(bridge: str, limits: Limits) -> list[Step]:
    """Delete the policer of a bridge, which may not exist any more."""
    return [SetPolicer(bridge, None)] if chain(bridge) in limits.policers else []


def current_limits(desired: Bandwidth, link: Link, limits: Limits) -> dict[str, Any]:
    """For the diff: both limits as they are; written as the desired ones where the kernel makes no difference."""
    htb_class = limits.qdisc(link).htb_class
    inbound = desired.inbound
    same = htb_class is not None and inbound is not None and htb_class.equals(HtbClass.of(inbound))
    policer = limits.policers.get(chain(link.name), Policer())
    return {
        "inbound": desired_limits(desired)["inbound"] if same else str(htb_class or _UNLIMITED),
        "outbound": "unknown" if policer is None else str(policer) if policer.rates else _UNLIMITED,
    }


def desired_limits(desired: Bandwidth) -> dict[str, Any]:
    """For the diff: both limits as they are to be."""
    return {
        "inbound": _UNLIMITED if desired.inbound is None else str(HtbClass.of(desired.inbound)),
        "outbound": _UNLIMITED if desired.outbound is None else str(Policer.of(desired.outbound)),
    }
