# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open vSwitch bridges: reads them from the database (ovs-vswitchd.conf.db(5)), changes them by ovs-vsctl(8)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.command import find, run
from ..core.errors import CommandFailed, NotRunning
from ..core.identity import MARK
from ..kernel.links import OPENVSWITCH, Link, read_links
from . import ovsdb
from .port_vlans import Vlan

# Keys in external_ids of a bridge: we created it; we protect its ports; we set the size of its MAC address table.
MADE_BY_KEY = "made-by"
PROTECTS_KEY = "virtnet-protects"
SIZES_KEY = "virtnet-mac-table-size"
# Key in other_config of a bridge.
TABLE_SIZE_KEY = "mac-table-size"
# Keys in external_ids of a port: our options named it as a port of the bridge; they gave it its VLANs.
LISTED_KEY = "virtnet-listed"
VLAN_KEY = "virtnet-vlan"

# Datapath types.
SYSTEM, USERSPACE = "system", "netdev"

# A device of this name exists while ovs-vswitchd has a bridge with the kernel datapath, or with its own.
_DATAPATHS = ("ovs-system", "ovs-netdev")

_TIMEOUT = 20
_SIGALRM = 14

# The columns that are needed to create a port again.
_PORT_SETTINGS = ("tag", "trunks", "vlan_mode", "external_ids", "other_config")
_INTERFACE_SETTINGS = ("type", "options", "external_ids", "other_config")
_TABLES = {
    "Bridge": (
        "name", "ports", "datapath_type", "fail_mode", "stp_enable", "rstp_enable", "other_config", "external_ids",
    ),
    "Port": ("_uuid", "name", "interfaces", "protected", *_PORT_SETTINGS),
    "Interface": ("_uuid", "name", "mtu_request", "error", *_INTERFACE_SETTINGS),
}  # fmt: skip
WATCHED = {
    "Bridge": _TABLES["Bridge"],
    "Port": ("name", "interfaces", "protected", "tag", "trunks", "vlan_mode"),
    "Interface": ("name", "type", "mtu_request"),
}

# One command of ovs-vsctl with its arguments; several commands make one transaction.
Command = Sequence[str]

# By table (Port, Interface): the values of the columns that are set.
PortSettings = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class OvsPort:
    """A port of a bridge; ``settings`` are needed to create it again. A bond has several ``interfaces``."""

    name: str
    vlan: Vlan = Vlan()  # noqa: RUF009
    protected: bool = False
    interfaces: Sequence[str] = ()
    mtu_request: int | None = None
    error: str = ""
    settings: PortSettings = field(default_factory=dict)

    @property
    def ids(self) -> Mapping[str, str]:
        """The column external_ids."""
        ids: Mapping[str, str] = self.settings.get("Port", {}).get("external_ids", {})
        return ids


@dataclass(frozen=True)
class OvsBridge:
    """A bridge. ``datapath`` is SYSTEM or USERSPACE; ``config`` and ``ids`` are other_config and external_ids."""

    name: str
    datapath: str = SYSTEM
    fail_mode: str = "standalone"
    stp: bool = False
    rstp: bool = False
    config: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, OvsPort] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        """Whether we created it."""
        return self.ids.get(MADE_BY_KEY) == MARK

    @property
    def protects(self) -> bool:
        """Whether we protect its guests from each other."""
        return bool(self.ids.get(PROTECTS_KEY))

    @property
    def table_size(self) -> int:
        """How many MAC addresses it learns, if we set that; 0 for the default of Open vSwitch."""
        size = self.config.get(TABLE_SIZE_KEY, "")
        return int(size) if self.ids.get(SIZES_KEY) and size.isdecimal() else 0


@dataclass(frozen=True)
class OvsState:
    """The state of Open vSwitch on this host; ``problem``: why it cannot be used.

    ``kernel``: whether the kernel has a datapath; only read when a bridge is to be created.
    """

    bridges: Mapping[str, OvsBridge] = field(default_factory=dict)
    kernel: bool = True
    problem: str = ""
    installed: bool = True


def read_ovs(*, check_daemon: bool = False) -> OvsState:
    """Read the state of Open vSwitch; never raises where it is not installed or does not run.

    ``check_daemon``: also check whether ovs-vswitchd runs, which starts a program.
    """
    if find("ovs-vsctl") is None:
        return OvsState(installed=False)
    try:
        bridges = parse_bridges(ovsdb.select(_TABLES))
    except NotRunning as error:
        return OvsState(problem=str(error))
    if check_daemon and run(["ovs-appctl", "--timeout=5", "version"], check=False).code != 0:
        return OvsState(bridges, problem=f"Open vSwitch's ovs-vswitchd does not run; {ovsdb.START}")
    return OvsState(bridges)


def has_kernel_datapath() -> bool:
    """Whether the kernel has a datapath of Open vSwitch (ovs-dpctl(8))."""
    return find("ovs-dpctl") is not None and run(["ovs-dpctl", "--verbose=off", "show"], check=False).code == 0


