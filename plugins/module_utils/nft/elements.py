# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of one network, as elements of the sets and maps of our table and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core import kinds
from ..core.fields import option, required
from .helpers import HELPERS, PORTS, has_helpers, helper_set
from .nat import Nat
from .policy import NO_POLICY, Policy, has_policy
from .policy_sets import elements_of_policy, policy_of
from .port_forwards import PORT_FORWARDS, Forward
from .sets import FORWARDS, SETS, Elements, Members

MODES = ("nat", "routed", "isolated", "open")

# New connections per second of all guests of a network, 0 for no limit. A conntrack entry without a reply lasts up to
# 120 s (nf_conntrack_tcp_timeout_syn_sent, nf_conntrack_udp_timeout_stream). This rate keeps the entries of one network
# below 262144, the maximum of the kernel on a host with over 4 GB (nf_conntrack_init_start()).
CONNECTION_RATE = 2000
MOST_CONNECTIONS = 1_000_000
_LIMIT = re.compile(r"limit rate over (\d{1,7})/second burst (\d{1,7}) packets")

# The chains for packets to a guest, from a guest, and from a guest to the host, by mode.
_CHAINS_OF_MODE = {
    "nat": ("vn_to_closed", "vn_from_nat", "vn_host_closed"),
    "routed": ("vn_to_routed", "vn_from_routed", "vn_host_routed"),
    "isolated": ("vn_to_closed", "vn_from_isolated", "vn_host_closed"),
}


@dataclass(frozen=True)
class Rules:
    """The rules of one network; ``subnets``: of both families, in CIDR notation.

    ``connection_rate``: new connections of its guests per second, 0 for no limit. ``clamp_mss``: whether TCP segments
    fit the MTU of the routes. ``helpers``: of conntrack, for connections that its guests begin. ``dns``: whether the
    host serves DNS to guests of an isolated network, at the bridge's address; guests of other modes may query any
    address of the host. ``redirect_dns``: the host's addresses on the bridge whose name server has a port of its own;
    ``redirect_dhcp``: the DHCP server has one (core/ports.py). ``policy``: elements have its networks as bridges.
    """

    name: str = required(kinds.text())
    bridge: str = required(kinds.interface)
    mode: str = required(kinds.choice(*MODES))
    uplinks: Sequence[str] = option(kinds.interface_or_list, (), name="uplink")
    subnets: Sequence[str] = option(kinds.cidrs, ())
    nat: Nat = option(kinds.group_by_caller(Nat), Nat())
    forwards: Sequence[Forward] = option(PORT_FORWARDS, (), name="port_forwards")
    isolate_guests: bool = option(kinds.boolean, False)
    connection_rate: int = option(kinds.integer(0, MOST_CONNECTIONS), 0)
    clamp_mss: bool = option(kinds.boolean, False)
    helpers: Sequence[str] = option(HELPERS, (), name="conntrack_helpers", is_written=has_helpers)
    dns: bool = option(kinds.boolean, True)
    redirect_dns: Sequence[str] = option(kinds.addresses, ())
    redirect_dhcp: bool = option(kinds.boolean, False)
    policy: Policy = option(kinds.group_by_caller(Policy), NO_POLICY, is_written=has_policy)

    @property
    def forwarded(self) -> bool:
        """Whether the host forwards packets of the network."""
        return self.mode != "isolated" or bool(self.forwards or self.policy.opened)

    @property
    def ipv6(self) -> bool:
        """Whether it has an IPv6 subnet."""
        return any(":" in subnet for subnet in self.subnets)


def elements_of(rules: Rules) -> dict[str, Members]:
    """The elements of one network."""
    bridge = rules.bridge
    elements: dict[str, Members] = {"vn_bridges": {(bridge,): rules.name}}
    _add_subnets(elements, bridge, "vn_subnets", rules.subnets)
    if not rules.subnets:
        elements["vn_untracked"] = {(bridge,): ""}
    for forward in rules.forwards:
        name, key, value = _forward_element(bridge, forward)
        elements.setdefault(name, {})[key] = value
        if rules.isolate_guests:
            elements.setdefault(f"vn_own{6 if forward.ipv6 else 4}", {})[bridge, forward.to, forward.to] = ""
    if rules.redirect_dhcp:
        elements["vn_redirected"] = {(bridge,): ""}
    for address in rules.redirect_dns:
        elements.setdefault(f"vn_redirected{6 if ':' in address else 4}", {})[bridge, address] = ""
    if rules.isolate_guests:
        elements["vn_apart"] = {(bridge, bridge): ""}
    if rules.mode == "open":
        elements["vn_to_guest"] = {(bridge,): "jump vn_to_open"}
    else:
        _add_mode(elements, rules)
        elements.update({helper_set(helper): {(bridge,): ""} for helper in rules.helpers})
    return elements


def _add_mode(elements: dict[str, Members], rules: Rules) -> None:
    bridge = rules.bridge
    for name, chain in zip(("vn_to_guest", "vn_from_guest", "vn_to_host"), _CHAINS_OF_MODE[rules.mode]):
        elements[name] = {(bridge,): f"jump {chain}"}
    if not rules.isolate_guests:
        elements["vn_same"] = {(bridge, bridge): ""}
    _add_subnets(elements, bridge, "vn_routed" if rules.mode == "routed" else "vn_closed", rules.subnets)
    if rules.mode != "routed":
        elements["vn_closed"] = {(bridge,): ""}
    if rules.mode == "isolated":
        elements["vn_isolated"] = {(bridge,): ""}
        if not rules.dns:
            elements["vn_nameless"] = {(bridge,): ""}
    if rules.mode == "nat":
        _add_nat(elements, rules)
    if rules.mode != "isolated" and rules.uplinks:
        elements["vn_uplinked"] = {(bridge,): ""}
        elements["vn_uplinks"] = {(bridge, uplink): "" for uplink in rules.uplinks}
    if rules.clamp_mss:
        elements["vn_clamped"] = {(bridge,): ""}
    if rules.connection_rate:
        # As nft prints it. The burst after a pause is two seconds' worth of connections.
        limit = f"limit rate over {rules.connection_rate}/second burst {2 * rules.connection_rate} packets"
        elements["vn_limited"] = {(bridge,): limit}
    elements.update(elements_of_policy(rules.policy, bridge))


