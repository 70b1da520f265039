# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steps that change links, and the only place that applies them.

Plans consist of these small data classes; nothing here decides what to change.
"""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from ..core.command import run
from ..core.errors import CommandFailed, MissingTool
from ..core.families import package_of
from .fdb import SetFdbLimit
from .links import index_of
from .mtu import FollowPorts
from .policer import SetPolicer
from .qdisc import SetQdiscs
from .routes import PROTOCOL

# include/uapi/linux/if_addr.h. Without it, an address of a bridge stays tentative until the bridge gets a port.
_IFA_F_NODAD = 0x02

# include/uapi/linux/rtnetlink.h: RT_SCOPE_NOWHERE removes a route of any scope.
_ANY_SCOPE = 255

# /etc/iproute2/rt_tables
_LOCAL = 255


@dataclass(frozen=True)
class AddBridge:
    """Add a bridge that is down. It has its MAC address from the start, so it never takes that of a port.

    ``attributes`` have pyroute2's names.
    """

    name: str
    mac: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class SetLink:
    """Set attributes of a link, which have pyroute2's names."""

    name: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class SetSysctl:
    """Set a file in /proc/sys, or an attribute of a link below /sys."""

    path: str
    value: str

    def apply(self) -> None:
        """Set the value; raises CommandFailed."""
        try:
            with open(self.path, "w", encoding="ascii") as stream:
                stream.write(self.value)
        except OSError as error:
            raise CommandFailed(f"cannot set {self.path} to {self.value}: {error.strerror}") from error


@dataclass(frozen=True)
class AddAddress:
    """Add an address with its prefix length."""

    name: str
    cidr: str


@dataclass(frozen=True)
class DeleteAddress:
    """Delete an address with its prefix length."""

    name: str
    cidr: str


@dataclass(frozen=True)
class PutRoute:
    """Add a route by a link, or replace the one to the same subnet with the same metric."""

    name: str
    to: str
    via: str
    metric: int


@dataclass(frozen=True)
class DeleteRoute:
    """Delete a route by a link."""

    name: str
    to: str
    via: str
    metric: int


@dataclass(frozen=True)
class HostRoute:
    """A route of the host, in the terms of ip-route(8): ``to`` may be default, ``family`` is 4 or 6."""

    family: int
    to: str
    via: str = ""
    metric: int = 0
    table: str = "main"
    source: str = ""
    protocol: str = "boot"
    scope: str = "global"
    onlink: bool = False

    @property
    def key(self) -> tuple[int, str, int, str]:
        """What identifies a route in the kernel."""
        return (self.family, self.to, self.metric, self.table)


@dataclass(frozen=True)
class PutHostRoute:
    """Add a route of the host by this link, or replace the one to the same destination."""

    name: str
    route: HostRoute

    def apply(self) -> None:
        """Run ``ip``, which resolves names of tables, protocols and scopes; raises MissingTool, CommandFailed."""
        route = self.route
        words = ["ip", f"-{route.family}", "route", "replace", route.to, *(["via", route.via] if route.via else [])]
        words += ["dev", self.name, "table", route.table, "proto", route.protocol]
        words += ["metric", str(route.metric)] if route.metric else []
        words += ["src", route.source] if route.source else []
        words += ["scope", route.scope] if route.family == 4 else []
        run([*words, *(["onlink"] if route.onlink else [])])


@dataclass(frozen=True)
class DetachPort:
    """Detach a port from its bridge."""

    port: str


@dataclass(frozen=True)
class AttachPort:
    """Attach a link to a bridge."""

    port: str
    bridge: str


@dataclass(frozen=True)
class DeleteLink:
    """Delete a link; the ports of a bridge are detached."""

    name: str


@dataclass(frozen=True)
class DeleteLocalRoute:
    """Delete a route by a link from the table local, which has precedence over all others."""

    name: str
    to: str


@dataclass(frozen=True)
class Rename:
    """Rename a link."""

    name: str
    new: str


Step = Union[
    AddBridge,
    SetLink,
    SetSysctl,
    Rename,
    AddAddress,
    DeleteAddress,
    AttachPort,
    DeleteLink,
    SetQdiscs,
    SetPolicer,
    SetFdbLimit,
    FollowPorts,
    PutRoute,
    DeleteRoute,
    DeleteLocalRoute,
    PutHostRoute,
    DetachPort,
]


def _apply(route: Any, step: Step) -> None:
    if isinstance(step, (SetSysctl, SetQdiscs, SetPolicer, SetFdbLimit, FollowPorts, PutHostRoute)):
        step.apply()
    elif isinstance(step, AddBridge):
        route.link("add", ifname=step.name, kind="bridge", address=step.mac, **step.attributes)
    elif isinstance(step, SetLink):
        route.link("set", index=index_of(step.name), **step.attributes)
    elif isinstance(step, Rename):
        _rename(route, index_of(step.name), step.new)
    elif isinstance(step, DeleteLink):
        route.link("del", index=index_of(step.name))
    elif isinstance(step, DeleteLocalRoute):
        route.route("del", dst=step.to, oif=index_of(step.name), table=_LOCAL, scope=_ANY_SCOPE)
    elif isinstance(step, (AttachPort, DetachPort)):
        route.link(
            "set", index=index_of(step.port), master=index_of(step.bridge) if isinstance(step, AttachPort) else 0
        )
    else:
        _apply_address(route, step)


def _apply_address(route: Any, step: AddAddress | DeleteAddress | PutRoute | DeleteRoute) -> None:
    if isinstance(step, (PutRoute, DeleteRoute)):
        verb = "replace" if isinstance(step, PutRoute) else "del"
        where = {"gateway": step.via, "oif": index_of(step.name), "priority": step.metric, "proto": PROTOCOL}
        route.route(verb, dst=step.to, **where)
    else:
        address, _slash, length = step.cidr.partition("/")
        verb = "add" if isinstance(step, AddAddress) else "del"
        attributes: dict[str, Any] = {}
        if ":" in address and verb == "add":
            attributes["flags"] = _IFA_F_NODAD
        elif verb == "add" and int(length) < 31:
            attributes["broadcast"] = str(ipaddress.ip_interface(step.cidr).network.broadcast_address)
        route.addr(verb, index=index_of(step.name), address=address, prefixlen=int(length), **attributes)


def _rename(route: Any, index: int, name: str) -> None:
    """Rename a link; before Linux 6.2 it has to be down for a moment."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        route.link("set", index=index, ifname=name)
    except NetlinkError as error:
        if error.code != errno.EBUSY:
            raise
        route.link("set", index=index, state="down")
        route.link("set", index=index, ifname=name)
        route.link("set", index=index, state="up")


def apply_steps(steps: Sequence[Step]) -> None:
    """Apply steps in order, until the kernel refuses one.

    Raises MissingTool without pyroute2, CommandFailed naming the step and the kernel's reason.
    """
    if not steps:
        return
    try:
        from pyroute2 import IPRoute
        from pyroute2.netlink.exceptions import NetlinkError
    except ImportError:
        raise MissingTool("the Python library pyroute2", package_of("pyroute2")) from None
    with IPRoute() as route:
        for step in steps:
            try:
                _apply(route, step)
            except NetlinkError as error:
                if isinstance(step, DeleteAddress) and error.code == errno.EADDRNOTAVAIL:
                    # The kernel removes IPv6 addresses itself when a link goes down.
                    continue
                raise CommandFailed(f"the kernel refused {step}: {error}") from error
