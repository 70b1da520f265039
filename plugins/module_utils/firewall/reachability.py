# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the rulesets of the host do to the packets of networks: which chain drops them, and the command that helps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..core.files import read_text
from ..kernel.links import interface_named
from ..nft.chains import MARK
from ..nft.sets import FAMILY, TABLE
from ..ruleset.evaluate import Traversal, traverse_hook
from ..ruleset.model import Chain, Rule, Ruleset, Table, Verdict
from ..ruleset.read import read, rule_texts
from .flows import Flow, GuestNetwork, Path, flows_of
from .policy_match import refused_by_policy, refuses
from .remedies import remedy
from .way_out import WayOut, closed_uplinks, find_ways_out, named, obstacle_notes, obstacle_problems

if TYPE_CHECKING:
    from ..network.model import Network

PASSES = "passes"
DROPPED = "dropped"
MAY_BE_DROPPED = "may be dropped"
REFUSED = "refused"

_BR_NETFILTER = "/proc/sys/net/bridge/bridge-nf-call-iptables"

# Texts of rules by family, table, chain and handle.
Texts = Mapping[tuple[str, str, str, int], str]


@dataclass(frozen=True)
class DropCause:
    """A rule or a policy that drops a packet, and the command that lets the packet pass.

    ``certain``: it drops every packet that reaches it; an earlier rule may have let the packet pass.
    """

    chain: Chain
    hook: str
    rule: Rule | None
    remedy: str
    certain: bool

    def __str__(self) -> str:
        text = "" if self.rule is None else self.rule.text
        cause = "the policy" if self.rule is None else f"the rule '{text}'" if text else "a rule"
        return f"{cause} of {self.chain}"

    def as_options(self) -> dict[str, Any]:
        """As JSON for programs."""
        return {
            "family": self.chain.family,
            "table": self.chain.table,
            "chain": self.chain.name,
            "hook": self.hook,
            "rule": None if self.rule is None else self.rule.text,
            "tool": self.chain.tool or "nft",
            "cure": self.remedy,
        }


@dataclass(frozen=True)
class Finding:
    """What the rulesets of the host do to a flow; ``by_policy``: the policy of its network refuses it, not its mode."""

    flow: Flow
    verdict: str
    causes: Sequence[DropCause] = ()
    by_policy: bool = False

    def as_options(self) -> dict[str, Any]:
        """As JSON for programs."""
        return {
            "network": self.flow.network,
            "way": self.flow.name,
            "family": self.flow.family,
            "verdict": self.verdict,
            "wanted": self.flow.allowed,
            "by": [cause.as_options() for cause in self.causes],
        }


def evaluate_flow(ruleset: Ruleset, flow: Flow) -> Finding:
    """What a ruleset does to the packet and the reply of a flow, hook by hook. Pure.

    A flow that the policy of its network refuses is not allowed.
    """
    causes: list[DropCause] = []
    verdict = PASSES
    for traversal in traversals_of(ruleset, (flow.forward_path, flow.reply_path)):
        certain = not traversal.may_pass
        if refused_by_policy(traversal):
            causes = [drop_cause(drop, certain=certain) for drop in traversal.drops if drop.certain]
            return Finding(replace(flow, allowed=False), REFUSED, tuple(causes), by_policy=flow.allowed)
        if traversal.drops and (certain or not (flow.allowed and _is_own(traversal.table))):
            verdict = DROPPED if certain else verdict if verdict == DROPPED else MAY_BE_DROPPED
            # The certain drops, else all.
            drops = [drop for drop in traversal.drops if drop.certain] or traversal.drops
            causes += [drop_cause(drop, certain=certain) for drop in drops]
    if not flow.allowed and verdict == DROPPED:
        verdict = REFUSED
    # A packet and its reply may need different rules in one chain.
    distinct = {(id(cause.chain), id(cause.rule), cause.remedy): cause for cause in causes}
    return Finding(flow, verdict, tuple(distinct.values()))


def traversals_of(ruleset: Ruleset, paths: Iterable[Path]) -> Iterator[Traversal]:
    """All base chains that a packet and its reply pass, as if none dropped them. Pure."""
    ct_mark: int | None = 0
    for path in paths:
        mark: int | None = 0
        if path and path[0].packet.ct_state == "new":
            ct_mark = 0
        for hook, packet, family in path:
            if (packet.mark, packet.ct_mark) != (mark, ct_mark):
                packet = replace(packet, mark=mark, ct_mark=ct_mark)
            after, traversals = traverse_hook(ruleset, hook, packet, family)
            mark, ct_mark = after.mark, after.ct_mark
            yield from traversals


def _is_own(table: Table) -> bool:
    """Whether a table is ours. What is uncertain there is only whether an interface that is unknown is one of ours."""
    return (table.family, table.name) == (FAMILY, TABLE)


def drop_cause(drop: Verdict, *, certain: bool) -> DropCause:
    """A verdict with its remedy; ``certain``: no verdict of the base chain lets the packet pass."""
    return DropCause(
        chain=drop.chain,
        hook=drop.base.hook,
        rule=drop.rule,
        remedy=remedy(drop),
        certain=certain or drop.certain,
    )


def with_text(cause: DropCause, texts: Texts) -> DropCause:
    """With the text of its rule, where nft has it: see rule_texts()."""
    chain, rule = cause.chain, cause.rule
    if rule is None or rule.text:
        return cause
    text = texts.get((chain.family, chain.table, chain.name, rule.handle), "")
    return replace(cause, rule=replace(rule, text=text))


