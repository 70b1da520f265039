# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tracked connections that a changed policy refuses. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.protocols import ICMP, ICMPV6, number_of
from ..kernel.conntrack import Connection
from ..nft.elements import Rules
from ..nft.policy import ALL, DENY, SERVICES, WORDS, Entry, subnet_in

_CLOSED = ("nat", "isolated")


@dataclass(frozen=True)
class PolicyFlows:
    """Connections that guests of a network began and that its policy, or without one its mode, refuses.

    ``networks``: the rules of all networks by bridge.
    """

    rules: Rules
    networks: Mapping[str, Rules]

    def includes(self, connection: Connection, own_addresses: Collection[str]) -> bool:
        """Whether a connection is one of these; ``own_addresses``: of the host."""
        if not _is_in(connection.source, self.rules.subnets):
            return False
        # Policies see the destination after a port forward has translated it.
        if str(connection.reply_source) in own_addresses:
            return self._is_refused_by_host(connection)
        target = next(
            (bridge for bridge, rules in self.networks.items() if _is_in(connection.reply_source, rules.subnets)), ""
        )
        return target != self.rules.bridge and self._is_refused(connection, target)

    def _is_refused(self, connection: Connection, target: str) -> bool:
        policy = self.rules.policy
        if any(_matches(entry, connection, target) for entry in policy.deny):
            return True
        allowed = [entry for entry in policy.allow if _matches(entry, connection, target)]
        if any(entry.network for entry in allowed):
            return False
        if policy.default == DENY and not allowed:
            return True
        forwarded = connection.reply_source != connection.destination
        return bool(target) and not forwarded and self._is_closed(self.networks[target])

    def _is_closed(self, target: Rules) -> bool:
        if self.rules.mode in _CLOSED or target.mode in _CLOSED:
            return True
        return bool(self.rules.uplinks or (target.uplinks and target.mode == "routed"))

    def _is_refused_by_host(self, connection: Connection) -> bool:
        policy = self.rules.policy
        if not policy.limits_host or _number(connection) in (ICMP, ICMPV6):
            return False
        pairs = list(_host_ports(policy.to_host))
        # The destination of a redirected query is that of its first packet.
        ports = {connection.port, connection.reply_port}
        return not any(
            protocol == connection.protocol and any(first <= port <= last for port in ports)
            for protocol, first, last in pairs
        )


def _host_ports(services: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    words = [word for one in services if one != ALL for word in (("dns", "dhcp") if one == SERVICES else (one,))]
    for service in words:
        protocol, _space, ports = service.partition(" ")
        if ports:
            yield (protocol, *_bounds(ports))
        for protocol, port in WORDS.get(service, ()):
            yield protocol, port, port


def _bounds(ports: str) -> tuple[int, int]:
    first, _dash, last = ports.partition("-")
    return int(first), int(last or first)


def _number(connection: Connection) -> int:
    return number_of(connection.protocol)


def _matches(entry: Entry, connection: Connection, target: str) -> bool:
    if entry.network and entry.network != target:
        return False
    for text, address in ((entry.source, connection.source), (entry.destination, connection.reply_source)):
        if text and not _is_in(address, [text]):
            return False
    number = _number(connection)
    if entry.protocol == "icmp":
        return number in (ICMP, ICMPV6)
    if entry.protocol and number != number_of(entry.protocol):
        return False
    if not entry.ports:
        return True
    first, last = _bounds(entry.ports)
    return first <= connection.reply_port <= last


def _is_in(address: Any, subnets: Sequence[str]) -> bool:
    return any(_holds(subnet, address) for subnet in subnets)


def _holds(text: str, address: Any) -> bool:
    """Without overlaps, a part of a subnet may be a range."""
    first, dash, last = text.partition("-")
    if dash:
        low, high = map(ipaddress.ip_address, (first, last))
        return low.version == address.version and int(low) <= int(address) <= int(high)
    subnet = subnet_in(text)
    return subnet is not None and address in subnet
