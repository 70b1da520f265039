# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tracked connections that a changed policy refuses. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ..core.protocols import ICMP, ICMPV6, number_of
from ..kernel.conntrack import Address, Connection
from ..nft.elements import Rules
from ..nft.policy import DENY, Entry, ports_of
from ..nft.policy_sets import bounds_of

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
        # The destination of a redirected query is that of its first packet.
        used = {connection.port, connection.reply_port}
        return not any(
            protocol == connection.protocol and any(_is_within(port, "n", ports) for port in used)
            for service in policy.host_services
            for protocol, ports in ports_of(service)
        )


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
    return not entry.ports or _is_within(connection.reply_port, "n", entry.ports)


def _is_within(value: int, field: str, part: str) -> bool:
    first, last = bounds_of(field, part)
    return bool(first <= value <= last)


def _is_in(address: Address, subnets: Sequence[str]) -> bool:
    """Whether an address is in one of these; without overlaps, a part of a subnet may be a range."""
    return any((":" in text) == (address.version == 6) and _is_within(int(address), "d", text) for text in subnets)
