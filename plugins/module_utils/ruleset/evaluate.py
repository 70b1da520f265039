# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""All rules of a host as data, and what they do to a packet: a walk through chains in three-valued logic. Pure.

A packet is dropped if a rule drops it at any base chain of its hook, whatever others accept (nft(8), VERDICT
STATEMENTS). Where a rule cannot be told to match, both ways are walked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .match import Elements, any_of, elements, equal, match, value
from .packet import NOTHING, Match, Packet

ACCEPT = "accept"
DROP = "drop"

# Statements of nft that neither end a rule nor matter to what it does.
_QUIET = frozenset({"counter", "log", "notrack", "ct helper", "ct timeout", "ct expectation", "flow", "dup", "secmark",
                    "last", "set", "continue"})  # fmt: skip
_ACCEPTS = frozenset({"accept", "snat", "dnat", "masquerade", "redirect", "tproxy"})
_DROPS = frozenset({"drop", "reject"})
# A program decides, or the kernel by what it remembers.
_ASKS = frozenset({"queue", "synproxy"})
_EITHER = "either"
# What xt expressions do, where the program that made them is not there to tell their arguments.
_XT_DROPS = frozenset({"REJECT", "DROP"})
_XT_ACCEPTS = frozenset({"MASQUERADE", "SNAT", "DNAT", "REDIRECT", "NETMAP"})
_XT_QUIET = frozenset({"LOG", "NFLOG", "CHECKSUM", "TCPMSS", "comment", "CT", "TRACE", "AUDIT", "CLASSIFY",
                       "MARK", "CONNMARK"})  # fmt: skip

_DEEPEST = 32

# NF_IP_PRI_CONNTRACK in linux/netfilter_ipv4.h.
_CONNTRACK = -200


@dataclass(frozen=True)
class Rule:
    """``text`` as its owner's program writes it, where that was read."""

    statements: Sequence[Any]
    handle: int = 0
    text: str = ""


@dataclass
class Chain:
    """``tool``: the program of iptables that made it, else ""; ``hook`` is "" unless it is a base chain."""

    family: str
    table: str
    name: str
    tool: str = ""
    kind: str = ""
    hook: str = ""
    priority: int = 0
    policy: str = ACCEPT
    rules: list[Rule] = field(default_factory=list)

    def __str__(self) -> str:
        return f"chain {self.name} of table {self.family} {self.table}{f' ({self.tool})' if self.tool else ''}"


@dataclass
class Table:
    """One table: its chains and sets by name."""

    family: str
    name: str
    tool: str = ""
    chains: dict[str, Chain] = field(default_factory=dict)
    sets: dict[str, Sequence[Any] | None] = field(default_factory=dict)


Ruleset = Sequence[Table]


@dataclass(frozen=True)
class Ending:
    """What may become of a packet in a base chain, and by what: a rule, or the policy of the base chain.

    ``sure``: the rule matches, and so do those that lead to it; an earlier rule may have let the packet pass.
    """

    verdict: str
    table: Table
    base: Chain
    chain: Chain
    rule: Rule | None
    sure: bool
    packet: Packet


def parse(text: str, *, terse: bool = False) -> list[Table]:
    """``nft -j list ruleset``, or several listings in a row; ``terse``: what sets hold was not listed.

    Raises ValueError and KeyError where it is not that.
    """
    decoder, position, text = json.JSONDecoder(), 0, text.strip()
    tables: dict[tuple[str, str], Table] = {}
    while position < len(text):
        listed, position = decoder.raw_decode(text, position)
        position += len(text[position:]) - len(text[position:].lstrip())
        for item in listed["nftables"]:
            ((kind, data),) = item.items()
            if kind == "table":
                tables[data["family"], data["name"]] = Table(data["family"], data["name"])
            elif kind in ("chain", "rule", "set", "map"):
                _put(tables[data["family"], data["table"]], kind, data, terse=terse)
    return list(tables.values())


