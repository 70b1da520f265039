# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bridges: links and addresses.

A bridge is never deleted and made again to change it, and a port that is there stays. What a stopped bridge sets free
is noted under /run/virtnet/ports, so that the next start takes it back; for a bridge that somebody else deletes, the
guard keeps the same note while all is well.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import isolation, shaping
from .bandwidth import Bandwidth, read_bandwidth
from .errors import InvalidOption
from .files import File, put, read_text
from .identity import bridge_mac, host_identity
from .links import CENTISECONDS, Link, has_ipv6, read_links, read_sysctls, sysctl_path
from .links_apply import (
    AddAddress,
    AddBridge,
    DeleteAddress,
    DeleteLink,
    DeleteRoute,
    Enslave,
    PutRoute,
    Rename,
    SetLink,
    SetSysctl,
    Step,
    take,
)
from .occupied import connection_peer
from .options import Options
from .part import CHANGE, CREATE, DELETE, Change, Plan, describe, difference
from .paths import Paths
from .policing import SetPolicer, read_policers, strays
from .queues import read_queues
from .routes import Route, check_routes, read_others, read_route_options, read_routes
from .run import find, run
from .shaping import Limits

# Written on each bridge of ours as its alias (ip link show: "alias"): a name alone proves nothing.
MARK = "virtnet.linux"
# Until it has all that it is made with: a run that was killed meanwhile left guests without it.
_UNFINISHED = f"{MARK} (unfinished)"

# net/bridge/br_private.h: BR_MIN_FORWARD_DELAY, BR_MAX_FORWARD_DELAY. With STP the kernel raises less to the least.
_LEAST_DELAY = 2
_MOST_DELAY = 30


@dataclass(frozen=True)
class BridgeSpec:
    """A bridge as it shall be. ``forward_delay`` in seconds; ``mtu`` and ``mac`` None: left to the kernel, derived."""

    name: str
    state: str = "present"
    type: str = "linux"
    mac: str = ""
    mtu: int | None = None
    stp: bool = False
    forward_delay: int = 0
    ports: Sequence[str] = ()
    addresses: Sequence[str] = ()
    routes: Sequence[Route] = ()
    isolate_guests: bool = False
    bandwidth: Bandwidth = field(default_factory=Bandwidth)
    path: str = field(default="", compare=False)

    @staticmethod
    def from_options(options: Options) -> BridgeSpec:
        """Validate the options of one bridge; raises InvalidOption."""
        name = options.interface("name")
        options.owner = f"bridge {name!r}"
        kind = options.choice("type", ("linux", "openvswitch"), "linux")
        if kind != "linux":
            options.error("type", "'openvswitch' is not available in this version; use linux")
        stp = options.boolean("stp", False)
        delay = options.integer("forward_delay", 0, least=0, most=_MOST_DELAY)
        mtu = options.integer("mtu", None, least=68, most=65535)
        interfaces = options.cidrs("addresses")
        addresses = tuple(map(str, interfaces))
        if mtu is not None and mtu < 1280 and any(":" in address for address in addresses):
            options.error("mtu", f"{mtu} is too small for IPv6, which needs 1280 (RFC 8200 section 5)")
        spec = BridgeSpec(
            name=name,
            state=options.choice("state", ("present", "absent"), "present"),
            type=kind,
            mac=options.mac("mac", ""),
            mtu=mtu,
            stp=stp,
            forward_delay=max(delay, _LEAST_DELAY) if stp else delay,
            ports=tuple(options.interfaces("ports")),
            addresses=addresses,
            routes=read_route_options(options, "routes", interfaces),
            isolate_guests=options.boolean("isolate_guests", False),
            bandwidth=read_bandwidth(options.group("bandwidth")),
            path=options.path,
        )
        options.close()
        return spec

    def as_options(self) -> dict[str, Any]:
        """The way back to the module's options."""
        if self.state == "absent":
            return {"name": self.name, "state": "absent", "mac": self.mac}
        return {
            "name": self.name,
            "state": self.state,
            "type": self.type,
            "mac": self.mac,
            "mtu": self.mtu,
            "stp": self.stp,
            "forward_delay": self.forward_delay,
            "ports": list(self.ports),
            "addresses": list(self.addresses),
            "routes": [route.as_options() for route in self.routes],
            "isolate_guests": self.isolate_guests,
            "bandwidth": self.bandwidth.as_options(),
        }


@dataclass(frozen=True)
class BridgeChange(Change):
    """A change with the steps that make it; ``freed`` are ports (name, index) that a deletion sets free."""

    steps: Sequence[Step] = ()
    freed: Sequence[tuple[str, int]] | None = None
    bridge: str = ""


