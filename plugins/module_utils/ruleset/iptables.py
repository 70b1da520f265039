# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The output of ``iptables-save`` as a ruleset, with nft's expressions: one evaluator serves both. Pure.

An option that is not known becomes an expression of unknown value, so that it is unknown whether the rule matches
(iptables-extensions(8)).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from .model import Chain, Rule, Table

# The built-in chains are named after their hooks; their priorities by table (NF_IP_PRI_* in linux/netfilter_ipv4.h).
_BUILT_IN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
_PRIORITIES = {"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}
_SOURCE_NAT_PRIORITY = 100

# Match modules that match nothing without options, and whose options are known below.
_KNOWN_MODULES = frozenset({"tcp", "udp", "icmp", "icmp6", "ipv6-icmp", "comment", "conntrack", "state", "multiport",
                            "mark", "connmark", "addrtype", "pkttype"})  # fmt: skip
_NO_VERDICT_TARGETS = frozenset({"LOG", "NFLOG", "CHECKSUM", "TCPMSS", "CT", "TRACE", "AUDIT", "CLASSIFY", "DSCP",
                                 "TOS"})  # fmt: skip
_VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "reject", "RETURN": "return", "MASQUERADE": "masquerade",
             "SNAT": "snat", "DNAT": "dnat", "REDIRECT": "redirect", "NETMAP": "dnat",
             # The verdict comes from a program, or is not known.
             **dict.fromkeys(("NFQUEUE", "QUEUE", "SYNPROXY", "TPROXY"), "queue")}  # fmt: skip
_UNKNOWN: dict[str, None] = {"unknown": None}


def parse(text: str, family: str, tool: str) -> list[Table]:
    """The tables that ``iptables-save`` lists; ``family`` is ip or ip6."""
    tables: list[Table] = []
    for line in text.splitlines():
        if line.startswith("*"):
            tables.append(Table(family, line[1:].strip(), tool))
        elif line.startswith(":") and tables:
            name, policy = line[1:].split()[:2]
            tables[-1].chains[name] = _chain(tables[-1], name, policy)
        elif line.startswith("-A ") and tables:
            words = shlex.split(line)
            chain = tables[-1].chains.get(words[1])
            if chain is not None:
                statements = list(_RuleParser(words[2:], family).statements())
                chain.rules.append(Rule(statements, len(chain.rules) + 1, line))
    return tables


def _chain(table: Table, name: str, policy: str) -> Chain:
    chain = Chain(table.family, table.name, name, table.tool)
    if policy == "-":
        return chain
    chain.kind = "nat" if table.name == "nat" else "filter"
    chain.hook = name.lower() if name in _BUILT_IN else ""
    chain.priority = _PRIORITIES.get(table.name, 0)
    if table.name == "nat" and name in ("INPUT", "POSTROUTING"):
        chain.priority = _SOURCE_NAT_PRIORITY
    chain.policy = policy.lower()
    return chain


def _states(states: Sequence[str], *, negated: bool) -> list[Any]:
    """Tests for states of a connection; snat and dnat are states to iptables, and ``ct status`` flags to nft."""
    ct_states = [state for state in states if state not in ("snat", "dnat")]
    status = [state for state in states if state not in ct_states]
    tests = [
        {"op": "!" if negated else "in", "left": {"ct": {"key": key}}, "right": right}
        for key, right in (("state", ct_states), ("status", status))
        if right
    ]
    # Negated, all tests have to match: each is a statement of its own.
    return [{"match": test} for test in tests] if negated or len(tests) == 1 else [{"any": tests}]


