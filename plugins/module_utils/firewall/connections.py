# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tracked connections that a change of the rules ends or marks. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from ..kernel.conntrack import Connection
from ..nft.elements import Rules
from ..nft.port_forwards import Forward
from .policy_flows import PolicyFlows

_DNS_PORT = 53


@dataclass(frozen=True)
class FlowsToFlush:
    """Connections that are no longer allowed: those by removed port forwards, and all of closed or removed subnets.

    Those to the ports of ``new_forwards`` end too: a client that sends all the time to one of the host's
    ``own_addresses`` would never get to the guest, since conntrack keeps the destination of its first packet. So do DNS
    queries to ``redirected``, addresses whose name server has other ports than before, and what changed ``policies``
    refuse.
    """

    forwards: Sequence[Forward] = ()
    subnets: Sequence[str] = ()
    new_forwards: Sequence[Forward] = ()
    own_addresses: Collection[str] = ()
    redirected: Collection[str] = ()
    policies: Sequence[PolicyFlows] = ()

    def __bool__(self) -> bool:
        return bool(self.forwards or self.subnets or self.new_forwards or self.redirected or self.policies)

    def includes(self, connection: Connection) -> bool:
        """Whether a connection is one of these."""
        replier, destination = str(connection.reply_source), str(connection.destination)
        if any(_is_to_port(connection, forward) and replier == forward.to for forward in self.forwards):
            return True
        if destination in self.redirected and connection.port == _DNS_PORT:
            return True
        if replier == destination and destination in self.own_addresses:
            for forward in self.new_forwards:
                if _is_to_port(connection, forward) and forward.includes_address(destination):
                    return True
        if any(flows.includes(connection, self.own_addresses) for flows in self.policies):
            return True
        return is_of_subnets(connection, self.subnets)


def _is_to_port(connection: Connection, forward: Forward) -> bool:
    return connection.protocol == forward.protocol and forward.first <= connection.port <= forward.last


def is_of_subnets(connection: Connection, subnets: Iterable[str]) -> bool:
    """Whether one of its ends is in one of these subnets."""
    ends = (connection.source, connection.reply_source)
    return any(address in subnet for subnet in map(ipaddress.ip_network, subnets) for address in ends)


def marked_subnets(networks: Iterable[Rules]) -> list[str]:
    """The subnets of networks whose connections our table can mark: those with rules of ours."""
    return [subnet for network in networks if network.mode != "open" for subnet in network.subnets]