@dataclass(frozen=True)
class State:
    """What was read: the links, the interfaces of default routes, and the links that stopped bridges set free.

    ``routes`` of ours by the name of one, ``others`` are routes to the same subnets.
    """

    links: Mapping[str, Link]
    default_routes: frozenset[str] = frozenset()
    freed: Mapping[str, Sequence[tuple[str, int]]] = field(default_factory=dict)
    stray_sysctls: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ipv6: bool = True
    limits: Limits = field(default_factory=Limits)
    routes: Mapping[str, Sequence[Route]] = field(default_factory=dict)
    others: Mapping[tuple[str, int], str] = field(default_factory=dict)

    def of(self, name: str) -> Sequence[Link]:
        """The ports of a bridge."""
        return [port for port in self.links.values() if port.master == name]


class Bridges:
    """The part that manages bridges."""

    def __init__(self, wanted: Sequence[BridgeSpec], purge: bool, paths: Paths) -> None:
        identity = host_identity(paths.root)
        self.wanted = [spec if spec.mac else replace(spec, mac=bridge_mac(identity, spec.name)) for spec in wanted]
        self.purge = purge
        self.paths = paths
        _refuse_duplicates(self.wanted)

    def read(self) -> State:
        """The host's links; the settings of the bridges that are asked for."""
        if find("ip") is None:
            return State({})
        links = read_links()
        for spec in self.wanted:
            link = links.get(spec.name)
            if link is not None and link.kind == "bridge":
                links[spec.name] = replace(link, sysctls=read_sysctls(self.paths.proc_sys, spec.name))
        return State(
            links=links,
            default_routes=_default_routes() if any(spec.ports for spec in self.wanted) else frozenset(),
            freed={spec.name: read_ports(spec.name, self.paths) for spec in self.wanted},
            stray_sysctls={
                link.name: read_sysctls(self.paths.proc_sys, link.name)
                for link in links.values()
                if _marked(link) and link.name not in {spec.name for spec in self.wanted}
            },
            ipv6=has_ipv6(self.paths.proc_sys),
            limits=Limits(
                read_queues([links[spec.name].index for spec in self.wanted if spec.name in links]), read_policers()
            ),
            routes=read_routes(),
            others=read_others(route for spec in self.wanted for route in spec.routes),
        )

    def plan(self, current: State) -> Plan[BridgeChange]:
        """Deletions first: they may free names and ports that others need."""
        named = {spec.name for spec in self.wanted}
        notes: list[str] = []
        present = [spec for spec in self.wanted if spec.state == "present"]
        renamed, current = _rename_back(present, current)
        gone = [(spec.name, spec.mac) for spec in self.wanted if spec.state == "absent"]
        if self.purge:
            gone += [(name, "") for name, link in current.links.items() if _marked(link) and name not in named]
        changes = [*renamed, *(change for name, mac in gone for change in _delete(name, mac, current, notes))]
        if self.purge:
            changes += _delete_strays(named, gone, current)
        for spec in present:
            _check(spec, current)
            changes += _create(spec, current) if spec.name not in current.links else _change(spec, current)
        return Plan(changes, [spec.as_options() for spec in present], notes)

    def apply(self, changes: Sequence[BridgeChange]) -> None:
        """Take the steps; note the links that a deletion sets free before it does."""
        put(
            ports_note(change.bridge, change.freed, self.paths)
            for change in changes
            if change.action == DELETE and change.freed is not None
        )
        take(step for change in changes for step in change.steps)


def _ports_folder(paths: Paths) -> str:
    return os.path.join(paths.runtime, "ports")


def ports_file(bridge: str, paths: Paths) -> str:
    """Where the ports of a bridge are noted."""
    return os.path.join(_ports_folder(paths), f"{bridge}.json")


def noted_bridges(paths: Paths) -> list[str]:
    """The bridges whose ports are noted."""
    try:
        return [name[: -len(".json")] for name in os.listdir(_ports_folder(paths)) if name.endswith(".json")]
    except FileNotFoundError:
        return []


def read_ports(bridge: str, paths: Paths) -> list[tuple[str, int]]:
    """The ports that are noted of a bridge: name and index of each."""
    try:
        return [(str(name), int(index)) for name, index in json.loads(read_text(ports_file(bridge, paths)) or "[]")]
    except (ValueError, TypeError):
        # A note about guests' links that cannot be read is worth less than the run.
        return []


def ports_note(bridge: str, ports: Iterable[tuple[str, int]], paths: Paths) -> File:
    """The note of a bridge's ports: name and index of each."""
    return File(ports_file(bridge, paths), json.dumps(sorted(ports)))


