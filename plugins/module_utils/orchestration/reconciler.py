# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part that defines networks: validates the whole list, chooses subnets, stores definitions.

What it stores is the truth about the host's networks; the other parts follow it.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from ..core.command import find
from ..core.errors import InvalidOption
from ..core.files import File, put
from ..core.identity import host_identity
from ..core.memory import Remembered, memory_file, recall
from ..core.paths import Paths
from ..core.reconcile import CHANGE, CREATE, DELETE, Change, Plan, describe, difference
from ..dnsmasq.record_lines import NameOwnership, ownerships_of
from ..firewall.listeners import Listener, check_listeners, read_listeners
from ..ipam.allocator import (
    AllocationSettings,
    Fleet,
    SubnetAllocator,
    allocation_settings_path,
    read_allocation_settings,
)
from ..ipam.in_use import read_avoided_subnets, read_order, read_subnets_in_use
from ..ipam.subnets import UP, Pool, Subnet, SubnetInUse, first_overlapping, host_prefix
from ..kernel.links import Link, has_ipv6
from ..libvirt import bridged
from ..libvirt.connection import driver_installed
from ..libvirt.managed import LIBVIRT
from ..network import runtime
from ..network.model import Network
from ..network.store import Unreadable, file_of, read_stored, remembering, text_of
from ..nft.port_forwards import Forward, check_claims, check_targets
from ..openvswitch.bridges import read_all_links
from .desired_state import TASKS, Specs, parts, registrations, specs


@dataclass(frozen=True)
class Whole:
    """What concerns all definitions of one plan: the files of what is remembered, and what the parts shall do."""

    memory: Sequence[File]
    specs: Specs
    networks: Sequence[Network]


@dataclass(frozen=True)
class DefinitionChange(Change):
    """The files of one network."""

    network: str = ""
    files: Sequence[File] = ()
    whole: Whole | None = None


@dataclass(frozen=True)
class State:
    """What is stored and remembered, what is occupied or better avoided, where to look first, and the host's links.

    ``records`` are the networks that were started or stopped by hand; ``libvirt``: whether it has its network driver.
    """

    definitions: Mapping[str, Network] = field(default_factory=dict)
    remembered: Mapping[str, Remembered] = field(default_factory=dict)
    records: Mapping[str, str] = field(default_factory=dict)
    occupied: Sequence[SubnetInUse] = ()
    avoided: Sequence[SubnetInUse] = ()
    order: str = UP
    settings: AllocationSettings = AllocationSettings()
    prefix: ipaddress.IPv6Network | None = None
    links: Mapping[str, Link] = field(default_factory=dict)
    listeners: Sequence[Listener] = ()
    libvirt: bool = True
    unreadable: Mapping[str, Unreadable] = field(default_factory=dict)


# Where libvirt is, this brings its network driver.
_INSTALL = "install it (Debian: libvirt-daemon-system)"


