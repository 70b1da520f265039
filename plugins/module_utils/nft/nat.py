# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option ``nat`` of a network: the addresses and ports that guests come out with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, collapse_addresses
from typing import Any, Union

from ..core import kinds
from ..core.fields import Kind, OptionTable, option, read, read_all, required
from ..core.options import REQUIRED, Interface, Options, repr_short

# Services such as NFS take a low source port as a sign of a privileged user.
PORTS = (1024, 65535)

_BROADCAST = IPv4Address("255.255.255.255")

_CHAIN = re.compile(r"vn_nat(?:_([0-9.]+)_([0-9.]+))?_(\d{1,5})_(\d{1,5})")


_PORT = kinds.integer(1, 65535)
_IPV4_ADDRESS: Kind[IPv4Address] = Kind(lambda options, name: options.ipv4_address(name), write=str)


@dataclass(frozen=True)
class PortRange:
    """Ports of a port forward, first and last."""

    start: int = required(_PORT)
    end: int = required(_PORT)


@dataclass(frozen=True)
class SourcePorts:
    """Ports that connections of guests come out with, first and last."""

    start: int = option(_PORT, PORTS[0])
    end: int = option(_PORT, PORTS[1])


@dataclass(frozen=True)
class SourceAddresses:
    """Addresses that guests come out with, first and last; without an end, the first alone."""

    start: IPv4Address | None = option(_IPV4_ADDRESS, None)
    end: IPv4Address | None = option(_IPV4_ADDRESS, None)


def _read_source(options: Options) -> Source:
    addresses = read_all(SourceAddresses, options)
    start = options.ipv4_address("start", REQUIRED if addresses.end is not None else None)
    end = addresses.end if addresses.end is not None else start
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


def read_port_range(options: Options, cls: Callable[..., PortRange | SourcePorts] = PortRange) -> tuple[int, int]:
    """The first and the last port of a range; raises InvalidOption."""
    ports = read_all(cls, options)
    if ports.end < ports.start:
        options.error("end", f"{ports.end} is below the start {ports.start}; swap them")
    return ports.start, ports.end


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
    table=SourceAddresses,
)
_PORTS: Kind[tuple[int, int]] = Kind(
    lambda options, name: read_port_range(options.group(name), SourcePorts),
    "dict",
    write=lambda ports: {"start": ports[0], "end": ports[1]},
    table=SourcePorts,
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
