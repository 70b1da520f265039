# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of Linux bridges: the steps from the current state to the specs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..core.identity import MARK
from ..core.reconcile import CHANGE, CREATE, DELETE, describe, difference
from ..kernel import mtu
from ..kernel.bandwidth import Bandwidth
from ..kernel.fdb import SetFdbLimit
from ..kernel.frame_filter import FrameFilter
from ..kernel.link_changes import AddBridge, AttachPort, DeleteLink, DetachPort, Rename, SetLink, Step
from ..kernel.links import CENTISECONDS, Link
from ..kernel.mtu import FollowPorts
from ..kernel.policer import SetPolicer, chain
from . import ip_config, isolation, port_security, shaping, uplink
from .hairpin import HairpinPorts
from .spec import BridgeSpec
from .state import (
    UNFINISHED,
    BridgeChange,
    BridgeState,
    DetachedPort,
    created_text,
    detached_text,
    has_mark,
    is_ours,
    kept_note,
)
from .uplink import Uplink


def delete_orphans(kept: set[str], current: BridgeState) -> list[BridgeChange]:
    """Delete the policers and the filters of bridges that somebody else deleted."""
    chains = {chain(bridge) for bridge in kept}
    filters = [_delete_filter(bridge) for bridge in sorted(current.frame_filters.bridges.keys() - kept)]
    return filters + [
        BridgeChange(
            action=DELETE,
            name=f"policer {name}",
            before=f"{name}\n",
            steps=(SetPolicer(name.partition("_")[2], None),),
        )
        for name in sorted(current.limits.policers)
        if name not in chains
    ]


def _delete_filter(bridge: str) -> BridgeChange:
    name = f"port security of bridge {bridge}"
    return BridgeChange(action=DELETE, name=name, before=f"{bridge}\n", frame_filters={bridge: None}, bridge=bridge)


def delete(name: str, mac: str, current: BridgeState, notes: list[str]) -> list[BridgeChange]:
    """Delete a bridge of ours; one that is not ours stays, with a note."""
    link = current.links.get(name)
    clear_policer = shaping.delete_policer(name, current.limits)
    if link is None:
        policer = f"policer of bridge {name}"
        change = BridgeChange(action=DELETE, name=policer, before=f"{name}\n", steps=clear_policer)
        has_filter = name in current.frame_filters.bridges
        return [*([change] if clear_policer else []), *([_delete_filter(name)] if has_filter else [])]
    if not is_ours(link, mac):
        notes.append(kept_note(name))
        return []
    moved = current.uplinks.records.get(name)
    returning = uplink.return_steps(moved, name, current.links) if moved else []
    # The next start attaches the ports that its options name.
    others = {port.name for port in current.listed.get(name, ())} | ({moved.port} if moved else set())
    names = [port.name for port in current.ports_of(name) if not moved or port.name != moved.port]
    ports = [DetachedPort(port.name, port.index) for port in current.ports_of(name) if port.name not in others]
    detail = f"deleted{detached_text(names)}"
    detail += f"; {moved.port} gets back its addresses and routes" if moved and returning else ""
    return [
        BridgeChange(
            action=DELETE,
            name=f"bridge {name}",
            before=describe(_current_values(link, current, Bandwidth())),
            detail=detail,
            steps=(*clear_policer, *returning, DeleteLink(name)),
            detached=ports,
            frame_filters=port_security.filter_change(name, None, current.frame_filters),
            listed=(),
            hairpin=(),
            bridge=name,
            forget_uplink=True,
        ),
    ]


def rename_back(specs: Sequence[BridgeSpec], current: BridgeState) -> tuple[list[BridgeChange], BridgeState]:
    """Rename bridges of ours that somebody gave another name, so that they keep their guests.

    Returns the changes, and the state after them.
    """
    names = {spec.name for spec in specs}
    changes: list[BridgeChange] = []
    for spec in specs:
        candidates = [
            link
            for link in current.links.values()
            if has_mark(link) and link.mac == spec.mac and link.name not in names
        ]
        if spec.name not in current.links and len(candidates) == 1:
            (link,) = candidates
            before, after = {"name": link.name}, {"name": spec.name}
            change = BridgeChange(
                action=CHANGE,
                name=f"bridge {spec.name}",
                before=describe(before),
                after=describe(after),
                detail=difference(before, after),
                steps=(Rename(link.name, spec.name),),
                bridge=spec.name,
            )
            changes.append(change)
            current = _state_after_rename(link, spec.name, current)
    return changes, current


