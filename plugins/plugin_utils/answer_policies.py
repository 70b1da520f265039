# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policy in the definition of a network, as a host answers it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .answer_values import Values, plain, shown

# Bounds, as those of answers.py.
MOST_ENTRIES = 65_536
MOST_SERVICES = 1024

_PORTS = re.compile(r"[0-9]{1,5}(?:-[0-9]{1,5})?")


@dataclass(frozen=True)
class Entry:
    """One entry; empty fields stand for all. ``place``: its option, as V(policy.allow[0])."""

    place: str
    source: str = ""
    network: str = ""
    destination: str = ""
    protocol: str = ""
    ports: str = ""

    def __str__(self) -> str:
        to = " ".join(filter(None, (self.network, self.destination))) or "anywhere"
        words = " ".join(filter(None, (self.source, "\u2192", to, self.protocol, self.ports)))
        return f"{self.place}: {words}"

    @property
    def is_of_all(self) -> bool:
        """Whether it is about all flows into a network, or all at all."""
        return not (self.source or self.destination or self.protocol or self.ports)


@dataclass(frozen=True)
class Policy:
    """``to_host``: the services of the host that guests reach, None for all."""

    default: str = "allow"
    to_host: tuple[str, ...] | None = None
    allow: tuple[Entry, ...] = ()
    deny: tuple[Entry, ...] = ()


def read_policy(one: Values) -> Policy:
    """The option ``policy``, the default where it is not given; raises BadAnswer."""
    return Policy(
        default=one.choice("default", ("allow", "deny"), "allow"),
        to_host=_services(one),
        allow=tuple(_entries(one, "allow")),
        deny=tuple(_entries(one, "deny")),
    )


def _entries(one: Values, name: str) -> Iterator[Entry]:
    for i, item in enumerate(one.each(name, most=MOST_ENTRIES)):
        yield Entry(
            f"policy.{name}[{i}]",
            source=item.text("from", ""),
            network=item.text("network", ""),
            destination=item.text("to", ""),
            protocol=item.text("protocol", "", longest=20),
            ports=_ports(item),
        )


def _ports(item: Values) -> str:
    value = item.mapping().get("port")
    if value is None:
        return ""
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) and _is_short(value) else ""
    if not _PORTS.fullmatch(text):
        item.refuse("port", f"{shown(value)} is neither a port nor a range of ports")
    return text


def _is_short(value: int | str) -> bool:
    return 0 <= value < 65536 if isinstance(value, int) else len(value) < 12


def _services(one: Values) -> tuple[str, ...] | None:
    value = one.mapping().get("to_host")
    if value is None or value == "all":
        return None
    if isinstance(value, str):
        return (plain(value, 255),)
    if not isinstance(value, (list, tuple)) or len(value) > MOST_SERVICES:
        one.refuse("to_host", f"{shown(value)} is not a list of at most {MOST_SERVICES} services")
    services = []
    for item in value:
        if isinstance(item, Mapping):
            service = Values(one.host, item, one.at("to_host"))
            services.append(f"{service.text('protocol', 'tcp', longest=20)} {_ports(service)}".strip())
        elif isinstance(item, str):
            services.append(plain(item, 255))
        else:
            one.refuse("to_host", f"{shown(item)} is not a service")
    return None if services == ["all"] else tuple(services)