def _put(table: Table, kind: str, data: Mapping[str, Any], *, terse: bool) -> None:
    if kind == "chain":
        table.chains[data["name"]] = Chain(
            table.family,
            table.name,
            data["name"],
            kind=data.get("type", ""),
            hook=data.get("hook", ""),
            priority=int(data.get("prio", 0)),
            policy=data.get("policy", ACCEPT),
        )
    elif kind == "rule":
        table.chains[data["chain"]].rules.append(Rule(data["expr"], data["handle"]))
    else:
        table.sets[data["name"]] = None if terse else Elements(data.get("elem", ()))


def base_chains(ruleset: Ruleset, hook: str, families: Sequence[str]) -> list[tuple[Table, Chain]]:
    """The base chains of a hook in the order in which packets meet them."""
    found = [
        (table, chain)
        for table in ruleset
        if table.family in families
        for chain in table.chains.values()
        if chain.hook == hook
    ]
    return sorted(found, key=lambda pair: pair[1].priority)


class Walk:
    """One packet through one base chain; ``endings`` is what may become of it, ``packet`` how it leaves."""

    def __init__(self, table: Table, base: Chain, packet: Packet) -> None:
        self.table = table
        self.base = base
        self.packet = packet
        self.endings: list[Ending] = []
        if self._chain(base, sure=True, depth=0):
            self._end(base.policy, base, None, sure=True)

    @property
    def drops(self) -> list[Ending]:
        """How it may be dropped."""
        return [ending for ending in self.endings if ending.verdict == DROP]

    @property
    def may_pass(self) -> bool:
        """Whether there is a way through."""
        return any(ending.verdict == ACCEPT for ending in self.endings)

    def _end(self, verdict: str, chain: Chain, rule: Rule | None, *, sure: bool) -> None:
        self.endings.append(Ending(verdict, self.table, self.base, chain, rule, sure, self.packet))

    def _chain(self, chain: Chain, *, sure: bool, depth: int) -> bool:
        """Whether a packet may come out at the end, or return; what it meets before is put into ``endings``."""
        returned = False
        for rule in chain.rules:
            # After a way out that may have been taken, what is set holds for some packets only.
            matched, verdicts = self._rule(rule, sure=sure and not returned)
            if matched is False:
                continue
            for certain, verdict, target in verdicts:
                taken = matched is True and certain
                if verdict == "return":
                    leaves = True
                elif verdict in ("jump", "goto"):
                    through = self._target(target, sure=sure and taken, depth=depth)
                    if verdict == "jump" and through:
                        # It comes back, and goes on after this rule.
                        if taken:
                            break
                        continue
                    leaves = verdict == "goto" and through
                else:
                    self._end(verdict, chain, rule, sure=sure and taken)
                    leaves = False
                returned = returned or leaves
                if taken:
                    return returned
        return True

    def _target(self, name: str, *, sure: bool, depth: int) -> bool:
        target = self.table.chains.get(name)
        return True if target is None or depth > _DEEPEST else self._chain(target, sure=sure, depth=depth + 1)

    def _rule(self, rule: Rule, *, sure: bool) -> tuple[Match, list[tuple[bool, str, str]]]:
        """Whether a rule matches, and its verdicts: whether this one is sure, the word, the chain."""
        matched: Match = True
        for statement in rule.statements:
            kind: str
            data: Any
            ((kind, data),) = statement.items() if isinstance(statement, dict) else ((str(statement), None),)
            if kind == "match":
                answer = match(data, self.packet, self.table.sets)
            elif kind == "any":
                answer = any_of(match(one, self.packet, self.table.sets) for one in data)
            elif kind == "mangle":
                answer = self._mangle(data, sure=sure and matched is True)
            elif kind == "vmap":
                return self._vmap(data, matched)
            else:
                if kind == "xt" and data.get("name") in ("MARK", "CONNMARK"):
                    self.packet = replace(self.packet, mark=None, ct_mark=None)
                verdict, answer = _verdict(kind, data)
                if verdict == _EITHER:
                    return matched, [(False, DROP, ""), (False, ACCEPT, "")]
                if verdict:
                    return matched, [(True, verdict, data.get("target", "") if isinstance(data, dict) else "")]
            if answer is False:
                return False, []
            matched = matched if answer else None
        return matched, []

    def _vmap(self, data: Mapping[str, Any], matched: Match) -> tuple[Match, list[tuple[bool, str, str]]]:
        key = value(data.get("key"), self.packet, self.table.sets)
        if key is NOTHING:
            return False, []
        found = elements(data.get("data"), self.table.sets, key, keyed=True)
        if found is None:
            # It may hold anything; what chains it leads to is not known.
            return None, [(False, DROP, ""), (False, ACCEPT, "")]
        verdicts = []
        for element, result in found:
            answer = equal(key, element, self.table.sets)
            if answer is not False:
                ((word, target),) = result.items()
                word = {"reject": DROP}.get(word, word)
                verdicts.append((answer is True, word, target["target"] if isinstance(target, dict) else ""))
            if answer:
                break
        kept = [one for one in verdicts if one[1] != "continue"]
        return (matched if kept else False), kept

    def _mangle(self, data: Mapping[str, Any], *, sure: bool) -> Match:
        key = data.get("key", {})
        name = {"meta": "mark", "ct": "ct_mark"}.get(next(iter(key), ""), "")
        if not name or next(iter(key.values())).get("key") != "mark":
            return True
        new = value(data.get("value"), self.packet, self.table.sets)
        if new is NOTHING:
            return False
        if name == "ct_mark" and self.packet.state in ("untracked", "invalid"):
            return False
        known = new if isinstance(new, int) else None
        if not sure and getattr(self.packet, name) != known:
            known = None
        self.packet = replace(self.packet, ct_mark=known) if name == "ct_mark" else replace(self.packet, mark=known)
        return True


