# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the rules of the host do for the guests of a bridge, as options: mode, uplink, NAT, port forwards. Pure.

Rules are not compared with patterns: a packet is put to them, by the evaluator that finds drops. So it does not matter
by what program and in which words somebody wrote them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.errors import printable
from ..core.options import Interface, shorten
from ..firewall.flows import GuestNetwork, outgoing_packet
from ..ruleset.evaluate import traverse_hook
from ..ruleset.model import Rule, Table
from ..ruleset.packet import Packet
from .model import HostFacts

# An interface that no host has: a rule that names its interfaces does not match it.
_ANY_OTHER = "vn-nowhere"
_NAT = ("masquerade", "snat")
_NAT_OF_IPTABLES = ("MASQUERADE", "SNAT")
_LONGEST_RULE = 200

_TO_SOURCE = re.compile(r"--to-source (\d[\d.]*)(?:-(\d[\d.]*))?(?::(\d{1,5})-(\d{1,5}))?(?=\s|$)")
_TO_PORTS = re.compile(r"--to-ports (\d{1,5})-(\d{1,5})(?=\s|$)")
_TO_DESTINATION = re.compile(r"--to-destination (?:\[?([0-9a-fA-F.:]+?)\]?)(?::(\d{1,5}))?(?=\s|$)")


@dataclass(frozen=True)
class Translation:
    """The rule that hides the guests' addresses; ``certain``: it matches every packet of theirs."""

    rule: Rule
    certain: bool


def mode_options(bridge: str, addresses: Sequence[Interface], facts: HostFacts) -> tuple[dict[str, Any], list[str]]:
    """The options ``mode``, ``uplink`` and ``nat`` of a network of guests, and notes."""
    by_version: dict[int, Interface] = {address.version: address for address in reversed(addresses)}
    network = GuestNetwork(name=bridge, bridge=bridge, mode="nat", hosts=by_version, uplinks={})
    ways = [*_ways_out(bridge, facts), _ANY_OTHER]
    options: dict[str, Any] = {}
    notes: list[str] = []
    for version in (4, 6):
        if version not in by_version:
            continue
        found = {way: _translation(network, version, way, facts) for way in ways}
        translated = {way: one for way, one in found.items() if one is not None}
        if version == 6 and by_version.get(4) is not None:
            if options.get("mode") == "nat" and not translated:
                options.setdefault("nat", {})["ipv6"] = False
            elif options.get("mode") != "nat" and translated:
                notes.append("IPv6 addresses of guests are hidden and IPv4 ones are not; no mode does that")
        elif translated:
            options.update({"mode": "nat", **_uplink(translated), **_nat(next(iter(translated.values())).rule)})
            notes += _uncertain(translated)
        else:
            options["mode"] = "routed" if _passes(network, version, facts) else "isolated"
    return options or {"mode": "isolated"}, notes


def _ways_out(bridge: str, facts: HostFacts) -> list[str]:
    """The interfaces by which packets can leave, those of default routes first; behind other bridges are guests."""
    others = [link.name for link in facts.links.values() if not link.master and link.kind != "bridge"]
    return [name for name in dict.fromkeys([*facts.ways_out, *sorted(others)]) if name not in ("lo", bridge)]


def _forwarded(network: GuestNetwork, version: int, way: str, facts: HostFacts) -> tuple[Packet, bool]:
    """A guest's packet to the outside when it leaves by an interface, and whether no chain drops it before."""
    packet = replace(outgoing_packet(network, version), bridge="")
    passes = True
    for hook in ("prerouting", "forward"):
        packet = packet if hook == "prerouting" else replace(packet, oif=way)
        packet, traversals = traverse_hook(facts.ruleset, hook, packet)
        passes = passes and all(traversal.may_pass for traversal in traversals)
    return packet, passes


def _translation(network: GuestNetwork, version: int, way: str, facts: HostFacts) -> Translation | None:
    packet, _passes_all = _forwarded(network, version, way, facts)
    for traversal in traverse_hook(facts.ruleset, "postrouting", packet)[1]:
        for verdict in traversal.verdicts:
            if verdict.rule is not None and any(_translates(one) for one in verdict.rule.statements):
                return Translation(verdict.rule, verdict.certain)
    return None