class Networks:
    """Definitions of networks; without ``pools``, ``fleet`` or ``resolver``, what an earlier run was given holds.

    ``resolver`` is for the entries, which may refuse it (resolvconf.Entries).
    """

    def __init__(
        self,
        wanted: Sequence[Network],
        purge: bool,
        paths: Paths,
        pools: Sequence[Pool] | None = None,
        fleet: Fleet | None = None,
        resolver: str | None = None,
    ) -> None:
        self.wanted = wanted
        self.purge = purge
        self.paths = paths
        self.pools = pools
        self.fleet = fleet
        self.resolver = resolver
        _each_once(wanted, "name", lambda network: network.name)

    def read(self) -> State:
        """What is stored, and what of the host a network may collide with."""
        identity = host_identity(self.paths.root)
        stored = read_stored(self.paths, identity)
        definitions = stored.networks
        own = [str(one.ipv4.address.ip) for one in definitions.values() if one.ipv4.address]
        return State(
            definitions=definitions,
            remembered=recall(self.paths),
            records=runtime.read_records(self.paths),
            occupied=read_subnets_in_use(
                self.paths.root, os.environ, own, ipv6=any(one.has_ipv6 or one.ipv6.auto for one in self.wanted)
            ),
            avoided=read_avoided_subnets(self.paths.root),
            order=read_order(),
            settings=read_allocation_settings(self.paths),
            prefix=host_prefix(identity) if has_ipv6(self.paths.proc_sys) else None,
            links=read_all_links() if find("ip") else {},
            listeners=read_listeners() if any(network.forwards for network in self.wanted) else (),
            libvirt=driver_installed(self.paths.root),
            unreadable=stored.unreadable,
        )

    def plan(self, current: State) -> Plan[DefinitionChange]:
        """All definitions as they will be; every error that the list can have is raised here."""
        gone = {network.name for network in self.wanted if network.state == "absent"}
        if self.purge:
            gone |= {*current.definitions, *current.unreadable} - {network.name for network in self.wanted}
        # What nobody can read and nobody names is left as it is, with all that it has on this host.
        aside = set(current.unreadable) - gone - {network.name for network in self.wanted}
        stay = [
            network
            for name, network in current.definitions.items()
            if name not in gone and name not in {wanted.name for wanted in self.wanted}
        ]
        new = self._addressed([network for network in self.wanted if network.name not in gone], stay, current)
        new = self._prefixed(new, stay, current)
        after = {network.name: network for network in sorted([*stay, *new], key=lambda one: one.name)}
        _check_list([*stay, *new])
        for network in new:
            _check_host(network, current)
        check_listeners(_new_forwards(new, current), current.listeners)
        remembered = dict(current.remembered)
        # The stored ones too: one may come from elsewhere, and its removal must be as complete as any.
        for network in (*current.definitions.values(), *after.values()):
            remembered[network.name] = remembering(remembered.get(network.name, Remembered()), network)
        networks = list(after.values())
        named = {network.name for network in new}
        # Those that the list does not name stay as they are, also where somebody stopped them.
        run = [*new, *runtime.as_intended(stay, current.records, current.links)]
        mine = {name: one for name, one in remembered.items() if name not in aside}
        wanted = specs(sorted(run, key=lambda one: one.name), mine)
        records = self._records(current, after, named)
        wanted = _without(wanted, [one.name for one in self.wanted if one.name in gone and one.managed_by == LIBVIRT])
        memory = [memory_file(remembered, self.paths), runtime.records_file(records, self.paths)]
        whole = Whole(memory, wanted, networks)
        changes = [
            *self._resettle(current, whole),
            *_removals([current.unreadable[name] for name in sorted(set(current.unreadable) - aside)], whole),
            *_changes(current, after, records, whole, self.paths),
        ]
        notes = [
            f"{network.owner}: the kernel of this host has no IPv6, so the network goes without"
            for network in new
            if network.ipv6.auto and network.ipv6.address is None
        ]
        notes += self._ignored_claims(new, current)
        notes += [current.unreadable[name].problem for name in sorted(aside)]
        return Plan(changes, [network.as_options() for network in networks], notes, return_values=wanted)

    def _resettle(self, current: State, whole: Whole) -> list[DefinitionChange]:
        """What to choose from is kept, for the guard to choose from too."""
        before, after = current.settings.as_options(), self._settings(current).as_options()
        if before == after:
            return []
        text = json.dumps(after, indent=2) + "\n"
        file = File(allocation_settings_path(self.paths), text)
        detail = difference(before, after)
        return [
            DefinitionChange(CHANGE, "choice of subnets", describe(before), describe(after), detail, "", [file], whole)
        ]

    def _settings(self, current: State) -> AllocationSettings:
        pools = current.settings.pools if self.pools is None else tuple(self.pools)
        share = None if self.fleet is None else self.fleet.share
        return AllocationSettings(pools, current.settings.share if share is None else share)

    def _records(self, current: State, after: Mapping[str, Network], named: set[str]) -> dict[str, str]:
        """Who was started or stopped by hand, once the list has been heard."""
        records = {name: word for name, word in current.records.items() if name in after and name not in named}
        for name in sorted(named):
            word = runtime.record_after(after[name], current.records.get(name))
            if word is not None:
                records[name] = word
        return records

    def _addressed(self, new: Sequence[Network], stay: Sequence[Network], current: State) -> list[Network]:
        """Networks with ``auto`` get the subnet they had, or else the first free one."""
        own = {network.bridge.name for network in new if network.ipv4.auto}
        taken = [one for one in current.occupied if one.network.version == 4 and one.interface not in own]
        taken += [_held(network) for network in (*stay, *new) if network.subnet]
        taken += [
            SubnetInUse(one.subnet, f"{network.owner} ({one.to})", network.bridge.name)
            for network in (*stay, *new)
            for one in network.routes
        ]
        found = []
        for network in new:
            if network.ipv4.auto and network.ipv4.address is None:
                network = network.with_address(self._choose(network, taken, current))
                taken.append(_held(network))
            found.append(network)
        return found

    def _prefixed(self, new: Sequence[Network], stay: Sequence[Network], current: State) -> list[Network]:
        """Networks with ``auto`` get the /64 that they had, or else the first free one of the host's prefix."""
        own = {network.bridge.name for network in new if network.ipv6.auto}
        allocator = SubnetAllocator([one for one in current.occupied if one.interface not in own])
        taken: list[Subnet] = [subnet for network in (*stay, *new) for subnet in network.reached]
        found = []
        for network in new:
            if network.ipv6.auto and network.ipv6.address is None and current.prefix is not None:
                before = current.remembered.get(network.name, Remembered()).ipv6
                address = allocator.allocate_prefix(current.prefix, taken, before)
                if address is None:
                    _refuse(network, "ipv6.address", f"no free /64 is left in {current.prefix}; give an address")
                network = replace(network, ipv6=network.ipv6.at(address))
                taken.append(address.network)
            found.append(network)
        return found

    def _choose(self, network: Network, taken: Sequence[SubnetInUse], current: State) -> ipaddress.IPv4Interface:
        allocator = self._allocator(current, taken)
        before = current.remembered.get(network.name, Remembered())
        stored = current.definitions.get(network.name)
        address = stored.ipv4.address if stored is not None and stored.ipv4.auto else None
        if stored is not None and address and _is_live(stored, current) and not allocator.must_yield(address.network):
            # Guests are on it: what has come to overlap meanwhile is for the guard to settle, not for a run.
            return address
        return allocator.allocate(
            before.ipv4,
            before.met,
            established=stored is not None,
            option=network.at("ipv4.address"),
            owner=network.owner,
        )

    def _allocator(self, current: State, taken: Sequence[SubnetInUse] = ()) -> SubnetAllocator:
        settings = self._settings(current)
        fleet = replace(self.fleet or Fleet(), share=settings.share)
        return SubnetAllocator(taken, current.avoided, settings.pools, current.order, fleet)

    def _ignored_claims(self, new: Sequence[Network], current: State) -> list[str]:
        """A sentence for each subnet that was chosen although another host says that it holds it."""
        allocator = self._allocator(current)
        notes = []
        for network in new:
            stored = current.definitions.get(network.name)
            kept = stored is not None and stored.subnet == network.subnet
            claims = (
                allocator.ignored_claims(network.subnet) if network.ipv4.auto and network.subnet and not kept else []
            )
            if claims:
                more = f" and {len(claims) - 1} more" if len(claims) > 1 else ""
                notes.append(
                    f"{network.owner}: {network.subnet} overlaps {claims[0]}{more}: every subnet is taken, and that "
                    "host claims more than its share of the pools; give one of the two an address, or use more pools"
                )
        return notes

    def apply(self, plan: Plan[DefinitionChange]) -> None:
        """Store the definitions, unless one of the parts refuses what they ask for.

        What is remembered goes first: a run that is cut short can then be completed or undone by another.
        """
        whole = plan.changes[0].whole
        if whole is None:
            raise AssertionError("the first change has them all")
        for part in (
            *parts(whole.specs, self.paths, whole.networks, resolver=self.resolver),
            registrations(whole.specs, self.paths),
        ):
            part.plan(part.read())
        put(whole.memory)
        # The other parts follow in tasks of their own: the guard leaves these networks to them meanwhile.
        runtime.note_run({change.network for change in plan.changes if change.network}, TASKS, self.paths)
        put(file for change in plan.changes for file in change.files)