def _refuse_duplicates(wanted: Sequence[BridgeSpec]) -> None:
    seen: dict[str, BridgeSpec] = {}
    for spec in wanted:
        if spec.name in seen:
            raise InvalidOption(
                f"{spec.path}.name" if spec.path else "name",
                f"{spec.name!r} is named twice, also by {seen[spec.name].path}; name each bridge once",
            )
        seen[spec.name] = spec
    port_of: dict[str, BridgeSpec] = {}
    for spec in wanted:
        for i, port in enumerate(spec.ports):
            if port in port_of or port == spec.name:
                taken = f"already a port of {port_of[port].name}" if port in port_of else "the bridge itself"
                raise InvalidOption(
                    f"{spec.path}.ports[{i}]" if spec.path else f"ports[{i}]",
                    f"{port!r} is {taken}; an interface is a port of one bridge",
                    f"bridge {spec.name!r}",
                )
            port_of[port] = spec


def _default_routes() -> frozenset[str]:
    found = set()
    for family in ("-4", "-6"):
        for route in json.loads(run(["ip", family, "-j", "route", "show", "default"]).stdout or "[]"):
            found.update([route["dev"]] if "dev" in route else [])
            found.update(hop["dev"] for hop in route.get("nexthops", ()) if "dev" in hop)
    peer = connection_peer(os.environ)
    if peer:
        way = run(["ip", "-j", "route", "get", peer], check=False)
        found.update(route["dev"] for route in json.loads(way.stdout or "[]") if "dev" in route)
    return frozenset(found)


def _marked(link: Link) -> bool:
    return link.alias in (MARK, _UNFINISHED)


def _ours(link: Link, mac: str) -> bool:
    # A run that was killed between making the link and marking it left our MAC address as the only sign.
    return link.kind == "bridge" and (_marked(link) or (not link.alias and link.mac == mac))


def _check(spec: BridgeSpec, current: State) -> None:
    """Refuse what cannot be, before anything is touched."""
    owner = f"bridge {spec.name!r}"
    at = f"{spec.path}." if spec.path else ""
    link = current.links.get(spec.name)
    if link is not None and not _ours(link, spec.mac):
        kind = f"a {link.kind}" if link.kind else "an interface"
        raise InvalidOption(
            f"{at}name",
            f"{spec.name!r} is already {kind} that virtnet.linux did not make; choose another name for the bridge, "
            f"or remove it first",
            owner,
        )
    for i, address in enumerate(spec.addresses):
        if ":" in address and not current.ipv6:
            raise InvalidOption(f"{at}addresses[{i}]", f"{address!r}: the kernel of this host has no IPv6", owner)
    for i, name in enumerate(spec.ports):
        port = current.links.get(name)
        problem = ""
        if port is None:
            problem = "does not exist on this host"
        elif port.master not in ("", spec.name):
            problem = f"is a port of {port.master}; take it out of there first"
        elif port.master != spec.name and name in current.default_routes:
            problem = (
                "carries a default route of this host, or the connection by which this run came: the host would lose "
                "its network"
            )
        if problem:
            raise InvalidOption(f"{at}ports[{i}]", f"interface {name!r} {problem}", owner)
    check_routes(spec.routes, current.others, owner)
    shaping.check(spec.name, spec.bandwidth, link, current.limits, at, owner)


def _delete_strays(named: set[str], gone: Sequence[tuple[str, str]], current: State) -> list[BridgeChange]:
    """What was left of bridges that somebody else deleted."""
    kept = {*named, *(name for name, _mac in gone)}
    return [
        BridgeChange(DELETE, f"policer {name}", f"{name}\n", "", steps=(SetPolicer(name.partition("_")[2], None),))
        for name in strays(current.limits.policers, kept)
    ]


def _delete(name: str, mac: str, current: State, notes: list[str]) -> list[BridgeChange]:
    link = current.links.get(name)
    rest = shaping.remove(name, current.limits)
    if link is None:
        return [BridgeChange(DELETE, f"policer of bridge {name}", f"{name}\n", "", steps=rest)] if rest else []
    if not _ours(link, mac):
        notes.append(f"{name} was not made by virtnet.linux and stays")
        return []
    ports = [(port.name, port.index) for port in current.of(name)]
    freed = f", which frees {', '.join(port for port, _index in ports)}" if ports else ""
    steps = (*rest, DeleteLink(name))
    return [
        BridgeChange(DELETE, f"bridge {name}", _text(link, current), "", f"deleted{freed}", steps, ports, name),
    ]


