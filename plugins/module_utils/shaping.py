# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the bandwidth that a bridge shall have to the steps that give it; see queues.py for how it is limited."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from .bandwidth import Bandwidth
from .errors import InvalidOption
from .links import Link, sysctl_path
from .links_apply import AddOutbound, DeleteLink, SetSysctl, Step
from .queues import Queue, SetQueues, Shape, outbound_device, shaped, turned, unshaped, unturned

Queues = Mapping[int, Queue]

_KIND = "ifb"
UNLIMITED = "unlimited"


def _alias(bridge: str) -> str:
    return f"virtnet.linux: what {bridge} receives waits here"


def stray_devices(links: Mapping[str, Link], bridges: Collection[str]) -> list[str]:
    """The devices that were made for bridges with other names than these."""
    kept = {_alias(bridge) for bridge in bridges}
    head, tail = _alias("\0").split("\0")
    return [
        link.name
        for link in links.values()
        if link.kind == _KIND and link.alias.startswith(head) and link.alias.endswith(tail) and link.alias not in kept
    ]


def relevant(links: Mapping[str, Link], bridges: Collection[str]) -> list[int]:
    """The indexes of the links whose queues matter to these bridges."""
    names = {*bridges, *map(outbound_device, bridges)}
    return [link.index for link in links.values() if link.name in names]


def check(bridge: str, wanted: Bandwidth, links: Mapping[str, Link], queues: Queues, path: str, owner: str) -> None:
    """Refuse what would take something from somebody else; raises InvalidOption."""
    link, device = links.get(bridge), links.get(outbound_device(bridge))
    root = "" if link is None else queues.get(link.index, Queue()).root
    if wanted.inbound is not None and root:
        raise InvalidOption(
            f"{path}bandwidth.inbound",
            f"{bridge} has a queue of kind {root} already, which virtnet.linux did not make; remove it "
            f"(tc qdisc delete dev {bridge} root), or leave this out",
            owner,
        )
    if wanted.outbound is not None and device is not None and device.kind != _KIND:
        raise InvalidOption(
            f"{path}bandwidth.outbound", f"{device.name} is needed for it, and is there already; rename that", owner
        )


def steps(bridge: str, wanted: Bandwidth, links: Mapping[str, Link], queues: Queues, *, ipv6: bool) -> list[Step]:
    """What it takes; none where all is as wanted. The bridge may be one that is yet to be made."""
    link = links.get(bridge)
    here = Queue() if link is None else queues.get(link.index, Queue())
    commands = unshaped(bridge, here) if wanted.inbound is None else shaped(bridge, Shape.of(wanted.inbound), here)
    found: list[Step] = [SetQueues(tuple(commands))] if commands else []
    if wanted.outbound is None:
        return [*found, *_free(bridge, links, here)]
    return [*found, *_hold(bridge, Shape.of(wanted.outbound), links, queues, here, ipv6=ipv6)]


def _free(bridge: str, links: Mapping[str, Link], here: Queue) -> list[Step]:
    commands = unturned(bridge, here)
    return [*([SetQueues(tuple(commands))] if commands else []), *remove(bridge, links)]


def remove(bridge: str, links: Mapping[str, Link]) -> list[Step]:
    """What goes with a bridge, or with its limit."""
    device = links.get(outbound_device(bridge))
    return [DeleteLink(device.name)] if device is not None and device.kind == _KIND else []


def _hold(
    bridge: str, shape: Shape, links: Mapping[str, Link], queues: Queues, here: Queue, *, ipv6: bool
) -> list[Step]:
    name = outbound_device(bridge)
    device = links.get(name)
    there = Queue() if device is None else queues.get(device.index, Queue())
    found: list[Step] = []
    if device is not None and not (device.up and device.alias == _alias(bridge)):
        # A run that was killed, or another hand: nothing waits in it that would be lost.
        found += [DeleteLink(name)]
        device, there = None, Queue()
    if device is None:
        found += [AddOutbound(name, _alias(bridge))]
        found += [SetSysctl(sysctl_path("/proc/sys", name, "disable_ipv6"), "1")] if ipv6 else []
    commands = [*shaped(name, shape, there), *turned(bridge, name, 0 if device is None else device.index, here)]
    return [*found, *([SetQueues(tuple(commands))] if commands else [])]


def now(bridge: str, wanted: Bandwidth, links: Mapping[str, Link], queues: Queues) -> dict[str, Any]:
    """Both limits as they are, for a diff; in the words of what is wanted where the kernel makes no difference."""
    link, device = links.get(bridge), links.get(outbound_device(bridge))
    here = Queue() if link is None else queues.get(link.index, Queue())
    there = Queue() if device is None or here.turned_to != device.index else queues.get(device.index, Queue())
    later = after(wanted)
    found = {}
    for way, shape, limit in (("inbound", here.shape, wanted.inbound), ("outbound", there.shape, wanted.outbound)):
        same = shape is not None and limit is not None and shape.equals(Shape.of(limit))
        found[way] = later[way] if same else str(shape or UNLIMITED)
    return found


def after(wanted: Bandwidth) -> dict[str, Any]:
    """Both limits as they shall be, for a diff."""
    return {
        way: UNLIMITED if limit is None else str(Shape.of(limit))
        for way, limit in (("inbound", wanted.inbound), ("outbound", wanted.outbound))
    }