def _without(wanted: Specs, names: Sequence[str]) -> Specs:
    """Networks of libvirt's own that the user wants removed, also those that we never knew."""
    left = [one for one in wanted["registrations"] if one["name"] not in names]
    gone = [{"name": name, "state": "absent", "managed_by": LIBVIRT} for name in sorted(names)]
    return {**wanted, "registrations": [*gone, *left]}


def _held(network: Network) -> SubnetInUse:
    if network.subnet is None:
        raise AssertionError("a network without a subnet holds nothing")
    return SubnetInUse(network.subnet, f"{network.owner} ({network.subnet})", network.bridge.name)


def _is_live(network: Network, current: State) -> bool:
    link = current.links.get(network.bridge.name)
    own = [str(address) for address in (network.ipv4.address, network.ipv6.address) if address]
    return link is not None and bool(own) and all(address in link.addresses for address in own)


def _changes(
    current: State, after: Mapping[str, Network], records: Mapping[str, str], whole: Whole, paths: Paths
) -> list[DefinitionChange]:
    changes = []
    for name in sorted({*current.definitions, *after}):
        old, new = current.definitions.get(name), after.get(name)
        if old != new:
            files = [] if new is None else [File(file_of(new, paths), text_of(new))]
            if old is not None and (new is None or file_of(old, paths) != file_of(new, paths)):
                files.append(File(file_of(old, paths), None))
            changes.append(_change(name, old, new, files, whole))
        elif new is not None and current.records.get(name) != records.get(name):
            changes.append(_switch(new, current.records.get(name), records.get(name), whole))
    return changes


