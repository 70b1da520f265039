# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values of DHCP options that dnsmasq accepts, and sends as something else. Pure.

Of a text in place of a number it sends the bytes of the text, of a number that is too large the last bytes, of an
address with a prefix length the descriptor of a route (src/option.c, parse_dhcp_opt(); seen with 2.90).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence

from ..core.options import Options, repr_short
from .ranges import INFINITY, seconds_of

# From src/dhcp-common.c of dnsmasq 2.90, opttab and opttab6. The options that are a number of so many bytes:
_SIZES = {
    1: "19 ip-forward-enable 20 non-local-source-routing 23 default-ttl 27 all-subnets-local 31 router-discovery "
    "34 trailer-encapsulation 36 ethernet-encap 37 tcp-ttl 46 netbios-nodetype",
    2: "13 boot-file-size 22 max-datagram-reassembly 26 mtu 93 client-arch",
    4: "2 time-offset 35 arp-timeout 38 tcp-keepalive 108 ipv6-only",
}
_NUMBERS = {name: size for size, names in _SIZES.items() for name in names.split()}
# Those that are a time, addresses or a text (OT_TIME, OT_ADDR_LIST, OT_NAME and OT_CSTRING), by the version of IP.
_TIMES = {4: frozenset(("58", "t1", "59", "t2")), 6: frozenset(("32", "information-refresh-time"))}
_ADDRESSES = frozenset(
    "1 netmask 3 router 6 dns-server 7 log-server 9 lpr-server 16 swap-server 21 policy-filter 28 "
    "32 router-solicitation 33 static-route 41 nis-server 42 ntp-server 44 netbios-ns 45 netbios-dd 48 x-windows-fs "
    "49 x-windows-dm 65 nis+-server 68 mobile-ip-home 69 smtp-server 70 pop3-server 71 nntp-server 74 irc-server "
    "150 tftp-server-address".split()
)
_TEXTS = {
    4: frozenset(
        "12 15 domain-name 17 root-path 18 extension-path 40 nis-domain 64 nis+-domain 66 tftp-server "
        "67 bootfile-name 100 posix-timezone 101 tzdb-timezone".split()
    ),
    6: frozenset("15 16 41 posix-timezone 42 tzdb-timezone 59 bootfile-url 60 bootfile-param".split()),
}
# RFC 2132 section 3.4: seconds east of UTC, in two's complement.
_SIGNED = ("2", "time-offset")

# Those of IPv4 that dnsmasq makes itself and sends in no other way (src/rfc2131.c, do_options(): "prohibit some
# used-internally options"): overload, the largest message, and the guest's full name, which is an answer to the guest.
OWN_CODES = frozenset((52, 57, 81))
# dnsmasq sends it as it is written, beside the T1 and T2 of the real lease.
_LEASE_TIME = "51"

_NUMBER = re.compile(r"(-?[0-9]+)([bsi]?)")
_SIZE_OF_LETTER = {"b": 1, "s": 2, "i": 4}
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{1,2}(:[0-9A-Fa-f]{1,2})+")
# Instead of a shorter T1 or T2, a T1 that is not before T2, and a T2 that is not before the end of the lease, dnsmasq
# sends its own (src/rfc2131.c, do_options()).
_LEAST_RENEWAL = 3


def refuse_changed_values(options: Options, values: Mapping[str, str], version: int, longest_lease: int) -> None:
    """Raise InvalidOption for a value that guests would not get as it is written.

    An empty value is always possible. Of the netmask, broadcast address, router, name server, domain and host name
    (1, 28, 3, 6, 15, 12) it means that the option is not sent; of any other, that it is sent with the length 0.

    ``longest_lease``: the longest one that a guest of IPv4 can have, in seconds.
    """
    for name, value in values.items():
        parts = [part.strip(" ") for part in value.split(",")]
        if version == 4:
            _refuse_own(options, name)
        if not value or name in _TEXTS[version]:
            continue
        if name in _TIMES[version]:
            limits = _renewal_limits(values, longest_lease) if version == 4 else {}
            _refuse_time(options, name, value.strip(" "), limits.get(name))
        elif version == 4 and name in _ADDRESSES:
            _refuse_no_addresses(options, name, parts)
        elif version == 4 and name in _NUMBERS:
            _refuse_no_number(options, name, value.strip(" "), _NUMBERS[name])
        else:
            _refuse_cut_number(options, name, value.strip(" "))


def _refuse_own(options: Options, name: str) -> None:
    if name == _LEASE_TIME:
        options.error(name, "would tell guests another time than that of their leases; use lease_time")
    if name.isdecimal() and int(name) in OWN_CODES:
        options.error(name, "is an option that dnsmasq makes itself; leave it out")


def _refuse_no_number(options: Options, name: str, value: str, size: int) -> None:
    low, high = -(1 << 31) if name in _SIGNED else 0, (1 << 8 * size) - 1
    number = _NUMBER.fullmatch(value)
    fits = number is not None and _SIZE_OF_LETTER.get(number[2], size) == size and low <= int(number[1]) <= high
    if not fits and not (_HEXADECIMAL.fullmatch(value) and value.count(":") + 1 == size):
        options.error(name, f"{repr_short(value)} is not a number of {8 * size} bits; use {low} to {high}")


def _refuse_cut_number(options: Options, name: str, value: str) -> None:
    """A number of an option that dnsmasq does not know has one, two or four bytes."""
    number = _NUMBER.fullmatch(value)
    size = 4 if number is None else _SIZE_OF_LETTER.get(number[2], 4)
    if number is not None and not -(1 << 8 * size - 1) <= int(number[1]) < 1 << 8 * size:
        options.error(
            name, f"{repr_short(value)} does not fit into {8 * size} bits; write its bytes, such as 01:23:45:67:89"
        )


def _refuse_no_addresses(options: Options, name: str, values: Sequence[str]) -> None:
    for value in values:
        try:
            ipaddress.IPv4Address(value)
        except ValueError:
            options.error(name, f"{repr_short(value)} is no IPv4 address; write each as 192.168.30.1, without a length")


def _renewal_limits(values: Mapping[str, str], longest_lease: int) -> dict[str, int]:
    """Before what T1 and T2 have to be. T2 is after seven eighths of the lease by default (RFC 2131 section 4.4.5)."""
    given = seconds_of((values.get("59") or values.get("t2") or "").strip(" ").lower())
    rebinding = longest_lease * 7 // 8 if given is None else given
    return {"58": rebinding, "t1": rebinding, "59": longest_lease, "t2": longest_lease}


def _refuse_time(options: Options, name: str, value: str, limit: int | None) -> None:
    seconds = seconds_of(value.lower())
    if seconds is None or seconds > INFINITY:
        options.error(name, f"{repr_short(value)} is not a time; write 45m, 12h, 7d, or up to {INFINITY} seconds")
    if limit == 0:
        options.error(name, f"{repr_short(value)} is not sent with an infinite lease; leave it out")
    if limit is not None and not _LEAST_RENEWAL <= seconds < limit:
        options.error(
            name,
            f"{repr_short(value)} has no effect, since T1 must be before T2, and T2 before the end of the lease; use "
            f"{_LEAST_RENEWAL} to {limit - 1} seconds",
        )
