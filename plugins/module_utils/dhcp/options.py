# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""DHCP options of one subnet, by name or number: read from the user, and as dnsmasq reads them. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence

from ..core.options import Options, repr_short, without_zone
from .dnsmasq_syntax import quoted

_NAME = re.compile(r"[a-z][a-z0-9+-]{0,62}")

# A value that reads the same with and without quotes; only without them dnsmasq sees numbers and addresses in it.
_PLAIN = re.compile(r"[A-Za-z0-9_./:\[\]-]+")

# The code of an option has one byte with IPv4 (RFC 2132; 255 is the end), two with IPv6 (RFC 8415).
_LARGEST = {4: 254, 6: 65535}
_MOST_DIGITS = 9

# Names and numbers of the options that we ourselves speak of.
ROUTER = ("router", "3")
MTU = ("mtu", "26")
BOOT_FILE = ("bootfile-name", "67")
DNS_SERVER = {4: ("dns-server", "6"), 6: ("dns-server", "23")}
DOMAIN_SEARCH6 = ("domain-search", "24")
_ROUTES = ("classless-static-route", "121")
_DEFAULT_ROUTE = "0.0.0.0/0"
# The URL of a proxy's configuration (WPAD). A newline says that there is none, so that Windows does not look for one
# (dnsmasq.conf.example). An empty value is sent as an option of no bytes (seen with 2.90).
WPAD, NO_PROXY = "252", "\n"


def read_dhcp_options(options: Options, name: str, version: int = 4) -> dict[str, str]:
    """DHCP options by name or number (RFC 2132, RFC 8415) with their values; raises InvalidOption."""
    values: dict[str, str] = {}
    for key, value in options.mapping(name).items():
        joined = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else value
        item = Options({str(key): joined}, options.at(name), options.owner)
        # dnsmasq ignores the case of a name (src/dhcp-common.c, lookup_dhcp_opt()).
        word = str(key).lower()
        if word.isdecimal():
            # Python itself refuses to read numbers of thousands of digits.
            if len(word) > _MOST_DIGITS or not 1 <= int(word) <= _LARGEST[version]:
                item.error(str(key), f"{repr_short(word)} is no number of a DHCP option; use 1 to {_LARGEST[version]}")
            word = str(int(word))
        elif not _NAME.fullmatch(word):
            listed = "dhcp" if version == 4 else "dhcp6"
            item.error(str(key), f"is neither a number nor a name that 'dnsmasq --help {listed}' lists")
        text = NO_PROXY if word == WPAD and value == NO_PROXY else item.text(str(key), longest=600)
        if text != NO_PROXY and text and any(not part.strip() for part in text.split(",")):
            item.error(str(key), f"{text!r} has an empty part between its commas")
        if word in values:
            item.error(str(key), "is given twice; keep one of them")
        values[word] = text
    for same in (ROUTER, MTU, DNS_SERVER[4]) if version == 4 else (DNS_SERVER[6], DOMAIN_SEARCH6):
        if same[0] in values and same[1] in values:
            options.error(f"{name}.{same[1]}", f"is the same option as {same[0]}; keep one of them")
    return values


def option_line(tag: str, version: int, key: str, values: Sequence[str]) -> str:
    """One option for the guests of one interface.

    Without values, those that dnsmasq sends of itself, such as the router, are not sent, and any other is sent empty
    (src/rfc2131.c, do_options()).
    """
    prefix = "option6" if version == 6 else "option"
    # With IPv6 the number too needs the prefix; with IPv4 the bare number is what every version reads.
    name = key if key.isdecimal() and version == 4 else f"{prefix}:{key}"
    return ",".join([f"dhcp-option={tag},{name}", *(_word(value, version) for value in values)])


def option_lines(tag: str, version: int, options: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The user's options, each with its path below the subnet."""
    for key, value in options.items():
        parts = [part.strip(" ") for part in value.split(",")] if value else []
        yield f"options.{key}", option_line(tag, version, key, parts)


def with_default_route(options: Mapping[str, str], router: str) -> dict[str, str]:
    """The options of IPv4 with the default route among the static routes, since a client that gets these ignores the
    option for the router (RFC 3442). ``router``: unless the options have one; '' for none.
    """
    given = next((options[name] for name in ROUTER if name in options), router)
    first = given.partition(",")[0].strip()
    routes = {name: options[name] for name in _ROUTES if options.get(name)}
    added = {
        name: f"{value},{_DEFAULT_ROUTE},{first}"
        for name, value in routes.items()
        if first and _DEFAULT_ROUTE not in value.replace(" ", "").split(",")
    }
    return {**options, **added}


def _word(value: str, version: int) -> str:
    if value == NO_PROXY:
        return r'"\n"'
    if version == 6 and not value.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(without_zone(value))}]"
        except ValueError:
            pass
    return value if _PLAIN.fullmatch(value) else quoted(value)
