# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a policy says of one flow. Pure: the kernel does the same with the sets of nft/policy_sets.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.options import Address
from ..core.protocols import ICMP, ICMPV6, number_of
from ..nft.policy import ALLOW, DENY, Entry, Policy, ports_of
from ..nft.policy_sets import bounds_of, is_policy_chain
from ..nft.sets import FAMILY, TABLE
from ..ruleset.evaluate import Traversal
from .flows import Flow


@dataclass(frozen=True)
class NewFlow:
    """The first packet of a flow, after port forwards have translated its destination.

    ``protocol``: its number; ``port``: 0 for protocols without ports. ``target``: the network that it goes into, as
    entries name it, "" for none.
    """

    source: Address
    destination: Address
    protocol: int
    port: int = 0
    target: str = ""


def matches(entry: Entry, flow: NewFlow) -> bool:
    """Whether an entry with addresses, not with names of static hosts, is about a flow."""
    if entry.network and entry.network != flow.target:
        return False
    for text, address in ((entry.source, flow.source), (entry.destination, flow.destination)):
        if text and not is_in(address, [text]):
            return False
    if entry.protocol == "icmp":
        return flow.protocol in (ICMP, ICMPV6)
    if entry.protocol and flow.protocol != number_of(entry.protocol):
        return False
    return not entry.ports or _is_within(flow.port, "n", entry.ports)


def deciding_entry(policy: Policy, flow: NewFlow) -> tuple[str, Entry | None]:
    """ALLOW or DENY, and the entry that says so; None: the default does.

    ALLOW by an entry with a network lets the flow pass, any other leaves it to the mode.
    """
    denied = next((entry for entry in policy.deny if matches(entry, flow)), None)
    if denied is not None:
        return DENY, denied
    allowed = [entry for entry in policy.allow if matches(entry, flow)]
    entry = next((entry for entry in allowed if entry.network), allowed[0] if allowed else None)
    return (ALLOW, entry) if entry is not None else (policy.default, None)


def reaches_host(policy: Policy, protocol: int, *ports: int) -> bool:
    """Whether guests reach one of these ports of the host; those of a redirected query are two."""
    if not policy.limits_host or protocol in (ICMP, ICMPV6):
        return True
    return any(
        number_of(name) == protocol and any(_is_within(port, "n", listed) for port in ports)
        for service in policy.host_services
        for name, listed in ports_of(service)
    )


def refuses(policy: Policy, flow: Flow) -> bool:
    """Whether a policy refuses a flow of a guest to the outside, or to a service of the host."""
    hook, packet, _family = flow.forward_path[-1]
    if hook == "input":
        # Rules may redirect it to another port.
        return not reaches_host(policy, number_of(packet.protocol_name), flow.forward_path[0].packet.dport)
    if packet.iif == packet.oif or packet.source is None or packet.destination is None:
        return False
    from_guest = bool(packet.guests) and is_in(packet.source, [packet.guests])
    new = NewFlow(packet.source, packet.destination, number_of(packet.protocol_name), packet.dport)
    return from_guest and deciding_entry(policy, new)[0] == DENY


def refused_by_policy(traversal: Traversal) -> bool:
    """Whether a policy refuses the packet for sure, in the table inet virtnet as it is loaded."""
    is_own = (traversal.table.family, traversal.table.name) == (FAMILY, TABLE)
    chains = {drop.chain.name for drop in traversal.drops}
    return is_own and not traversal.may_pass and bool(chains) and all(map(is_policy_chain, chains))


def is_in(address: Address, subnets: Sequence[str]) -> bool:
    """Whether an address is in one of these; without overlaps, a part of a subnet may be a range."""
    return any((":" in text) == (address.version == 6) and _is_within(int(address), "d", text) for text in subnets)


def _is_within(value: int, field: str, part: str) -> bool:
    first, last = bounds_of(field, part)
    return bool(first <= value <= last)
