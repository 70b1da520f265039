# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What it takes to bring bridges of Open vSwitch after their specs. Nothing here touches the host.

The host's leg is the internal port of the bridge's own name: a link like any other, which gets addresses and settings
as a Linux bridge does. All else is rows of the database, which outlive a restart of Open vSwitch and of the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..core.command import PACKAGES
from ..core.errors import InvalidOption, NotRunning
from ..core.identity import MARK
from ..core.reconcile import CHANGE, CREATE, DELETE, describe, difference
from ..kernel.bandwidth import Bandwidth
from ..kernel.link_changes import AddAddress, DeleteAddress, SetLink, SetSysctl, Step
from ..kernel.links import OPENVSWITCH, Link, sysctl_path
from ..openvswitch.bridges import (
    MADE_BY,
    PROTECTS,
    SIZES,
    SYSTEM,
    TABLE_SIZE,
    USERSPACE,
    Bridge,
    Command,
    Port,
    Vlan,
    set_columns,
)
from ..openvswitch.userspace_ports import BEFORE, is_shut, note, reopen, shut
from . import shaping
from .linux_plan import (
    OTHER_TYPE,
    TAKEN,
    BridgeChange,
    Freed,
    State,
    check_rest,
    ours,
    readdress,
    reroute,
    wanted_sysctls,
)
from .spec import BridgeSpec

_HARDWARE = "other_config:hwaddr"
_USERSPACE_NOTE = (
    "bridge {}: the kernel of this host has no datapath of Open vSwitch, so ovs-vswitchd itself moves the packets "
    "(datapath_type netdev), which costs speed; a guest whose device leaves checksums to the host needs "
    "'ethtool -K DEVICE tx off', or its TCP hangs"
)


def check(spec: BridgeSpec, current: State) -> None:
    """Refuse what cannot be, before anything is touched."""
    owner = f"bridge {spec.name!r}"
    at = f"{spec.path}." if spec.path else ""
    switch = current.switch
    if not switch.installed:
        raise InvalidOption(
            f"{at}type",
            f"'{OPENVSWITCH}' needs Open vSwitch, which is not installed on this host; install the package "
            f"{PACKAGES['ovs-vsctl']}, or use linux",
            owner,
        )
    if switch.problem:
        raise NotRunning(f"{owner}: {switch.problem}")
    link, row = current.links.get(spec.name), switch.bridges.get(spec.name)
    if link is not None and ours(link, spec.mac):
        raise InvalidOption(f"{at}type", OTHER_TYPE.format(OPENVSWITCH, "a Linux bridge"), owner)
    if row is not None and not row.ours:
        raise InvalidOption(f"{at}name", TAKEN.format(spec.name, "a bridge of Open vSwitch"), owner)
    if row is None and link is not None:
        kind = f"a {link.kind}" if link.kind else "an interface"
        raise InvalidOption(f"{at}name", TAKEN.format(spec.name, kind), owner)
    check_rest(spec, current)


def delete(row: Bridge, current: State, notes: list[str]) -> list[BridgeChange]:
    """A bridge of ours goes; one of others is noted and stays."""
    if not row.ours:
        notes.append(f"{row.name} was not made by virtnet.linux and stays")
        return []
    ports = [_unmarked(port) for port in ports_of(row, current.links)]
    reopened = [step for name, noted in _noted(row).items() if name in current.links for step in reopen(name, noted)]
    names = [port.name for port in ports if port.index]
    freed = f", which frees {', '.join(names)}" if names else ""
    before = describe(_values(row, current.links.get(row.name), current, Bandwidth()))
    return [
        BridgeChange(
            DELETE,
            f"bridge {row.name}",
            before,
            "",
            f"deleted{freed}",
            [*shaping.remove(row.name, current.limits), *reopened],
            ports,
            row.name,
            commands=[("del-br", row.name)],
        )
    ]


def _noted(row: Bridge) -> dict[str, str]:
    """The settings that ports had before they were ports."""
    ids = {port.name: port.settings.get("Port", {}).get("external_ids", {}) for port in row.ports.values()}
    return {name: str(values[BEFORE]) for name, values in ids.items() if BEFORE in values}


def _unmarked(port: Freed) -> Freed:
    """Without the note of settings, which the port has again."""
    own = dict(port.settings.get("Port", {}))
    ids = {key: value for key, value in own.pop("external_ids", {}).items() if key != BEFORE}
    return replace(port, settings={**port.settings, "Port": {**own, **({"external_ids": ids} if ids else {})}})