def _state_after_rename(link: Link, name: str, current: BridgeState) -> BridgeState:
    links = {other.name: other for other in current.links.values() if other.name != link.name}
    links.update({port.name: replace(port, master=name) for port in links.values() if port.master == link.name})
    links[name] = replace(link, name=name, sysctls=current.renamed_sysctls.get(link.name, {}))
    return replace(current, links=links)


def with_moved_uplink(spec: BridgeSpec, current: BridgeState) -> BridgeSpec:
    """The spec with the addresses that move to the bridge, and those that somebody added to it since.

    A port that must not move now is left out of the ports.
    """
    port = uplink.port_of(spec, current)
    moved = uplink.moved(spec, current)
    if moved is None:
        return replace(spec, ports=tuple(name for name in spec.ports if name != port)) if port else spec
    link = current.links.get(spec.name)
    addresses = [*spec.addresses, *moved.addresses, *(link.addresses if link else ())]
    return replace(spec, addresses=tuple(dict.fromkeys(addresses)))


def _moved_text(moved: Uplink) -> str:
    items = [*moved.addresses, *(f"route {route.to}" for route in moved.routes)]
    return f"takes over {', '.join(items) or 'nothing'} and the MAC address from {moved.port}"


def create_or_change(spec: BridgeSpec, current: BridgeState) -> list[BridgeChange]:
    """Create a bridge, with the ports that it had when it was stopped, or change it in place.

    No change where it is as desired.
    """
    link = current.links.get(spec.name)
    moved = uplink.moved(spec, current)
    removed = removed_ports(spec, current)
    ports = [] if link is None else [port.name for port in current.ports_of(spec.name) if port.name not in removed]
    former = _former_ports(spec, current) if link is None or link.alias != MARK else []
    new_ports = [*(port for port in spec.ports if port not in ports), *former]
    steps = _creation_steps(spec, moved, current) if link is None else _link_steps(spec, link, moved, current)
    steps += [DetachPort(port) for port in removed]
    steps += _port_steps(spec, link, [*ports, *new_ports], moved, current)
    hairpin = HairpinPorts.of(spec, [*ports, *new_ports], current)
    steps += hairpin.steps()
    if link is not None and spec.mtu is None and (removed or new_ports):
        steps.append(FollowPorts(spec.name))
    frames = _frame_filter(spec, moved, [*ports, *new_ports])
    filters = port_security.filter_change(spec.name, frames, current.frame_filters)
    if not steps and not filters:
        return []
    before = {} if link is None else _current_values(link, current, spec.bandwidth)
    after = {**_desired_values(spec, link, [*ports, *new_ports], current), "hairpin": hairpin.names}
    if filters or frames:
        before.update(port_security.current_values(spec.name, frames, current.frame_filters))
        after.update(port_security.desired_values(frames))
    moved_text = _moved_text(moved) if moved and moved.port in new_ports else ""
    texts = [created_text(former), moved_text] if link is None else [moved_text, difference(before, after)]
    return [
        BridgeChange(
            action=CREATE if link is None else CHANGE,
            name=f"bridge {spec.name}",
            before=describe(before),
            after=describe(after),
            detail="; ".join(filter(None, texts)),
            steps=steps,
            listed=_listed_ports(spec, new_ports, current),
            hairpin=hairpin.new_record(),
            frame_filters=filters,
            bridge=spec.name,
            moved=moved,
            confirm_within=spec.confirm_within,
        )
    ]


