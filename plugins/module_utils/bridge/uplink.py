# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface that carries the host's way out, as a port of a bridge: its addresses and routes move to the bridge.

The bridge takes the interface's MAC address, so nobody outside notices. What moved is remembered under
/var/lib/virtnet/uplinks: a boot makes it again, and a bridge that goes gives it back. Until somebody has come back over
the connection the record is unconfirmed, and a timer (uplink_return.py) may restore what was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..core.command import run
from ..core.errors import InvalidOption
from ..core.files import File, put, read_note
from ..core.paths import Paths
from ..kernel.link_changes import AddAddress, DeleteAddress, HostRoute, PutHostRoute, Release, Step
from ..kernel.links import OPENVSWITCH, Link

# Seconds within which somebody has to come back over the connection.
CONFIRM_WITHIN = 60

# Made by the kernel with an address, and by itself with the same address elsewhere.
_KERNEL = "kernel"
# What others renew on the interface alone: a DHCP client has its socket there, the kernel its router advertisements.
_RENEWED = "gets addresses by DHCP or router advertisements, whose renewal would not find them on the bridge"
_LOCAL = "local"


@dataclass(frozen=True)
class Uplink:
    """What moved from an interface to a bridge. ``confirmed``: somebody came back over the connection since."""

    port: str
    mac: str
    addresses: Sequence[str] = ()
    routes: Sequence[HostRoute] = ()
    confirmed: bool = False


@dataclass(frozen=True)
class Uplinks:
    """What was read: records by the bridge, routes by the interface; interfaces with addresses that are renewed, and
    those that share a route with others (nexthops).

    ``may_move``: whether an interface may move that never did, which takes somebody who confirms.
    """

    records: Mapping[str, Uplink] = field(default_factory=dict)
    routes: Mapping[str, Sequence[HostRoute]] = field(default_factory=dict)
    renewed: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()
    may_move: bool = False


def uplinks_folder(paths: Paths) -> str:
    """Where it is remembered what moved."""
    return os.path.join(paths.state, "uplinks")


def record_file(bridge: str, paths: Paths) -> str:
    """The record of one bridge."""
    return os.path.join(uplinks_folder(paths), f"{bridge}.json")


def record(bridge: str, uplink: Uplink | None, paths: Paths) -> File:
    """The record as a file; None takes it away."""
    return File(record_file(bridge, paths), None if uplink is None else json.dumps(asdict(uplink)))


def read_record(bridge: str, paths: Paths) -> Uplink | None:
    """The record of one bridge; None where there is none that can be read."""
    try:
        found = read_note(record_file(bridge, paths))
        if found is None:
            return None
        routes = [HostRoute(**route) for route in found.pop("routes")]
        return Uplink(routes=tuple(routes), addresses=tuple(found.pop("addresses")), **found)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def recorded(paths: Paths) -> list[str]:
    """The bridges that have a record."""
    try:
        return sorted(name[: -len(".json")] for name in os.listdir(uplinks_folder(paths)) if name.endswith(".json"))
    except FileNotFoundError:
        return []


def confirm(paths: Paths) -> None:
    """Note that somebody has come back over the connection. The caller holds the lock."""
    records = {bridge: read_record(bridge, paths) for bridge in recorded(paths)}
    put(record(name, replace(one, confirmed=True), paths) for name, one in records.items() if one and not one.confirmed)


def unconfirmed(paths: Paths) -> bool:
    """Whether an interface moved and nobody has come back since."""
    records = (read_record(bridge, paths) for bridge in recorded(paths))
    return any(one is not None and not one.confirmed for one in records)


def read_uplinks(bridges: Collection[str], ports: Collection[str], paths: Paths, may_move: bool) -> Uplinks:
    """Records of bridges; routes by interfaces that are or may become such ports."""
    found = {bridge: read_record(bridge, paths) for bridge in bridges}
    records = {bridge: one for bridge, one in found.items() if one is not None}
    names = {*ports, *(one.port for one in records.values())}
    if not names:
        return Uplinks(may_move=may_move)
    routes, shared = _read_routes(names)
    return Uplinks(records, routes, _read_renewed(names), shared, may_move)


def _read_routes(names: Collection[str]) -> tuple[dict[str, list[HostRoute]], frozenset[str]]:
    found: dict[str, list[HostRoute]] = {}
    shared: set[str] = set()
    for family in (4, 6):
        text = run(["ip", f"-{family}", "-j", "route", "show", "table", "all"]).stdout
        for item in json.loads(text or "[]"):
            shared |= {str(hop.get("dev")) for hop in item.get("nexthops", ())}
            if item.get("dev") in names and item.get("protocol") != _KERNEL and item.get("table") != _LOCAL:
                found.setdefault(item["dev"], []).append(_route(item, family))
    return found, frozenset(shared)


