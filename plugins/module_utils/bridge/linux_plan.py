# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What it takes to bring bridges after their specs. Nothing here touches the host."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.errors import InvalidOption
from ..core.identity import MARK
from ..core.reconcile import CHANGE, CREATE, DELETE, Change, describe, difference
from ..kernel.bandwidth import Bandwidth
from ..kernel.fdb import FdbLimits, SetFdbLimit
from ..kernel.link_changes import (
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
)
from ..kernel.links import CENTISECONDS, OPENVSWITCH, Link, sysctl_path
from ..kernel.policer import SetPolicer, orphan_chains
from ..kernel.routes import Route, check_routes
from ..openvswitch.bridges import Command, Settings, Switch
from . import isolation, shaping, uplink
from .shaping import Limits
from .spec import BridgeSpec
from .uplink import Uplink, Uplinks

# Until it has all that it is made with: a run that was killed meanwhile left guests without it.
UNFINISHED = f"{MARK} (unfinished)"

TAKEN = "{!r} is already {} that virtnet.linux did not make; choose another name for the bridge, or remove it first"
OTHER_TYPE = (
    "{!r} is not what the bridge is, {}; a bridge keeps its type while it is there: remove it first "
    "(a network: state inactive)"
)


@dataclass(frozen=True)
class Freed:
    """A port that a bridge had: a link by name and index; ``settings`` are those of Open vSwitch."""

    name: str
    index: int
    settings: Settings = field(default_factory=dict)


@dataclass(frozen=True)
class BridgeChange(Change):
    """A change with the steps that make it; ``freed`` are ports that a deletion sets free.

    ``commands`` are for Open vSwitch and come before the steps; ``first`` are a transaction before that. ``moved`` is
    what moves to the bridge from the interface that carries the way out, or is ``given_back``.
    """

    steps: Sequence[Step] = ()
    freed: Sequence[Freed] | None = None
    bridge: str = ""
    first: Sequence[Command] = ()
    commands: Sequence[Command] = ()
    moved: Uplink | None = None
    given_back: bool = False
    confirm_within: int = 0


@dataclass(frozen=True)
class State:
    """What was read: the links, the interfaces of default routes, and the links that stopped bridges set free.

    ``routes`` of ours by the name of one, ``others`` are routes to the same subnets. ``stacks``: settings of links that
    are or may become ports of Open vSwitch (switch_ports.py). ``made``: bridges that networks ever had, with their MAC
    addresses, where all but those that are wanted are to go.
    """

    links: Mapping[str, Link]
    default_routes: frozenset[str] = frozenset()
    freed: Mapping[str, Sequence[Freed]] = field(default_factory=dict)
    stray_sysctls: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ipv6: bool = True
    limits: Limits = field(default_factory=Limits)
    routes: Mapping[str, Sequence[Route]] = field(default_factory=dict)
    others: Mapping[tuple[str, int], str] = field(default_factory=dict)
    switch: Switch = field(default_factory=Switch)
    stacks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)
    uplinks: Uplinks = field(default_factory=Uplinks)
    fdb: FdbLimits = field(default_factory=FdbLimits)

    def of(self, name: str) -> Sequence[Link]:
        """The ports of a bridge."""
        return [port for port in self.links.values() if port.master == name]


def marked(link: Link) -> bool:
    """Whether a link has our mark."""
    return link.alias in (MARK, UNFINISHED)


def ours(link: Link, mac: str) -> bool:
    """Whether we made this bridge."""
    # A run that was killed between making the link and marking it left our MAC address as the only sign.
    return link.kind == "bridge" and (marked(link) or (not link.alias and link.mac == mac))


def check(spec: BridgeSpec, current: State) -> None:
    """Refuse what cannot be, before anything is touched."""
    owner = f"bridge {spec.name!r}"
    at = f"{spec.path}." if spec.path else ""
    link = current.links.get(spec.name)
    if link is not None and link.kind == OPENVSWITCH and marked(link):
        raise InvalidOption(f"{at}type", OTHER_TYPE.format("linux", "a bridge of Open vSwitch"), owner)
    if link is not None and not ours(link, spec.mac):
        kind = f"a {link.kind}" if link.kind else "an interface"
        raise InvalidOption(f"{at}name", TAKEN.format(spec.name, kind), owner)
    if spec.fdb_max_learned and not current.fdb.supported:
        raise InvalidOption(
            f"{at}fdb_max_learned", "is not possible with this kernel; leave it out, or use Linux 6.7", owner
        )
    check_rest(spec, current)


def check_rest(spec: BridgeSpec, current: State) -> None:
    """What holds for bridges of all types: addresses and ports."""
    owner = f"bridge {spec.name!r}"
    at = f"{spec.path}." if spec.path else ""
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
        elif not spec.enslave_uplink and _carries(name, spec.name, current):
            problem = (
                "carries a default route of this host, or the connection by which this run came: the host would lose "
                "its network; bridge.enslave_uplink moves its addresses and routes to the bridge"
            )
        if problem:
            raise InvalidOption(f"{at}ports[{i}]", f"interface {name!r} {problem}", owner)
    if spec.enslave_uplink:
        uplink.check(spec, current.links, current.uplinks, current.default_routes, at)
    check_routes(spec.routes, current.others, spec.name, owner)
    shaping.check(spec.name, spec.bandwidth, current.links.get(spec.name), current.limits, at, owner)


