# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``iptables-save`` lists, as expressions of nft: so one evaluator serves both. Pure.

Arguments that are not known become an expression that nobody can tell, and the rule one that may match
(iptables-extensions(8)).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from .evaluate import Chain, Rule, Table

# Hook and priority of the chains that iptables knows (NF_IP_PRI_* in linux/netfilter_ipv4.h).
_HOOKS = {
    "PREROUTING": "prerouting",
    "INPUT": "input",
    "FORWARD": "forward",
    "OUTPUT": "output",
    "POSTROUTING": "postrouting",
}
_PRIORITIES = {"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}
_SOURCE_NAT = 100

# Modules that say nothing themselves, or whose options are known below.
_PLAIN = frozenset({"tcp", "udp", "icmp", "icmp6", "ipv6-icmp", "comment", "conntrack", "state", "multiport", "mark",
                    "connmark", "addrtype", "pkttype"})  # fmt: skip
_QUIET = frozenset({"LOG", "NFLOG", "CHECKSUM", "TCPMSS", "CT", "TRACE", "AUDIT", "CLASSIFY", "DSCP", "TOS"})
_TARGETS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "reject", "RETURN": "return", "MASQUERADE": "masquerade",
            "SNAT": "snat", "DNAT": "dnat", "REDIRECT": "redirect", "NETMAP": "dnat"}  # fmt: skip
# Targets that ask a program, or do what is not known here.
_PROGRAMS = frozenset({"NFQUEUE", "QUEUE", "SYNPROXY", "TPROXY"})
_UNKNOWN: dict[str, None] = {"unknown": None}


def parse(text: str, family: str, tool: str) -> list[Table]:
    """The tables of ``iptables-save``; ``family`` is ip or ip6."""
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
                chain.rules.append(Rule(_statements(words[2:], family), len(chain.rules) + 1, line))
    return tables


def _chain(table: Table, name: str, policy: str) -> Chain:
    made = Chain(table.family, table.name, name, table.tool)
    if policy == "-":
        return made
    made.kind = "nat" if table.name == "nat" else "filter"
    made.hook = _HOOKS.get(name, "")
    made.priority = _PRIORITIES.get(table.name, 0)
    if table.name == "nat" and name in ("INPUT", "POSTROUTING"):
        made.priority = _SOURCE_NAT
    made.policy = policy.lower()
    return made


def _match(left: Any, right: Any, *, negated: bool) -> dict[str, Any]:
    return {"match": {"op": "!=" if negated else "==", "left": left, "right": right}}


def _states(states: Sequence[str], *, negated: bool) -> list[Any]:
    """States of a connection; two of them are none to nft, but tell how it was translated."""
    named = [state for state in states if state not in ("snat", "dnat")]
    status = [state for state in states if state not in named]
    tests = [
        {"op": "!" if negated else "in", "left": {"ct": {"key": key}}, "right": right}
        for key, right in (("state", named), ("status", status))
        if right
    ]
    # Not one of several is none of them: then each test stands for itself.
    return [{"match": test} for test in tests] if negated or len(tests) == 1 else [{"any": tests}]


def _statements(words: Sequence[str], family: str) -> list[Any]:
    return list(_Reader(words, family).statements())


class _Reader:
    """One rule, word by word."""

    def __init__(self, words: Sequence[str], family: str) -> None:
        self.rest = iter(words)
        self.family = family
        self.protocol = "th"
        self.module = ""

    def _next(self) -> str:
        return next(self.rest, "")

    def statements(self) -> Iterator[Any]:
        """The rule in nft's expressions."""
        negated = False
        for word in self.rest:
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
            return [] if self.module in _PLAIN else [_UNKNOWN]
        if word == "--comment":
            self._next()
            return []
        read = {
            "-p": self._protocol,
            "-i": self._interface,
            "-o": self._interface,
            "-s": self._address,
            "-d": self._address,
            "--sport": self._port,
            "--dport": self._port,
            "--sports": self._port,
            "--dports": self._port,
            "--ctstate": self._state,
            "--state": self._state,
            "--mark": self._mark,
            "--src-type": self._type,
            "--dst-type": self._type,
            "--pkt-type": self._frame,
            "--icmp-type": self._icmp,
            "--icmpv6-type": self._icmp,
            "--tcp-flags": self._flags,
        }.get(word)
        if read is None:
            # An argument of an option that is not known, or such an option.
            return [_UNKNOWN] if word.startswith("-") else []
        left, right = read(word)
        if word in ("--ctstate", "--state"):
            return _states(right, negated=negated)
        return [_UNKNOWN if right is None else _match(left, right, negated=negated)]

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

    def _state(self, _word: str) -> tuple[Any, Any]:
        return {}, [state.lower() for state in self._next().split(",")]

    def _mark(self, _word: str) -> tuple[Any, Any]:
        left: Any = {"ct": {"key": "mark"}} if self.module == "connmark" else {"meta": {"key": "mark"}}
        wanted, _slash, mask = self._next().partition("/")
        return ({"&": [left, int(mask, 0)]} if mask else left), int(wanted, 0)

    def _type(self, word: str) -> tuple[Any, Any]:
        left = {"fib": {"result": "type", "flags": ["saddr" if word == "--src-type" else "daddr"]}}
        return left, {"set": [kind.lower() for kind in self._next().split(",")]}

    def _frame(self, _word: str) -> tuple[Any, Any]:
        kind = self._next()
        return {"meta": {"key": "pkttype"}}, "host" if kind == "unicast" else kind

    def _icmp(self, word: str) -> tuple[Any, Any]:
        protocol = "icmp" if word == "--icmp-type" else "icmpv6"
        kind, _slash, code = self._next().partition("/")
        return {"payload": {"protocol": protocol, "field": "type"}}, None if code else kind

    def _flags(self, _word: str) -> tuple[Any, Any]:
        looked_at, wanted = (
            [] if words == "NONE" else [word.lower() for word in words.split(",")]
            for words in (self._next(), self._next())
        )
        return {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, looked_at]}, wanted

    def _target(self, word: str) -> list[Any]:
        name = self._next()
        if name in _TARGETS:
            return [{_TARGETS[name]: None}]
        if name in ("MARK", "CONNMARK"):
            return [{"mangle": self._set(name)}]
        if name in _QUIET:
            return []
        if name.isupper() and name in _PROGRAMS:
            return [{"queue": None}]
        return [{"goto" if word == "-g" else "jump": {"target": name}}]

    def _set(self, name: str) -> dict[str, Any]:
        """The mark that is set, and to what (MARK and CONNMARK in iptables-extensions(8))."""
        packets, connections = {"meta": {"key": "mark"}}, {"ct": {"key": "mark"}}
        own = packets if name == "MARK" else connections
        option, words = self._next(), self._next()
        if option in ("--restore-mark", "--save-mark"):
            key, other = (packets, connections) if option == "--restore-mark" else (connections, packets)
            return {"key": key, "value": _UNKNOWN if words else other}
        if option != "--set-xmark":
            return {"key": own, "value": _UNKNOWN}
        wanted, _slash, mask = words.partition("/")
        kept = ~int(mask or "0xffffffff", 0) & 0xFFFFFFFF
        return {"key": own, "value": {"^": [{"&": [own, kept]}, int(wanted, 0)]}}