def _route(item: Mapping[str, Any], family: int) -> HostRoute:
    return HostRoute(
        family=family,
        to=item["dst"],
        via=item.get("gateway", ""),
        metric=item.get("metric", 0),
        table=str(item.get("table", "main")),
        source=item.get("prefsrc", ""),
        protocol=str(item.get("protocol", "boot")),
        scope=str(item.get("scope", "global")),
        onlink="onlink" in item.get("flags", ()),
    )


def _read_renewed(names: Collection[str]) -> frozenset[str]:
    links = json.loads(run(["ip", "-j", "address", "show"]).stdout or "[]")
    return frozenset(
        link["ifname"]
        for link in links
        if link.get("ifname") in names and any(one.get("dynamic") for one in link.get("addr_info", ()))
    )


def port_of(spec: Any, links: Mapping[str, Link], uplinks: Uplinks, carries: Collection[str]) -> str:
    """Which of a bridge's ports has or had addresses to move; nothing where it is none. Pure."""
    known = uplinks.records.get(spec.name)
    if not spec.enslave_uplink:
        return ""
    if known is not None and known.port in spec.ports:
        return known.port
    having = [p for p in spec.ports if p in carries or (p in links and links[p].addresses)]
    return having[0] if having else ""


def moved(spec: Any, links: Mapping[str, Link], uplinks: Uplinks, carries: Collection[str]) -> Uplink | None:
    """What belongs on the bridge instead of its port; None where nothing does, or may not move now. Pure."""
    name = port_of(spec, links, uplinks, carries)
    port = links.get(name)
    if port is None:
        return None
    known = uplinks.records.get(spec.name)
    there = port.master == spec.name
    if known is not None and (there or known.confirmed):
        addresses = [*known.addresses, *(one for one in port.addresses if one not in known.addresses)]
        new = [one for one in uplinks.routes.get(name, ()) if one.key not in {route.key for route in known.routes}]
        return replace(known, port=name, addresses=tuple(addresses), routes=(*known.routes, *new))
    if not uplinks.may_move:
        return None
    return Uplink(name, port.mac, tuple(port.addresses), tuple(uplinks.routes.get(name, ())))


def check(spec: Any, links: Mapping[str, Link], uplinks: Uplinks, carries: Collection[str], at: str) -> None:
    """Refuse what cannot move, before anything is touched; raises InvalidOption. Pure."""
    owner = f"bridge {spec.name!r}"
    having = [p for p in spec.ports if p in links and links[p].addresses and links[p].master != spec.name]
    if len(having) > 1:
        raise InvalidOption(
            f"{at}ports", f"{', '.join(having)} all have addresses; only one of them can be the uplink", owner
        )
    name = port_of(spec, links, uplinks, carries)
    if name in uplinks.shared and links[name].master != spec.name:
        raise InvalidOption(
            f"{at}enslave_uplink", f"{name!r} shares a route with other interfaces; give it one of its own", owner
        )
    if name in uplinks.renewed and links[name].master != spec.name:
        raise InvalidOption(
            f"{at}enslave_uplink",
            f"{name!r} {_RENEWED}; give it fixed ones, or let its manager make the bridge and use mode bridged",
            owner,
        )


def after_enslaving(uplink: Uplink, bridge: str, links: Mapping[str, Link], uplinks: Uplinks) -> list[Step]:
    """Routes, then the addresses of the port go; those of the bridge are there already. Pure."""
    port = links[uplink.port]
    on_port = uplinks.routes.get(uplink.port, ())
    routes = on_port if port.master == bridge and bridge in links else uplink.routes
    return [
        *(PutHostRoute(bridge, route) for route in _in_order(routes)),
        *(DeleteAddress(uplink.port, address) for address in reversed(port.addresses)),
    ]


def give_back(uplink: Uplink, bridge: str, links: Mapping[str, Link]) -> list[Step]:
    """The interface gets what it had, whatever of it is still on the bridge. Pure."""
    port, own = links.get(uplink.port), links.get(bridge)
    if port is None:
        return []
    return [
        *(AddAddress(port.name, one) for one in uplink.addresses if one not in port.addresses),
        *([Release(port.name)] if port.master == bridge else []),
        *(PutHostRoute(port.name, route) for route in _in_order(uplink.routes)),
        *(DeleteAddress(bridge, one) for one in reversed(own.addresses if own else ()) if one in uplink.addresses),
    ]


def _in_order(routes: Sequence[HostRoute]) -> list[HostRoute]:
    """Gateways are reached by routes that have none, which come first."""
    return sorted(routes, key=lambda route: bool(route.via))


def uplink_options(enslave_uplink: bool, confirm_within: int) -> dict[str, Any]:
    """The options as they are stored and handed over: only where they are asked for."""
    return {"enslave_uplink": True, "confirm_within": confirm_within} if enslave_uplink else {}


def refuse_for_openvswitch(options: Any, kind: str) -> None:
    """Refuse ``enslave_uplink`` where it cannot be had; raises InvalidOption."""
    if kind == OPENVSWITCH:
        options.error("enslave_uplink", "is for Linux bridges; leave it out, or use bridge.type: linux")
