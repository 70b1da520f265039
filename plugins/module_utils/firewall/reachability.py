# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of a network's packets over all base chains of the host: which chain drops them, and what would help."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..core.command import find, run
from ..core.files import read_text
from ..nft.chains import FAMILY, MARK, TABLE
from ..ruleset.evaluate import Chain, Ending, Rule, Ruleset, Table, through
from ..ruleset.packet import Packet
from ..ruleset.read import read, texts
from .flows import Guests, Way, ways
from .integrations_read import DOCKER_USER, is_ours, owner_of

if TYPE_CHECKING:
    from ..network.model import Network

PASSES = "passes"
DROPPED = "dropped"
MAY_BE_DROPPED = "may be dropped"
REFUSED = "refused"

_BR_NETFILTER = "/proc/sys/net/bridge/bridge-nf-call-iptables"

# Text of a rule by family, table, chain and handle.
Texts = Mapping[tuple[str, str, str, int], str]


@dataclass(frozen=True)
class Culprit:
    """A rule or a policy that drops, and the command that would let the packet pass.

    ``sure``: it drops what comes to it; an earlier rule that cannot be told may have let the packet pass.
    """

    chain: Chain
    hook: str
    rule: Rule | None
    cure: str
    sure: bool
    text: str = ""

    def __str__(self) -> str:
        what = "the policy" if self.rule is None else f"the rule '{self.text}'" if self.text else "a rule"
        return f"{what} of {self.chain}"

    def as_options(self) -> dict[str, Any]:
        """For programs."""
        return {
            "family": self.chain.family,
            "table": self.chain.table,
            "chain": self.chain.name,
            "hook": self.hook,
            "rule": None if self.rule is None else self.text,
            "tool": self.chain.tool or "nft",
            "cure": self.cure,
        }


@dataclass(frozen=True)
class Finding:
    """What becomes of one packet and its answer."""

    way: Way
    verdict: str
    by: Sequence[Culprit] = ()

    def as_options(self) -> dict[str, Any]:
        """For programs."""
        way = self.way
        return {
            "network": way.network,
            "way": way.name,
            "family": way.family,
            "verdict": self.verdict,
            "wanted": way.wanted,
            "by": [culprit.as_options() for culprit in self.by],
        }


def judge(ruleset: Ruleset, way: Way) -> Finding:
    """One packet and its answer, hook by hook. Pure."""
    mark: int | None = 0
    ct_mark: int | None = 0
    by: list[Culprit] = []
    verdict = PASSES
    for stages in (way.there, way.back):
        mark = 0
        if stages and stages[0][1].state == "new":
            ct_mark = 0
        for hook, packet, layer in stages:
            if (packet.mark, packet.ct_mark) != (mark, ct_mark):
                packet = replace(packet, mark=mark, ct_mark=ct_mark)
            left, walks = through(ruleset, hook, packet, (layer,) if layer else ())
            mark, ct_mark = left.mark, left.ct_mark
            for walk in walks:
                if walk.drops:
                    sure = not walk.may_pass
                    verdict = DROPPED if sure else verdict if verdict == DROPPED else MAY_BE_DROPPED
                    by += [_culprit(ending, sure or ending.sure) for ending in _told(walk.drops)]
    if not way.wanted and verdict == DROPPED:
        verdict = REFUSED
    return Finding(way, verdict, tuple({(id(one.chain), id(one.rule)): one for one in by}.values()))


def _told(drops: Sequence[Ending]) -> Sequence[Ending]:
    """Those that drop for sure, where there are such."""
    return [ending for ending in drops if ending.sure] or drops


def _culprit(ending: Ending, sure: bool) -> Culprit:
    rule = ending.rule
    return Culprit(ending.chain, ending.base.hook, rule, _cure(ending), sure, rule.text if rule else "")


def _cure(ending: Ending) -> str:
    """The command that lets the packet pass this base chain, by its owner's own hook where it has one."""
    base, table, packet = ending.base, ending.table, ending.packet
    if is_ours(table):
        return ""
    owner = owner_of(table)
    if owner == "firewalld":
        return "let the playbook ask firewalld (virtnet_firewall_integration: true)"
    if owner == "ufw":
        return _ufw(base.hook, packet)
    marked = packet.state in ("new", "established") and bool((packet.ct_mark or 0) & MARK)
    if table.tool:
        match = f"-m connmark --mark 0x{MARK:x}/0x{MARK:x}" if marked else _by_interface(packet, "-i {}", "-o {}")
        in_table = "" if table.name == "filter" else f" -t {table.name}"
        chain = DOCKER_USER if owner == "docker" and base.hook == "forward" else base.name
        return f"{table.tool}{in_table} -I {chain} {match} -j ACCEPT"
    match = f"ct mark & 0x{MARK:08x} != 0" if marked else _by_interface(packet, 'iifname "{}"', 'oifname "{}"')
    if base.family == "bridge":
        match = _frames(base.hook, packet)
    return f"nft insert rule {base.family} {base.table} {base.name} '{match} accept'"


def _by_interface(packet: Packet, into: str, out: str) -> str:
    return into.format(packet.bridge) if packet.iif == packet.bridge else out.format(packet.bridge)


def _frames(hook: str, packet: Packet) -> str:
    return f'meta {"ibrname" if hook in ("prerouting", "input") else "obrname"} "{packet.bridge}"'