def _carries(port: str, bridge: str, current: State) -> bool:
    """Whether the host is reached by an interface, or was before that became a port of this bridge."""
    moved = current.uplinks.records.get(bridge)
    if moved is not None:
        return moved.port == port
    return current.links[port].master != bridge and port in current.default_routes


def delete_strays(kept: set[str], current: State) -> list[BridgeChange]:
    """What was left of bridges that somebody else deleted."""
    return [
        BridgeChange(DELETE, f"policer {name}", f"{name}\n", "", steps=(SetPolicer(name.partition("_")[2], None),))
        for name in orphan_chains(current.limits.policers, kept)
    ]


def delete(name: str, mac: str, current: State, notes: list[str]) -> list[BridgeChange]:
    """A bridge of ours goes; one of others is noted and stays."""
    link = current.links.get(name)
    rest = shaping.remove(name, current.limits)
    if link is None:
        return [BridgeChange(DELETE, f"policer of bridge {name}", f"{name}\n", "", steps=rest)] if rest else []
    if not ours(link, mac):
        notes.append(f"{name} was not made by virtnet.linux and stays")
        return []
    moved = current.uplinks.records.get(name)
    back = uplink.give_back(moved, name, current.links) if moved else []
    ports = [Freed(port.name, port.index) for port in current.of(name) if not moved or port.name != moved.port]
    freed = f", which frees {', '.join(port.name for port in ports)}" if ports else ""
    freed += f"; {moved.port} gets back its addresses and routes" if moved and back else ""
    return [
        BridgeChange(
            DELETE,
            f"bridge {name}",
            _text(link, current),
            "",
            f"deleted{freed}",
            (*rest, *back, DeleteLink(name)),
            ports,
            name,
            moved=moved,
            given_back=True,
        ),
    ]


def rename_back(present: Sequence[BridgeSpec], current: State) -> tuple[list[BridgeChange], State]:
    """Bridges of ours that somebody gave another name keep their guests and get their own name back."""
    links = dict(current.links)
    wanted = {spec.name for spec in present}
    changes = []
    for spec in present:
        strays = [one for one in links.values() if marked(one) and one.mac == spec.mac and one.name not in wanted]
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


def wanted_sysctls(spec: BridgeSpec, current: State) -> dict[str, str]:
    """The IPv6 settings of a bridge."""
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


def create(spec: BridgeSpec, current: State) -> list[BridgeChange]:
    """A new bridge, with the links that it had when it was stopped."""
    made: dict[str, Any] = {
        "br_stp_state": int(spec.stp),
        "br_forward_delay": spec.forward_delay * CENTISECONDS,
        **({} if spec.mtu is None else {"mtu": spec.mtu}),
    }
    steps: list[Step] = [AddBridge(spec.name, spec.mac, made)]
    steps += [SetFdbLimit(spec.name, spec.fdb_limit)] if spec.fdb_limit else []
    steps += [
        SetSysctl(sysctl_path("/proc/sys", spec.name, key), value)
        for key, value in wanted_sysctls(spec, current).items()
    ]
    steps += [AddAddress(spec.name, address) for address in spec.addresses]
    moved = moves(spec, current)
    if moved and moved.mac != spec.mac:
        # Only now, when the mark says that the bridge is ours.
        steps += [SetLink(spec.name, {"ifalias": UNFINISHED}), SetLink(spec.name, {"address": moved.mac})]
    steps.append(SetLink(spec.name, {"ifalias": UNFINISHED, "state": "up"}))
    back = _back(spec, current)
    steps += [Enslave(port, spec.name) for port in [*spec.ports, *back]]
    if moved:
        steps += uplink.after_enslaving(moved, spec.name, current.links, current.uplinks)
    guests = [replace(current.links[port], isolated=False) for port in back]
    steps += isolation.steps(spec.name, spec.isolate_guests, spec.ports, guests, isolation.NEW)
    steps += reroute(spec, ())
    steps += shaping.steps(spec.name, spec.bandwidth, None, current.limits)
    steps.append(SetLink(spec.name, {"ifalias": MARK}))
    detail = f"created, taking back {', '.join(back)}" if back else "created"
    after = _after(spec, None, [*spec.ports, *back], current)
    detail += f"; {_moving(moved)}" if moved else ""
    return [_changed(CREATE, spec, ("", describe(after)), detail, steps, moved)]


def _changed(
    action: str, spec: BridgeSpec, texts: tuple[str, str], detail: str, steps: Sequence[Step], moved: Uplink | None
) -> BridgeChange:
    return BridgeChange(
        action,
        f"bridge {spec.name}",
        *texts,
        detail,
        steps,
        None,
        spec.name,
        moved=moved,
        confirm_within=spec.confirm_within,
    )


def moves(spec: BridgeSpec, current: State) -> Uplink | None:
    """What belongs on the bridge instead of the port that carries the host's way out."""
    return uplink.moved(spec, current.links, current.uplinks, current.default_routes)


