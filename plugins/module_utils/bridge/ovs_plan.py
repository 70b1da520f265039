# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of Open vSwitch bridges: the commands and steps from the current state to the specs. Pure.

The internal port with the name of the bridge connects the host. It is a link like any other: it gets addresses and
settings as a Linux bridge does. All else is rows of the database, which survive a restart of Open vSwitch and a boot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..core.identity import MARK
from ..core.reconcile import CHANGE, CREATE, DELETE, describe, difference
from ..kernel.bandwidth import Bandwidth
from ..kernel.link_changes import AddAddress, DeleteAddress, SetLink, SetSysctl, Step
from ..kernel.links import Link
from ..openvswitch.bridges import LISTED_KEY, SYSTEM, USERSPACE, VLAN_KEY, Command, OvsBridge, OvsPort, set_columns
from ..openvswitch.port_vlans import Vlan
from ..openvswitch.userspace_ports import (
    SAVED_SETTINGS,
    disable_ip_stack,
    is_ip_stack_disabled,
    restore_ip_stack,
    saved_text,
)
from . import ip_config, ovs_rows, shaping
from .spec import BridgeSpec
from .state import BridgeChange, BridgeState, DetachedPort, created_text, detached_text, kept_note

_USERSPACE_NOTE = (
    "bridge {}: the kernel of this host has no datapath of Open vSwitch, so ovs-vswitchd itself moves the packets "
    "(datapath_type netdev), which costs speed; a guest whose device leaves checksums to the host needs "
    "'ethtool -K DEVICE tx off', or its TCP hangs"
)


def delete(row: OvsBridge, current: BridgeState, notes: list[str]) -> list[BridgeChange]:
    """Delete a bridge of ours; one that is not ours stays, with a note."""
    if not row.ours:
        notes.append(kept_note(row.name))
        return []
    ports = [_without_our_settings(port) for port in detachable_ports(row, current.links)]
    names = [name for name in row.ports if name != row.name and name in current.links]
    restored = [
        step
        for name, saved in _saved_settings(row).items()
        if name in current.links
        for step in restore_ip_stack(name, saved)
    ]
    return [
        BridgeChange(
            action=DELETE,
            name=f"bridge {row.name}",
            before=describe(_current_values(row, current.links.get(row.name), current, Bandwidth())),
            detail=f"deleted{detached_text(names)}",
            steps=[*shaping.delete_policer(row.name, current.limits), *restored],
            detached=ports,
            bridge=row.name,
            ovs_commands=[("del-br", row.name)],
        )
    ]


def _saved_settings(row: OvsBridge) -> dict[str, str]:
    """By port, the IP settings that it had before it became a port, as saved in the database."""
    ids = {port.name: port.settings.get("Port", {}).get("external_ids", {}) for port in row.ports.values()}
    return {name: str(values[SAVED_SETTINGS]) for name, values in ids.items() if SAVED_SETTINGS in values}


def _without_our_settings(port: DetachedPort) -> DetachedPort:
    """The port without the saved IP settings, which its link has again, and without VLANs that our options gave it."""
    columns = dict(port.settings.get("Port", {}))
    ids = columns.pop("external_ids", {})
    if VLAN_KEY in ids:
        columns = {key: value for key, value in columns.items() if key not in ("tag", "trunks", "vlan_mode")}
    ids = {key: value for key, value in ids.items() if key not in (SAVED_SETTINGS, VLAN_KEY)}
    return replace(port, settings={**port.settings, "Port": {**columns, **({"external_ids": ids} if ids else {})}})


def detachable_ports(row: OvsBridge, links: Mapping[str, Link]) -> list[DetachedPort]:
    """The ports of a bridge that can be added again after a deletion, without its internal port.

    Bonds cannot, nor ports whose link does not exist. Ports that the options named come back if they name them still.
    """
    ports = []
    for port in row.ports.values():
        made_by_ovs = port.settings.get("Interface", {}).get("type", "") not in ("", "system")
        link = links.get(port.name)
        is_guests = port.name != row.name and not port.ids.get(LISTED_KEY)
        if is_guests and len(port.interfaces) == 1 and (made_by_ovs or link is not None):
            ports.append(DetachedPort(port.name, 0 if made_by_ovs or link is None else link.index, port.settings))
    return ports


def create(spec: BridgeSpec, current: BridgeState, notes: list[str]) -> list[BridgeChange]:
    """Create a bridge, with the ports that it had when it was stopped."""
    former = _former_ports(spec, current.detached.get(spec.name, ()), current)
    row = OvsBridge(spec.name, datapath=SYSTEM if current.ovs.kernel else USERSPACE)
    created = _creation(spec, row, former, current, notes)
    return [replace(created, action=CREATE, detail=created_text(port.name for port in former))]