def _add_nat(elements: dict[str, Members], rules: Rules) -> None:
    elements["vn_nat4"] = {(rules.bridge,): f"goto {rules.nat.chain}"}
    if rules.nat.ipv6 and rules.ipv6:
        elements["vn_nat6"] = {(rules.bridge,): f"goto {rules.nat.chain}"}
    _add_subnets(elements, rules.bridge, "vn_except", rules.nat.exceptions)


def _add_subnets(elements: dict[str, Members], bridge: str, name: str, cidrs: Sequence[str]) -> None:
    for version, separator in (("4", "."), ("6", ":")):
        subnets = [_without_full_length(subnet) for subnet in cidrs if separator in subnet]
        if subnets:
            elements[name + version] = {(bridge, subnet): "" for subnet in subnets}


def _forward_element(bridge: str, forward: Forward) -> tuple[str, tuple[str, ...], str]:
    """The name of the map, the key and the value of a port forward."""
    kind = "vn_ports" if forward.to_port is None else "vn_port"
    name = f"{kind}{6 if forward.ipv6 else 4}{'_at' if forward.address else ''}"
    address = (forward.address,) if forward.address else ()
    value = forward.to if forward.to_port is None else f"{forward.to} . {forward.to_port}"
    return name, (bridge, *address, forward.protocol, forward.ports), value


def _forward_from_element(key: tuple[str, ...], value: str) -> Forward:
    *address, protocol, ports = key[1:]
    first, _dash, last = ports.partition("-")
    to, _dot, to_port = value.partition(" . ")
    port = int(to_port) if to_port.isdecimal() else None
    return Forward(protocol, _number(first), _number(last or first), to, port, address[0] if address else "")


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _without_full_length(subnet: str) -> str:
    """A subnet as nft lists it: a single address has no prefix length."""
    address, _slash, length = subnet.partition("/")
    return address if length == ("128" if ":" in address else "32") else subnet


def _with_length(subnet: str) -> str:
    return subnet if "/" in subnet else f"{subnet}/{128 if ':' in subnet else 32}"


def merged(networks: Iterable[Elements]) -> dict[str, Members]:
    """The elements of several networks in one mapping with all sets and maps."""
    merged_elements: dict[str, Members] = {name: {} for name in SETS}
    for network in networks:
        for name, members in network.items():
            merged_elements.setdefault(name, {}).update(members)
    return merged_elements


def rules_of(elements: Elements, bridge: str) -> Rules:
    """The rules whose elements a bridge has: the inverse of elements_of()."""

    def keys(name: str) -> list[tuple[str, ...]]:
        return [key[1:] for key in elements.get(name, {}) if key[0] == bridge]

    def subnets(name: str) -> tuple[str, ...]:
        return tuple(sorted(_with_length(subnet) for version in "46" for (subnet,) in keys(f"{name}{version}")))

    verdict = elements.get("vn_from_guest", {}).get((bridge,), "")
    modes = {f"jump {from_guest}": mode for mode, (_to_guest, from_guest, _to_host) in _CHAINS_OF_MODE.items()}
    nat_chain = elements.get("vn_nat4", {}).get((bridge,), "goto vn_nat").split()[-1]
    limit = _LIMIT.fullmatch(elements.get("vn_limited", {}).get((bridge,), ""))
    nat_ipv6 = bool(keys("vn_nat6")) or not (keys("vn_nat4") and keys("vn_subnets6"))
    forwards = [
        _forward_from_element(key, value)
        for name in FORWARDS
        for key, value in elements.get(name, {}).items()
        if key[0] == bridge
    ]
    return Rules(
        name=elements.get("vn_bridges", {}).get((bridge,), ""),
        bridge=bridge,
        mode=modes.get(verdict, "open"),
        uplinks=tuple(sorted(uplink for (uplink,) in keys("vn_uplinks"))),
        subnets=subnets("vn_subnets"),
        nat=replace(Nat.of_chain(nat_chain, ipv6=nat_ipv6), exceptions=subnets("vn_except")),
        forwards=tuple(sorted(forwards, key=forward_order)),
        isolate_guests=bool(keys("vn_apart")),
        connection_rate=int(limit[1]) if limit else 0,
        clamp_mss=(bridge,) in elements.get("vn_clamped", {}),
        helpers=tuple(helper for helper in PORTS if (bridge,) in elements.get(helper_set(helper), {})),
        dns=(bridge,) not in elements.get("vn_nameless", {}),
        redirect_dns=tuple(sorted(address for version in "46" for (address,) in keys(f"vn_redirected{version}"))),
        redirect_dhcp=(bridge,) in elements.get("vn_redirected", {}),
        policy=policy_of(elements, bridge),
    )


def forward_order(forward: Forward) -> tuple[Any, ...]:
    """The sort key of port forwards."""
    return forward.protocol, forward.first, forward.ipv6, forward.address


def by_bridge(elements: Elements) -> dict[str, dict[str, Members]]:
    """The elements of each bridge."""
    bridges: dict[str, dict[str, Members]] = {}
    for name, members in elements.items():
        for key, value in members.items():
            bridges.setdefault(key[0], {}).setdefault(name, {})[key] = value
    return bridges
