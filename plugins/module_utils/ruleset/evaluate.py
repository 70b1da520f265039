# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a ruleset does to a packet: chains are traversed as the kernel does it, in three-valued logic. Pure.

A packet is dropped if a rule drops it in any base chain of its hook, whatever other base chains accept (nft(8), VERDICT
STATEMENTS). Where it is unknown whether a rule matches, both cases are followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from .match import any_of, equal, match, value
from .model import ACCEPT, DROP, Chain, Rule, Ruleset, Table, Verdict
from .packet import ABSENT, Packet, Tristate
from .sets import candidates

# Statements that have no verdict and do not affect whether the rule matches.
_NO_VERDICT = frozenset({"counter", "log", "notrack", "ct helper", "ct timeout", "ct expectation", "flow", "dup",
                         "secmark", "last", "set", "continue"})  # fmt: skip
_ACCEPT_OR_DROP = "accept or drop"
_VERDICTS = {
    **dict.fromkeys(("accept", "snat", "dnat", "masquerade", "redirect", "tproxy"), ACCEPT),
    **dict.fromkeys(("drop", "reject"), DROP),
    # The verdict comes from a program, or depends on earlier packets.
    **dict.fromkeys(("queue", "synproxy"), _ACCEPT_OR_DROP),
    **{word: word for word in ("return", "jump", "goto")},
}
# Extensions of iptables as nft lists them: by name, without their arguments. "": no verdict.
_XT_VERDICTS = {
    **dict.fromkeys(("REJECT", "DROP"), DROP),
    **dict.fromkeys(("MASQUERADE", "SNAT", "DNAT", "REDIRECT", "NETMAP"), ACCEPT),
    **dict.fromkeys(("LOG", "NFLOG", "CHECKSUM", "TCPMSS", "comment", "CT", "TRACE", "AUDIT", "CLASSIFY"), ""),
    **dict.fromkeys(("MARK", "CONNMARK"), ""),
}

_MAX_JUMPS = 32

# NF_IP_PRI_CONNTRACK in linux/netfilter_ipv4.h.
_CONNTRACK_PRIORITY = -200


class _Statement(NamedTuple):
    """A verdict statement: accept, drop, return, or jump and goto with a chain; ``certain``: of a map, its key matches.

    It is one of the statements that may be executed if the rule matches.
    """

    verdict: str
    chain: str = ""
    certain: bool = True


_UNDECIDED = [_Statement(DROP, certain=False), _Statement(ACCEPT, certain=False)]


