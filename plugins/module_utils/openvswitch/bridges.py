# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open vSwitch: its bridges as the database holds them (ovs-vswitchd.conf.db(5)), and the one way to change them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.command import PACKAGES, find, run
from ..core.errors import CommandFailed, MissingTool, NotRunning
from ..kernel.links import OPENVSWITCH, Link, read_links
from . import ovsdb

# In external_ids of a bridge: that we made it, and that the protection of its ports is ours.
MADE_BY = "made-by"
MARK = "virtnet.linux"
PROTECTS = "virtnet-protects"
# That the size of its table of MAC addresses is ours.
SIZES = "virtnet-mac-table-size"
TABLE_SIZE = "mac-table-size"

SYSTEM, USERSPACE = "system", "netdev"

# A device of this name is there while ovs-vswitchd serves a bridge in the kernel, or by itself.
_DATAPATHS = ("ovs-system", "ovs-netdev")

_TIMEOUT = 20
_SIGALRM = 14

# What a port has besides its name, for it to be made again.
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

# One command of ovs-vsctl with its arguments; several of them make one transaction.
Command = Sequence[str]

# Port and Interface: column -> value, as far as one is set.
Settings = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Vlan:
    """VLANs of one port: columns tag, trunks and vlan_mode of table Port."""

    tag: int | None = None
    trunks: tuple[int, ...] = ()
    mode: str = ""


@dataclass(frozen=True)
class Port:
    """A port of a bridge; ``settings`` make it again. A bond has several ``interfaces``."""

    name: str
    vlan: Vlan = Vlan()
    protected: bool = False
    interfaces: Sequence[str] = ()
    mtu_request: int | None = None
    error: str = ""
    settings: Settings = field(default_factory=dict)


@dataclass(frozen=True)
class Bridge:
    """A bridge. ``datapath`` is SYSTEM or USERSPACE; ``config`` and ``ids`` are other_config and external_ids."""

    name: str
    datapath: str = SYSTEM
    fail_mode: str = "standalone"
    stp: bool = False
    rstp: bool = False
    config: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, Port] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        """Whether we made it."""
        return self.ids.get(MADE_BY) == MARK

    @property
    def protects(self) -> bool:
        """Whether we keep its guests from each other."""
        return bool(self.ids.get(PROTECTS))

    @property
    def table_size(self) -> int:
        """How many MAC addresses it learns by our wish, 0 where that is left to Open vSwitch."""
        size = self.config.get(TABLE_SIZE, "")
        return int(size) if self.ids.get(SIZES) and size.isdecimal() else 0


@dataclass(frozen=True)
class Switch:
    """Open vSwitch on this host; ``problem`` says why there is none, ``bridges`` is then empty.

    ``kernel``: whether the kernel can move the packets, where that was asked.
    """

    bridges: Mapping[str, Bridge] = field(default_factory=dict)
    kernel: bool = True
    problem: str = ""
    installed: bool = True

    def refuse(self) -> None:
        """Raises MissingTool or NotRunning where nothing can be done."""
        if not self.installed:
            raise MissingTool("Open vSwitch", PACKAGES["ovs-vsctl"])
        if self.problem:
            raise NotRunning(self.problem)

    def holder(self, interface: str) -> str:
        """The bridge that has an interface as a port, or an empty text."""
        return next((one.name for one in self.bridges.values() if _has(one, interface)), "")


def _has(bridge: Bridge, interface: str) -> bool:
    return any(interface in port.interfaces for port in bridge.ports.values() if port.name != bridge.name)


def read_switch(*, alive: bool = False) -> Switch:
    """Open vSwitch as it is; never raises for one that is absent or down.

    ``alive``: ask too whether ovs-vswitchd runs, which costs a program.
    """
    if find("ovs-vsctl") is None:
        return Switch(installed=False)
    try:
        bridges = parse_bridges(ovsdb.select(_TABLES))
    except NotRunning as error:
        return Switch(problem=str(error))
    if alive and run(["ovs-appctl", "--timeout=5", "version"], check=False).code != 0:
        return Switch(bridges, problem=f"Open vSwitch's ovs-vswitchd does not run; {ovsdb.START}")
    return Switch(bridges)


def has_kernel_datapath() -> bool:
    """Whether the kernel can move the packets (ovs-dpctl(8))."""
    return find("ovs-dpctl") is not None and run(["ovs-dpctl", "--verbose=off", "show"], check=False).code == 0


