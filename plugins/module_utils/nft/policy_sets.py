# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policies of networks as elements of sets, and back. Pure.

Each network has sets of its own, since a lookup in a set with intervals compares all its elements. Entries with the
same fields share a set; its name tells list, family, fields and bridge: ``vn_allow4_dpn_vn-lab``. It has at most 31
characters. A set without intervals is a hash table; one with intervals has its fields in capitals, since the kernel
cannot change the one into the other.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ..core.ports import REDIRECTED_DHCP, REDIRECTED_DNS
from ..core.protocols import PROTOCOLS, WITHOUT_PORTS, number_of
from .policy import ALL, ALLOW, DENY, NO_POLICY, WORDS, Entry, Policy, ports_of
from .sets import Elements, Members

HOST = "host"
# The fields of elements in their order: source, interface of the other network, destination, protocol, port number.
_SET = re.compile(r"vn_(allow|deny|host)([46]?)_(s?o?d?p?n?|S?O?D?P?N?)_([A-Za-z0-9_.-]{1,15})")
_TYPES = {"s": "{address}", "o": "ifname", "d": "{address}", "p": "inet_proto", "n": "inet_service"}
_EXPRESSIONS = {"s": "{ip} saddr", "o": "oifname", "d": "{ip} daddr", "p": "meta l4proto", "n": "th dport"}
_NAMES = {**PROTOCOLS, **WITHOUT_PORTS}
# Rules give packets of guests to these services other ports where another server holds the usual ones.
_REDIRECTED = {
    "dns": (("tcp", str(REDIRECTED_DNS)), ("udp", str(REDIRECTED_DNS))),
    "dhcp": (("udp", str(REDIRECTED_DHCP)),),
}

# The first and the last value of each field: addresses, protocols and ports are numbers, interfaces are names.
Interval = tuple[Any, Any]
Box = tuple[Interval, ...]


class PolicySet(NamedTuple):
    """``kind``: allow, deny, or host for the host's ports; ``family``: "4", "6", or "" where no field is an address."""

    kind: str
    family: str
    fields: str
    bridge: str
    intervals: bool = False

    @property
    def name(self) -> str:
        """The name in the kernel."""
        fields = self.fields.upper() if self.intervals else self.fields
        return f"vn_{self.kind}{self.family}_{fields}_{self.bridge}"

    @property
    def expression(self) -> str:
        """What of a packet is looked up."""
        ip = "ip6" if self.family == "6" else "ip"
        return " . ".join(_EXPRESSIONS[one].format(ip=ip) for one in self.fields)

    @property
    def declaration(self) -> str:
        """The declaration of the set."""
        address = f"ipv{self.family}_addr"
        types = " . ".join(_TYPES[one].format(address=address) for one in self.fields)
        return "; ".join([f"type {types}", *(["flags interval"] if self.intervals else []), "counter"])

    def text(self, key: tuple[str, ...]) -> str:
        """An element in the syntax of nft: protocols as numbers, since a host need not know the names."""
        parts = zip(self.fields, key[1:])
        return " . ".join(
            f'"{part}"' if one == "o" else str(number_of(part)) if one == "p" else part for one, part in parts
        )

    def listed(self, parts: Sequence[str]) -> tuple[str, ...]:
        """The key of an element that nft lists."""
        return (self.bridge, *(_text(one, bounds_of(one, part), self.family) for one, part in zip(self.fields, parts)))


def policy_set(name: str) -> PolicySet | None:
    """The set of a policy with this name, or None for other sets."""
    match = _SET.fullmatch(name)
    if not match or not match[3]:
        return None
    kind, family, fields, bridge = match.groups()
    return PolicySet(kind, family, fields.lower(), bridge, fields.isupper())


def bounds_of(one: str, part: str) -> Interval:
    """The first and the last value of a part of an element; raises ValueError for a part that is not ours."""
    if one == "o":
        return part, part
    if one == "p":
        return number_of(part), number_of(part)
    first, dash, last = part.partition("-")
    if one == "n":
        return int(first), int(last or first)
    if dash:
        return int(ipaddress.ip_address(first)), int(ipaddress.ip_address(last))
    subnet = ipaddress.ip_network(part)
    return int(subnet.network_address), int(subnet.broadcast_address)


