# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steps that change links, and the one place that takes them.

A plan is made of these small data classes; nothing here decides anything.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Union

from ..core.command import PACKAGES, run
from ..core.errors import CommandFailed, MissingTool
from .fdb import SetFdbLimit
from .policer import SetPolicer
from .qdisc import SetQdiscs
from .routes import PROTOCOL

# include/uapi/linux/if_addr.h. A bridge without a port would keep its address tentative until one joins.
_IFA_F_NODAD = 0x02

# include/uapi/linux/rtnetlink.h: RT_SCOPE_NOWHERE, by which a route is removed whatever its scope.
_ANY_SCOPE = 255

# /etc/iproute2/rt_tables
_LOCAL = 255


@dataclass(frozen=True)
class AddBridge:
    """A new bridge, down, with its MAC address from the first moment (so no port's can become its own).

    ``attributes`` in pyroute2's names.
    """

    name: str
    mac: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SetLink:
    """Attributes of a link, in pyroute2's names."""

    name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SetSysctl:
    """One value in /proc/sys, or of the attributes of a link below /sys."""

    path: str
    value: str

    def write(self) -> None:
        """Set the value; raises CommandFailed."""
        try:
            with open(self.path, "w", encoding="ascii") as stream:
                stream.write(self.value)
        except OSError as error:
            raise CommandFailed(f"cannot set {self.path} to {self.value}: {error.strerror}") from error


@dataclass(frozen=True)
class AddAddress:
    """An address with its prefix length."""

    name: str
    cidr: str


@dataclass(frozen=True)
class DeleteAddress:
    """An address with its prefix length."""

    name: str
    cidr: str


@dataclass(frozen=True)
class PutRoute:
    """A route on a link, in the place of any to the same subnet with the same metric."""

    name: str
    to: str
    via: str
    metric: int


@dataclass(frozen=True)
class DeleteRoute:
    """A route on a link."""

    name: str
    to: str
    via: str
    metric: int


@dataclass(frozen=True)
class HostRoute:
    """A route of the host as it is told by ``ip``: ``to`` may be default, ``family`` is 4 or 6."""

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
        """By what the kernel tells routes from each other."""
        return (self.family, self.to, self.metric, self.table)


@dataclass(frozen=True)
class PutHostRoute:
    """A route of the host goes by this link, in the place of any to the same destination."""

    name: str
    route: HostRoute

    def command(self) -> list[str]:
        """As ``ip`` is told it."""
        one = self.route
        words = ["ip", f"-{one.family}", "route", "replace", one.to, *(["via", one.via] if one.via else [])]
        words += ["dev", self.name, "table", one.table, "proto", one.protocol]
        words += ["metric", str(one.metric)] if one.metric else []
        words += ["src", one.source] if one.source else []
        words += ["scope", one.scope] if one.family == 4 else []
        return [*words, *(["onlink"] if one.onlink else [])]


@dataclass(frozen=True)
class Release:
    """A port is none any more."""

    port: str


@dataclass(frozen=True)
class Enslave:
    """A link becomes a port of a bridge."""

    port: str
    bridge: str


@dataclass(frozen=True)
class DeleteLink:
    """A link goes; a bridge sets its ports free."""

    name: str


@dataclass(frozen=True)
class DeleteLocalRoute:
    """A route by a link in the table local, which comes before all others."""

    name: str
    to: str


@dataclass(frozen=True)
class Rename:
    """A link gets another name."""

    name: str
    new: str


Step = Union[
    AddBridge,
    SetLink,
    SetSysctl,
    Rename,
    AddAddress,
    DeleteAddress,
    Enslave,
    DeleteLink,
    SetQdiscs,
    SetPolicer,
    SetFdbLimit,
    PutRoute,
    DeleteRoute,
    DeleteLocalRoute,
    PutHostRoute,
    Release,
]


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        raise CommandFailed(f"there is no interface {name}") from None


def _take(route: Any, step: Step) -> None:
    if isinstance(step, SetSysctl):
        step.write()
    elif isinstance(step, PutHostRoute):
        # Names of tables, protocols and scopes are the host's own, in files that ip reads.
        run(step.command())
    elif isinstance(step, AddBridge):
        route.link("add", ifname=step.name, kind="bridge", address=step.mac, **step.attributes)
    elif isinstance(step, SetLink):
        route.link("set", index=_index(step.name), **step.attributes)
    elif isinstance(step, (SetQdiscs, SetPolicer, SetFdbLimit)):
        step.make()
    elif isinstance(step, Rename):
        _rename(route, _index(step.name), step.new)
    elif isinstance(step, DeleteLink):
        route.link("del", index=_index(step.name))
    elif isinstance(step, DeleteLocalRoute):
        route.route("del", dst=step.to, oif=_index(step.name), table=_LOCAL, scope=_ANY_SCOPE)
    elif isinstance(step, (Enslave, Release)):
        route.link("set", index=_index(step.port), master=_index(step.bridge) if isinstance(step, Enslave) else 0)
    else:
        _take_address(route, step)


def _take_address(route: Any, step: AddAddress | DeleteAddress | PutRoute | DeleteRoute) -> None:
    if isinstance(step, (PutRoute, DeleteRoute)):
        verb = "replace" if isinstance(step, PutRoute) else "del"
        where = {"gateway": step.via, "oif": _index(step.name), "priority": step.metric, "proto": PROTOCOL}
        route.route(verb, dst=step.to, **where)
    else:
        address, _slash, length = step.cidr.partition("/")
        verb = "add" if isinstance(step, AddAddress) else "del"
        more: dict[str, Any] = {"flags": _IFA_F_NODAD} if ":" in address and verb == "add" else {}
        if ":" not in address and verb == "add" and int(length) < 31:
            more["broadcast"] = _broadcast(address, int(length))
        route.addr(verb, index=_index(step.name), address=address, prefixlen=int(length), **more)


def _rename(route: Any, index: int, name: str) -> None:
    """Linux takes a new name for a link that is up since 6.2; before, it has to go down for a moment."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        route.link("set", index=index, ifname=name)
    except NetlinkError as error:
        if error.code != errno.EBUSY:
            raise
        route.link("set", index=index, state="down")
        route.link("set", index=index, ifname=name)
        route.link("set", index=index, state="up")


def _broadcast(address: str, length: int) -> str:
    return str(ipaddress.ip_interface(f"{address}/{length}").network.broadcast_address)


def apply_steps(steps: Iterable[Step]) -> None:
    """Take steps in order; the first that the kernel refuses ends it.

    Raises MissingTool without pyroute2, CommandFailed naming the step and the kernel's reason.
    """
    try:
        from pyroute2 import IPRoute
        from pyroute2.netlink.exceptions import NetlinkError
    except ImportError:
        raise MissingTool("the Python library pyroute2", PACKAGES["pyroute2"]) from None
    with IPRoute() as route:
        for step in steps:
            try:
                _take(route, step)
            except NetlinkError as error:
                if isinstance(step, DeleteAddress) and error.code == errno.EADDRNOTAVAIL:
                    # IPv6 addresses go by themselves when a link goes down.
                    continue
                raise CommandFailed(f"the kernel refused {step}: {error}") from error
