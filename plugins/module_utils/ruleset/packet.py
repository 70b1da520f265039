# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A packet, and the value that each kind of nft expression has for it (libnftables-json(5)). Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Union

from ..core.options import Address
from ..core.protocols import PROTOCOLS

# Whether something matches; None: unknown.
Tristate = Union[bool, None]


class _NoValue(enum.Enum):
    UNKNOWN = "unknown"
    ABSENT = "absent"


# The value of an expression that cannot be determined.
UNKNOWN = _NoValue.UNKNOWN
# The value of an expression that the packet does not have: the kernel stops evaluating the rule there (NFT_BREAK).
ABSENT = _NoValue.ABSENT

_PROTOCOLS = {
    **{str(number): name for number, name in PROTOCOLS.items()},
    **{"icmpv6": "ipv6-icmp", "1": "icmp", "58": "ipv6-icmp"},
}
_ICMP = {
    "8": "echo-request", "0": "echo-reply", "128": "echo-request", "129": "echo-reply", "133": "nd-router-solicit",
    "134": "nd-router-advert", "135": "nd-neighbor-solicit", "136": "nd-neighbor-advert",
}  # fmt: skip
_ETHER = {"0x0800": "ip", "0x86dd": "ip6", "0x0806": "arp", "ipv4": "ip", "ipv6": "ip6"}
_WORDS = {**_PROTOCOLS, **_ICMP, **_ETHER}
# Other spellings of protocols and of types, and the spelling that packets have. nft lists numbers as numbers.
SPELLINGS: Mapping[Any, str] = {**_WORDS, **{int(word): name for word, name in _WORDS.items() if word.isdecimal()}}


@dataclass(frozen=True)
class Packet:
    """One packet at one hook.

    ``iif``, ``oif``: "" where the hook has no such interface. ``ct_state``: the state of conntrack, "" for unknown.
    ``daddr_type``: as ``fib daddr type``; ``elsewhere``: a local one is that of another interface. ``pkttype``: as
    ``meta pkttype``. ``is_reply``, ``dnat``: of the connection. ``bridge``: the bridge that the frame passes, or "".
    ``guests``: the subnet of the guest whose address the packet has there, "" where NAT hides it. None in any field:
    unknown.
    """

    source: Address | None
    destination: Address | None
    protocol: str
    iif: str | None = ""
    oif: str | None = ""
    sport: int = 0
    dport: int = 0
    icmp_type: str = ""
    ct_state: str = "new"
    is_reply: bool = False
    dnat: bool = False
    daddr_type: str = "unicast"
    elsewhere: bool = False
    pkttype: str = "host"
    ipv6: bool = False
    bridge: str = ""
    guests: str = ""
    mark: int | None = 0
    ct_mark: int | None = 0

    @property
    def protocol_name(self) -> str:
        """The protocol as nft lists it in ``meta l4proto``."""
        return _PROTOCOLS.get(self.protocol, self.protocol)

    def __str__(self) -> str:
        ports = f" {self.sport}->{self.dport}" if self.dport else f" {self.icmp_type}"
        addresses = f"{self.source}->{self.destination}"
        return f"{self.protocol} {addresses}{ports} {self.iif or '-'}->{self.oif or '-'} {self.ct_state}"


def _meta(data: Mapping[str, Any], packet: Packet) -> Any:
    values: dict[str, Any] = {
        "iif": packet.iif,
        "iifname": packet.iif,
        "oif": packet.oif,
        "oifname": packet.oif,
        "nfproto": "ipv6" if packet.ipv6 else "ipv4",
        "protocol": "ip6" if packet.ipv6 else "ip",
        "l4proto": packet.protocol_name,
        "mark": packet.mark,
        "pkttype": packet.pkttype,
        "ibrname": packet.bridge or None,
        "obrname": packet.bridge or None,
    }
    value = values.get(data.get("key", ""))
    return UNKNOWN if value is None else value


def _payload(data: Mapping[str, Any], packet: Packet) -> Any:
    protocol, field = data.get("protocol"), str(data.get("field"))
    if protocol in ("ip", "ip6"):
        return ABSENT if (protocol == "ip6") != packet.ipv6 else _ip_header(field, packet)
    if protocol == "ether" and field == "type":
        return "ip6" if packet.ipv6 else "ip"
    if protocol in ("arp", "vlan"):
        return ABSENT
    if protocol in ("tcp", "udp", "icmp", "icmpv6", "sctp", "dccp", "udplite", "esp", "ah", "comp", "igmp"):
        if protocol != packet.protocol:
            return ABSENT
    elif protocol != "th" or packet.protocol not in PROTOCOLS.values():
        return UNKNOWN
    if field == "flags" and packet.protocol == "tcp":
        return frozenset({"syn", "ack"} if packet.is_reply else {"syn"})
    value = {"sport": packet.sport, "dport": packet.dport, "type": packet.icmp_type}.get(field)
    return UNKNOWN if value is None or value in ("", 0) else value


def _ip_header(field: str, packet: Packet) -> Any:
    protocol = packet.protocol_name
    values = {"saddr": packet.source, "daddr": packet.destination, "protocol": protocol, "nexthdr": protocol}
    value = values.get(field)
    return UNKNOWN if value is None else value


def _ct(data: Mapping[str, Any], packet: Packet) -> Any:
    key = data.get("key")
    if not packet.ct_state:
        return UNKNOWN
    if key == "state":
        return frozenset({packet.ct_state})
    if packet.ct_state in ("untracked", "invalid"):
        return ABSENT
    if key == "mark":
        return UNKNOWN if packet.ct_mark is None else packet.ct_mark
    if key == "direction":
        return "reply" if packet.is_reply else "original"
    if key == "status":
        return Status(packet.dnat)
    return UNKNOWN


@dataclass(frozen=True)
class Status:
    """The value of ``ct status``: whether dnat is set is known, of all other flags it is not."""

    dnat: bool

    def has_any(self, flags: Iterable[str]) -> Tristate:
        """Whether one of these flags is set."""
        others = set(flags) - {"dnat"}
        if self.dnat and len(others) < len(set(flags)):
            return True
        return None if others else False


def _fib(data: Mapping[str, Any], packet: Packet) -> Any:
    flags = data.get("flags", ())
    if data.get("result") == "type":
        if "daddr" in flags:
            # inet_dev_addr_type() of the kernel.
            return "unicast" if packet.elsewhere and "iif" in flags else packet.daddr_type
        return "local" if not packet.iif and packet.iif is not None else "unicast"
    if data.get("result") in ("oif", "oifname", "check") and "saddr" in flags:
        # A reverse path check: the route to the source exists, and leads to the interface of arrival.
        return True
    return UNKNOWN


def _exthdr(data: Mapping[str, Any], packet: Packet) -> Any:
    # Packets have no extension headers: the test for the existence of one is false.
    return False if "field" not in data else ABSENT


# The function that reads the value from a packet, by kind of expression.
FIELDS = {"meta": _meta, "payload": _payload, "ct": _ct, "fib": _fib, "exthdr": _exthdr}