def _removals(unreadable: Iterable[Unreadable], whole: Whole) -> list[DefinitionChange]:
    """Files that cannot be read, of networks that are defined again, or are to go."""
    changes = []
    for one in unreadable:
        name = os.path.basename(one.path)[: -len(".json")]
        detail = "its definition, which could not be read, removed"
        files = [File(one.path, None)]
        changes.append(DefinitionChange(DELETE, f"network {name}", f"{one.problem}\n", "", detail, name, files, whole))
    return changes


def _switch(network: Network, before: str | None, after: str | None, whole: Whole) -> DefinitionChange:
    """A network that was started or stopped by hand, and shall be as its definition says."""
    words = {runtime.STARTED: "started by hand", runtime.STOPPED: "stopped by hand", None: "as defined"}
    done = {"active": runtime.STARTED, "inactive": runtime.STOPPED}[network.state]
    return DefinitionChange(
        CHANGE,
        f"network {network.name}",
        f"{words[before]}\n",
        f"{done if after else words[None]}\n",
        done,
        network.name,
        whole=whole,
    )


def _change(
    name: str, old: Network | None, new: Network | None, files: Sequence[File], whole: Whole
) -> DefinitionChange:
    before = "" if old is None else text_of(old)
    after = "" if new is None else text_of(new)
    if old is None or new is None:
        action, detail = (CREATE, "defined") if old is None else (DELETE, "undefined")
    else:
        action, detail = CHANGE, difference(_flat(old.as_options()), _flat(new.as_options()))
    return DefinitionChange(action, f"network {name}", before, after, detail, name, files, whole)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _each_once(networks: Sequence[Network], option: str, value: Callable[[Network], str]) -> None:
    seen: dict[str, Network] = {}
    for network in networks:
        key = value(network)
        if key in seen:
            other = seen[key]
            raise InvalidOption(
                network.at(option),
                f"{key!r} is already that of {other.path or other.owner}; each network has its own",
                network.owner,
            )
        seen[key] = network


