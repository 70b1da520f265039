# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules that a network shall have: the options, and what no two networks can have."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

from ..core.errors import InvalidOption
from ..core.options import Options
from . import elements as nft_rules
from .elements import CONNECTION_RATE, MODES, MOST_CONNECTIONS, Rules
from .nat import read_nat
from .port_forwards import check_claims, check_targets, read_forwards

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}")
NAME_WORDS = "a name of 1 to 50 letters, digits, '_', '.' and '-' that starts with a letter or digit"

# Modes in which guests' packets pass rules of ours.
LIMITED = ("nat", "routed", "isolated")


@dataclass(frozen=True)
class RulesSpec:
    """The rules of one network; ``path`` is where the user wrote it."""

    rules: Rules
    state: str = "present"
    path: str = field(default="", compare=False)

    @staticmethod
    def from_options(options: Options) -> RulesSpec:
        """Validate the options of one network; raises InvalidOption."""
        name = options.matching("name", NAME, NAME_WORDS)
        options.owner = f"network {name!r}"
        state = options.choice("state", ("present", "absent"), "present")
        mode = options.choice("mode", MODES, "nat")
        subnets = _collapsed(cidr.network for cidr in options.cidrs("subnets"))
        if state == "present" and mode in ("nat", "routed") and not subnets:
            options.error("subnets", f"is required in mode {mode}: the guests' addresses in CIDR notation")
        rules = Rules(
            name=name,
            bridge=options.interface("bridge") if state == "present" else options.interface("bridge", ""),
            mode=mode,
            uplink=options.interface("uplink", ""),
            subnets=subnets,
            nat=read_nat(options.group("nat"), mode),
            forwards=tuple(sorted(read_forwards(options, "port_forwards", {}), key=nft_rules.forward_order)),
            isolate_guests=options.boolean("isolate_guests", False),
            connection_rate=read_connection_rate(options, "connection_rate", mode),
            dns=_read_dns(options, mode),
        )
        options.reject_unknown()
        check_targets(rules.forwards, [ipaddress.ip_network(subnet) for subnet in subnets], (), options.owner)
        return RulesSpec(rules, state, options.path)

    def as_options(self) -> dict[str, Any]:
        """The way back to the module's options."""
        if self.state == "absent":
            return {"name": self.rules.name, "bridge": self.rules.bridge, "state": "absent"}
        return {
            "name": self.rules.name,
            "bridge": self.rules.bridge,
            "mode": self.rules.mode,
            "uplink": self.rules.uplink or None,
            "subnets": list(self.rules.subnets),
            "nat": self.rules.nat.as_options(),
            "port_forwards": [forward.as_options() for forward in self.rules.forwards],
            "isolate_guests": self.rules.isolate_guests,
            "connection_rate": self.rules.connection_rate,
            "dns": self.rules.dns,
            "state": self.state,
        }


def read_connection_rate(options: Options, name: str, mode: str) -> int:
    """How many new connections a network's guests may have in a second; raises InvalidOption."""
    default = CONNECTION_RATE if mode in LIMITED else 0
    rate = int(options.integer(name, default, least=0, most=MOST_CONNECTIONS))
    if rate and mode not in LIMITED:
        options.error(name, f"has no meaning in mode {mode}, which has no rules; leave it out, or use another mode")
    return rate


def _read_dns(options: Options, mode: str) -> bool:
    dns = bool(options.boolean("dns", True))
    if not dns and mode != "isolated":
        options.error("dns", f"false has no meaning in mode {mode}, whose guests may ask any name server; leave it out")
    return dns


def _collapsed(subnets: Iterable[Network]) -> tuple[str, ...]:
    """Without those that lie in another: a set of intervals takes none twice."""
    found = list(subnets)
    return tuple(
        sorted(
            [
                *map(str, ipaddress.collapse_addresses(one for one in found if isinstance(one, ipaddress.IPv4Network))),
                *map(str, ipaddress.collapse_addresses(one for one in found if isinstance(one, ipaddress.IPv6Network))),
            ]
        )
    )


def refuse_conflicts(present: Sequence[RulesSpec]) -> None:
    """No name, bridge, subnet or forwarded port twice; raises InvalidOption."""
    names: dict[str, RulesSpec] = {}
    bridges: dict[str, RulesSpec] = {}
    for spec in present:
        rules = spec.rules
        for key, kind, seen in ((rules.name, "name", names), (rules.bridge, "bridge", bridges)):
            if key in seen:
                raise InvalidOption(
                    f"{spec.path}.{kind}" if spec.path else kind,
                    f"{key!r} is already used by {seen[key].path}; each network has its own",
                    f"network {rules.name!r}",
                )
            seen[key] = spec
    _refuse_overlaps(present)
    check_claims((forward, f"network {spec.rules.name!r}") for spec in present for forward in spec.rules.forwards)


def _refuse_overlaps(present: Sequence[RulesSpec]) -> None:
    """Sorted by their first address, only neighbours can be the first to overlap."""
    pairs = [(ipaddress.ip_network(subnet), spec) for spec in present for subnet in spec.rules.subnets]
    last: tuple[Any, RulesSpec] | None = None
    for subnet, spec in sorted(pairs, key=lambda pair: (pair[0].version, pair[0].network_address, pair[0].prefixlen)):
        if last is not None and last[0].version == subnet.version and subnet.overlaps(last[0]):
            first, second = sorted((last[1], spec), key=present.index)
            mine, theirs = (last[0], subnet) if second is last[1] else (subnet, last[0])
            raise InvalidOption(
                f"{second.path}.subnets" if second.path else "subnets",
                f"{mine} overlaps {theirs} of network {first.rules.name!r}; use another subnet",
                f"network {second.rules.name!r}",
            )
        if last is None or last[0].version != subnet.version or subnet.broadcast_address > last[0].broadcast_address:
            last = subnet, spec
