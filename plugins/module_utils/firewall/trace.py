# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a packet between two ends would pass this host, and which rule says so.

Known are the routes and rules of this host. Unknown are the routes and firewalls of guests and of the outside, whether
anything listens, and by which port of a bridge a guest is connected.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..core.files import read_text
from ..core.ports import REDIRECTED_DNS
from ..core.protocols import number_of
from ..kernel.frame_filter import FAMILY as FRAMES
from ..kernel.route_lookup import Traveller, find_own_way, find_way
from ..network.policies import resolved_policy, without_missing
from ..nft.policy import ALLOW, DENY, Entry
from ..nft.policy_sets import is_policy_chain
from ..nft.sets import FAMILY, TABLE
from ..ruleset.evaluate import Traversal, traverse_hook
from ..ruleset.model import ACCEPT, Ruleset
from ..ruleset.packet import Packet
from ..ruleset.read import read, rule_texts
from .policy_match import NewFlow, deciding_entry
from .reachability import DropCause, drop_cause, traversals_of, with_text
from .trace_paths import HOST, OUTSIDE, TracedFlow, first_packet, paths_of

if TYPE_CHECKING:
    from ..network.model import Network

PASSES, REFUSED, MAY_BE_REFUSED = "passes", "refused", "may be refused"

_BR_NETFILTER = {4: "/proc/sys/net/bridge/bridge-nf-call-iptables", 6: "/proc/sys/net/bridge/bridge-nf-call-ip6tables"}
_FORWARDING6 = "/proc/sys/net/ipv6/conf/all/forwarding"
_COMMENT = re.compile(r'comment "([^"]*)"$')
_TRANSLATES = ("dnat", "redirect", "tproxy")
_OBSTACLES = {
    errno.ENETUNREACH: "there is no route to {}",
    errno.EHOSTUNREACH: "the host does not forward to {}, or its route there is 'unreachable'",
    errno.EXDEV: "the route back does not lead to where the packet comes from (rp_filter)",
    errno.EINVAL: "a route to {} is 'blackhole', or the route back leads elsewhere (rp_filter)",
    errno.EACCES: "a route or a rule (ip-rule(8)) prohibits {}",
}