def change(spec: BridgeSpec, current: BridgeState, notes: list[str]) -> list[BridgeChange]:
    """Change an existing bridge in place; no change where it is as desired."""
    row, link = current.ovs.bridges[spec.name], current.links.get(spec.name)
    if link is None:
        return [_recreation(spec, row, current, notes)]
    new_ports = [port for port in spec.ports if port not in row.ports]
    removed = ovs_rows.removed_ports(spec, row)
    names = [*(port.name for port in current.ports_of(spec.name) if port.name not in removed), *new_ports]
    commands = [*ovs_rows.commands(spec, row, new_ports), *_save_settings(row, names, current)]
    saved = _saved_settings(row)
    steps: list[Step] = [step for name in removed if name in saved for step in restore_ip_stack(name, saved[name])]
    steps += [*_disable_ip_stacks(row, names, current), *_link_steps(spec, link, current)]
    if not commands and not steps:
        return []
    before = _current_values(row, link, current, spec.bandwidth)
    after = _desired_values(spec, row, link, new_ports, current)
    if row.datapath == USERSPACE:
        disabled = {name: is_ip_stack_disabled(current.port_sysctls.get(name, {})) for name in sorted(names)}
        before["ip_stack_disabled"] = [name for name, done in disabled.items() if done]
        after["ip_stack_disabled"] = list(disabled)
    return [
        BridgeChange(
            action=CHANGE,
            name=f"bridge {spec.name}",
            before=describe(before),
            after=describe(after),
            detail=difference(before, after),
            steps=steps,
            bridge=spec.name,
            # Without a request Open vSwitch lowers an MTU and never raises it (ofproto.c, update_mtu()): so the last
            # request is for the MTU that the bridge has without one.
            ovs_deletions=ovs_rows.request_mtu(spec, row, _desired_mtu(spec, row, link, current)),
            ovs_commands=commands,
        )
    ]


def _recreation(spec: BridgeSpec, row: OvsBridge, current: BridgeState, notes: list[str]) -> BridgeChange:
    """Create a bridge again whose internal port was deleted by hand: ovs-vswitchd creates that port with the bridge."""
    former = _former_ports(spec, detachable_ports(row, current.links), current)
    with_ports = f", with {', '.join(port.name for port in former)}" if former else ""
    return replace(
        _creation(spec, replace(row, ports={}), former, current, notes),
        before=describe(_current_values(row, None, current, spec.bandwidth)),
        detail=f"created again, because its interface is gone{with_ports}",
        ovs_deletions=[("del-br", spec.name)],
    )


def _former_ports(spec: BridgeSpec, ports: Sequence[DetachedPort], current: BridgeState) -> list[DetachedPort]:
    """The ports whose link still exists and has no other bridge, or which Open vSwitch itself creates."""
    former = []
    for port in ports:
        link = current.links.get(port.name)
        same = link is not None and link.index == port.index and link.master in ("", spec.name)
        if port.name not in spec.ports and (same or (port.index == 0 and link is None)):
            former.append(port)
    return former


def _creation(
    spec: BridgeSpec, row: OvsBridge, former: Sequence[DetachedPort], current: BridgeState, notes: list[str]
) -> BridgeChange:
    """Create a bridge with the datapath and the configuration of a row."""
    if row.datapath == USERSPACE:
        notes.append(_USERSPACE_NOTE.format(spec.name))
    ports = {port.name: OvsPort(port.name, settings=port.settings) for port in former}
    blank = OvsBridge(spec.name, row.datapath, config=row.config, ports=ports)
    links = [*spec.ports, *(port.name for port in former)]
    commands = [
        *ovs_rows.creation_commands(spec.name, row, former),
        *ovs_rows.commands(spec, blank, spec.ports),
        *_save_settings(blank, links, current),
    ]
    steps: list[Step] = [
        *_disable_ip_stacks(row, links, current),
        *ip_config.new_link_steps(spec, current),
        SetLink(spec.name, {"ifalias": MARK, "state": "up"}),
        *ip_config.route_steps(spec, ()),
        *shaping.steps(spec.name, spec.bandwidth, None, current.limits),
    ]
    return BridgeChange(
        action=CHANGE,
        name=f"bridge {spec.name}",
        after=describe(_desired_values(spec, blank, None, spec.ports, current)),
        steps=steps,
        bridge=spec.name,
        ovs_commands=commands,
    )


def _disable_ip_stacks(row: OvsBridge, links: Sequence[str], current: BridgeState) -> list[SetSysctl]:
    """Keep the host's IP stack away from ports of the userspace datapath."""
    if row.datapath != USERSPACE:
        return []
    settings = current.port_sysctls
    return [step for name in links if name in settings for step in disable_ip_stack(name, settings[name])]


