# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The syntax of resolv.conf(5)."""

from __future__ import annotations

import contextlib
import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True)
class ResolvConf:
    """The content of a file in the syntax of resolv.conf(5); ``rest``: its other lines."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()


def parse(text: str) -> ResolvConf:
    """Parse a text in the syntax of resolv.conf(5); the last line of ``domain`` and ``search`` counts."""
    servers: list[str] = []
    search: list[str] = []
    options: list[str] = []
    rest: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith(("#", ";")):
            continue
        if words[0] == "nameserver" and len(words) > 1:
            servers.append(plain_address(words[1]))
        elif words[0] in ("domain", "search"):
            search = words[1:]
        elif words[0] == "options":
            options += words[1:]
        else:
            rest.append(" ".join(words))
    return ResolvConf(tuple(servers), tuple(search), tuple(options), tuple(rest))


def plain_address(text: str) -> str:
    """An address in its normal form; Debian's resolvconf rewrites addresses."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(text))
    return text