def _text(one: str, interval: Interval, family: str = "") -> str:
    first, last = interval
    if one == "o":
        return str(first)
    if one == "p":
        return _NAMES.get(first, str(first))
    if one == "n":
        return str(first) if first == last else f"{first}-{last}"
    return _address_text(first, last, family)


def _address_text(first: int, last: int, family: str) -> str:
    kind = ipaddress.IPv6Address if family == "6" else ipaddress.IPv4Address
    if first == last:
        return str(kind(first))
    subnets = list(ipaddress.summarize_address_range(kind(first), kind(last)))
    return str(subnets[0]) if len(subnets) == 1 else f"{kind(first)}-{kind(last)}"


def _meet(one: Box, other: Box) -> bool:
    return all(a[0] <= b[1] and b[0] <= a[1] for a, b in zip(one, other))


def _minus(box: Box, other: Box) -> Iterator[Box]:
    """The parts of a box outside another one that it meets. An interval of one value lies within the other."""
    for i, ((first, last), (low, high)) in enumerate(zip(box, other)):
        if first < low:
            yield (*box[:i], (first, low - 1), *box[i + 1 :])
        if last > high:
            yield (*box[:i], (high + 1, last), *box[i + 1 :])
        box = (*box[:i], (max(first, low), min(last, high)), *box[i + 1 :])


def _size(box: Box) -> int:
    size = 1
    for first, last in box:
        size *= 1 if first == last else last - first + 1
    return size


def without_overlaps(boxes: Iterable[Box]) -> list[Box]:
    """Boxes that cover the same values, of which no two overlap: a set of nftables refuses overlaps."""
    exact = {box for box in boxes if _size(box) == 1}
    others = sorted(set(boxes) - exact, key=lambda box: (-_size(box), box))
    disjoint: list[Box] = []
    for box in others:
        parts = [box]
        for earlier in [one for one in disjoint if _meet(one, box)]:
            parts = [rest for part in parts for rest in (_minus(part, earlier) if _meet(part, earlier) else (part,))]
        disjoint += parts
    return [*disjoint, *sorted(box for box in exact if not any(_meet(box, other) for other in disjoint))]


def elements_of_policy(policy: Policy, bridge: str) -> dict[str, Members]:
    """The elements of one network; its policy names bridges in place of networks."""
    elements: dict[str, Members] = {}
    if policy.limits_forwarding:
        elements["vn_policed"] = {(bridge,): f"jump {_chain(bridge, policy.default, policy.log)}"}
    if policy.opened:
        elements["vn_opened"] = {(bridge, other): "" for other in policy.opened}
    if policy.limits_host:
        elements["vn_policed_host"] = {(bridge,): f"jump {_chain(bridge, HOST, policy.log)}"}
        boxes = [(bounds_of("p", protocol), bounds_of("n", ports)) for protocol, ports in _host_ports(policy)]
        _add(elements, PolicySet(HOST, "", "pn", bridge), boxes)
    for kind, entries in ((ALLOW, policy.allow), (DENY, policy.deny)):
        by_fields: dict[PolicySet, list[Box]] = {}
        for entry in entries:
            for family, fields, box in _boxes(entry):
                by_fields.setdefault(PolicySet(kind, family, fields, bridge), []).append(box)
        for one, collected in by_fields.items():
            _add(elements, one, collected)
    return elements


def _add(elements: dict[str, Members], one: PolicySet, boxes: Sequence[Box]) -> None:
    disjoint = without_overlaps(boxes)
    members: Members = {
        (one.bridge, *(_text(name, interval, one.family) for name, interval in zip(one.fields, box))): ""
        for box in disjoint
    }
    if members:
        elements[one._replace(intervals=any(_size(box) > 1 for box in disjoint)).name] = members


