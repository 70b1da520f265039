# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tracked connections that a changed policy refuses. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..core.protocols import number_of
from ..kernel.conntrack import Connection
from ..nft.elements import Rules
from ..nft.policy import DENY
from .policy_match import NewFlow, deciding_entry, is_in, reaches_host

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
        if not is_in(connection.source, self.rules.subnets):
            return False
        # Policies see the destination after a port forward has translated it.
        if str(connection.reply_source) in own_addresses:
            return self._is_refused_by_host(connection)
        target = next(
            (bridge for bridge, rules in self.networks.items() if is_in(connection.reply_source, rules.subnets)), ""
        )
        return target != self.rules.bridge and self._is_refused(connection, target)

    def _is_refused(self, connection: Connection, target: str) -> bool:
        number = number_of(connection.protocol)
        flow = NewFlow(connection.source, connection.reply_source, number, connection.reply_port, target)
        word, entry = deciding_entry(self.rules.policy, flow)
        if word == DENY:
            return True
        if entry is not None and entry.network:
            return False
        forwarded = connection.reply_source != connection.destination
        return bool(target) and not forwarded and self._is_closed(self.networks[target])

    def _is_closed(self, target: Rules) -> bool:
        if self.rules.mode in _CLOSED or target.mode in _CLOSED:
            return True
        return bool(self.rules.uplinks or (target.uplinks and target.mode == "routed"))

    def _is_refused_by_host(self, connection: Connection) -> bool:
        # The destination of a redirected query is that of its first packet.
        ports = (connection.port, connection.reply_port)
        return not reaches_host(self.rules.policy, number_of(connection.protocol), *ports)