def parse_bridges(tables: ovsdb.Tables) -> dict[str, Bridge]:
    """The rows of the database as bridges by name. Pure."""
    interfaces = {str(row["_uuid"]): row for row in tables["Interface"]}
    ports = {str(row["_uuid"]): _port(row, interfaces) for row in tables["Port"]}
    found = {}
    for row in tables["Bridge"]:
        mine = [ports[key] for key in map(str, ovsdb.many(row["ports"])) if key in ports]
        found[str(row["name"])] = Bridge(
            name=str(row["name"]),
            datapath=row["datapath_type"] or SYSTEM,
            fail_mode=ovsdb.one(row["fail_mode"], "standalone"),
            stp=bool(row["stp_enable"]),
            rstp=bool(row["rstp_enable"]),
            config=row["other_config"],
            ids=row["external_ids"],
            ports={port.name: port for port in sorted(mine, key=lambda port: port.name)},
        )
    return found


def _port(row: ovsdb.Row, interfaces: Mapping[str, ovsdb.Row]) -> Port:
    members = [interfaces[key] for key in map(str, ovsdb.many(row["interfaces"])) if key in interfaces]
    first = members[0] if members else {}
    settings = {
        "Port": {name: row[name] for name in _PORT_SETTINGS if row[name] not in ([], {}, "")},
        "Interface": {name: first[name] for name in _INTERFACE_SETTINGS if first.get(name) not in ([], {}, "", None)},
    }
    return Port(
        name=str(row["name"]),
        vlan=Vlan(ovsdb.one(row["tag"]), tuple(sorted(ovsdb.many(row["trunks"]))), ovsdb.one(row["vlan_mode"], "")),
        protected=bool(row["protected"]),
        interfaces=[str(member["name"]) for member in members],
        mtu_request=ovsdb.one(first.get("mtu_request", [])),
        error=str(ovsdb.one(first.get("error", []), "")),
        settings=settings,
    )


def with_switch(links: Mapping[str, Link], bridges: Mapping[str, Bridge]) -> dict[str, Link]:
    """Links with Open vSwitch's bridges as their ports' masters, as the kernel tells it of its own bridges. Pure."""
    found = dict(links)
    for bridge in bridges.values():
        if bridge.name in found:
            found[bridge.name] = replace(found[bridge.name], kind=OPENVSWITCH)
        for port in bridge.ports.values():
            for name in port.interfaces:
                if name in found and name != bridge.name:
                    found[name] = replace(found[name], master=bridge.name)
    return found


def has_datapath(links: Mapping[str, Link]) -> bool:
    """Whether a bridge of Open vSwitch may be among the links."""
    return any(name in links for name in _DATAPATHS)


def quoted(value: Any) -> str:
    """A value of a column in ovs-vsctl's syntax; texts are always quoted, as JSON has it (ovs-vsctl(8))."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{quoted(str(key))}={quoted(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(quoted, value)) + "]"
    return json.dumps(value)


def set_columns(table: str, record: str, values: Mapping[str, Any]) -> list[Command]:
    """The command that sets columns of a record; none for no values. A key of a map is given as ``column:key``."""
    return [("set", table, record, *(f"{name}={quoted(value)}" for name, value in values.items()))] if values else []


def transact(commands: Sequence[Command]) -> None:
    """Run commands as one transaction, and wait until ovs-vswitchd has followed.

    Raises MissingTool, NotRunning, CommandFailed with Open vSwitch's reason.
    """
    if not commands:
        return
    words = [word for command in commands for word in ("--", *command)]
    done = run(["ovs-vsctl", f"--timeout={_TIMEOUT}", *words], timeout=_TIMEOUT + 10, check=False)
    if done.code in (-_SIGALRM, 128 + _SIGALRM):
        raise NotRunning(f"Open vSwitch's ovs-vswitchd did not follow within {_TIMEOUT} s; {ovsdb.START}")
    reasons = list(_reasons(done.stderr))
    if done.code != 0 or reasons:
        raise CommandFailed(f"Open vSwitch refused a change: {'; '.join(reasons) or f'status {done.code}'}")


_NOISE = re.compile(r"\d{4}-\d\d-\d\dT|ovs-vsctl: The default log directory")
_SEE = re.compile(r"[:.]?\s+See ovs-vswitchd log for details\.?$")


def _reasons(said: str) -> Iterator[str]:
    """What ovs-vsctl has to say, without its name and its advice to read a log."""
    for line in said.splitlines():
        if line.strip() and not _NOISE.match(line):
            yield _SEE.sub("", line.replace("ovs-vsctl: ", "", 1).strip()).rstrip(".")


def read_all_links() -> dict[str, Link]:
    """The host's links; those that are ports of Open vSwitch's bridges have these as their masters.

    Raises MissingTool, CommandFailed.
    """
    links = read_links()
    return with_switch(links, read_switch().bridges) if has_datapath(links) else links
