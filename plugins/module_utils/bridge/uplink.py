# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The uplink of the host (the interface that connects it to its network) as a port of a bridge.

Its addresses and routes move to the bridge, which also takes its MAC address, so that no other host notices. A record
under /var/lib/virtnet/uplinks keeps what moved: a boot moves it again, and the deletion of the bridge returns it. The
record is unconfirmed until a run connects to the host again; until then a timer (uplink_rollback.py) may roll back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..core.command import ip_json
from ..core.files import File, list_folder, write_files
from ..core.notes import as_list, as_record, read_note
from ..core.paths import Paths
from ..kernel.link_changes import AddAddress, DeleteAddress, DetachPort, HostRoute, PutHostRoute, Step
from ..kernel.links import Link

if TYPE_CHECKING:
    from .spec import BridgeSpec
    from .state import BridgeState

# The protocol of routes that the kernel creates with an address.
_KERNEL = "kernel"
_LOCAL = "local"


@dataclass(frozen=True)
class Uplink:
    """What moved from an interface to a bridge. ``confirmed``: a run has connected to the host since."""

    port: str
    mac: str
    addresses: Sequence[str] = ()
    routes: Sequence[HostRoute] = ()
    confirmed: bool = False


@dataclass(frozen=True)
class Uplinks:
    """The current state: records by bridge, routes by interface.

    ``renewed``: interfaces with addresses that are renewed. ``shared``: interfaces that share a route with others
    (nexthops). ``may_move``: whether an uplink may move for the first time, which somebody has to confirm.
    """

    records: Mapping[str, Uplink] = field(default_factory=dict)
    routes: Mapping[str, Sequence[HostRoute]] = field(default_factory=dict)
    renewed: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()
    may_move: bool = False


def _folder(paths: Paths) -> str:
    return os.path.join(paths.state, "uplinks")


def _record_path(bridge: str, paths: Paths) -> str:
    return os.path.join(_folder(paths), f"{bridge}.json")


def record_file(bridge: str, uplink: Uplink | None, paths: Paths) -> File:
    """The record as a file; None deletes it."""
    return File(_record_path(bridge, paths), None if uplink is None else json.dumps(asdict(uplink)))


def read_record(bridge: str, paths: Paths) -> Uplink | None:
    """The record of a bridge; None if it does not exist or cannot be read."""
    try:
        uplink = as_record(Uplink, read_note(_record_path(bridge, paths)))
        routes = tuple(as_record(HostRoute, route) for route in as_list(uplink.routes))
        return replace(uplink, addresses=tuple(uplink.addresses), routes=routes)
    except ValueError:
        return None


def bridges_with_record(paths: Paths) -> list[str]:
    """The bridges that have a record."""
    return [name[: -len(".json")] for name in list_folder(_folder(paths), ".json")]


def unconfirmed(paths: Paths) -> dict[str, Uplink]:
    """By bridge, the uplinks that moved and after which no run has connected."""
    records = {bridge: read_record(bridge, paths) for bridge in bridges_with_record(paths)}
    return {bridge: uplink for bridge, uplink in records.items() if uplink and not uplink.confirmed}


def confirm(paths: Paths) -> None:
    """Record that a run has connected to the host again. The caller holds the lock."""
    uplinks = unconfirmed(paths)
    write_files(record_file(bridge, replace(uplinks[bridge], confirmed=True), paths) for bridge in uplinks)


def read_uplinks(bridges: Collection[str], ports: Collection[str], paths: Paths, may_move: bool) -> Uplinks:
    """The records of these bridges, and the routes of interfaces that are or may become an uplink port."""
    records = {bridge: uplink for bridge in bridges if (uplink := read_record(bridge, paths)) is not None}
    names = {*ports, *(uplink.port for uplink in records.values())}
    if not names:
        return Uplinks(may_move=may_move)
    routes, shared = _read_routes(names)
    return Uplinks(records, routes, _read_renewed(names), shared, may_move)


def _read_routes(names: Collection[str]) -> tuple[dict[str, list[HostRoute]], frozenset[str]]:
    """The routes of these interfaces, and all interfaces that share a route with another."""
    routes: dict[str, list[HostRoute]] = {}
    shared: set[str] = set()
    for family in (4, 6):
        for item in ip_json([f"-{family}", "-j", "route", "show", "table", "all"]):
            shared |= {str(hop.get("dev")) for hop in item.get("nexthops", ())}
            if item.get("dev") in names and item.get("protocol") != _KERNEL and item.get("table") != _LOCAL:
                routes.setdefault(item["dev"], []).append(_route(item, family))
    return routes, frozenset(shared)


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
    return frozenset(
        link["ifname"]
        for link in ip_json(["-j", "address", "show"])
        if link.get("ifname") in names and any(address.get("dynamic") for address in link.get("addr_info", ()))
    )


def port_of(spec: BridgeSpec, current: BridgeState) -> str:
    """The port of a bridge that is or was the uplink; empty where no port is. Pure."""
    record = current.uplinks.records.get(spec.name)
    if not spec.enslave_uplink:
        return ""
    if record is not None and record.port in spec.ports:
        return record.port
    for name in spec.ports:
        if name in current.default_routes or (name in current.links and current.links[name].addresses):
            return name
    return ""


def moved(spec: BridgeSpec, current: BridgeState) -> Uplink | None:
    """What belongs on the bridge instead of its port; None where nothing does, or may not move now. Pure."""
    name = port_of(spec, current)
    port = current.links.get(name)
    if port is None:
        return None
    uplinks = current.uplinks
    record = uplinks.records.get(spec.name)
    if record is not None and (port.master == spec.name or record.confirmed):
        new_addresses = [address for address in port.addresses if address not in record.addresses]
        keys = {route.key for route in record.routes}
        new_routes = [route for route in uplinks.routes.get(name, ()) if route.key not in keys]
        addresses, routes = (*record.addresses, *new_addresses), (*record.routes, *new_routes)
        return replace(record, port=name, addresses=addresses, routes=routes)
    if not uplinks.may_move:
        return None
    return Uplink(name, port.mac, tuple(port.addresses), tuple(uplinks.routes.get(name, ())))


def move_steps(uplink: Uplink, bridge: str, current: BridgeState) -> list[Step]:
    """Steps after the uplink became a port: move its routes to the bridge, then delete its addresses. Pure.

    The bridge has the addresses already.
    """
    port = current.links[uplink.port]
    port_routes = current.uplinks.routes.get(uplink.port, ())
    routes = port_routes if port.master == bridge and bridge in current.links else uplink.routes
    return [
        *(PutHostRoute(bridge, route) for route in _gateways_last(routes)),
        *(DeleteAddress(uplink.port, address) for address in reversed(port.addresses)),
    ]


def return_steps(uplink: Uplink, bridge: str, links: Mapping[str, Link]) -> list[Step]:
    """Steps that return addresses and routes to the interface and delete them from the bridge. Pure."""
    port, link = links.get(uplink.port), links.get(bridge)
    if port is None:
        return []
    on_bridge = link.addresses if link else ()
    return [
        *(AddAddress(port.name, address) for address in uplink.addresses if address not in port.addresses),
        *([DetachPort(port.name)] if port.master == bridge else []),
        *(PutHostRoute(port.name, route) for route in _gateways_last(uplink.routes)),
        *(DeleteAddress(bridge, address) for address in reversed(on_bridge) if address in uplink.addresses),
    ]


def _gateways_last(routes: Sequence[HostRoute]) -> list[HostRoute]:
    """A gateway is reached by a route without a gateway, which has to exist first."""
    return sorted(routes, key=lambda route: bool(route.via))
