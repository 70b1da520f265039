# SPDX-FileCopyrightText: virtnet.linux contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The subnets that the hosts of a fleet claim: by the administrator's lists, and by their answers. Pure.

The two are kept apart. What the administrator fixed in the inventory counts always. What a host answers counts as far
as it can be true, is bounded in number, and never moves a network of another host.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..module_utils.libvirt_xml.spelling import spelled_out
from .answer_values import BadAnswer, Values, plain
from .answers import Answer, parse_answer
from .network_list import network_items

# Claims of one host that count; the bench has hosts of 300 networks.
MOST_CLAIMS = 1024
# Of a network, in one warning.
_LISTED = 3


@dataclass(frozen=True)
class Claim:
    """A subnet that a host holds. ``fixed``: by the administrator; ``auto``: chosen for it, so it may be moved."""

    host: str
    network: str
    address: ipaddress.IPv4Interface
    fixed: bool = False
    auto: bool = False

    def moves_for(self, other: Claim, renumber: bool) -> bool:
        """Whether a run moves this network away from the other one."""
        return self.auto and (other.fixed or (renumber and (other.host < self.host or not other.auto)))

    def __str__(self) -> str:
        return f"network {self.network!r} of host {plain(self.host, 255)} ({self.address.network})"


@dataclass(frozen=True)
class HostClaims:
    """The claims of one host, and a sentence for each problem of its answer."""

    host: str
    claims: tuple[Claim, ...] = ()
    problems: tuple[str, ...] = ()


def claims_of(host: str, listed: Any, answer: Any, from_facts: bool = False) -> HostClaims:
    """The subnets that a host holds, and the fixed ones that it is about to get.

    ``listed`` is its ``virtnet_networks``, ``answer`` the result of virt_network_info there, None for none.
    ``from_facts``: the host gave itself the list as a fact, so nothing of it is fixed by the administrator.
    """
    problems = []
    fixed, removed = _read_list(host, listed)
    if from_facts:
        problems.append("gives itself virtnet_networks as a fact; what that fixes does not count as the inventory's")
        fixed = [replace(one, fixed=False) for one in fixed]
    stored: list[Claim] = []
    if answer is not None:
        try:
            stored = list(_stored_claims(parse_answer(host, answer), problems))
        except BadAnswer as error:
            problems.append(f"what it holds is not known: {error.sentence}")
    names = removed | {one.network for one in fixed}
    claims = [*fixed, *(one for one in stored if one.network not in names)]
    answered = [one for one in claims if not one.fixed]
    if len(answered) > MOST_CLAIMS:
        problems.append(f"claims {len(answered)} subnets; the first {MOST_CLAIMS} count")
        answered = answered[:MOST_CLAIMS]
    return HostClaims(host, (*(one for one in claims if one.fixed), *answered), tuple(problems))


def _read_list(host: str, listed: Any) -> tuple[list[Claim], set[str]]:
    """The fixed addresses of a list, and the networks that it removes.

    What is wrong with an item is for the run of its own host to refuse.
    """
    fixed, removed = {}, set()
    for item in network_items(listed):
        try:
            network = Values(host, spelled_out(item))
            name, ipv4 = network.network_name("name"), network.group("ipv4")
            if network.text("state", "active") == "absent":
                removed.add(name)
            elif ipv4.text("address", "auto") not in ("auto", "none"):
                address = ipv4.cidr("address")
                if isinstance(address, ipaddress.IPv4Interface):
                    fixed[name] = Claim(host, name, address, fixed=True)
        except BadAnswer:
            continue
    return [fixed[name] for name in sorted(fixed)], removed


def _stored_claims(answer: Answer, problems: list[str]) -> Iterator[Claim]:
    for network in sorted(answer.networks, key=lambda one: one.name):
        ipv4 = network.definition.ipv4
        if not isinstance(ipv4.address, ipaddress.IPv4Interface):
            continue
        if is_plausible(ipv4.address):
            yield Claim(answer.host, network.name, ipv4.address, auto=ipv4.auto)
        else:
            problems.append(f"claims {ipv4.address} for network {network.name!r}, which no network of guests can have")


def is_plausible(address: ipaddress.IPv4Interface) -> bool:
    """Whether the module virt_network accepts an address for a network (_check_host_address() of the engine)."""
    network, ip = address.network, address.ip
    edge = network.prefixlen < 31 and ip in (network.network_address, network.broadcast_address)
    return not (edge or network.prefixlen < 8 or ip.is_multicast or ip.is_loopback or ip.is_unspecified)


def as_option(claims: Iterable[Claim], me: str, renumber: bool) -> list[dict[str, str | bool]]:
    """The claims of the other hosts as the option ``fleet.held`` has them: plain, validated values."""
    return [
        {
            "host": plain(one.host, 255),
            "network": one.network,
            "subnet": str(one.address),
            "first": one.fixed or (renumber and (one.host < me or not one.auto)),
        }
        for one in claims
        if one.host != me
    ]


def conflicts(claims: Iterable[Claim], me: str, renumber: bool) -> Iterator[str]:
    """A sentence for each stored network of a host that overlaps others', where no run moves either."""
    known = list(claims)
    others = [(*_bounds(one), one) for one in known if one.host != me]
    for mine in known:
        if mine.host != me or mine.fixed:
            continue
        low, high = _bounds(mine)
        overlaps = [other for first, last, other in others if first <= high and low <= last]
        overlaps = [one for one in overlaps if not mine.moves_for(one, renumber) and not one.moves_for(mine, renumber)]
        if overlaps:
            more = f" and {len(overlaps) - _LISTED} more" if len(overlaps) > _LISTED else ""
            listed = ", ".join(map(str, overlaps[:_LISTED]))
            yield (
                f"{mine} overlaps {listed}{more}; no host's networks move for what another "
                "host answers. Give one of them a fixed ipv4.address in virtnet_networks, or remove it and add it "
                "again, or let the network of the later host name move once with virtnet_fleet_renumber=true"
            )


def _bounds(claim: Claim) -> tuple[int, int]:
    network = claim.address.network
    return int(network.network_address), int(network.broadcast_address)


def list_from_facts(facts: Any) -> bool:
    """Whether a host's facts give it ``virtnet_networks``, which would take the place of the inventory's."""
    return isinstance(facts, Mapping) and "virtnet_networks" in facts
