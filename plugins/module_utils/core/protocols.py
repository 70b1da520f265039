# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Protocols by number (IANA, Assigned Internet Protocol Numbers).

A host need not know their names: /etc/protocols is in Debian's package netbase, and without it nft lists numbers.
"""

# Those with ports.
PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}

ICMP, ICMPV6 = 1, 58
# Those without ports.
WITHOUT_PORTS = {ICMP: "icmp", 47: "gre", 50: "esp", 51: "ah", ICMPV6: "icmpv6"}

_NUMBERS = {name: number for number, name in {**PROTOCOLS, **WITHOUT_PORTS}.items()}


def number_of(protocol: str) -> int:
    """The number of a protocol, of its name or of its number in decimal digits; raises ValueError for others."""
    if protocol == "ipv6-icmp":
        return ICMPV6
    return _NUMBERS[protocol] if protocol in _NUMBERS else int(protocol)
