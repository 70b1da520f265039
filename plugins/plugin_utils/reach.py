# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may reach whom on one host, by the modes and policies of its networks. Pure.

It is drawn from definitions: what other firewalls drop is among the findings, and ``virtnet trace`` follows one packet.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from .answer_policies import Entry
from .answers import Forward, Network

ALLOWED, REFUSED, SOME = "allowed", "refused", "some"
# The modes whose packets pass the host; bridged ones and those of libvirt are not ours to tell.
_MODES = ("nat", "routed", "isolated", "open")
_CLOSED = ("nat", "isolated")
OUTSIDE, HOST = "outside", "host"
# With more networks than this the table is no longer readable.
MOST_DRAWN = 30


@dataclass(frozen=True)
class Cell:
    """``word``: ALLOWED, REFUSED, SOME where entries decide, "" where our rules say nothing; ``why``: the options."""

    word: str = ""
    why: str = ""


@dataclass(frozen=True)
class Row:
    """Whom guests of a network, the host, or the outside reach: a cell for each column."""

    name: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Matrix:
    """Rows reach columns."""

    columns: Sequence[str] = ()
    rows: Sequence[Row] = ()


def matrix(networks: Sequence[Network]) -> Matrix:
    """The table of a host; empty without networks of ours, or with too many to draw."""
    drawn = [one for one in networks if one.mode in _MODES]
    if not drawn or len(drawn) > MOST_DRAWN:
        return Matrix()
    rows = [
        Row(one.name, [*(_to_network(one, other) for other in drawn), _to_host(one), _to_outside(one, drawn)])
        for one in drawn
    ]
    of_host = Cell(ALLOWED, "no rule refuses packets of the host itself")
    rows.append(Row(HOST, [*([of_host] * len(drawn)), Cell(), of_host]))
    rows.append(Row(OUTSIDE, [*map(_from_outside, drawn), Cell(), Cell()]))
    return Matrix([*(one.name for one in drawn), HOST, OUTSIDE], rows)


def _to_network(one: Network, other: Network) -> Cell:
    definition = one.definition
    if one.name == other.name:
        return Cell(REFUSED, "isolate_guests") if definition.isolate_guests else Cell(ALLOWED, "within the network")
    by_mode = _mode_allows(one, other)
    policy = definition.policy
    opened = [entry for entry in policy.allow if entry.network == other.name]
    left_to_mode = [entry for entry in policy.allow if not entry.network and by_mode and _concerns(entry, other)]
    denied = [entry for entry in policy.deny if entry.network in ("", other.name) and _concerns(entry, other)]
    reason = f"mode {one.mode} to mode {other.mode}"
    if other.mode in _CLOSED and one.mode not in _CLOSED:
        reason = f"mode {other.mode} of {other.name}"
    return _cell(one, by_mode, (*opened, *left_to_mode), denied, reason, _forwards_of(other))


def _to_outside(one: Network, networks: Sequence[Network]) -> Cell:
    policy = one.definition.policy
    by_mode = one.mode != "isolated"

    def concerns(entry: Entry) -> bool:
        within = any(_lies_within(entry.destination, other) for other in networks)
        return not entry.network and not within

    allowed = [entry for entry in policy.allow if by_mode and concerns(entry)]
    return _cell(one, by_mode, allowed, [entry for entry in policy.deny if concerns(entry)], f"mode {one.mode}", ())


def _cell(
    one: Network,
    by_mode: bool,
    allowed: Sequence[Entry],
    denied: Sequence[Entry],
    reason: str,
    forwards: Sequence[Forward],
) -> Cell:
    policy = one.definition.policy
    base = by_mode and policy.default == "allow"
    why = [*map(str, denied), *map(str, allowed)]
    why.append("policy.default: deny" if policy.default == "deny" else reason)
    if any(entry.is_of_all for entry in denied):
        return Cell(REFUSED, "; ".join(map(str, denied)))
    # A policy sees what a port forward has translated: where it refuses all, forwards are refused too.
    through = forwards if policy.default == "allow" and not base else ()
    why += [_forward(forward) for forward in through]
    if base or any(entry.is_of_all for entry in allowed):
        return Cell(SOME if denied else ALLOWED, "; ".join(why))
    return Cell(SOME if allowed or through else REFUSED, "; ".join(why))


def _to_host(one: Network) -> Cell:
    services = one.definition.policy.to_host
    if services is None:
        return Cell(ALLOWED, "all ports" if one.mode == "open" else f"mode {one.mode}: the host's address there")
    return Cell(SOME, f"policy.to_host: {', '.join((*services, 'ping'))}")


def _from_outside(one: Network) -> Cell:
    if one.mode not in _CLOSED:
        only = f", by {', '.join(one.definition.uplinks)} alone" if one.definition.uplinks else ""
        return Cell(ALLOWED, f"mode {one.mode}{only}")
    forwards = _forwards_of(one)
    return Cell(SOME if forwards else REFUSED, "; ".join([f"mode {one.mode}", *map(_forward, forwards)]))


def _forwards_of(one: Network) -> Sequence[Forward]:
    return one.definition.forwards


def _forward(forward: Forward) -> str:
    port = str(forward.first) if forward.first == forward.last else f"{forward.first}-{forward.last}"
    return f"port_forwards: {forward.protocol} {port} \u2192 {forward.to}"


def _mode_allows(one: Network, other: Network) -> bool:
    if one.mode in _CLOSED or other.mode in _CLOSED:
        return False
    return not (one.definition.uplinks or (other.definition.uplinks and other.mode == "routed"))


def _subnets(one: Network) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    definition = one.definition
    addresses = (definition.ipv4.address, definition.ipv6.address, *definition.extra_addresses)
    return [address.network for address in addresses if address is not None]


def _concerns(entry: Entry, other: Network) -> bool:
    """Whether flows into a network may match it; it names no other one."""
    destination = _subnet(entry.destination)
    if destination is None:
        return True
    return any(subnet.version == destination.version and subnet.overlaps(destination) for subnet in _subnets(other))


def _lies_within(text: str, other: Network) -> bool:
    destination = _subnet(text)
    if destination is None:
        return False
    return any(
        destination.version == subnet.version and destination[0] in subnet and destination.prefixlen >= subnet.prefixlen
        for subnet in _subnets(other)
    )


def _subnet(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The subnet that a text is; None for the name of a static host, and for none."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