class Traversal:
    """One packet in one base chain; ``verdicts``: all that are possible; ``packet``: with the marks that rules set."""

    def __init__(self, table: Table, base: Chain, packet: Packet) -> None:
        self.table = table
        self.base = base
        self.packet = packet
        self.verdicts: list[Verdict] = []
        if self._traverse(base, certain=True, depth=0):
            self._add_verdict(base.policy, base, None, certain=True)

    @property
    def drops(self) -> list[Verdict]:
        """The verdicts that drop the packet."""
        return [verdict for verdict in self.verdicts if verdict.action == DROP]

    @property
    def may_pass(self) -> bool:
        """Whether a verdict accepts the packet."""
        return any(verdict.action == ACCEPT for verdict in self.verdicts)

    def _add_verdict(self, action: str, chain: Chain, rule: Rule | None, *, certain: bool) -> None:
        self.verdicts.append(Verdict(action, self.table, self.base, chain, rule, certain, self.packet))

    def _traverse(self, chain: Chain, *, certain: bool, depth: int) -> bool:
        """Collect the verdicts of a chain; whether the packet may return from it, or reach its end.

        ``certain``: the packet is known to enter the chain.
        """
        may_return = False
        for rule in chain.rules:
            # Once the packet may have left the chain, later rules are certain for some packets only.
            matched, statements = self._evaluate_rule(rule, certain=certain and not may_return)
            if matched is False:
                continue
            for statement in statements:
                executed = matched is True and statement.certain
                if statement.verdict == "return":
                    leaves = True
                elif statement.verdict in ("jump", "goto"):
                    returns = self._jump(statement.chain, certain=certain and executed, depth=depth)
                    if statement.verdict == "jump" and returns:
                        # The traversal continues after this rule.
                        if executed:
                            break
                        continue
                    leaves = statement.verdict == "goto" and returns
                else:
                    self._add_verdict(statement.verdict, chain, rule, certain=certain and executed)
                    leaves = False
                may_return = may_return or leaves
                if executed:
                    return may_return
        return True

    def _jump(self, name: str, *, certain: bool, depth: int) -> bool:
        chain = self.table.chains.get(name)
        return True if chain is None or depth > _MAX_JUMPS else self._traverse(chain, certain=certain, depth=depth + 1)

    def _evaluate_rule(self, rule: Rule, *, certain: bool) -> tuple[Tristate, list[_Statement]]:
        """Whether a rule matches, and the verdict statements of which one is executed then."""
        matched: Tristate = True
        for statement in rule.statements:
            kind: str
            data: Any
            ((kind, data),) = statement.items() if isinstance(statement, dict) else ((str(statement), None),)
            if kind == "match":
                answer = match(data, self.packet, self.table.sets)
            elif kind == "any":
                answer = any_of(match(test, self.packet, self.table.sets) for test in data)
            elif kind == "mangle":
                answer = self._mangle(data, certain=certain and matched is True)
            elif kind == "vmap":
                return self._verdict_map(data, matched)
            else:
                if kind == "xt" and data.get("name") in ("MARK", "CONNMARK"):
                    self.packet = replace(self.packet, mark=None, ct_mark=None)
                verdict, answer = _verdict(kind, data)
                if verdict == _ACCEPT_OR_DROP:
                    return matched, _UNDECIDED
                if verdict:
                    return matched, [_Statement(verdict, data.get("target", "") if isinstance(data, dict) else "")]
            if answer is False:
                return False, []
            matched = matched if answer else None
        return matched, []

    def _verdict_map(self, data: Mapping[str, Any], matched: Tristate) -> tuple[Tristate, list[_Statement]]:
        key = value(data.get("key"), self.packet, self.table.sets)
        if key is ABSENT:
            return False, []
        elements = candidates(data.get("data"), self.table.sets, key, is_map=True)
        if elements is None:
            # The elements are unknown, and so are the chains that they jump to.
            return None, _UNDECIDED
        statements = []
        for element_key, result in elements:
            answer = equal(key, element_key, self.table.sets)
            if answer is not False:
                ((word, target),) = result.items()
                verdict = DROP if word == "reject" else word
                chain = target["target"] if isinstance(target, dict) else ""
                statements.append(_Statement(verdict, chain, certain=answer is True))
            if answer:
                break
        statements = [statement for statement in statements if statement.verdict != "continue"]
        return (matched if statements else False), statements

    def _mangle(self, data: Mapping[str, Any], *, certain: bool) -> Tristate:
        """Set a mark of the packet; whether the rule continues. A mark that may have been set becomes unknown."""
        key = data.get("key", {})
        name = {"meta": "mark", "ct": "ct_mark"}.get(next(iter(key), ""), "")
        if not name or next(iter(key.values())).get("key") != "mark":
            return True
        new = value(data.get("value"), self.packet, self.table.sets)
        if new is ABSENT:
            return False
        if name == "ct_mark" and self.packet.ct_state in ("untracked", "invalid"):
            return False
        mark = new if isinstance(new, int) else None
        if not certain and getattr(self.packet, name) != mark:
            mark = None
        self.packet = replace(self.packet, ct_mark=mark) if name == "ct_mark" else replace(self.packet, mark=mark)
        return True


def _verdict(kind: str, data: Any) -> tuple[str, Tristate]:
    """The verdict of a statement, or "" for none; then whether the rule continues after it."""
    if kind in _NO_VERDICT:
        # A set update with a limit or a counter matches some packets only.
        return "", None if isinstance(data, dict) and data.get("stmt") else True
    if kind != "xt" or not isinstance(data, dict):
        return _VERDICTS.get(kind, ""), True if kind in _VERDICTS else None
    name = data.get("name", "")
    if name in _XT_VERDICTS:
        return _XT_VERDICTS[name], True
    return (_ACCEPT_OR_DROP if data.get("type") == "target" else ""), None


def traverse_hook(ruleset: Ruleset, hook: str, packet: Packet, family: str = "") -> tuple[Packet, list[Traversal]]:
    """A packet in all base chains of a hook: the packet with its marks afterwards, and the traversal of each chain.

    It continues after a chain that drops it, so that every chain that drops it is found. ``family``: of the chains,
    by default those of IP. Chains of type nat see the first packet of a connection only.
    """
    families = (family,) if family else ("ip6", "inet") if packet.ipv6 else ("ip", "inet")
    tables = [table for table in ruleset if table.family in families]
    chains = [(table, chain) for table in tables for chain in table.chains.values() if chain.hook == hook]
    traversals = []
    for table, chain in sorted(chains, key=lambda pair: pair[1].priority):
        if chain.kind == "nat" and packet.ct_state != "new":
            continue
        seen = _as_conntrack_sees(packet, hook, chain)
        traversal = Traversal(table, chain, seen)
        traversals.append(traversal)
        after = traversal.packet
        ct_mark = after.ct_mark if seen.ct_state == packet.ct_state else packet.ct_mark
        if (after.mark, ct_mark) != (packet.mark, packet.ct_mark):
            packet = replace(packet, mark=after.mark, ct_mark=ct_mark)
    return packet, traversals


def _as_conntrack_sees(packet: Packet, hook: str, chain: Chain) -> Packet:
    """The packet with the state of its connection at a chain: none before conntrack, unknown on a bridge."""
    if chain.family == "bridge":
        return replace(packet, ct_state="")
    if hook in ("prerouting", "output") and chain.priority < _CONNTRACK_PRIORITY:
        return replace(packet, ct_state="invalid")
    return packet