def drop_messages(findings: Iterable[Finding], verdict: str) -> Iterator[str]:
    """One sentence for each cause and remedy: the networks and the allowed flows that have this verdict. Pure."""
    networks: dict[tuple[str, str], list[str]] = {}
    flows: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        if finding.verdict == verdict and finding.flow.allowed:
            for cause in finding.causes:
                key = (str(cause), cause.remedy)
                networks.setdefault(key, []).append(finding.flow.network)
                flows.setdefault(key, []).append(f"{finding.flow.name} ({finding.flow.family})")
    verb = "are" if verdict == DROPPED else "may be"
    for (cause_text, command), names in networks.items():
        packets = ", ".join(dict.fromkeys(flows[cause_text, command]))
        advice = f"; to let them pass: {command}" if command else ""
        yield f"{named(names)}: packets {packets} {verb} dropped by {cause_text}{advice}"


def policy_notes(findings: Iterable[Finding]) -> Iterator[str]:
    """A sentence for each network: what of the flows that are checked its policy refuses. Pure."""
    refused: dict[str, list[str]] = {}
    for finding in findings:
        if finding.by_policy:
            refused.setdefault(finding.flow.network, []).append(f"{finding.flow.name} ({finding.flow.family})")
    for network, flows in refused.items():
        yield f"network {network!r}: packets {', '.join(flows)} are refused by its policy"


def foreign_drops(tables: Ruleset, networks: Iterable[GuestNetwork], *, marks: bool) -> list[str]:
    """What other tables drop; ours need not be loaded. Pure. ``marks``: ours marks connections for others."""
    own = [_OWN_TABLE] if marks else []
    findings = [
        evaluate_flow(tables if network.mode == "open" else [*tables, *own], flow)
        for network in networks
        for flow in flows_of(network)
        if flow.allowed and not refuses(network.policy, flow)
    ]
    uncertain = [
        replace(finding, causes=tuple(cause for cause in finding.causes if cause.certain))
        for finding in findings
        if finding.causes
    ]
    return [*drop_messages(findings, DROPPED), *drop_messages(uncertain, MAY_BE_DROPPED)]


def _marking_chain(hook: str, *conditions: Any) -> Chain:
    mark = {"mangle": {"key": {"ct": {"key": "mark"}}, "value": MARK}}
    return Chain(FAMILY, TABLE, hook, kind="filter", hook=hook, priority=-10, rules=[Rule([*conditions, mark])])


_SERVED_PORTS = {
    "match": {"op": "==", "left": {"payload": {"protocol": "th", "field": "dport"}}, "right": {"set": [53, 67, 547]}}
}
# Our table, reduced to what it does to packets that it lets pass: it marks their connections.
_OWN_TABLE = Table(
    FAMILY, TABLE, chains={"forward": _marking_chain("forward"), "input": _marking_chain("input", _SERVED_PORTS)}
)


@dataclass(frozen=True)
class Diagnosis:
    """All findings of a host."""

    findings: Sequence[Finding] = ()
    ways: Sequence[WayOut] = ()

    @property
    def problems(self) -> list[str]:
        """Allowed packets that are dropped, and forbidden packets that pass."""
        forbidden = [
            f"network {finding.flow.network!r}: packets {finding.flow.name} ({finding.flow.family}) pass, "
            "which its mode forbids"
            for finding in self.findings
            if not finding.flow.allowed and finding.verdict == PASSES
        ]
        routes = [*obstacle_problems(self.ways), *closed_uplinks(self.ways)]
        return [*drop_messages(self.findings, DROPPED), *forbidden, *routes]

    @property
    def notes(self) -> list[str]:
        """Allowed packets that may be dropped, or that routes do not lead to the outside, and those of policies."""
        return [*drop_messages(self.findings, MAY_BE_DROPPED), *obstacle_notes(self.ways), *policy_notes(self.findings)]

    def of(self, network: str) -> list[dict[str, Any]]:
        """The findings of one network, as JSON for programs."""
        return self._by_network.get(network, [])

    @cached_property
    def _by_network(self) -> dict[str, list[dict[str, Any]]]:
        findings: dict[str, list[dict[str, Any]]] = {}
        for finding in self.findings:
            findings.setdefault(finding.flow.network, []).append(finding.as_options())
        return findings


def diagnose(networks: Iterable[Network]) -> Diagnosis:
    """What the rulesets of this host do to the packets of these networks; raises CommandFailed."""
    networks = list(networks)
    if not networks:
        return Diagnosis()
    filtered = (read_text(_BR_NETFILTER) or "").strip() == "1"
    # Rules match names alone, not alternative ones.
    resolved = [replace(one, uplinks=[interface_named(name) or name for name in one.uplinks]) for one in networks]
    ruleset = read()
    defined = [GuestNetwork.from_network(network, filtered=filtered) for network in resolved]
    ways = [way for network in defined for way in find_ways_out(network, ruleset)]
    guest_networks = [_with_ways(network, [way for way in ways if way.network is network]) for network in defined]
    findings = [evaluate_flow(ruleset, flow) for network in guest_networks for flow in flows_of(network)]
    causes = [cause for finding in findings if finding.verdict != REFUSED for cause in finding.causes]
    texts = rule_texts((cause.chain, cause.rule) for cause in causes if cause.rule is not None)
    return Diagnosis(
        [replace(finding, causes=tuple(with_text(cause, texts) for cause in finding.causes)) for finding in findings],
        ways,
    )


def _with_ways(network: GuestNetwork, ways: Sequence[WayOut]) -> GuestNetwork:
    uplinks = {way.version: way.interface for way in ways if way.interface}
    return replace(network, uplinks=uplinks, cut_off=[way.version for way in ways if way.obstacle])
