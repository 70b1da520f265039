# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of an Open vSwitch bridge in the database: the commands from the current to the desired columns. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.identity import MARK
from ..openvswitch.bridges import (
    MADE_BY_KEY,
    PROTECTS_KEY,
    SIZES_KEY,
    TABLE_SIZE_KEY,
    Command,
    OvsBridge,
    OvsPort,
    set_columns,
)
from ..openvswitch.port_vlans import Vlan
from .spec import BridgeSpec
from .state import DetachedPort

# Seconds; the same for STP and RSTP (ovs-vswitchd.conf.db(5)).
_DEFAULT_DELAY = "15"


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
    """Commands from a row to the spec, which also add the new ports."""
    own_port = row.ports.get(spec.name, OvsPort(spec.name))
    mtu_changes = spec.mtu is not None and own_port.mtu_request != spec.mtu
    return [
        *set_columns("Bridge", spec.name, _changed_columns(spec, row)),
        *_reset_table_size(spec, row),
        *set_columns("Interface", spec.name, {"mtu_request": spec.mtu} if mtu_changes else {}),
        *(("add-port", spec.name, port) for port in new_ports),
        *_vlan_commands(spec, row, new_ports),
        *_protection_commands(spec, row),
    ]


def _vlan_commands(spec: BridgeSpec, row: OvsBridge, new_ports: Sequence[str]) -> list[Command]:
    commands: list[Command] = []
    for name, vlan in sorted(desired_vlans(spec, row, new_ports).items()):
        if vlan != row.ports.get(name, OvsPort(name)).vlan:
            values = {
                "tag": [] if vlan.tag is None else vlan.tag,
                "trunks": list(vlan.trunks),
                "vlan_mode": vlan.mode or [],
            }
            commands += set_columns("Port", name, values)
    return commands


def _protection_commands(spec: BridgeSpec, row: OvsBridge) -> list[Command]:
    protect = desired_protection(spec, row)
    return [
        command
        for port in row.ports.values()
        if protect is not None and port.name not in (spec.name, *spec.ports) and port.protected != protect
        for command in set_columns("Port", port.name, {"protected": protect})
    ]


def _changed_columns(spec: BridgeSpec, row: OvsBridge) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if row.config.get("hwaddr") != spec.mac:
        columns["other_config:hwaddr"] = spec.mac
    if row.fail_mode != spec.fail_mode:
        columns["fail_mode"] = spec.fail_mode
    if row.stp != spec.stp:
        columns["stp_enable"] = spec.stp
    if row.rstp != spec.rstp:
        columns["rstp_enable"] = spec.rstp
    key = _delay_key(spec.stp, spec.rstp)
    if key and row.config.get(key) != str(spec.forward_delay):
        columns[f"other_config:{key}"] = str(spec.forward_delay)
    if not row.ours:
        columns[f"external_ids:{MADE_BY_KEY}"] = MARK
    if row.protects != spec.isolate_guests:
        columns[f"external_ids:{PROTECTS_KEY}"] = "true" if spec.isolate_guests else ""
    if spec.fdb_limit and row.table_size != spec.fdb_limit:
        columns[f"other_config:{TABLE_SIZE_KEY}"] = str(spec.fdb_limit)
        columns[f"external_ids:{SIZES_KEY}"] = "true"
    return columns


def _reset_table_size(spec: BridgeSpec, row: OvsBridge) -> list[Command]:
    """Reset the size of the table of MAC addresses to the default of Open vSwitch, where we had set it."""
    if spec.fdb_limit or not row.ids.get(SIZES_KEY):
        return []
    keys = (("other_config", TABLE_SIZE_KEY), ("external_ids", SIZES_KEY))
    return [("remove", "Bridge", spec.name, column, key) for column, key in keys]


def _delay_key(stp: bool, rstp: bool) -> str:
    return "stp-forward-delay" if stp else "rstp-forward-delay" if rstp else ""


def current_delay(row: OvsBridge) -> str:
    """The forward delay in seconds; 0 without STP and RSTP."""
    key = _delay_key(row.stp, row.rstp)
    return row.config.get(key, _DEFAULT_DELAY) if key else "0"


def desired_vlans(spec: BridgeSpec, row: OvsBridge, new_ports: Sequence[str]) -> dict[str, Vlan]:
    """VLANs of our ports, and of the existing guests' ports that the spec names."""
    existing = {*row.ports, *new_ports, spec.name}
    vlans = dict.fromkeys((spec.name, *spec.ports), Vlan())
    vlans.update({item.port: item.vlan for item in spec.vlans if item.port in existing})
    return vlans


def desired_protection(spec: BridgeSpec, row: OvsBridge) -> bool | None:
    """Whether guests' ports are to be protected from each other; None where that is not ours to decide."""
    return True if spec.isolate_guests else False if row.protects else None
