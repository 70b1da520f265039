# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The desired rules of a network: its options, and conflicts between networks."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ..core import kinds
from ..core.errors import InvalidOption
from ..core.fields import option, read, write
from ..core.options import Options
from .elements import CONNECTION_RATE, MODES, MOST_CONNECTIONS, Rules, forward_order
from .helpers import read_helpers
from .nat import collapsed, read_nat
from .policy import LIMITED, check_sources, read_policy
from .port_forwards import check_claims, check_targets, read_forwards

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}")
NAME_WORDS = "a name of 1 to 50 letters, digits, '_', '.' and '-' that starts with a letter or digit"


# Zone.check_name() of firewalld (core/io/zone.py); it allows 17 characters.
ZONE_NAME = kinds.matching(re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}"), "the name of a zone of firewalld")


def _has_zone(spec: Any) -> bool:
    return bool(spec.zone)


@dataclass(frozen=True)
class RulesSpec:
    """The desired rules of one network. ``path``: where they stand in the user's input.

    ``zone``: the zone of firewalld that its bridge is in, empty for ours.
    """

    rules: Rules
    zone: str = option(ZONE_NAME, "", is_written=_has_zone)
    state: str = option(kinds.choice("present", "absent"), "present")
    path: str = field(default="", compare=False)

    @staticmethod
    def from_options(options: Options) -> RulesSpec:
        """Validate the options of one network; raises InvalidOption."""
        name = options.matching("name", NAME, NAME_WORDS)
        options.owner = f"network {name!r}"
        state = options.choice("state", ("present", "absent"), "present")
        mode = options.choice("mode", MODES, "nat")
        subnets = collapsed(options.cidrs("subnets"))
        if state == "present" and mode in ("nat", "routed") and not subnets:
            options.error("subnets", f"is required in mode {mode}: the guests' addresses in CIDR notation")
        rules = read(
            Rules,
            options,
            name=name,
            bridge=options.interface("bridge") if state == "present" else options.interface("bridge", ""),
            mode=mode,
            subnets=subnets,
            nat=read_nat(options.group("nat"), mode),
            forwards=tuple(sorted(read_forwards(options, {}), key=forward_order)),
            connection_rate=read_connection_rate(options, mode),
            clamp_mss=read_clamp_mss(options, mode),
            helpers=read_helpers(options, mode),
            dns=_read_dns(options, mode),
            redirect_dns=tuple(sorted(map(str, options.addresses("redirect_dns")))),
            policy=read_policy(options.group("policy"), name, mode),
        )
        zone = ZONE_NAME.read(options, "zone") if options.raw("zone", "") else ""
        options.reject_unknown()
        check_sources(rules.policy, [ipaddress.ip_network(subnet) for subnet in subnets], options.owner)
        check_targets(rules.forwards, [ipaddress.ip_network(subnet) for subnet in subnets], (), options.owner)
        return RulesSpec(rules, zone, state, options.path)

    def as_options(self) -> dict[str, Any]:
        """The options of the module ``nft_nat``."""
        if self.state == "absent":
            return {"name": self.rules.name, "bridge": self.rules.bridge, "state": "absent"}
        return {**write(self.rules), **write(self)}


def read_connection_rate(options: Options, mode: str) -> int:
    """The option ``connection_rate``: how many new connections per second guests may make; raises InvalidOption."""
    default = CONNECTION_RATE if mode in LIMITED else 0
    rate = options.integer("connection_rate", default, least=0, most=MOST_CONNECTIONS)
    if rate and mode not in LIMITED:
        options.error(
            "connection_rate", f"has no meaning in mode {mode}, which has no rules; leave it out, or use another mode"
        )
    return rate


def read_clamp_mss(options: Options, mode: str) -> bool:
    """The option ``clamp_mss``: whether TCP segments fit the MTU of the routes; raises InvalidOption."""
    clamp = options.boolean("clamp_mss", mode in LIMITED)
    if clamp and mode not in LIMITED:
        options.error(
            "clamp_mss", f"true has no meaning in mode {mode}, which has no rules; leave it out, or use another mode"
        )
    return clamp


def _read_dns(options: Options, mode: str) -> bool:
    dns = options.boolean("dns", True)
    if not dns and mode != "isolated":
        options.error("dns", f"false has no meaning in mode {mode}, whose guests may ask any name server; leave it out")
    return dns


def _refuse(spec: RulesSpec, option_name: str, problem: str) -> NoReturn:
    path = f"{spec.path}.{option_name}" if spec.path else option_name
    raise InvalidOption(path, problem, f"network {spec.rules.name!r}")


def refuse_conflicts(present: Sequence[RulesSpec]) -> None:
    """Refuse a name, bridge, subnet or forwarded port that two networks have; raises InvalidOption."""
    names: dict[str, RulesSpec] = {}
    bridges: dict[str, RulesSpec] = {}
    for spec in present:
        rules = spec.rules
        for key, kind, seen in ((rules.name, "name", names), (rules.bridge, "bridge", bridges)):
            if key in seen:
                _refuse(spec, kind, f"{key!r} is already used by {seen[key].path}; each network has its own")
            seen[key] = spec
    _refuse_overlaps(present)
    check_claims((forward, f"network {spec.rules.name!r}") for spec in present for forward in spec.rules.forwards)


def _refuse_overlaps(present: Sequence[RulesSpec]) -> None:
    """Refuse subnets that overlap. They are sorted by the first address, so only neighbours have to be compared."""
    pairs = [(ipaddress.ip_network(subnet), spec) for spec in present for subnet in spec.rules.subnets]
    last: tuple[Any, RulesSpec] | None = None
    for subnet, spec in sorted(pairs, key=lambda pair: (pair[0].version, pair[0].network_address, pair[0].prefixlen)):
        if last is not None and last[0].version == subnet.version and subnet.overlaps(last[0]):
            first, second = sorted((last[1], spec), key=present.index)
            mine, theirs = (last[0], subnet) if second is last[1] else (subnet, last[0])
            _refuse(second, "subnets", f"{mine} overlaps {theirs} of network {first.rules.name!r}; use another subnet")
        if last is None or last[0].version != subnet.version or subnet.broadcast_address > last[0].broadcast_address:
            last = subnet, spec
