# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A packet as rules see it: what each expression of nft reads from it (libnftables-json(5)). Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

# Whether something matches; None where it cannot be told.
Match = Union[bool, None]


class _Word:
    def __init__(self, word: str) -> None:
        self.word = word

    def __repr__(self) -> str:
        return self.word


# A value that cannot be told, and one that the packet has not: a rule that asks for it ends there (NFT_BREAK).
UNKNOWN = _Word("unknown")
NOTHING = _Word("nothing")

PROTOCOLS = {"icmpv6": "ipv6-icmp", "1": "icmp", "6": "tcp", "17": "udp", "58": "ipv6-icmp"}
ICMP = {
    "8": "echo-request", "0": "echo-reply", "128": "echo-request", "129": "echo-reply", "133": "nd-router-solicit",
    "134": "nd-router-advert", "135": "nd-neighbor-solicit", "136": "nd-neighbor-advert",
}  # fmt: skip
ETHER = {"0x0800": "ip", "0x86dd": "ip6", "0x0806": "arp", "ipv4": "ip", "ipv6": "ip6"}


@dataclass(frozen=True)
class Packet:
    """One packet at one hook.

    Interfaces: "" where there is none at this hook, None where it is not known, which holds for addresses too.
    ``state`` is conntrack's word, "" where it is not known; ``mark`` and ``ct_mark`` None: not known.
    """

    source: Address | None
    target: Address | None
    protocol: str
    iif: str | None = ""
    oif: str | None = ""
    sport: int = 0
    dport: int = 0
    kind: str = ""
    state: str = "new"
    reply: bool = False
    dnat: bool = False
    to: str = "unicast"
    frame: str = "host"
    ipv6: bool = False
    bridge: str = ""
    mark: int | None = 0
    ct_mark: int | None = 0

    def __str__(self) -> str:
        ports = f" {self.sport}->{self.dport}" if self.dport else f" {self.kind}"
        return f"{self.protocol} {self.source}->{self.target}{ports} {self.iif or '-'}->{self.oif or '-'} {self.state}"


def _meta(data: Mapping[str, Any], packet: Packet) -> Any:
    known: dict[str, Any] = {
        "iif": packet.iif,
        "iifname": packet.iif,
        "oif": packet.oif,
        "oifname": packet.oif,
        "nfproto": "ipv6" if packet.ipv6 else "ipv4",
        "protocol": "ip6" if packet.ipv6 else "ip",
        "l4proto": PROTOCOLS.get(packet.protocol, packet.protocol),
        "mark": packet.mark,
        "pkttype": packet.frame,
        "ibrname": packet.bridge or None,
        "obrname": packet.bridge or None,
    }
    found = known.get(data.get("key", ""))
    return UNKNOWN if found is None else found


def _payload(data: Mapping[str, Any], packet: Packet) -> Any:
    protocol, name = data.get("protocol"), data.get("field")
    if protocol in ("ip", "ip6"):
        if (protocol == "ip6") != packet.ipv6:
            return NOTHING
        own = PROTOCOLS.get(packet.protocol, packet.protocol)
        found: Any = {"saddr": packet.source, "daddr": packet.target, "protocol": own, "nexthdr": own}.get(str(name))
        return UNKNOWN if found is None else found
    if protocol == "ether" and name == "type":
        return "ip6" if packet.ipv6 else "ip"
    if protocol in ("arp", "vlan"):
        return NOTHING
    if protocol in ("tcp", "udp", "icmp", "icmpv6", "sctp", "dccp", "udplite", "esp", "ah", "comp", "igmp"):
        if protocol != packet.protocol:
            return NOTHING
    elif protocol != "th" or packet.protocol not in ("tcp", "udp"):
        return UNKNOWN
    if name == "flags" and packet.protocol == "tcp":
        return frozenset({"syn", "ack"} if packet.reply else {"syn"})
    found = {"sport": packet.sport, "dport": packet.dport, "type": packet.kind}.get(str(name))
    return UNKNOWN if found is None or found in ("", 0) else found


def _ct(data: Mapping[str, Any], packet: Packet) -> Any:
    key = data.get("key")
    if not packet.state:
        return UNKNOWN
    if key == "state":
        return frozenset({packet.state})
    if packet.state in ("untracked", "invalid"):
        return NOTHING
    if key == "mark":
        return UNKNOWN if packet.ct_mark is None else packet.ct_mark
    if key == "direction":
        return "reply" if packet.reply else "original"
    if key == "status":
        # Of the others it is not known which are set.
        return Status(packet.dnat)
    return UNKNOWN


class Status:
    def __init__(self, dnat: bool) -> None:
        self.dnat = dnat

    def has(self, names: Iterable[str]) -> Match:
        others = set(names) - {"dnat"}
        if self.dnat and len(others) < len(set(names)):
            return True
        return None if others else False


def _fib(data: Mapping[str, Any], packet: Packet) -> Any:
    flags = data.get("flags", ())
    if data.get("result") == "type":
        if "daddr" in flags:
            return packet.to
        return "local" if not packet.iif and packet.iif is not None else "unicast"
    if data.get("result") in ("oif", "oifname", "check") and "saddr" in flags:
        # The way back to the source exists, and leads where the packet came from.
        return True
    return UNKNOWN


def _extension(data: Mapping[str, Any], packet: Packet) -> Any:
    return False if "field" not in data else NOTHING


FIELDS = {"meta": _meta, "payload": _payload, "ct": _ct, "fib": _fib, "exthdr": _extension}