def _rename_back(present: Sequence[BridgeSpec], current: State) -> tuple[list[BridgeChange], State]:
    """Bridges of ours that somebody gave another name keep their guests and get their own name back."""
    links = dict(current.links)
    wanted = {spec.name for spec in present}
    changes = []
    for spec in present:
        strays = [one for one in links.values() if _marked(one) and one.mac == spec.mac and one.name not in wanted]
        if spec.name in links or len(strays) != 1:
            continue
        (stray,) = strays
        before, after = {"name": stray.name}, {"name": spec.name}
        step = Rename(stray.name, spec.name)
        changes.append(
            BridgeChange(
                CHANGE,
                f"bridge {spec.name}",
                describe(before),
                describe(after),
                difference(before, after),
                (step,),
                None,
                spec.name,
            )
        )
        del links[stray.name]
        ports = {one.name: replace(one, master=spec.name) for one in links.values() if one.master == stray.name}
        links.update(ports)
        links[spec.name] = replace(stray, name=spec.name, sysctls=current.stray_sysctls.get(stray.name, {}))
    return changes, replace(current, links=links) if changes else current


def _wanted_sysctls(spec: BridgeSpec, current: State) -> dict[str, str]:
    # libvirt sets the same three (networkSetIPv6Sysctls() in src/network/bridge_driver.c).
    if not current.ipv6:
        return {}
    ipv6 = any(":" in address for address in spec.addresses)
    return {"disable_ipv6": "0" if ipv6 else "1", "accept_ra": "0", "autoconf": "0"}


def _timers(spec: BridgeSpec) -> list[SetLink]:
    # With STP on the kernel takes no delay below 2 s, so what relaxes the rule goes first.
    stp = SetLink(spec.name, {"kind": "bridge", "br_stp_state": int(spec.stp)})
    delay = SetLink(spec.name, {"kind": "bridge", "br_forward_delay": spec.forward_delay * CENTISECONDS})
    return [delay, stp] if spec.stp else [stp, delay]


def _create(spec: BridgeSpec, current: State) -> list[BridgeChange]:
    made: dict[str, Any] = {
        "br_stp_state": int(spec.stp),
        "br_forward_delay": spec.forward_delay * CENTISECONDS,
        **({} if spec.mtu is None else {"mtu": spec.mtu}),
    }
    steps: list[Step] = [AddBridge(spec.name, spec.mac, made)]
    steps += [
        SetSysctl(sysctl_path("/proc/sys", spec.name, key), value)
        for key, value in _wanted_sysctls(spec, current).items()
    ]
    steps += [AddAddress(spec.name, address) for address in spec.addresses]
    steps.append(SetLink(spec.name, {"ifalias": _UNFINISHED, "state": "up"}))
    back = _back(spec, current)
    steps += [Enslave(port, spec.name) for port in [*spec.ports, *back]]
    guests = [replace(current.links[port], isolated=False) for port in back]
    steps += isolation.steps(spec.name, spec.isolate_guests, spec.ports, guests, isolation.NEW)
    steps += _reroute(spec, ())
    steps += shaping.steps(spec.name, spec.bandwidth, None, current.limits)
    steps.append(SetLink(spec.name, {"ifalias": MARK}))
    detail = f"created, taking back {', '.join(back)}" if back else "created"
    after = _after(spec, None, [*spec.ports, *back], current)
    return [BridgeChange(CREATE, f"bridge {spec.name}", "", describe(after), detail, steps, None, spec.name)]


def _back(spec: BridgeSpec, current: State) -> list[str]:
    """Links that the bridge had when it was stopped, still there and free."""
    found = []
    for name, index in current.freed.get(spec.name, ()):
        link = current.links.get(name)
        if link is not None and link.index == index and not link.master and name not in spec.ports:
            found.append(name)
    return found