def _translates(statement: Any) -> bool:
    if not isinstance(statement, Mapping):
        return statement in _NAT
    return bool(set(statement) & set(_NAT)) or statement.get("xt", {}).get("name") in _NAT_OF_IPTABLES


def _passes(network: GuestNetwork, version: int, facts: HostFacts) -> bool:
    if version == 4 and network.bridge not in facts.forwarding:
        return False
    ways = _ways_out(network.bridge, facts) or [_ANY_OTHER]
    return any(_forwarded(network, version, way, facts)[1] for way in ways)


def _uplink(translated: Mapping[str, Translation]) -> dict[str, Any]:
    """The uplinks, where NAT is for some interfaces alone."""
    if _ANY_OTHER in translated:
        return {}
    return {"uplink": list(translated) if len(translated) > 1 else next(iter(translated))}


def _uncertain(translated: Mapping[str, Translation]) -> Iterator[str]:
    rules = [one.rule for one in translated.values() if not one.certain]
    if rules and len(rules) == len(translated):
        yield f"the rule that hides guests' addresses may be for some packets only{_quoted(rules[0])}"


def _quoted(rule: Rule) -> str:
    return f": {printable(shorten(rule.text, _LONGEST_RULE))}" if rule.text else ""


def _nat(rule: Rule) -> dict[str, Any]:
    """The option ``nat``: source addresses and ports of SNAT; nothing for masquerade on all ports."""
    nat: dict[str, Any] = {}
    for statement in rule.statements:
        data = next((statement[word] for word in _NAT if word in statement), None) if _is_mapping(statement) else None
        if isinstance(data, Mapping):
            first, last = _ends(data.get("addr"))
            if first and ":" not in first:
                nat["source"] = {"start": first, "end": last}
            low, high = _ends(data.get("port"))
            if low and low != high:
                nat["ports"] = {"start": int(low), "end": int(high)}
    source, ports = _TO_SOURCE.search(rule.text), _TO_PORTS.search(rule.text)
    if source:
        nat["source"] = {"start": source[1], "end": source[2] or source[1]}
        if source[3]:
            nat["ports"] = {"start": int(source[3]), "end": int(source[4])}
    if ports:
        nat["ports"] = {"start": int(ports[1]), "end": int(ports[2])}
    return {"nat": nat} if nat else {}


def _is_mapping(statement: Any) -> bool:
    return isinstance(statement, Mapping)


def _ends(data: Any) -> tuple[str, str]:
    """First and last of an address, a port or a range of them; two empty texts for anything else."""
    if isinstance(data, Mapping) and isinstance(data.get("range"), list) and len(data["range"]) == 2:
        return str(data["range"][0]), str(data["range"][1])
    return (str(data), str(data)) if isinstance(data, (str, int)) else ("", "")


def forward_options(
    bridge: str, addresses: Sequence[Interface], facts: HostFacts
) -> tuple[list[dict[str, Any]], list[str]]:
    """The option ``port_forwards``: rules that send ports of the host to guests, and notes on those not understood."""
    forwards: list[dict[str, Any]] = []
    notes: list[str] = []
    for table, rule in _destination_rules(facts):
        target, port = _destination(rule)
        if target is None and any(_is_guest(one, addresses) for one in _mapped_texts(rule, table)):
            notes.append(f"port forwards in a map are not read, add them to port_forwards{_quoted(rule)}")
        if target is None or not _is_guest(str(target), addresses):
            continue
        found = _forwards(rule, target, port)
        if found is None:
            notes.append(f"a port forward to {target} is not understood, add it to port_forwards{_quoted(rule)}")
        for one in found or ():
            if one not in forwards:
                forwards.append(one)
    return forwards, notes


def _is_guest(text: str, addresses: Sequence[Interface]) -> bool:
    try:
        return any(ipaddress.ip_address(text) in address.network for address in addresses)
    except ValueError:
        return False


def _mapped_texts(rule: Rule, table: Table) -> Iterator[str]:
    """All texts in the map by which a rule translates destinations (``dnat to tcp dport map``), also a named one."""
    seen: set[str] = set()
    pending: list[Any] = [
        statement["dnat"] for statement in rule.statements if _is_mapping(statement) and "dnat" in statement
    ]
    while pending:
        value = pending.pop()
        if isinstance(value, str) and value.startswith("@"):
            # Once: an interface, which may be a key, can have such a name too.
            pending += [] if value in seen else table.sets.get(value[1:]) or ()
            seen.add(value)
        elif isinstance(value, str):
            yield value
        elif isinstance(value, (list, tuple)):
            pending += value
        elif isinstance(value, Mapping):
            pending += value.values()