def ports_of(row: Bridge, links: Mapping[str, Link]) -> list[Freed]:
    """The ports of a bridge besides its own, for them to be made again: bonds are not, nor links that are not there."""
    found = []
    for port in row.ports.values():
        made = port.settings.get("Interface", {}).get("type", "") not in ("", "system")
        link = links.get(port.name)
        if port.name != row.name and len(port.interfaces) == 1 and (made or link is not None):
            found.append(Freed(port.name, 0 if made or link is None else link.index, port.settings))
    return found


def create(spec: BridgeSpec, current: State, notes: list[str]) -> list[BridgeChange]:
    """A new bridge, with the ports that it had when it was stopped."""
    back = _back(spec, current.freed.get(spec.name, ()), current)
    names = [port.name for port in back]
    detail = f"created, taking back {', '.join(names)}" if back else "created"
    made = _made(spec, Bridge(spec.name, datapath=_datapath(current)), back, current, notes)
    return [replace(made, action=CREATE, detail=detail)]


def change(spec: BridgeSpec, current: State, notes: list[str]) -> list[BridgeChange]:
    """A bridge that is there, changed in place; nothing where it is right."""
    row, link = current.switch.bridges[spec.name], current.links.get(spec.name)
    if link is None:
        # Its internal port was deleted by hand, and ovs-vswitchd makes it again only with the bridge.
        back = _back(spec, ports_of(row, current.links), current)
        made = _made(spec, replace(row, ports={}), back, current, notes)
        with_ports = f", with {', '.join(port.name for port in back)}" if back else ""
        detail = f"made again, since its interface is gone{with_ports}"
        return [
            replace(
                made,
                before=describe(_values(row, None, current, spec.bandwidth)),
                detail=detail,
                first=[("del-br", spec.name)],
            )
        ]
    new = [port for port in spec.ports if port not in row.ports]
    there = [one.name for one in current.links.values() if one.master == spec.name]
    commands = [*_commands(spec, row, new), *_notes(row, [*there, *new], current)]
    steps = [*_shut(row, [*there, *new], current), *_link_steps(spec, link, current)]
    if not commands and not steps:
        return []
    before, after = _values(row, link, current, spec.bandwidth), _after(spec, row, link, new, current)
    if row.datapath == USERSPACE:
        stacks = {name: is_shut(current.stacks.get(name, {})) for name in sorted([*there, *new])}
        before["host_keeps_off"] = [name for name, done in stacks.items() if done]
        after["host_keeps_off"] = list(stacks)
    return [
        BridgeChange(
            CHANGE,
            f"bridge {spec.name}",
            describe(before),
            describe(after),
            difference(before, after),
            steps,
            bridge=spec.name,
            commands=commands,
        )
    ]


def _datapath(current: State) -> str:
    return SYSTEM if current.switch.kernel else USERSPACE


def _back(spec: BridgeSpec, ports: Sequence[Freed], current: State) -> list[Freed]:
    """Those of the ports that are still there and free, or that Open vSwitch itself makes."""
    found = []
    for port in ports:
        link = current.links.get(port.name)
        same = link is not None and link.index == port.index and link.master in ("", spec.name)
        if port.name not in spec.ports and (same or (port.index == 0 and link is None)):
            found.append(port)
    return found


def _made(spec: BridgeSpec, row: Bridge, back: Sequence[Freed], current: State, notes: list[str]) -> BridgeChange:
    if row.datapath == USERSPACE:
        notes.append(_USERSPACE_NOTE.format(spec.name))
    commands: list[Command] = [("add-br", spec.name)]
    config: dict[str, Any] = {"other_config": row.config} if row.config else {}
    commands += set_columns("Bridge", spec.name, {"datapath_type": row.datapath, **config})
    for port in back:
        commands.append(("add-port", spec.name, port.name))
        for table, values in port.settings.items():
            commands += set_columns(table, port.name, values)
    taken = {port.name: Port(port.name) for port in back}
    blank = Bridge(spec.name, row.datapath, config=row.config, ports=taken)
    commands += _commands(spec, blank, spec.ports)
    links = [*spec.ports, *(port.name for port in back)]
    kept = {port.name: Port(port.name, settings=port.settings) for port in back}
    commands += _notes(replace(blank, ports=kept), links, current)
    steps: list[Step] = [*_shut(row, links, current)]
    steps += [
        SetSysctl(sysctl_path("/proc/sys", spec.name, key), value)
        for key, value in wanted_sysctls(spec, current).items()
    ]
    steps += [AddAddress(spec.name, address) for address in spec.addresses]
    steps.append(SetLink(spec.name, {"ifalias": MARK, "state": "up"}))
    steps += reroute(spec, ())
    steps += shaping.steps(spec.name, spec.bandwidth, None, current.limits)
    after = describe(_after(spec, blank, None, spec.ports, current))
    return BridgeChange(CHANGE, f"bridge {spec.name}", "", after, "", steps, bridge=spec.name, commands=commands)