def _change(spec: BridgeSpec, current: State) -> list[BridgeChange]:
    link = current.links[spec.name]
    ports = [port.name for port in current.links.values() if port.master == spec.name]
    new_ports = [port for port in spec.ports if port not in ports]
    steps: list[Step] = []
    if link.alias != MARK:
        new_ports += _back(spec, current)
    if link.mac != spec.mac:
        steps.append(SetLink(spec.name, {"address": spec.mac}))
    if spec.mtu is not None and link.mtu != spec.mtu:
        steps.append(SetLink(spec.name, {"mtu": spec.mtu}))
    if link.stp != spec.stp or link.forward_delay != spec.forward_delay:
        steps += _timers(spec)
    steps += [
        SetSysctl(sysctl_path("/proc/sys", spec.name, key), value)
        for key, value in _wanted_sysctls(spec, current).items()
        if link.sysctls.get(key) != value
    ]
    steps += _readdress(spec, link)
    if not link.up:
        steps.append(SetLink(spec.name, {"state": "up"}))
    steps += [Enslave(port, spec.name) for port in new_ports]
    guests = [current.links[port] for port in ports]
    guests += [replace(current.links[port], isolated=False) for port in new_ports]
    steps += isolation.steps(spec.name, spec.isolate_guests, spec.ports, guests, link.filters)
    steps += _reroute(spec, current.routes.get(spec.name, ()))
    steps += shaping.steps(spec.name, spec.bandwidth, link, current.limits)
    if link.alias != MARK:
        steps.append(SetLink(spec.name, {"ifalias": MARK}))
    if not steps:
        return []
    before = _values(link, current, spec.bandwidth)
    after = _after(spec, link, [*ports, *new_ports], current)
    detail = difference(before, after)
    return [
        BridgeChange(CHANGE, f"bridge {spec.name}", describe(before), describe(after), detail, steps, None, spec.name)
    ]


def _readdress(spec: BridgeSpec, link: Link) -> list[Step]:
    """New addresses first, so that nothing is ever without one.

    Addresses of one subnet hang on its first one: deleting that takes the others along (net/ipv4/devinet.c,
    promote_secondaries). So whenever an IPv4 address goes, those that stay or come are added after it again.
    """
    have, want = list(link.addresses), list(spec.addresses)
    gone = [address for address in have if address not in want]
    new = [address for address in want if address not in have]
    subnets = {ipaddress.ip_interface(address).network for address in gone if ":" not in address}
    shared = [a for a in want if ":" not in a and ipaddress.ip_interface(a).network in subnets]
    early = [address for address in new if address not in shared]
    drop = gone + [address for address in have if address in shared]
    return [
        *(AddAddress(spec.name, address) for address in early),
        *(DeleteAddress(spec.name, address) for address in _secondaries_first(drop, have)),
        *(AddAddress(spec.name, address) for address in shared),
    ]


def _reroute(spec: BridgeSpec, have: Sequence[Route]) -> list[Step]:
    """A route that gets another gateway is replaced in place; the kernel has one for a subnet and metric."""
    kept = {route.key for route in spec.routes}
    return [
        *(DeleteRoute(spec.name, one.to, one.via, one.metric) for one in have if one.key not in kept),
        *(PutRoute(spec.name, one.to, one.via, one.metric) for one in spec.routes if one not in have),
    ]


def _secondaries_first(drop: Sequence[str], have: Sequence[str]) -> list[str]:
    return sorted(drop, key=have.index, reverse=True)


def _values(link: Link, current: State, bandwidth: Bandwidth) -> dict[str, Any]:
    ports = current.of(link.name)
    return {
        "mac": link.mac,
        "mtu": link.mtu,
        "stp": link.stp,
        "forward_delay": _plain(link.forward_delay),
        "up": link.up,
        **link.sysctls,
        "addresses": sorted(link.addresses),
        "routes": [str(route) for route in current.routes.get(link.name, ())],
        "ports": sorted(port.name for port in ports),
        "isolated": sorted(port.name for port in ports if port.isolated),
        "isolate_guests": isolation.is_on(link.filters),
        **shaping.now(bandwidth, link, current.limits),
        "alias": link.alias,
    }


def _plain(seconds: float) -> float:
    return int(seconds) if seconds == int(seconds) else seconds


def _after(spec: BridgeSpec, link: Link | None, ports: Sequence[str], current: State) -> dict[str, Any]:
    mtu = spec.mtu if spec.mtu is not None else (link.mtu if link is not None else 1500)
    return {
        "mac": spec.mac,
        "mtu": mtu,
        "stp": spec.stp,
        "forward_delay": spec.forward_delay,
        "up": True,
        **_wanted_sysctls(spec, current),
        "addresses": sorted(spec.addresses),
        "routes": [str(route) for route in spec.routes],
        "ports": sorted(ports),
        "isolated": sorted(_isolated(spec, link, ports, current)),
        "isolate_guests": spec.isolate_guests,
        **shaping.after(spec.bandwidth),
        "alias": MARK,
    }


def _isolated(spec: BridgeSpec, link: Link | None, ports: Sequence[str], current: State) -> list[str]:
    """The ports that will be isolated."""
    if spec.isolate_guests:
        return [port for port in ports if port not in spec.ports]
    foreign = link is not None and not isolation.is_on(link.filters)
    return [port for port in ports if foreign and port in current.links and current.links[port].isolated]


def _text(link: Link, current: State) -> str:
    return describe(_values(link, current, Bandwidth()))