def _verdict(kind: str, data: Any) -> tuple[str, Match]:
    """The verdict of a statement, or "" where the rule goes on; then whether it does."""
    if kind in _QUIET:
        # An update of a set with a limit or a count lets some packets through only.
        return "", None if isinstance(data, dict) and data.get("stmt") else True
    if kind in _ACCEPTS:
        return ACCEPT, True
    if kind in _DROPS:
        return DROP, True
    if kind in ("return", "jump", "goto"):
        return kind, True
    if kind == "xt" and isinstance(data, dict):
        name = data.get("name", "")
        if name in _XT_QUIET:
            return "", True
        if name in _XT_DROPS:
            return DROP, True
        if name in _XT_ACCEPTS:
            return ACCEPT, True
        return (_EITHER if data.get("type") == "target" else ""), None
    return (_EITHER if kind in _ASKS else ""), None


def families(packet: Packet) -> Sequence[str]:
    """The families whose chains a packet meets."""
    return ("ip6", "inet") if packet.ipv6 else ("ip", "inet")


def through(ruleset: Ruleset, hook: str, packet: Packet, layer: Sequence[str] = ()) -> tuple[Packet, list[Walk]]:
    """A packet through all base chains of a hook; how it leaves, and what may become of it in each.

    It goes on after a chain that drops it, so that each is found that does. Chains for NAT see the first of a
    connection only.
    """
    walks = []
    for table, chain in base_chains(ruleset, hook, layer or families(packet)):
        if chain.kind == "nat" and packet.state != "new":
            continue
        tracked = _as_tracked_there(packet, hook, chain)
        walk = Walk(table, chain, tracked)
        walks.append(walk)
        left = walk.packet
        ct_mark = left.ct_mark if tracked.state == packet.state else packet.ct_mark
        if (left.mark, ct_mark) != (packet.mark, packet.ct_mark):
            packet = replace(packet, mark=left.mark, ct_mark=ct_mark)
    return packet, walks


def _as_tracked_there(packet: Packet, hook: str, chain: Chain) -> Packet:
    """What is known of the packet's connection at a chain: before conntrack nothing, and a bridge may track or not."""
    if chain.family == "bridge":
        return replace(packet, state="")
    if hook in ("prerouting", "output") and chain.priority < _CONNTRACK:
        return replace(packet, state="invalid")
    return packet