@dataclass(frozen=True)
class Trace:
    """The answer. ``by``: the rule in words; ``cure``: the command that lets the packet pass, "" for our own rules."""

    flow: TracedFlow
    verdict: str
    by: str
    cure: str = ""
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        by = self.by if self.verdict == PASSES else f"by {self.by}"
        return f"{self.verdict}: {self.flow}: {by}{f'; to let it pass: {self.cure}' if self.cure else ''}"

    def as_options(self) -> dict[str, Any]:
        """As JSON for programs."""
        flow = self.flow
        return {
            "family": f"IPv{flow.version}",
            "from": str(flow.source.address),
            "to": str(flow.destination.address),
            "protocol": flow.protocol,
            "port": flow.port or None,
            "verdict": self.verdict,
            "by": self.by,
            "cure": self.cure,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Decision:
    """What decides on the flow for the policy of the sender's network: DENY or ALLOW, and the option in words."""

    word: str
    text: str
    entry: Entry | None = None


def trace(flow: TracedFlow, networks: Mapping[str, Network], ruleset: Ruleset | None = None) -> Trace:
    """The answer for the rules of this host, or for a ruleset that was read already; raises CommandFailed.

    ``networks``: those with rules, by name.
    """
    tables = read() if ruleset is None else ruleset
    source = flow.source.network
    if flow.is_within_bridge and source is not None and source.isolate_guests:
        return Trace(flow, REFUSED, f"network {source.name!r}: isolate_guests")
    packet, obstacle = _routed(flow, first_packet(flow), tables)
    filtered = (read_text(_BR_NETFILTER[flow.version]) or "").strip() == "1"
    paths = paths_of(flow, packet, filtered=filtered, port=_redirected_port(flow))
    passed: list[Traversal] = []
    uncertain: list[DropCause] = []
    for traversal in traversals_of(tables, paths):
        passed.append(traversal)
        if not traversal.drops:
            continue
        if not traversal.may_pass:
            return _refused(flow, traversal, networks)
        if not _is_own(traversal):
            uncertain += [drop_cause(drop, certain=False) for drop in traversal.drops]
    if obstacle:
        return Trace(flow, REFUSED, f"the routes of this host: {obstacle}")
    if uncertain:
        cause = _described(uncertain[0])
        return Trace(flow, MAY_BE_REFUSED, str(cause), cause.remedy)
    return Trace(flow, PASSES, _why_it_passes(flow, networks), notes=[*_translations(passed)])


def _redirected_port(flow: TracedFlow) -> int:
    network = flow.source.network
    if network is None or not network.dnsmasq_redirect or (flow.last.place, flow.port) != (HOST, 53):
        return 0
    return REDIRECTED_DNS if str(flow.destination.address) in network.server_addresses else 0


def _routed(flow: TracedFlow, packet: Packet, ruleset: Ruleset) -> tuple[Packet, str]:
    """The packet with both interfaces, and why the host does not route it."""
    if flow.is_within_bridge:
        return replace(packet, oif=packet.iif), ""
    last = flow.last
    if flow.source.place == OUTSIDE:
        packet = replace(packet, iif=find_own_way(flow.source.address).interface)
    if last.place == HOST:
        return packet, ""
    if flow.source.place == HOST:
        way = find_own_way(last.address)
        return replace(packet, oif=way.interface), "" if way.interface else _obstacle(way.error, last.address)
    if not packet.iif:
        return packet, _obstacle(errno.ENETUNREACH, flow.source.address)
    marked = packet
    for family in ("bridge", ""):
        marked = traverse_hook(ruleset, "prerouting", marked, family)[0]
    way = find_way(
        Traveller(
            flow.source.address,
            last.address,
            packet.iif,
            number_of(packet.protocol_name),
            packet.sport,
            packet.dport,
            marked.mark or 0,
        )
    )
    obstacle = "" if way.interface else _obstacle(way.error, last.address)
    if not obstacle and packet.ipv6 and (read_text(_FORWARDING6) or "").strip() == "0":
        obstacle = "the host does not forward IPv6"
    # The rules say more than the route of a host that does not forward.
    oif = way.interface or last.bridge or find_own_way(last.address).interface
    return replace(packet, oif=oif), obstacle


def _obstacle(error: int, address: Any) -> str:
    return _OBSTACLES.get(error, "they refuse {}").format(address)


def _is_own(traversal: Traversal) -> bool:
    return traversal.table.name == TABLE and traversal.table.family in (FAMILY, FRAMES)


def _described(cause: DropCause) -> DropCause:
    return cause if cause.rule is None else with_text(cause, rule_texts([(cause.chain, cause.rule)]))


def _refused(flow: TracedFlow, traversal: Traversal, networks: Mapping[str, Network]) -> Trace:
    drop = next((drop for drop in traversal.drops if drop.certain), traversal.drops[0])
    cause = _described(drop_cause(drop, certain=True))
    answer = " (it is the answer that is refused)" if drop.packet.is_reply else ""
    if not _is_own(traversal):
        return Trace(flow, REFUSED, f"{cause}{answer}", cause.remedy)
    decision = _decision(flow, networks)
    if is_policy_chain(cause.chain.name) and decision is not None and decision.word == DENY:
        return Trace(flow, REFUSED, decision.text)
    match = _COMMENT.search("" if cause.rule is None else cause.rule.text)
    comment = match[1] if match else str(cause)
    if traversal.table.family == FRAMES:
        return Trace(flow, REFUSED, f"{_named(flow)}: port_security ({comment}){answer}")
    concerned = flow.last.network if cause.chain.name.startswith("vn_to_") else flow.source.network
    mode = f", mode {concerned.mode}" if concerned is not None else ""
    owner = f"network {concerned.name!r}{mode}" if concerned is not None else f"our table {FAMILY} {TABLE}"
    return Trace(flow, REFUSED, f"{owner}: {comment} (chain {cause.chain.name}){answer}")


def _named(flow: TracedFlow) -> str:
    network = flow.source.network or flow.last.network
    return "this host" if network is None else f"network {network.name!r}"


def _decision(flow: TracedFlow, networks: Mapping[str, Network]) -> _Decision | None:
    """What the policy of the sender's network says; None where it has none for such flows."""
    network = flow.source.network
    if network is None or flow.is_within_bridge or flow.last.bridge == flow.source.bridge:
        return None
    policy = resolved_policy(without_missing(network, networks), networks)
    owner = f"network {network.name!r}"
    if flow.last.place == HOST:
        # The rules have decided already: there is one option.
        return _Decision(DENY, f"{owner}: policy.to_host") if policy.limits_host else None
    if not policy.limits_forwarding:
        return None
    packet = first_packet(flow)
    new = NewFlow(
        flow.source.address,
        flow.last.address,
        number_of(packet.protocol_name),
        packet.dport,
        flow.last.network.name if flow.last.network is not None else "",
    )
    word, entry = deciding_entry(policy, new)
    option = "policy.default" if entry is None else entry.path[entry.path.rfind("policy.") :]
    return _Decision(word, f"{owner}: {option}", entry)


def _why_it_passes(flow: TracedFlow, networks: Mapping[str, Network]) -> str:
    source, last = flow.source.network, flow.last.network
    if flow.is_within_bridge:
        return f"{_named(flow)}: its guests reach each other"
    if flow.source.place == HOST:
        return "no rule refuses packets of the host itself"
    decision = _decision(flow, networks)
    forwarded = ""
    if flow.target is not None and last is not None:
        forwarded = f"network {last.name!r}: port_forwards, to {flow.last.address} port {flow.target[1]}"
    if decision is not None and flow.last.place == HOST:
        return decision.text
    if decision is not None and decision.word == DENY:
        return f"no loaded rule, although {decision.text} refuses it; load the rules: virtnet restore"
    if decision is not None and decision.entry is not None and decision.word == ALLOW:
        if decision.entry.network or forwarded:
            return "; ".join(filter(None, (decision.text, forwarded)))
        return f"{decision.text}, mode {source.mode}" if source is not None else decision.text
    concerned = source or last
    return forwarded or (
        f"network {concerned.name!r}: mode {concerned.mode}" if concerned is not None else "no rule refuses it"
    )


def _translations(passed: Sequence[Traversal]) -> list[str]:
    """A sentence for each chain of others that gives the packet another destination."""
    chains: dict[str, None] = {}
    for traversal in passed:
        if traversal.base.kind != "nat" or _is_own(traversal):
            continue
        for verdict in traversal.verdicts:
            statements = () if verdict.rule is None or verdict.action != ACCEPT else verdict.rule.statements
            if any(_translates(statement) for statement in statements):
                chains[str(verdict.chain)] = None
    return [f"{chain} may give the packet another destination, which is not followed" for chain in chains]


def _translates(statement: Any) -> bool:
    if not isinstance(statement, dict):
        return statement in _TRANSLATES
    extension = statement.get("xt")
    named = str(extension.get("name", "")).lower() if isinstance(extension, dict) else ""
    return named in _TRANSLATES or any(word in statement for word in _TRANSLATES)