def parse_bridges(tables: ovsdb.Tables) -> dict[str, OvsBridge]:
    """The rows of the database as bridges by name. Pure."""
    interfaces = {str(row["_uuid"]): row for row in tables["Interface"]}
    ports = {str(row["_uuid"]): _port(row, interfaces) for row in tables["Port"]}
    bridges = {}
    for row in tables["Bridge"]:
        members = [ports[key] for key in map(str, ovsdb.many(row["ports"])) if key in ports]
        bridges[str(row["name"])] = OvsBridge(
            name=str(row["name"]),
            datapath=row["datapath_type"] or SYSTEM,
            fail_mode=ovsdb.optional(row["fail_mode"], "standalone"),
            stp=bool(row["stp_enable"]),
            rstp=bool(row["rstp_enable"]),
            config=row["other_config"],
            ids=row["external_ids"],
            ports={port.name: port for port in sorted(members, key=lambda port: port.name)},
        )
    return bridges


def _port(row: ovsdb.Row, interfaces: Mapping[str, ovsdb.Row]) -> OvsPort:
    members = [interfaces[key] for key in map(str, ovsdb.many(row["interfaces"])) if key in interfaces]
    first = members[0] if members else {}
    settings = {
        "Port": {name: row[name] for name in _PORT_SETTINGS if row[name] not in ([], {}, "")},
        "Interface": {name: first[name] for name in _INTERFACE_SETTINGS if first.get(name) not in ([], {}, "", None)},
    }
    return OvsPort(
        name=str(row["name"]),
        vlan=Vlan(
            ovsdb.optional(row["tag"]), tuple(sorted(ovsdb.many(row["trunks"]))), ovsdb.optional(row["vlan_mode"], "")
        ),
        protected=bool(row["protected"]),
        interfaces=[str(member["name"]) for member in members],
        mtu_request=ovsdb.optional(first.get("mtu_request", [])),
        error=str(ovsdb.optional(first.get("error", []), "")),
        settings=settings,
    )


def with_ovs_masters(links: Mapping[str, Link], bridges: Mapping[str, OvsBridge]) -> dict[str, Link]:
    """The links, where a port of an Open vSwitch bridge has that bridge as its master. Pure."""
    result = dict(links)
    for bridge in bridges.values():
        if bridge.name in result:
            result[bridge.name] = replace(result[bridge.name], kind=OPENVSWITCH)
        for port in bridge.ports.values():
            for name in port.interfaces:
                if name in result and name != bridge.name:
                    result[name] = replace(result[name], master=bridge.name)
    return result


def has_datapath(links: Mapping[str, Link]) -> bool:
    """Whether the links may contain a bridge of Open vSwitch."""
    return any(name in links for name in _DATAPATHS)


def quoted(value: Any) -> str:
    """The value of a column in the syntax of ovs-vsctl(8); texts are always quoted as in JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{quoted(str(key))}={quoted(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(quoted, value)) + "]"
    return json.dumps(value)


def set_columns(table: str, record: str, values: Mapping[str, Any]) -> list[Command]:
    """The command that sets columns of a record; none without values. A key of a map is written ``column:key``."""
    return [("set", table, record, *(f"{name}={quoted(value)}" for name, value in values.items()))] if values else []


def transact(commands: Sequence[Command]) -> None:
    """Run commands as one transaction, and wait until ovs-vswitchd has applied it.

    Raises MissingTool, NotRunning, CommandFailed with the reason of Open vSwitch.
    """
    if not commands:
        return
    words = [word for command in commands for word in ("--", *command)]
    done = run(["ovs-vsctl", f"--timeout={_TIMEOUT}", *words], timeout=_TIMEOUT + 10, check=False)
    if done.code in (-_SIGALRM, 128 + _SIGALRM):
        raise NotRunning(f"Open vSwitch's ovs-vswitchd did not apply a change within {_TIMEOUT} s; {ovsdb.START}")
    reasons = list(_reasons(done.stderr))
    if done.code != 0 or reasons:
        raise CommandFailed(f"Open vSwitch refused a change: {'; '.join(reasons) or f'status {done.code}'}")


_NOISE = re.compile(r"\d{4}-\d\d-\d\dT|ovs-vsctl: The default log directory")
_LOG_ADVICE = re.compile(r"[:.]?\s+See ovs-vswitchd log for details\.?$")


def _reasons(stderr: str) -> Iterator[str]:
    """The error messages of ovs-vsctl, without its name and its advice to read a log."""
    for line in stderr.splitlines():
        if line.strip() and not _NOISE.match(line):
            yield _LOG_ADVICE.sub("", line.replace("ovs-vsctl: ", "", 1).strip()).rstrip(".")


def read_all_links() -> dict[str, Link]:
    """The host's links; a port of an Open vSwitch bridge has that bridge as its master.

    Raises MissingTool, CommandFailed.
    """
    links = read_links()
    return with_ovs_masters(links, read_ovs().bridges) if has_datapath(links) else links