def _save_settings(row: OvsBridge, links: Sequence[str], current: BridgeState) -> list[Command]:
    """Save the IP settings of these links in the database, where they are not saved yet."""
    if row.datapath != USERSPACE:
        return []
    saved = _saved_settings(row)
    settings = current.port_sysctls
    return [
        command
        for name in links
        if name in settings and name not in saved and not is_ip_stack_disabled(settings[name])
        for command in set_columns("Port", name, {f"external_ids:{SAVED_SETTINGS}": saved_text(settings[name])})
    ]


def _link_steps(spec: BridgeSpec, link: Link, current: BridgeState) -> list[Step]:
    """Steps that configure the internal port as a link; a restart of Open vSwitch may have reset it."""
    mac_changes = current.ovs.bridges[spec.name].config.get("hwaddr") != spec.mac
    steps: list[Step] = []
    if link.alias != MARK:
        steps.append(SetLink(spec.name, {"ifalias": MARK}))
    if link.mac != spec.mac and not mac_changes:
        steps.append(SetLink(spec.name, {"address": spec.mac}))
    steps += ip_config.address_steps(spec, link, current)
    if mac_changes:
        # ovs-vswitchd takes the link down to set its MAC address, and the link loses its IPv6 addresses.
        kept = [address for address in spec.addresses if ":" in address and address in link.addresses]
        steps += [
            step for address in kept for step in (DeleteAddress(spec.name, address), AddAddress(spec.name, address))
        ]
    if not link.up:
        steps.append(SetLink(spec.name, {"state": "up"}))
    steps += ip_config.route_steps(spec, current.routes.get(spec.name, ()))
    steps += shaping.steps(spec.name, spec.bandwidth, link, current.limits)
    return steps


def _current_values(row: OvsBridge, link: Link | None, current: BridgeState, desired: Bandwidth) -> dict[str, Any]:
    """For the diff: a bridge as it is; ``desired``: limits that mean the same are written as this one."""
    link = link or Link(row.name, 0)
    return {
        "datapath": row.datapath,
        "mac": row.config.get("hwaddr", link.mac),
        "mtu": link.mtu,
        "stp": row.stp,
        "rstp": row.rstp,
        "forward_delay": ovs_rows.current_delay(row),
        "fail_mode": row.fail_mode,
        **ip_config.current_values(link, current),
        "ports": sorted(name for name in row.ports if name != row.name),
        "vlans": _vlans_text({port.name: port.vlan for port in row.ports.values()}),
        "protected": sorted(port.name for port in row.ports.values() if port.protected),
        "isolate_guests": row.protects,
        "fdb_max_learned": row.table_size,
        **shaping.current_limits(desired, link, current.limits),
        "alias": link.alias,
    }


def _desired_values(
    spec: BridgeSpec, row: OvsBridge, link: Link | None, new_ports: Sequence[str], current: BridgeState
) -> dict[str, Any]:
    """For the diff: a bridge after the change."""
    protect = ovs_rows.desired_protection(spec, row)
    removed = set(ovs_rows.removed_ports(spec, row))
    guests = [port for port in row.ports.values() if port.name not in (spec.name, *spec.ports, *removed)]
    vlans = {**{port.name: port.vlan for port in guests}, **ovs_rows.desired_vlans(spec, row, new_ports)}
    return {
        "datapath": row.datapath,
        "mac": spec.mac,
        "mtu": _desired_mtu(spec, row, link, current),
        "stp": spec.stp,
        "rstp": spec.rstp,
        "forward_delay": str(spec.forward_delay) if spec.stp or spec.rstp else "0",
        "fail_mode": spec.fail_mode,
        **ip_config.desired_values(spec, current),
        "ports": sorted({*(name for name in row.ports if name != row.name), *new_ports} - removed),
        "vlans": _vlans_text(vlans),
        "protected": sorted(port.name for port in guests if (port.protected if protect is None else protect)),
        "isolate_guests": spec.isolate_guests,
        "fdb_max_learned": spec.fdb_limit,
        **shaping.desired_limits(spec.bandwidth),
        "alias": MARK,
    }


def _desired_mtu(spec: BridgeSpec, row: OvsBridge, link: Link | None, current: BridgeState) -> int:
    """The MTU after the change. Without a request Open vSwitch decides, as it has done if there is none now."""
    own_port = row.ports.get(row.name)
    if spec.mtu is None and link is not None and (own_port is None or own_port.mtu_request is None):
        return link.mtu
    return ip_config.desired_mtu(spec, current.ports_of(spec.name))


def _vlans_text(vlans: Mapping[str, Vlan]) -> list[str]:
    """For the diff: the VLANs of the ports that have any."""
    lines = []
    for name in sorted(vlans):
        vlan = vlans[name]
        words = [f"tag {vlan.tag}"] if vlan.tag is not None else []
        words += [f"trunks {', '.join(map(str, vlan.trunks))}"] if vlan.trunks else []
        words += [vlan.mode] if vlan.mode else []
        lines += [f"{name}: {' '.join(words)}"] if words else []
    return lines