def _commands(spec: BridgeSpec, row: Bridge, new: Sequence[str]) -> list[Command]:
    """From a row to the spec; ``new`` ports are added."""
    commands = [*set_columns("Bridge", spec.name, _columns(spec, row)), *_table_size_removed(spec, row)]
    own = row.ports.get(spec.name, Port(spec.name))
    if spec.mtu is not None and own.mtu_request != spec.mtu:
        commands += set_columns("Interface", spec.name, {"mtu_request": spec.mtu})
    commands += [("add-port", spec.name, port) for port in new]
    vlans = _wanted_vlans(spec, row, new)
    for name in sorted(vlans):
        if vlans[name] != row.ports.get(name, Port(name)).vlan:
            vlan = vlans[name]
            values = {
                "tag": [] if vlan.tag is None else vlan.tag,
                "trunks": list(vlan.trunks),
                "vlan_mode": vlan.mode or [],
            }
            commands += set_columns("Port", name, values)
    protected = _wanted_protection(spec, row)
    if protected is not None:
        for port in row.ports.values():
            if port.name not in (spec.name, *spec.ports) and port.protected != protected:
                commands += set_columns("Port", port.name, {"protected": protected})
    return commands


def _shut(row: Bridge, links: Sequence[str], current: State) -> list[SetSysctl]:
    """Keep the host's stack from ports of the userspace datapath."""
    if row.datapath != USERSPACE:
        return []
    return [step for name in links if name in current.stacks for step in shut(name, current.stacks[name])]


def _notes(row: Bridge, links: Sequence[str], current: State) -> list[Command]:
    """Note what these ports have now, where that is not noted yet."""
    if row.datapath != USERSPACE:
        return []
    noted = _noted(row)
    return [
        command
        for name in links
        if name in current.stacks and name not in noted and not is_shut(current.stacks[name])
        for command in set_columns("Port", name, {f"external_ids:{BEFORE}": note(current.stacks[name])})
    ]


def _columns(spec: BridgeSpec, row: Bridge) -> dict[str, Any]:
    """Columns of the bridge's row that have to change."""
    found: dict[str, Any] = {}
    if row.config.get("hwaddr") != spec.mac:
        found[_HARDWARE] = spec.mac
    if row.fail_mode != spec.fail_mode:
        found["fail_mode"] = spec.fail_mode
    if row.stp != spec.stp:
        found["stp_enable"] = spec.stp
    if row.rstp != spec.rstp:
        found["rstp_enable"] = spec.rstp
    key = _delay_key(spec.stp, spec.rstp)
    if key and row.config.get(key) != str(spec.forward_delay):
        found[f"other_config:{key}"] = str(spec.forward_delay)
    if not row.ours:
        found[f"external_ids:{MADE_BY}"] = MARK
    if row.protects != spec.isolate_guests:
        found[f"external_ids:{PROTECTS}"] = "true" if spec.isolate_guests else ""
    if spec.fdb_limit and row.table_size != spec.fdb_limit:
        found[f"other_config:{TABLE_SIZE}"] = str(spec.fdb_limit)
        found[f"external_ids:{SIZES}"] = "true"
    return found


def _table_size_removed(spec: BridgeSpec, row: Bridge) -> list[Command]:
    """Commands that leave the table of MAC addresses to Open vSwitch again, where its size is ours."""
    if spec.fdb_limit or not row.ids.get(SIZES):
        return []
    keys = (("other_config", TABLE_SIZE), ("external_ids", SIZES))
    return [("remove", "Bridge", spec.name, column, key) for column, key in keys]


def _delay_key(stp: bool, rstp: bool) -> str:
    return "stp-forward-delay" if stp else "rstp-forward-delay" if rstp else ""


def _wanted_vlans(spec: BridgeSpec, row: Bridge, new: Sequence[str]) -> dict[str, Vlan]:
    """VLANs of the ports that are ours, and of guests' ports that the spec names and that are there."""
    there = {*row.ports, *new}
    found = dict.fromkeys((spec.name, *spec.ports), Vlan())
    found.update({one.port: one.vlan for one in spec.vlans if one.port in there or one.port == spec.name})
    return found


