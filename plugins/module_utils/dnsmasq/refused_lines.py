# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The line, and the option of a network, that a message of dnsmasq is about. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from ..dhcp.dnsmasq_syntax import Setting, read_lines
from .system_config import Line

_PREFIX = "dnsmasq: "
_NUMBER = re.compile(r" at line (\d+) of stdin")
_RAW = "dnsmasq.options"
# What dnsmasq 2.90 says when it has read all lines, without a number (src/option.c, read_opts(); src/dnsmasq.c,
# main()), and the options that it is about. A path is found without this.
_ABOUT = {
    "CNAME loop": ("cname",),
    "unknown user or group": ("user", "group", "dhcp-scriptuser"),
    "root trust anchor": ("dnssec",),
    "auth zone": ("auth-zone",),
    "auth-soa": ("auth-zone",),
    "max_port": ("max-port",),
    "no-poll mode": ("no-poll",),
    "to read domain": ("domain",),
    "query-port": ("query-port",),
    "dhcp-fqdn": ("dhcp-fqdn",),
}
# The options of a network that write lines of these names, besides lines of the user's.
_OPTIONS: Mapping[str, str] = {
    "cname": f"dns.cname or {_RAW}",
    "host-record": f"dns.hosts or {_RAW}",
    "dhcp-host": f"ipv4.dhcp.hosts, ipv6.dhcp.hosts or {_RAW}",
}


def with_place(message: str, lines: Sequence[Line], network: str = "") -> str:
    """A message of dnsmasq with the line that it is about, the network of that line, and the options to put right.

    ``network``: that of a message which is about no line that is known.
    """
    message = message.removeprefix(_PREFIX)
    match = _NUMBER.search(message)
    if match and 0 < int(match[1]) <= len(lines):
        line = lines[int(match[1]) - 1]
        return _of_network(line, f"{message[: match.start()]} in line {line.number} of {line.file}: {_shown(line)}")
    found = next(_lines_about(message, lines), None)
    if found is not None:
        return _of_network(found, f"{message} (line {found.number} of {found.file}: {_shown(found)})")
    return f"network {network!r}: {message}; put right {_RAW}" if network else message


def _shown(line: Line) -> str:
    return repr(line.text.strip())


def _of_network(line: Line, message: str) -> str:
    return f"network {line.network!r}: {message}; put right {_option_of(line)}" if line.network else message


def _option_of(line: Line) -> str:
    """The options of a network that may have written a line which dnsmasq refuses: all others are checked before."""
    name = next((setting.name for setting in read_lines(line.text, line.file)), "")
    if name.startswith("dhcp-option"):
        return f"{'ipv6' if 'option6:' in line.text else 'ipv4'}.dhcp.options or {_RAW}"
    return _OPTIONS.get(name, _RAW)


def _lines_about(message: str, lines: Sequence[Line]) -> Iterator[Line]:
    """Lines with a path of the message, then those of the options that it is about, those with a word of it first."""
    settings = [(line, setting) for line in lines for setting in read_lines(line.text, line.file)]
    for line, setting in settings:
        if any(text.startswith("/") and _has_word(message, text) for text in _texts(setting)):
            yield line
    names = [name for words, about in _ABOUT.items() if words in message for name in about]
    about = [(line, setting) for line, setting in settings if setting.name in names]
    yield from (line for line, setting in about if any(_has_word(message, text) for text in _texts(setting)))
    yield from (line for line, _setting in about)


def _texts(setting: Setting) -> Iterator[str]:
    yield from filter(None, (*setting.fields, setting.value))


def _has_word(message: str, word: str) -> bool:
    return re.search(rf"(?<![\w./-]){re.escape(word)}(?![\w/-])", message, re.IGNORECASE) is not None