def _frame_filter(spec: BridgeSpec, moved: Uplink | None, ports: Sequence[str]) -> FrameFilter | None:
    mac = moved.mac if moved else spec.mac
    return port_security.frame_filter(mac, spec.addresses, spec.port_security, ports, spec.ports)


def _creation_steps(spec: BridgeSpec, moved: Uplink | None, current: BridgeState) -> list[Step]:
    attributes = {
        "br_stp_state": int(spec.stp),
        "br_forward_delay": spec.forward_delay * CENTISECONDS,
        # Only a change counts as set by somebody, so that the kernel leaves it when ports come (kernel/mtu.py).
        **({"mtu": mtu.DEFAULT + 1} if spec.mtu == mtu.DEFAULT else {}),
        **({} if spec.multicast_snooping is None else {"br_mcast_snooping": int(spec.multicast_snooping)}),
    }
    steps: list[Step] = [AddBridge(spec.name, spec.mac, attributes)]
    steps += [SetFdbLimit(spec.name, spec.fdb_limit)] if spec.fdb_limit else []
    steps += ip_config.new_link_steps(spec, current)
    steps += [] if spec.mtu is None else [SetLink(spec.name, {"mtu": spec.mtu})]
    if moved and moved.mac != spec.mac:
        # The mark has to show first that the bridge is ours.
        steps += [SetLink(spec.name, {"ifalias": UNFINISHED}), SetLink(spec.name, {"address": moved.mac})]
    return [*steps, SetLink(spec.name, {"ifalias": UNFINISHED, "state": "up"})]


def _snoops(spec: BridgeSpec) -> bool:
    """Whether the bridge snoops; the kernel's default is that it does (net/bridge/br_multicast.c)."""
    return spec.multicast_snooping is not False


def _listed_ports(spec: BridgeSpec, new_ports: Sequence[str], current: BridgeState) -> list[DetachedPort]:
    """The ports that the bridge has after the change because the spec names them; the uplink has a record of its own.

    A port that it had before the spec named it stays when the spec does not name it any more.
    """
    before = [port for port in current.listed.get(spec.name, ()) if port.name in spec.ports]
    new = [DetachedPort(name, current.links[name].index) for name in new_ports if name in spec.ports]
    own = {port.name for port in new} | {uplink.port_of(spec, current)}
    return [*new, *(port for port in before if port.name not in own)]


def removed_ports(spec: BridgeSpec, current: BridgeState) -> list[str]:
    """The ports that the bridge has because a former spec named them."""
    moved = current.uplinks.records.get(spec.name)
    return [
        port.name
        for port in current.listed.get(spec.name, ())
        for link in (current.links.get(port.name),)
        if link is not None and (link.master, link.index) == (spec.name, port.index)
        if port.name not in spec.ports and not (moved and moved.port == port.name)
    ]


def _former_ports(spec: BridgeSpec, current: BridgeState) -> list[str]:
    """Links that the bridge had when it was stopped, and that still exist and have no other bridge."""
    names = []
    for port in current.detached.get(spec.name, ()):
        link = current.links.get(port.name)
        if link is not None and link.index == port.index and not link.master and port.name not in spec.ports:
            names.append(port.name)
    return names


def _port_steps(
    spec: BridgeSpec, link: Link | None, names: Sequence[str], moved: Uplink | None, current: BridgeState
) -> list[Step]:
    """Steps that attach new ports, and what follows on that; ``link`` None: the bridge does not exist yet.

    ``names``: of all ports that it has after the change.
    """
    ports = [current.links[name] for name in names]
    new_ports = [port.name for port in ports if link is None or port.master != spec.name]
    steps: list[Step] = [AttachPort(port, spec.name) for port in new_ports]
    if moved:
        steps += uplink.move_steps(moved, spec.name, current)
    ports = [replace(port, isolated=False) if port.name in new_ports else port for port in ports]
    filters = isolation.NEW if link is None else link.filters
    steps += isolation.steps(spec.name, spec.isolate_guests, spec.ports, ports, filters)
    steps += ip_config.route_steps(spec, () if link is None else current.routes.get(spec.name, ()))
    steps += shaping.steps(spec.name, spec.bandwidth, link, current.limits)
    if link is None or link.alias != MARK:
        steps.append(SetLink(spec.name, {"ifalias": MARK}))
    return steps