class _RuleParser:
    """Parses one rule, word by word."""

    def __init__(self, words: Sequence[str], family: str) -> None:
        self.words = iter(words)
        self.family = family
        self.protocol = "th"
        self.module = ""

    def _next(self) -> str:
        return next(self.words, "")

    def statements(self) -> Iterator[Any]:
        """The rule as statements of nft."""
        negated = False
        for word in self.words:
            if word == "!":
                negated = True
                continue
            if word in ("-j", "-g"):
                yield from self._target(word)
                return
            yield from self._option(word, negated=negated)
            negated = False

    def _option(self, word: str, *, negated: bool) -> list[Any]:
        if word == "-m":
            self.module = self._next()
            return [] if self.module in _KNOWN_MODULES else [_UNKNOWN]
        if word == "--comment":
            self._next()
            return []
        if word in ("--ctstate", "--state"):
            return _states(self._next().lower().split(","), negated=negated)
        parse_option = {
            "-p": self._protocol,
            "-i": self._interface,
            "-o": self._interface,
            "-s": self._address,
            "-d": self._address,
            "--sport": self._port,
            "--dport": self._port,
            "--sports": self._port,
            "--dports": self._port,
            "--mark": self._mark,
            "--src-type": self._address_type,
            "--dst-type": self._address_type,
            "--pkt-type": self._pkttype,
            "--icmp-type": self._icmp,
            "--icmpv6-type": self._icmp,
            "--tcp-flags": self._flags,
        }.get(word)
        if parse_option is None:
            # An unknown option makes the match unknown; its arguments are skipped.
            return [_UNKNOWN] if word.startswith("-") else []
        left, right = parse_option(word)
        test = {"op": "!=" if negated else "==", "left": left, "right": right}
        return [_UNKNOWN if right is None else {"match": test}]

    def _protocol(self, _word: str) -> tuple[Any, Any]:
        self.protocol = self._next()
        return {"meta": {"key": "l4proto"}}, self.protocol

    def _interface(self, word: str) -> tuple[Any, Any]:
        name = self._next()
        key = "iifname" if word == "-i" else "oifname"
        return {"meta": {"key": key}}, name[:-1] + "*" if name.endswith("+") else name

    def _address(self, word: str) -> tuple[Any, Any]:
        address, _slash, length = self._next().partition("/")
        left = {"payload": {"protocol": self.family, "field": "saddr" if word == "-s" else "daddr"}}
        if not length:
            return left, address
        return left, {"prefix": {"addr": address, "len": int(length)}} if length.isdecimal() else None

    def _port(self, word: str) -> tuple[Any, Any]:
        left = {"payload": {"protocol": self.protocol, "field": word[2:].rstrip("s")}}
        ports: list[Any] = []
        for part in self._next().split(","):
            low, colon, high = part.partition(":")
            ports.append({"range": [int(low), int(high)]} if colon else int(low))
        return left, {"set": ports}

    def _mark(self, _word: str) -> tuple[Any, Any]:
        left: Any = {"ct": {"key": "mark"}} if self.module == "connmark" else {"meta": {"key": "mark"}}
        mark, _slash, mask = self._next().partition("/")
        return ({"&": [left, int(mask, 0)]} if mask else left), int(mark, 0)

    def _address_type(self, word: str) -> tuple[Any, Any]:
        left = {"fib": {"result": "type", "flags": ["saddr" if word == "--src-type" else "daddr"]}}
        return left, {"set": [kind.lower() for kind in self._next().split(",")]}

    def _pkttype(self, _word: str) -> tuple[Any, Any]:
        kind = self._next()
        return {"meta": {"key": "pkttype"}}, "host" if kind == "unicast" else kind

    def _icmp(self, word: str) -> tuple[Any, Any]:
        protocol = "icmp" if word == "--icmp-type" else "icmpv6"
        kind, _slash, code = self._next().partition("/")
        return {"payload": {"protocol": protocol, "field": "type"}}, None if code else kind

    def _flags(self, _word: str) -> tuple[Any, Any]:
        mask, flags = (
            [] if names == "NONE" else [name.lower() for name in names.split(",")]
            for names in (self._next(), self._next())
        )
        return {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, mask]}, flags

    def _target(self, word: str) -> list[Any]:
        name = self._next()
        if name in _VERDICTS:
            return [{_VERDICTS[name]: None}]
        if name in ("MARK", "CONNMARK"):
            return [{"mangle": self._mark_target(name)}]
        if name in _NO_VERDICT_TARGETS:
            return []
        return [{"goto" if word == "-g" else "jump": {"target": name}}]

    def _mark_target(self, name: str) -> dict[str, Any]:
        """Which mark is set, and its value (MARK and CONNMARK in iptables-extensions(8))."""
        packet_mark, connection_mark = {"meta": {"key": "mark"}}, {"ct": {"key": "mark"}}
        key = packet_mark if name == "MARK" else connection_mark
        option, argument = self._next(), self._next()
        if option == "--restore-mark":
            return {"key": packet_mark, "value": _UNKNOWN if argument else connection_mark}
        if option == "--save-mark":
            return {"key": connection_mark, "value": _UNKNOWN if argument else packet_mark}
        if option != "--set-xmark":
            return {"key": key, "value": _UNKNOWN}
        mark, _slash, mask = argument.partition("/")
        kept_bits = ~int(mask or "0xffffffff", 0) & 0xFFFFFFFF
        return {"key": key, "value": {"^": [{"&": [key, kept_bits]}, int(mark, 0)]}}