def _ufw(hook: str, packet: Packet) -> str:
    inward = packet.iif == packet.bridge
    if hook == "forward":
        return f"ufw route allow {'in' if inward else 'out'} on {packet.bridge}"
    if hook == "input" and packet.dport:
        protocol = "" if packet.dport == 53 else f" proto {packet.protocol}"
        return f"ufw allow in on {packet.bridge} to any port {packet.dport}{protocol}"
    return f"ufw allow {'in' if inward else 'out'} on {packet.bridge}"


def with_texts(findings: Iterable[Finding], texts: Texts) -> list[Finding]:
    """Rules named as their owner's program writes them. Pure."""
    return [
        replace(finding, by=tuple(replace(one, text=one.text or _text(one, texts)) for one in finding.by))
        for finding in findings
    ]


def _text(culprit: Culprit, texts: Texts) -> str:
    chain, rule = culprit.chain, culprit.rule
    return "" if rule is None else texts.get((chain.family, chain.table, chain.name, rule.handle), "")


def lines(findings: Iterable[Finding], verdict: str) -> Iterator[str]:
    """Sentences, one for each culprit and cure, of packets that shall pass and do not. Pure."""
    networks: dict[tuple[str, str], list[str]] = {}
    met: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        if finding.verdict == verdict and finding.way.wanted:
            for one in finding.by:
                key = (str(one), one.cure)
                networks.setdefault(key, []).append(repr(finding.way.network))
                met.setdefault(key, []).append(f"{finding.way.name} ({finding.way.family})")
    word = "are" if verdict == DROPPED else "may be"
    for (culprit, cure), names in networks.items():
        those = list(dict.fromkeys(names))
        owners = f"network{'s' if len(those) > 1 else ''} {', '.join(those)}"
        helps = f"; to let them pass: {cure}" if cure else ""
        yield f"{owners}: packets {', '.join(dict.fromkeys(met[culprit, cure]))} {word} dropped by {culprit}{helps}"


def foreign(tables: Ruleset, networks: Iterable[Guests]) -> list[str]:
    """What other tables do to packets that ours lets pass, as sentences; ours need not be there yet. Pure."""
    findings = [
        judge(tables if guests.mode == "open" else [*tables, _OURS], way)
        for guests in networks
        for way in ways(guests)
        if way.wanted
    ]
    doubtful = [replace(finding, by=tuple(one for one in finding.by if one.sure)) for finding in findings if finding.by]
    return [*lines(findings, DROPPED), *lines(doubtful, MAY_BE_DROPPED)]


def _marking(hook: str, *conditions: Any) -> Chain:
    mark = {"mangle": {"key": {"ct": {"key": "mark"}}, "value": MARK}}
    return Chain(FAMILY, TABLE, hook, kind="filter", hook=hook, priority=-10, rules=[Rule([*conditions, mark])])


_SERVED = {
    "match": {"op": "==", "left": {"payload": {"protocol": "th", "field": "dport"}}, "right": {"set": [53, 67, 547]}}
}
# All that our table does to packets that it lets pass.
_OURS = Table(FAMILY, TABLE, chains={"forward": _marking("forward"), "input": _marking("input", _SERVED)})


@dataclass(frozen=True)
class Diagnosis:
    """All findings of a host."""

    findings: Sequence[Finding] = field(default_factory=tuple)

    @property
    def problems(self) -> list[str]:
        """What drops, and what passes that shall not."""
        open_ways = [
            f"network {one.way.network!r}: packets {one.way.name} ({one.way.family}) pass, which its mode forbids"
            for one in self.findings
            if not one.way.wanted and one.verdict == PASSES
        ]
        return [*lines(self.findings, DROPPED), *open_ways]

    @property
    def notes(self) -> list[str]:
        """What may drop."""
        return list(lines(self.findings, MAY_BE_DROPPED))

    def of(self, network: str) -> list[dict[str, Any]]:
        """The findings of one network, for programs."""
        return self._options.get(network, [])

    @cached_property
    def _options(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for one in self.findings:
            found.setdefault(one.way.network, []).append(one.as_options())
        return found


def diagnose(networks: Iterable[Network]) -> Diagnosis:
    """What becomes of the packets of these networks on this host now; raises CommandFailed."""
    known = list(networks)
    if not known:
        return Diagnosis()
    uplinks, filtered = read_uplinks(), (read_text(_BR_NETFILTER) or "").strip() == "1"
    chosen = [Guests.of(network, uplinks, filtered=filtered) for network in known]
    ruleset = read()
    findings = [judge(ruleset, way) for guests in chosen for way in ways(guests)]
    culprits = [one for finding in findings if finding.verdict != REFUSED for one in finding.by]
    return Diagnosis(with_texts(findings, texts((one.chain, one.rule) for one in culprits if one.rule is not None)))


def read_uplinks() -> dict[int, str]:
    """By IP version, the interface of the default route that counts."""
    found: dict[int, str] = {}
    for version in (4, 6):
        text = run(["ip", f"-{version}", "-j", "route", "show", "default"], check=False).stdout if find("ip") else ""
        routes = sorted(_routes(text), key=lambda route: route.get("metric", 0))
        if routes:
            found[version] = str(routes[0]["dev"])
    return found


def _routes(text: str) -> list[dict[str, Any]]:
    try:
        return [route for route in json.loads(text or "[]") if route.get("dev")]
    except ValueError:
        return []