def with_moved(spec: BridgeSpec, current: State) -> BridgeSpec:
    """The bridge with the addresses that move there, and those that somebody gave it since.

    A port that must not move now is left where it is.
    """
    port = uplink.port_of(spec, current.links, current.uplinks, current.default_routes)
    moved = moves(spec, current)
    if moved is None:
        return replace(spec, ports=tuple(one for one in spec.ports if one != port)) if port else spec
    link = current.links.get(spec.name)
    addresses = [*spec.addresses, *moved.addresses, *(link.addresses if link else ())]
    return replace(spec, addresses=tuple(dict.fromkeys(addresses)))


def _moving(moved: Uplink) -> str:
    what = [*moved.addresses, *(f"route {route.to}" for route in moved.routes)]
    return f"takes over {', '.join(what) or 'nothing'} and the MAC address from {moved.port}"


def _back(spec: BridgeSpec, current: State) -> list[str]:
    """Links that the bridge had when it was stopped, still there and free."""
    found = []
    for port in current.freed.get(spec.name, ()):
        link = current.links.get(port.name)
        if link is not None and link.index == port.index and not link.master and port.name not in spec.ports:
            found.append(port.name)
    return found


def change(spec: BridgeSpec, current: State) -> list[BridgeChange]:
    """A bridge that is there, changed in place; nothing where it is right."""
    link = current.links[spec.name]
    ports = [port.name for port in current.links.values() if port.master == spec.name]
    new_ports = [port for port in spec.ports if port not in ports]
    steps: list[Step] = []
    if link.alias != MARK:
        new_ports += _back(spec, current)
    moved = moves(spec, current)
    mac = moved.mac if moved else spec.mac
    if link.mac != mac:
        steps.append(SetLink(spec.name, {"address": mac}))
    if spec.mtu is not None and link.mtu != spec.mtu:
        steps.append(SetLink(spec.name, {"mtu": spec.mtu}))
    if link.stp != spec.stp or link.forward_delay != spec.forward_delay:
        steps += _timers(spec)
    steps += current.fdb.steps(spec.name, link.index, spec.fdb_limit)
    steps += readdress(spec, link, current)
    if not link.up:
        steps.append(SetLink(spec.name, {"state": "up"}))
    steps += [Enslave(port, spec.name) for port in new_ports]
    if moved:
        steps += uplink.after_enslaving(moved, spec.name, current.links, current.uplinks)
    guests = [current.links[port] for port in ports]
    guests += [replace(current.links[port], isolated=False) for port in new_ports]
    steps += isolation.steps(spec.name, spec.isolate_guests, spec.ports, guests, link.filters)
    steps += reroute(spec, current.routes.get(spec.name, ()))
    steps += shaping.steps(spec.name, spec.bandwidth, link, current.limits)
    if link.alias != MARK:
        steps.append(SetLink(spec.name, {"ifalias": MARK}))
    if not steps:
        return []
    before = _values(link, current, spec.bandwidth)
    after = _after(spec, link, [*ports, *new_ports], current)
    detail = difference(before, after)
    if moved and moved.port in new_ports:
        detail = f"{_moving(moved)}; {detail}"
    return [_changed(CHANGE, spec, (describe(before), describe(after)), detail, steps, moved)]


def readdress(spec: BridgeSpec, link: Link, current: State) -> list[Step]:
    """The addresses and IPv6 settings of a link that is there."""
    settings = [
        SetSysctl(sysctl_path("/proc/sys", spec.name, key), value)
        for key, value in wanted_sysctls(spec, current).items()
        if link.sysctls.get(key) != value
    ]
    # IPv6 takes its addresses along when it is switched off, and takes none before it is on.
    ipv6 = any(":" in address for address in spec.addresses)
    return [*settings, *_addresses(spec, link)] if ipv6 else [*_addresses(spec, link), *settings]


def _addresses(spec: BridgeSpec, link: Link) -> list[Step]:
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


def reroute(spec: BridgeSpec, have: Sequence[Route]) -> list[Step]:
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
        **({"fdb_max_learned": current.fdb.of(link.index)} if current.fdb.supported else {}),
        "alias": link.alias,
    }


def _plain(seconds: float) -> float:
    return int(seconds) if seconds == int(seconds) else seconds


def _after(spec: BridgeSpec, link: Link | None, ports: Sequence[str], current: State) -> dict[str, Any]:
    mtu = spec.mtu if spec.mtu is not None else (link.mtu if link is not None else 1500)
    return {
        "mac": (moves(spec, current) or spec).mac,
        "mtu": mtu,
        "stp": spec.stp,
        "forward_delay": spec.forward_delay,
        "up": True,
        **wanted_sysctls(spec, current),
        "addresses": sorted(spec.addresses),
        "routes": [str(route) for route in spec.routes],
        "ports": sorted(ports),
        "isolated": sorted(_isolated(spec, link, ports, current)),
        "isolate_guests": spec.isolate_guests,
        **shaping.after(spec.bandwidth),
        **({"fdb_max_learned": spec.fdb_limit} if current.fdb.supported else {}),
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