def _destination_rules(facts: HostFacts) -> Iterator[tuple[Table, Rule]]:
    """The rules of all tables that translate destinations of packets that arrive."""
    for table in facts.ruleset:
        if any(chain.kind == "nat" and chain.hook == "prerouting" for chain in table.chains.values()):
            for chain in table.chains.values():
                if chain.hook in ("", "prerouting"):
                    yield from ((table, rule) for rule in chain.rules)


def _destination(rule: Rule) -> tuple[Any, int | None]:
    """The guest that a rule sends packets to, None for none, and its port, None for the same."""
    for statement in rule.statements:
        if isinstance(statement, Mapping) and "dnat" in statement:
            data = statement["dnat"]
            match = _TO_DESTINATION.search(rule.text) if data is None else None
            address = data.get("addr") if isinstance(data, Mapping) else match[1] if match else None
            port = data.get("port") if isinstance(data, Mapping) else match[2] if match else None
            try:
                return ipaddress.ip_address(str(address)), int(str(port)) if port is not None else None
            except ValueError:
                return None, None
    return None, None


def _forwards(rule: Rule, target: Any, port: int | None) -> list[dict[str, Any]] | None:
    """The port forwards of one rule; None if it has a condition that a port forward has no word for."""
    protocol, address, ports = "", "", None
    for statement in rule.statements:
        if not isinstance(statement, Mapping) or set(statement) & {"dnat", "counter", "log", "comment"}:
            continue
        test = statement.get("match")
        if not isinstance(test, Mapping) or test.get("op", "==") not in ("==", "in"):
            return None
        left, right = test.get("left"), test.get("right")
        payload = left.get("payload", {}) if isinstance(left, Mapping) else {}
        meta = left.get("meta", {}).get("key") if isinstance(left, Mapping) else ""
        if payload.get("field") == "dport":
            ports = _port_list(right)
            protocol = protocol or str(payload.get("protocol", ""))
            if ports is None:
                return None
        elif payload.get("field") == "daddr" and _single_address(right):
            address = _single_address(right)
        elif meta == "l4proto" or payload.get("field") in ("protocol", "nexthdr"):
            protocol = str(right)
        # By which interface packets arrive: ours are for all but loopback. New connections are all that DNAT sees.
        elif meta not in ("iifname", "iif") and not _is_local_or_new(left):
            return None
    if protocol not in ("tcp", "udp", "sctp") or not ports:
        return None
    return [_forward(protocol, address, first, last, target, port) for first, last in ports]


def _single_address(right: Any) -> str:
    """The address that a condition is for; "" for a subnet, a set or a name."""
    prefix = right.get("prefix") if isinstance(right, Mapping) else None
    text = f"{prefix.get('addr')}/{prefix.get('len')}" if isinstance(prefix, Mapping) else str(right)
    try:
        address = ipaddress.ip_network(text)
    except ValueError:
        return ""
    return str(address.network_address) if address.num_addresses == 1 else ""


def _is_local_or_new(left: Any) -> bool:
    fib = left.get("fib", {}) if isinstance(left, Mapping) else {}
    ct = left.get("ct", {}) if isinstance(left, Mapping) else {}
    return bool(fib.get("result") == "type" or ct.get("key") == "state")


def _port_list(right: Any) -> list[tuple[int, int]] | None:
    """Ports and ranges of ports; None for anything else, as a named set."""
    items = right["set"] if isinstance(right, Mapping) and isinstance(right.get("set"), list) else [right]
    ports = []
    for item in items:
        first, last = _ends(item)
        if not (first.isdecimal() and last.isdecimal()):
            return None
        ports.append((int(first), int(last)))
    return ports


def _forward(protocol: str, address: str, first: int, last: int, target: Any, port: int | None) -> dict[str, Any]:
    same = {} if protocol == "tcp" else {"protocol": protocol}
    where = {"address": address} if address else {}
    if first != last:
        return {**same, **where, "port_range": {"start": first, "end": last}, "to": str(target)}
    to_port = {} if port in (None, first) else {"to_port": port}
    return {**same, **where, "port": first, "to": str(target), **to_port}