def _boxes(entry: Entry) -> Iterator[tuple[str, str, Box]]:
    """Family, fields and intervals of an entry; ICMP has a number in each family."""
    parts = {"s": entry.source, "o": entry.network, "d": entry.destination, "p": entry.protocol, "n": entry.ports}
    fields = "".join(one for one, part in parts.items() if part)
    address = entry.source or entry.destination
    family = "" if not address else "6" if ":" in address else "4"
    of_icmp = {"4": ("icmp",), "6": ("icmpv6",), "": ("icmp", "icmpv6")}[family]
    for protocol in of_icmp if entry.protocol == "icmp" else (entry.protocol,):
        parts["p"] = protocol
        yield family, fields, tuple(bounds_of(one, parts[one]) for one in fields)


def _host_ports(policy: Policy) -> Iterator[tuple[str, str]]:
    for service in policy.host_services:
        yield from (*ports_of(service), *_REDIRECTED.get(service, ()))


def _chain(bridge: str, word: str, log: bool) -> str:
    """The name of a chain of a network. It holds default and log, so that they can be read back."""
    return f"vn_policy_{word}{'_log' if log else ''}_{bridge}"


def is_policy_chain(name: str) -> bool:
    """Whether a chain of our table is one of a policy: its rules refuse what the policy refuses, and no more."""
    return name.startswith(("vn_policy_", "vn_refused_"))


def settings_of(elements: Elements, bridge: str) -> Policy:
    """Default, log, and whether the host's ports are limited, from the names of the chains of a network."""
    forwarding, host = (elements.get(name, {}).get((bridge,), "") for name in ("vn_policed", "vn_policed_host"))
    policy = replace(NO_POLICY, to_host=() if host else (ALL,))
    for default in (ALLOW, DENY):
        for log in (False, True):
            if forwarding == f"jump {_chain(bridge, default, log)}":
                policy = replace(policy, default=default, log=log)
    return replace(policy, log=policy.log or host == f"jump {_chain(bridge, HOST, True)}")


def policy_of(elements: Elements, bridge: str) -> Policy:
    """The policy whose elements a bridge has, with bridges in place of networks and without overlaps."""
    policy = settings_of(elements, bridge)
    entries: dict[str, set[Entry]] = {ALLOW: set(), DENY: set()}
    host: tuple[str, ...] = ()
    for name, members in elements.items():
        one = policy_set(name)
        if one is None or one.bridge != bridge:
            continue
        keys = [key for key in members if key[0] == bridge]
        if one.kind == HOST:
            host = _host_services(keys)
        else:
            entries[one.kind] |= {entry_of(one, key) for key in keys}
    return replace(
        policy,
        to_host=host if policy.limits_host else (ALL,),
        allow=tuple(sorted(entries[ALLOW], key=str)),
        deny=tuple(sorted(entries[DENY], key=str)),
    )


def entry_of(one: PolicySet, key: tuple[str, ...]) -> Entry:
    """The entry of an element."""
    parts = dict(zip(one.fields, key[1:]))
    protocol = parts.get("p", "")
    return Entry(
        source=parts.get("s", ""),
        network=parts.get("o", ""),
        destination=parts.get("d", ""),
        protocol="icmp" if protocol == "icmpv6" else protocol,
        ports=parts.get("n", ""),
    )


def _host_services(keys: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    ports = {f"{protocol} {ports}" for _bridge, protocol, ports in keys}
    words = []
    for word in WORDS:
        of_word = {f"{protocol} {port}" for protocol, port in (*ports_of(word), *_REDIRECTED.get(word, ()))}
        if of_word <= ports:
            words.append(word)
            ports -= of_word
    return (*words, *sorted(ports))


def chain_names(elements: Elements, bridge: str) -> Sequence[str | None]:
    """The chains for forwarded packets of a network and for those to the host; None for one that it does not have.

    An element that was altered by hand may name any chain: that is none of ours.
    """
    policy = settings_of(elements, bridge)
    wanted = (("vn_policed", policy.default), ("vn_policed_host", HOST))
    return [
        _chain(bridge, word, policy.log)
        if elements.get(name, {}).get((bridge,)) == f"jump {_chain(bridge, word, policy.log)}"
        else None
        for name, word in wanted
    ]
