# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of an Open vSwitch bridge in the database: the commands from the current to the desired columns. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.identity import MARK
from ..openvswitch.bridges import (
    LISTED_KEY,
    MADE_BY_KEY,
    PROTECTS_KEY,
    SIZES_KEY,
    TABLE_SIZE_KEY,
    VLAN_KEY,
    Command,
    OvsBridge,
    OvsPort,
    set_columns,
)
from ..openvswitch.port_vlans import Vlan
from .spec import FAIL_MODES, BridgeSpec
from .state import DetachedPort

# Seconds; the same for STP and RSTP (ovs-vswitchd.conf.db(5)).
_DEFAULT_DELAY = "15"
_DELAY_KEYS = ("stp-forward-delay", "rstp-forward-delay")


def creation_commands(name: str, row: OvsBridge, former: Sequence[DetachedPort]) -> list[Command]:
    """Commands that create a bridge with its former ports and the datapath and configuration of ``row``."""
    commands: list[Command] = [("add-br", name)]
    config: dict[str, Any] = {"other_config": row.config} if row.config else {}
    commands += set_columns("Bridge", name, {"datapath_type": row.datapath, **config})
    for port in former:
        commands.append(("add-port", name, port.name))
        for table, values in port.settings.items():
            commands += set_columns(table, port.name, values)
    return commands


def commands(spec: BridgeSpec, row: OvsBridge, new_ports: Sequence[str]) -> list[Command]:
    """Commands from a row to the spec, which also add the new ports and delete those that it does not name any more."""
    return [
        *set_columns("Bridge", spec.name, _changed_columns(spec, row)),
        *_reset_keys(spec, row),
        *_mtu_commands(spec, row),
        *(("del-port", spec.name, port) for port in removed_ports(spec, row)),
        *(command for port in new_ports for command in _port_commands(spec.name, port)),
        *_vlan_commands(spec, row, new_ports),
        *_protection_commands(spec, row),
    ]


def request_mtu(spec: BridgeSpec, row: OvsBridge, mtu: int) -> list[Command]:
    """The command that requests an MTU, for a bridge whose spec gives none and that has another request."""
    requested = row.ports.get(spec.name, OvsPort(spec.name)).mtu_request
    other = spec.mtu is None and requested not in (None, mtu)
    return set_columns("Interface", spec.name, {"mtu_request": mtu} if other else {})


def _mtu_commands(spec: BridgeSpec, row: OvsBridge) -> list[Command]:
    if spec.mtu == row.ports.get(spec.name, OvsPort(spec.name)).mtu_request:
        return []
    if spec.mtu is None:
        return [("clear", "Interface", spec.name, "mtu_request")]
    return set_columns("Interface", spec.name, {"mtu_request": spec.mtu})


def _port_commands(bridge: str, port: str) -> list[Command]:
    return [("add-port", bridge, port), *set_columns("Port", port, {f"external_ids:{LISTED_KEY}": "true"})]


def removed_ports(spec: BridgeSpec, row: OvsBridge) -> list[str]:
    """The ports that the bridge has because a former spec named them."""
    return [name for name, port in row.ports.items() if port.ids.get(LISTED_KEY) and name not in spec.ports]


def _vlan_commands(spec: BridgeSpec, row: OvsBridge, new_ports: Sequence[str]) -> list[Command]:
    commands: list[Command] = []
    named = {item.port for item in spec.vlans} - {spec.name, *spec.ports}
    for name, vlan in sorted(desired_vlans(spec, row, new_ports).items()):
        port = row.ports.get(name, OvsPort(name))
        if vlan != port.vlan:
            values = {
                "tag": [] if vlan.tag is None else vlan.tag,
                "trunks": list(vlan.trunks),
                "vlan_mode": vlan.mode or [],
                **({f"external_ids:{VLAN_KEY}": "true"} if name in named else {}),
            }
            commands += set_columns("Port", name, values)
        if name not in named and port.ids.get(VLAN_KEY):
            commands.append(("remove", "Port", name, "external_ids", VLAN_KEY))
    return commands


def _protection_commands(spec: BridgeSpec, row: OvsBridge) -> list[Command]:
    protect, gone = desired_protection(spec, row), removed_ports(spec, row)
    return [
        command
        for port in row.ports.values()
        if protect is not None and port.name not in (spec.name, *spec.ports, *gone) and port.protected != protect
        for command in set_columns("Port", port.name, {"protected": protect})
    ]


def _changed_columns(spec: BridgeSpec, row: OvsBridge) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if row.config.get("hwaddr") != spec.mac:
        columns["other_config:hwaddr"] = spec.mac
    if row.fail_mode != spec.fail_mode:
        # The default is an empty column.
        columns["fail_mode"] = [] if spec.fail_mode == FAIL_MODES[0] else spec.fail_mode
    if row.stp != spec.stp:
        columns["stp_enable"] = spec.stp
    if row.rstp != spec.rstp:
        columns["rstp_enable"] = spec.rstp
    key = _delay_key(spec.stp, spec.rstp)
    if key and row.config.get(key) != str(spec.forward_delay):
        columns[f"other_config:{key}"] = str(spec.forward_delay)
    if not row.ours:
        columns[f"external_ids:{MADE_BY_KEY}"] = MARK
    if spec.isolate_guests and not row.protects:
        columns[f"external_ids:{PROTECTS_KEY}"] = "true"
    if spec.fdb_limit and row.table_size != spec.fdb_limit:
        columns[f"other_config:{TABLE_SIZE_KEY}"] = str(spec.fdb_limit)
        columns[f"external_ids:{SIZES_KEY}"] = "true"
    return columns


def _reset_keys(spec: BridgeSpec, row: OvsBridge) -> list[Command]:
    """Remove what we had set and the spec does not ask for: Open vSwitch has its defaults again."""
    keys = [
        ("other_config", key) for key in _DELAY_KEYS if key in row.config and key != _delay_key(spec.stp, spec.rstp)
    ]
    if PROTECTS_KEY in row.ids and not spec.isolate_guests:
        keys.append(("external_ids", PROTECTS_KEY))
    if row.ids.get(SIZES_KEY) and not spec.fdb_limit:
        keys += [("other_config", TABLE_SIZE_KEY), ("external_ids", SIZES_KEY)]
    return [("remove", "Bridge", spec.name, column, key) for column, key in keys]


def _delay_key(stp: bool, rstp: bool) -> str:
    return _DELAY_KEYS[0] if stp else _DELAY_KEYS[1] if rstp else ""


def current_delay(row: OvsBridge) -> str:
    """The forward delay in seconds; 0 without STP and RSTP."""
    key = _delay_key(row.stp, row.rstp)
    return row.config.get(key, _DEFAULT_DELAY) if key else "0"


def desired_vlans(spec: BridgeSpec, row: OvsBridge, new_ports: Sequence[str]) -> dict[str, Vlan]:
    """VLANs of our ports, and of the existing guests' ports that the spec names or a former one named."""
    existing = {*row.ports, *new_ports, spec.name} - {*removed_ports(spec, row)}
    formerly_named = [name for name in existing if name in row.ports and row.ports[name].ids.get(VLAN_KEY)]
    vlans = dict.fromkeys((spec.name, *spec.ports, *formerly_named), Vlan())
    vlans.update({item.port: item.vlan for item in spec.vlans if item.port in existing})
    return vlans


def desired_protection(spec: BridgeSpec, row: OvsBridge) -> bool | None:
    """Whether guests' ports are to be protected from each other; None where that is not ours to decide."""
    return True if spec.isolate_guests else False if row.protects else None