def _check_list(networks: Sequence[Network]) -> None:
    """Networks against each other, stopped ones too: any of them may be started."""
    ours = [network for network in networks if network.has_own_bridge]
    _each_once(ours, "bridge.name", lambda network: network.bridge.name)
    _each_once(ours, "bridge.mac", lambda network: network.bridge.mac)
    for network in networks:
        if not network.has_own_bridge:
            _refuse_own({one.bridge.name: one.name for one in ours}, network)
    _each_once([network for network in networks if network.uuid], "uuid", lambda network: network.uuid)
    _check_subnets(networks)
    _check_names(networks)
    check_claims((forward, network.owner) for network in networks for forward in network.resolved_forwards)
    for network in networks:
        own = [address.ip for address in (network.ipv4.address, network.ipv6.address) if address]
        check_targets(network.resolved_forwards, network.subnets, own, network.owner)
    ports: dict[str, Network] = {}
    hosts: dict[str, tuple[Network, str]] = {}
    for network in networks:
        for i, port in enumerate(network.bridge.ports):
            if port in ports:
                _refuse(network, f"bridge.ports[{i}]", f"{port!r} is already a port of {ports[port].owner}")
            ports[port] = network
        _check_hosts(network, hosts)


def _check_hosts(network: Network, hosts: dict[str, tuple[Network, str]]) -> None:
    """A guest may be a static host of both families on one network, but not on two networks."""
    for option, those in (("ipv4", network.ipv4.hosts), ("ipv6", network.ipv6.dhcp.hosts)):
        for host in those:
            known_by = host.mac or host.id
            other, path = hosts.setdefault(known_by, (network, host.path)) if known_by else (network, "")
            if other is not network:
                what = "MAC address" if host.mac else "client id"
                _refuse(network, f"{option}.dhcp.hosts", f"{what} {known_by} is already given to {path or other.owner}")


def _check_names(networks: Sequence[Network]) -> None:
    """All of them share one dnsmasq, or may come to."""
    claimed: dict[tuple[str, str], tuple[NameOwnership, Network]] = {}
    for network in networks:
        for option, claim in ownerships_of(network.dns.names):
            other, owner = claimed.setdefault(claim.key, (claim, network))
            if owner is not network and claim.conflicts_with(other):
                _refuse(network, f"dns.{option}", f"{claim.name} is already given to {owner.owner}; keep one of them")


def _check_subnets(networks: Sequence[Network]) -> None:
    """Sorted by their first address, only neighbours can be the first to overlap."""
    for version in (4, 6):
        pairs = [(subnet, network) for network in networks for subnet in network.reached if subnet.version == version]
        last: tuple[Any, Network] | None = None
        for subnet, network in sorted(pairs, key=lambda pair: (int(pair[0].network_address), pair[0].prefixlen)):
            if last is not None and subnet.overlaps(last[0]) and network is not last[1]:
                # The one that the user wrote, rather than one that is stored, is named as the one to change.
                pair = ((network, subnet), (last[1], last[0]))
                (mine, my_subnet), (other, its) = pair if network.path or not last[1].path else pair[::-1]
                problem = f"{my_subnet} overlaps {its} of {other.owner}; use another subnet"
                _refuse(mine, f"ipv{version}.address" if my_subnet in mine.subnets else "routes", problem)
            if last is None or subnet.broadcast_address > last[0].broadcast_address:
                last = subnet, network


def _refuse(network: Network, option: str, problem: str) -> NoReturn:
    raise InvalidOption(network.at(option), problem, network.owner)


def _check_type(network: Network, stored: Network | None, current: State) -> None:
    there = stored is not None and stored.bridge.name in current.links
    if stored is not None and there and network.state == "active" and stored.bridge.type != network.bridge.type:
        _refuse(
            network,
            "bridge.type",
            f"{stored.bridge.name!r} is a bridge of type {stored.bridge.type}, which cannot become one of type "
            f"{network.bridge.type}; stop the network first (state: inactive)",
        )