def _wanted_protection(spec: BridgeSpec, row: Bridge) -> bool | None:
    """Whether guests' ports shall be protected from each other; None where that is not for us to say."""
    return True if spec.isolate_guests else False if row.protects else None


def _link_steps(spec: BridgeSpec, link: Link, current: State) -> list[Step]:
    """The internal port as a link, which a restart of Open vSwitch may have left bare."""
    steps: list[Step] = []
    if link.alias != MARK:
        steps.append(SetLink(spec.name, {"ifalias": MARK}))
    if link.mac != spec.mac and current.switch.bridges[spec.name].config.get("hwaddr") == spec.mac:
        steps.append(SetLink(spec.name, {"address": spec.mac}))
    steps += readdress(spec, link, current)
    if current.switch.bridges[spec.name].config.get("hwaddr") != spec.mac:
        # ovs-vswitchd takes the link down to give it a MAC address, and IPv6 loses its addresses.
        kept = [address for address in spec.addresses if ":" in address and address in link.addresses]
        steps += [
            step for address in kept for step in (DeleteAddress(spec.name, address), AddAddress(spec.name, address))
        ]
    if not link.up:
        steps.append(SetLink(spec.name, {"state": "up"}))
    steps += reroute(spec, current.routes.get(spec.name, ()))
    steps += shaping.steps(spec.name, spec.bandwidth, link, current.limits)
    return steps


def _values(row: Bridge, link: Link | None, current: State, bandwidth: Bandwidth) -> dict[str, Any]:
    own = link or Link(row.name, 0)
    key = _delay_key(row.stp, row.rstp)
    return {
        "datapath": row.datapath,
        "mac": row.config.get("hwaddr", own.mac),
        "mtu": own.mtu,
        "stp": row.stp,
        "rstp": row.rstp,
        "forward_delay": row.config.get(key, "15") if key else "0",
        "fail_mode": row.fail_mode,
        "up": own.up,
        **own.sysctls,
        "addresses": sorted(own.addresses),
        "routes": [str(route) for route in current.routes.get(row.name, ())],
        "ports": sorted(name for name in row.ports if name != row.name),
        "vlans": _shown({port.name: port.vlan for port in row.ports.values()}),
        "protected": sorted(port.name for port in row.ports.values() if port.protected),
        "isolate_guests": row.protects,
        "fdb_max_learned": row.table_size,
        **shaping.now(bandwidth, own, current.limits),
        "alias": own.alias,
    }


def _after(spec: BridgeSpec, row: Bridge, link: Link | None, new: Sequence[str], current: State) -> dict[str, Any]:
    mtu = spec.mtu if spec.mtu is not None else (link.mtu if link is not None else 1500)
    protected = _wanted_protection(spec, row)
    guests = [port for port in row.ports.values() if port.name not in (spec.name, *spec.ports)]
    return {
        "datapath": row.datapath,
        "mac": spec.mac,
        "mtu": mtu,
        "stp": spec.stp,
        "rstp": spec.rstp,
        "forward_delay": str(spec.forward_delay) if spec.stp or spec.rstp else "0",
        "fail_mode": spec.fail_mode,
        "up": True,
        **wanted_sysctls(spec, current),
        "addresses": sorted(spec.addresses),
        "routes": [str(route) for route in spec.routes],
        "ports": sorted({*(name for name in row.ports if name != row.name), *new}),
        "vlans": _shown({**{port.name: port.vlan for port in guests}, **_wanted_vlans(spec, row, new)}),
        "protected": sorted(port.name for port in guests if (port.protected if protected is None else protected)),
        "isolate_guests": spec.isolate_guests,
        "fdb_max_learned": spec.fdb_limit,
        **shaping.after(spec.bandwidth),
        "alias": MARK,
    }


def _shown(vlans: Mapping[str, Vlan]) -> list[str]:
    """For the diff: what differs from a port without VLANs."""
    found = []
    for name in sorted(vlans):
        vlan = vlans[name]
        words = [f"tag {vlan.tag}"] if vlan.tag is not None else []
        words += [f"trunks {', '.join(map(str, vlan.trunks))}"] if vlan.trunks else []
        words += [vlan.mode] if vlan.mode else []
        found += [f"{name}: {' '.join(words)}"] if words else []
    return found
