# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Port forwards: ports of the host that lead to a guest."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from ..core import kinds
from ..core.errors import InvalidOption
from ..core.fields import Kind, option, read_all, required
from ..core.options import Address, Options, repr_short, without_zone
from .nat import PortRange, read_port_range

PROTOCOLS = ("tcp", "udp", "sctp")

# What dnsmasq serves guests on; a forward of them on every address of the host would take that from the guests.
_SERVED = {"tcp": (53,), "udp": (53, 67, 69, 547)}

_PORT = kinds.integer(1, 65535)
_ADDRESS: Kind[Address] = Kind(lambda options, name: options.address(name), write=str)
_PORT_RANGE: Kind[tuple[int, int]] = Kind(
    lambda options, name: read_port_range(options.group(name)), "dict", table=PortRange
)


@dataclass(frozen=True)
class ForwardOptions:
    """A port forward as the user writes it, with ``port`` or ``port_range``."""

    to: str = required(kinds.text())
    protocol: str = option(kinds.choice(*PROTOCOLS), "tcp")
    port: int | None = option(_PORT, None)
    port_range: tuple[int, int] | None = option(_PORT_RANGE, None)
    to_port: int | None = option(_PORT, None)
    address: Address | None = option(_ADDRESS, None)


@dataclass(frozen=True)
class Forward:
    """Ports ``first`` to ``last`` of the host lead to ``to``, an address or the name of a DHCP host.

    ``address``: of the host, empty for all but loopback. ``to_port`` is None for a range, whose ports stay as they are.
    """

    protocol: str
    first: int
    last: int
    to: str
    to_port: int | None
    address: str = ""
    path: str = field(default="", compare=False)

    @property
    def ipv6(self) -> bool:
        """Whether it is one of IPv6, once ``to`` is an address."""
        return ":" in self.to

    @property
    def ports(self) -> str:
        """The ports in words."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def __str__(self) -> str:
        at = f"[{self.address}]" if ":" in self.address else self.address or "*"
        to = f"[{self.to}]" if self.ipv6 else self.to
        return f"{self.protocol} {at}:{self.ports} -> {to}{'' if self.to_port is None else f':{self.to_port}'}"

    def as_options(self) -> dict[str, Any]:
        """The options of the forward."""
        ports: dict[str, Any] = (
            {"port_range": {"start": self.first, "end": self.last}}
            if self.to_port is None
            else {"port": self.first, "to_port": self.to_port}
        )
        return {"protocol": self.protocol, **ports, "address": self.address or None, "to": self.to}

    def at(self, hosts: Mapping[str, str]) -> Forward:
        """With the address of the guest that is named."""
        return replace(self, to=hosts.get(self.to, self.to))

    def includes_address(self, address: str) -> bool:
        """Whether it forwards packets to this address of the host; "" stands for all addresses."""
        return not address or not self.address or address == self.address

    def refuse_option(self, owner: str, problem: str) -> NoReturn:
        """Refuse its ports; raises InvalidOption."""
        raise InvalidOption(f"{self.path}.port" if self.path else "port_forwards", problem, owner)


PORT_FORWARDS: Kind[Sequence[Forward]] = replace(kinds.groups_by_caller(Forward), table=ForwardOptions)


def read_forwards(options: Options, hosts: Mapping[str, str]) -> list[Forward]:
    """The option ``port_forwards``; ``hosts``: addresses of DHCP hosts by name. Raises InvalidOption."""
    return [_read(item, hosts) for item in options.each("port_forwards")]


def _read(options: Options, hosts: Mapping[str, str]) -> Forward:
    given = read_all(ForwardOptions, options)
    protocol, address = given.protocol, given.address
    first, last, to_port = _ports(options, given)
    to = _target(options, given.to, hosts)
    if address is not None and (address.is_loopback or address.is_multicast or address.is_unspecified):
        options.error(
            "address", f"{repr_short(str(address))} cannot be forwarded; give an address of a link, or leave it out"
        )
    target = ipaddress.ip_address(hosts.get(to, to))
    if address is not None and address.version != target.version:
        options.error("address", f"{address} is not of the same family as {target}, the address of the guest")
    served = [port for port in _SERVED.get(protocol, ()) if first <= port <= last]
    if address is None and served:
        options.error(
            "port",
            f"{protocol} port {served[0]} is where guests are served on every bridge; give the address of the host "
            "that is meant",
        )
    return Forward(protocol, first, last, to, to_port, str(address) if address else "", options.path)


def _ports(options: Options, given: ForwardOptions) -> tuple[int, int, int | None]:
    if (given.port is None) == (given.port_range is None):
        options.error("port", "give either port or port_range")
    if given.port is not None:
        return given.port, given.port, given.port if given.to_port is None else given.to_port
    if given.to_port is not None:
        options.error("to_port", "has no meaning with port_range, whose ports stay as they are; leave it out")
    first, last = given.port_range or (0, 0)
    return (first, last, first) if first == last else (first, last, None)


def _target(options: Options, text: str, hosts: Mapping[str, str]) -> str:
    if text in hosts:
        return text
    try:
        return str(ipaddress.ip_address(without_zone(text)))
    except ValueError:
        known = f" ({', '.join(sorted(hosts))})" if hosts else ""
        options.error("to", f"{repr_short(text)} is neither an address nor the name of a DHCP host with an ip{known}")


def check_targets(forwards: Iterable[Forward], subnets: Sequence[Any], host: Iterable[Any], owner: str) -> None:
    """Refuse a forward to an address outside the subnets, or to an address of the host; raises InvalidOption."""
    for forward in forwards:
        target = ipaddress.ip_address(forward.to)
        problem = ""
        if not any(target in subnet for subnet in subnets):
            problem = f"is outside the network ({', '.join(map(str, subnets)) or 'without a subnet'})"
        elif target in host:
            problem = "is the address of the host itself"
        if problem:
            raise InvalidOption(f"{forward.path}.to", f"{forward.to} {problem}; name a guest", owner)


def check_claims(claims: Iterable[tuple[Forward, str]]) -> None:
    """Refuse two forwards of one port; ``claims``: forwards with their owner. Raises InvalidOption that names both."""
    overlapping: dict[tuple[str, bool], list[tuple[Forward, str]]] = {}
    for forward, owner in sorted(claims, key=lambda claim: claim[0].first):
        kind = (forward.protocol, forward.ipv6)
        earlier = [claim for claim in overlapping.get(kind, []) if claim[0].last >= forward.first]
        for other, other_owner in earlier:
            if forward.includes_address(other.address):
                if forward.path or not other.path:
                    _refuse_claim(forward, owner, other, other_owner)
                _refuse_claim(other, other_owner, forward, owner)
        overlapping[kind] = [*earlier, (forward, owner)]


def _refuse_claim(refused: Forward, owner: str, other: Forward, holder: str) -> NoReturn:
    refused.refuse_option(
        owner, f"{refused} takes what {holder} already has: {other}; use another port, or different addresses"
    )
