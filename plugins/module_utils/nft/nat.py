# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option ``nat`` of a network: the addresses and ports that guests come out with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, collapse_addresses
from typing import Any, Union

from ..core import kinds
from ..core.fields import Kind, OptionTable, option, read
from ..core.options import REQUIRED, Interface, Options, Required, repr_short

# Services such as NFS take a low source port as a sign of a privileged user.
PORTS = (1024, 65535)

_BROADCAST = IPv4Address("255.255.255.255")

_CHAIN = re.compile(r"vn_nat(?:_([0-9.]+)_([0-9.]+))?_(\d{1,5})_(\d{1,5})")


def _read_source(options: Options) -> Source:
    start = options.ipv4_address("start", REQUIRED if options.given("end") else None)
    end = options.ipv4_address("end", start)
    options.reject_unknown()
    if start is None or end is None:
        return ()
    for name, address in (("start", start), ("end", end)):
        if address.is_multicast or address.is_loopback or address.is_unspecified or address == _BROADCAST:
            options.error(
                name, f"{repr_short(str(address))} cannot be the source of packets; give an address of the host"
            )
    if end < start:
        options.error("end", f"{end} is below the start {start}; swap them")
    return str(start), str(end)


def read_port_range(
    options: Options, default_start: int | Required = REQUIRED, default_end: int | Required = REQUIRED
) -> tuple[int, int]:
    """The first and the last port of a range; raises InvalidOption."""
    start = options.integer("start", default_start, least=1, most=65535)
    end = options.integer("end", default_end, least=1, most=65535)
    options.reject_unknown()
    if end < start:
        options.error("end", f"{end} is below the start {start}; swap them")
    return start, end


def collapsed(cidrs: Iterable[Interface]) -> tuple[str, ...]:
    """Subnets that lie in no other: a set of nftables with intervals refuses overlaps."""
    listed = list(cidrs)
    ipv4 = [cidr.network for cidr in listed if isinstance(cidr, IPv4Interface)]
    ipv6 = [cidr.network for cidr in listed if isinstance(cidr, IPv6Interface)]
    return tuple(sorted(map(str, [*collapse_addresses(ipv4), *collapse_addresses(ipv6)])))


def _read_exceptions(options: Options, name: str) -> Sequence[str]:
    cidrs = options.cidrs(name)
    for i, cidr in enumerate(cidrs):
        if cidr.ip != cidr.network.network_address:
            options.error(
                f"{name}[{i}]",
                f"{cidr} is an address within {cidr.network}; write {cidr.network}, or {cidr.ip}/{cidr.max_prefixlen}",
            )
    return collapsed(cidrs)


def _has_exceptions(nat: Any) -> bool:
    return bool(nat.exceptions)


Source = Union[tuple[str, str], tuple[()]]
_SOURCE: Kind[Source] = Kind(
    lambda options, name: _read_source(options.group(name)),
    "dict",
    write=lambda source: {"start": source[0], "end": source[1]} if source else None,
)
_PORTS: Kind[tuple[int, int]] = Kind(
    lambda options, name: read_port_range(options.group(name), *PORTS),
    "dict",
    write=lambda ports: {"start": ports[0], "end": ports[1]},
)
_EXCEPTIONS: Kind[Sequence[str]] = Kind(_read_exceptions, "list", elements="str", write=list)


@dataclass(frozen=True)
class Nat(OptionTable):
    """``source``: first and last address, empty for that of the interface; ``ports``: first and last.

    ``exceptions``: subnets, of both families, to which guests go with their own addresses.
    """

    ipv6: bool = option(kinds.boolean, True)
    source: Source = option(_SOURCE, ())
    ports: tuple[int, int] = option(_PORTS, PORTS)
    exceptions: Sequence[str] = option(_EXCEPTIONS, (), name="except", is_written=_has_exceptions)

    @property
    def chain(self) -> str:
        """The name of the chain. It holds source and ports, so that they can be read back from the loaded rules."""
        if not self.source and self.ports == PORTS:
            return "vn_nat"
        return "_".join(["vn_nat", *self.source, *map(str, self.ports)])

    @staticmethod
    def of_chain(chain: str, *, ipv6: bool = True) -> Nat:
        """The values in the name of a chain; the defaults for a chain that is not ours."""
        match = _CHAIN.fullmatch(chain)
        if match is None:
            return Nat(ipv6)
        start, end, first, last = match.groups()
        return Nat(ipv6, (start, end) if start else (), (int(first), int(last)))


def read_nat(options: Options, mode: str) -> Nat:
    """The option ``nat`` of a network; raises InvalidOption."""
    nat = read(Nat, options)
    options.reject_unknown()
    if mode != "nat":
        for name, is_given in (("source", nat.source), ("ports", nat.ports != PORTS), ("except", nat.exceptions)):
            if is_given:
                options.error(name, f"has no meaning in mode {mode}; leave it out, or use nat")
    return nat