def _link_steps(spec: BridgeSpec, link: Link, moved: Uplink | None, current: BridgeState) -> list[Step]:
    mac = moved.mac if moved else spec.mac
    steps: list[Step] = []
    if link.mac != mac:
        steps.append(SetLink(spec.name, {"address": mac}))
    if link.mtu != ip_config.desired_mtu(spec, current.ports_of(spec.name)):
        steps.append(FollowPorts(spec.name) if spec.mtu is None else SetLink(spec.name, {"mtu": spec.mtu}))
    if link.stp != spec.stp or link.forward_delay != spec.forward_delay:
        # With STP the kernel accepts no delay below 2 s: a longer delay comes before STP, a shorter one after it.
        stp = SetLink(spec.name, {"kind": "bridge", "br_stp_state": int(spec.stp)})
        delay = SetLink(spec.name, {"kind": "bridge", "br_forward_delay": spec.forward_delay * CENTISECONDS})
        steps += [delay, stp] if spec.stp else [stp, delay]
    # A kernel without IGMP snooping has no such setting: what is off there stays off.
    if link.multicast_snooping is not None and link.multicast_snooping != _snoops(spec):
        steps.append(SetLink(spec.name, {"kind": "bridge", "br_mcast_snooping": int(_snoops(spec))}))
    steps += current.fdb.steps(spec.name, link.index, spec.fdb_limit)
    steps += ip_config.address_steps(spec, link, current)
    return steps if link.up else [*steps, SetLink(spec.name, {"state": "up"})]


def _current_values(link: Link, current: BridgeState, desired: Bandwidth) -> dict[str, Any]:
    """For the diff: a bridge as it is; ``desired``: limits that mean the same are written as this one."""
    ports = current.ports_of(link.name)
    delay = link.forward_delay
    return {
        "mac": link.mac,
        "mtu": link.mtu,
        "stp": link.stp,
        "multicast_snooping": link.multicast_snooping,
        "forward_delay": int(delay) if delay == int(delay) else delay,
        **ip_config.current_values(link, current),
        "ports": sorted(port.name for port in ports),
        "isolated": sorted(port.name for port in ports if port.isolated),
        "isolate_guests": isolation.is_on(link.filters),
        "hairpin": sorted(port.name for port in ports if port.hairpin),
        **shaping.current_limits(desired, link, current.limits),
        **({"fdb_max_learned": current.fdb.of(link.index)} if current.fdb.supported else {}),
        "alias": link.alias,
    }


def _desired_values(spec: BridgeSpec, link: Link | None, ports: Sequence[str], current: BridgeState) -> dict[str, Any]:
    """For the diff: a bridge after the change, with these ports."""
    has_snooping = link is None or link.multicast_snooping is not None
    return {
        "mac": (uplink.moved(spec, current) or spec).mac,
        "mtu": ip_config.desired_mtu(spec, [current.links[port] for port in ports if port in current.links]),
        "stp": spec.stp,
        "multicast_snooping": _snoops(spec) if has_snooping else None,
        "forward_delay": spec.forward_delay,
        **ip_config.desired_values(spec, current),
        "ports": sorted(ports),
        "isolated": sorted(_isolated(spec, link, ports, current)),
        "isolate_guests": spec.isolate_guests,
        **shaping.desired_limits(spec.bandwidth),
        **({"fdb_max_learned": spec.fdb_limit} if current.fdb.supported else {}),
        "alias": MARK,
    }


def _isolated(spec: BridgeSpec, link: Link | None, ports: Sequence[str], current: BridgeState) -> list[str]:
    """The ports that are isolated after the change."""
    if spec.isolate_guests:
        return [port for port in ports if port not in spec.ports]
    not_ours = link is not None and not isolation.is_on(link.filters)
    return [port for port in ports if not_ours and port in current.links and current.links[port].isolated]