def _check_host(network: Network, current: State) -> None:
    """A network against the host."""
    stored = current.definitions.get(network.name)
    if stored is not None and stored.managed_by != network.managed_by:
        _refuse(
            network,
            "managed_by",
            f"cannot become {network.managed_by!r} while the network is defined; the playbook adopt.yml takes networks "
            "over from libvirt and gives them back, or remove it first (state: absent)",
        )
    if network.managed_by == LIBVIRT:
        if not current.libvirt:
            _refuse(network, "managed_by", f"this host lacks libvirt's network driver; {_INSTALL}")
        return
    if not network.has_own_bridge:
        _check_bridged(network, current)
        return
    if stored is not None and stored.has_own_bridge and stored.bridge.name != network.bridge.name:
        guests = [link.name for link in current.links.values() if link.master == stored.bridge.name]
        if guests:
            _refuse(
                network,
                "bridge.name",
                f"{stored.bridge.name!r} has guests ({', '.join(guests)}), which {network.bridge.name!r} would not "
                "have; stop the network first (state: inactive)",
            )
    _check_type(network, stored, current)
    if network.state != "active":
        return
    kept = () if stored is None else stored.routes
    routes = [(f"routes[{i}].to", one.to) for i, one in enumerate(network.routes) if one not in kept]
    # A subnet behind a guest is often a part of what is routed elsewhere as a whole.
    _check_free(network, routes, [one for one in current.occupied if not one.avoid_only])
    if not _is_live(network, current):
        own = (("ipv4.address", network.ipv4.address), ("ipv6.address", network.ipv6.address))
        named = [(option, str(address)) for option, address in own if address is not None]
        # One that was chosen overlaps a route to elsewhere only where there was no choice.
        others = [one for one in current.occupied if not (network.ipv4.auto and one.avoid_only)]
        _check_free(network, [*named, *_extra(network)], others)


def _check_free(network: Network, cidrs: Sequence[tuple[str, str]], others: Sequence[SubnetInUse]) -> None:
    for option, cidr in cidrs:
        subnet = ipaddress.ip_interface(cidr).network
        taken = first_overlapping(subnet, others, own=network.bridge.name)
        if taken:
            _refuse(network, option, f"{subnet} overlaps {taken.used_by} of this host; use another subnet, or auto")


def _check_bridged(network: Network, current: State) -> None:
    if not current.libvirt:
        _refuse(
            network,
            "mode",
            "'bridged' does nothing but tell libvirt of a bridge, and this host lacks libvirt's network driver; "
            f"{_INSTALL}, or use another mode",
        )
    # A bridge that was ours once is removed whenever no network of ours needs it.
    _refuse_own({bridge: name for name, one in current.remembered.items() for bridge in one.bridges}, network)
    problem = bridged.bridge_problem(network.bridge.name, network.bridge.type == "openvswitch", current.links)
    if network.state == "active" and problem:
        _refuse(network, "bridge.name", problem)


def _refuse_own(ours: Mapping[str, str], network: Network) -> None:
    bridge = network.bridge.name
    if bridge in ours:
        problem = f"{bridge!r} is the bridge of network {ours[bridge]!r} and goes with it; guests can have that network"
        _refuse(network, "bridge.name", problem)


def _new_forwards(networks: Sequence[Network], current: State) -> list[tuple[Forward, str]]:
    """Forwards that were not there before: what began to listen since is served no worse by a run that fails."""
    before = {(name, forward) for name, network in current.definitions.items() for forward in network.resolved_forwards}
    return [
        (forward, network.owner)
        for network in networks
        for forward in network.resolved_forwards
        if (network.name, forward) not in before
    ]


def _extra(network: Network) -> list[tuple[str, str]]:
    return [(f"extra_addresses[{i}]", cidr) for i, cidr in enumerate(network.extra_addresses)]
