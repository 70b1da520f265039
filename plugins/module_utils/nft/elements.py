# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of networks as elements of our nftables table, and the scripts that load them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .chains import FAMILY, FORWARDS, LIMITS, MAPS, OWNED, SETS, TABLE, Elements, chains
from .nat import Nat
from .port_forwards import Forward

MODES = ("nat", "routed", "isolated", "open")

# New connections a second of all guests of a network, 0 for no limit. An entry of conntrack that is not answered lasts
# up to 120 s (nf_conntrack_tcp_timeout_syn_sent, nf_conntrack_udp_timeout_stream), so that those of one network stay
# below the 262144 that the kernel keeps at most on a host with over 4 GB (nf_conntrack_init_start()).
CONNECTION_RATE = 2000
MOST_CONNECTIONS = 1_000_000
_LIMIT = re.compile(r"limit rate over (\d{1,7})/second burst (\d{1,7}) packets")

# The chains to the guest, from the guest, and from the guest to the host.
_VERDICTS = {
    "nat": ("vn_to_closed", "vn_from_nat", "vn_host_closed"),
    "routed": ("vn_to_routed", "vn_from_routed", "vn_host_routed"),
    "isolated": ("vn_to_closed", "vn_from_isolated", "vn_host_closed"),
}


@dataclass(frozen=True)
class Rules:
    """One network as the table knows it; ``subnets`` are networks of both families in CIDR notation.

    ``connection_rate``: new connections of its guests a second, 0 for no limit. ``dns``: guests of an isolated network
    have a name server, at the host's address on the bridge; those of other modes may ask any of the host's.
    """

    name: str
    bridge: str
    mode: str
    uplink: str = ""
    subnets: Sequence[str] = ()
    nat: Nat = field(default_factory=Nat)
    forwards: Sequence[Forward] = ()
    isolate_guests: bool = False
    connection_rate: int = 0
    dns: bool = True

    @property
    def forwarded(self) -> bool:
        """Whether the host must forward for it."""
        return self.mode != "isolated" or bool(self.forwards)

    @property
    def ipv6(self) -> bool:
        """Whether it has addresses of IPv6."""
        return any(":" in subnet for subnet in self.subnets)


def elements_of(rules: Rules) -> dict[str, dict[tuple[str, ...], str]]:
    """What one network adds to each set and map."""
    bridge = rules.bridge
    found: dict[str, dict[tuple[str, ...], str]] = {"vn_bridges": {(bridge,): rules.name}}
    _put_subnets(found, rules, "vn_subnets")
    if not rules.subnets:
        found["vn_untracked"] = {(bridge,): ""}
    for forward in rules.forwards:
        name, key, value = _forward(bridge, forward)
        found.setdefault(name, {})[key] = value
    if rules.isolate_guests:
        found["vn_apart"] = {(bridge, bridge): ""}
    if rules.mode == "open":
        found["vn_to_guest"] = {(bridge,): "jump vn_to_open"}
    else:
        _put_mode(found, rules)
    return found


def _put_mode(found: dict[str, dict[tuple[str, ...], str]], rules: Rules) -> None:
    bridge = rules.bridge
    for name, chain in zip(("vn_to_guest", "vn_from_guest", "vn_to_host"), _VERDICTS[rules.mode]):
        found[name] = {(bridge,): f"jump {chain}"}
    if not rules.isolate_guests:
        found["vn_same"] = {(bridge, bridge): ""}
    _put_subnets(found, rules, "vn_routed" if rules.mode == "routed" else "vn_closed")
    if rules.mode != "routed":
        found["vn_closed"] = {(bridge,): ""}
    if rules.mode == "isolated":
        found["vn_isolated"] = {(bridge,): ""}
        if not rules.dns:
            found["vn_nameless"] = {(bridge,): ""}
    if rules.mode == "nat":
        found["vn_nat4"] = {(bridge,): f"goto {rules.nat.chain}"}
        if rules.nat.ipv6 and rules.ipv6:
            found["vn_nat6"] = {(bridge,): f"goto {rules.nat.chain}"}
    if rules.mode != "isolated" and rules.uplink:
        found["vn_uplinked"] = {(bridge,): ""}
        found["vn_uplinks"] = {(bridge, rules.uplink): ""}
    if rules.connection_rate:
        found["vn_limited"] = {(bridge,): _limit(rules.connection_rate)}


def _limit(rate: int) -> str:
    """As nft writes it. What a second allows may come at once, and as much again after a pause."""
    return f"limit rate over {rate}/second burst {2 * rate} packets"


def _put_subnets(found: dict[str, dict[tuple[str, ...], str]], rules: Rules, name: str) -> None:
    for version, mark in (("4", "."), ("6", ":")):
        mine: dict[tuple[str, ...], str] = {
            (rules.bridge, _listed(subnet)): "" for subnet in rules.subnets if mark in subnet
        }
        if mine:
            found[name + version] = mine


def _forward(bridge: str, forward: Forward) -> tuple[str, tuple[str, ...], str]:
    kind = "vn_ports" if forward.to_port is None else "vn_port"
    name = f"{kind}{6 if forward.ipv6 else 4}{'_at' if forward.address else ''}"
    at = (forward.address,) if forward.address else ()
    value = forward.to if forward.to_port is None else f"{forward.to} . {forward.to_port}"
    return name, (bridge, *at, forward.protocol, forward.ports), value


def _forward_of(name: str, key: tuple[str, ...], value: str) -> Forward:
    *at, protocol, ports = key[1:]
    first, _dash, last = ports.partition("-")
    to, _dot, to_port = value.partition(" . ")
    port = int(to_port) if to_port.isdecimal() else None
    return Forward(protocol, _number(first), _number(last or first), to, port, at[0] if at else "")


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _listed(subnet: str) -> str:
    """A network as nft lists it: a single address without its prefix length."""
    address, _slash, length = subnet.partition("/")
    return address if length == ("128" if ":" in address else "32") else subnet


def _full(subnet: str) -> str:
    return subnet if "/" in subnet else f"{subnet}/{128 if ':' in subnet else 32}"


def merged(parts: Iterable[Elements]) -> dict[str, dict[tuple[str, ...], str]]:
    """The elements of several networks together."""
    whole: dict[str, dict[tuple[str, ...], str]] = {name: {} for name in SETS}
    for part in parts:
        for name, elements in part.items():
            whole[name].update(elements)
    return whole


def of_bridge(elements: Elements, bridge: str) -> dict[str, dict[tuple[str, ...], str]]:
    """The elements that belong to one bridge: its name comes first in every key."""
    return {
        name: mine
        for name, all_of_it in elements.items()
        if (mine := {key: value for key, value in all_of_it.items() if key[0] == bridge})
    }


def rules_of(elements: Elements, bridge: str) -> Rules:
    """The network that a bridge's elements speak of; the way back of elements_of()."""

    def mine(name: str) -> list[tuple[str, ...]]:
        return [key[1:] for key in elements.get(name, {}) if key[0] == bridge]

    verdict = elements.get("vn_from_guest", {}).get((bridge,), "")
    modes = {f"jump {names[1]}": mode for mode, names in _VERDICTS.items()}
    chain = elements.get("vn_nat4", {}).get((bridge,), "goto vn_nat").split()[-1]
    limit = _LIMIT.fullmatch(elements.get("vn_limited", {}).get((bridge,), ""))
    natted = bool(mine("vn_nat6")) or not (mine("vn_nat4") and mine("vn_subnets6"))
    return Rules(
        name=elements.get("vn_bridges", {}).get((bridge,), ""),
        bridge=bridge,
        mode=modes.get(verdict, "open"),
        uplink=next((uplink for (uplink,) in mine("vn_uplinks")), ""),
        subnets=tuple(sorted(_full(subnet) for n in "46" for (subnet,) in mine(f"vn_subnets{n}"))),
        nat=Nat.of_chain(chain, ipv6=natted),
        forwards=tuple(
            sorted(
                (
                    _forward_of(name, key, value)
                    for name in FORWARDS
                    for key, value in elements.get(name, {}).items()
                    if key[0] == bridge
                ),
                key=forward_order,
            )
        ),
        isolate_guests=bool(mine("vn_apart")),
        connection_rate=int(limit[1]) if limit else 0,
        dns=(bridge,) not in elements.get("vn_nameless", {}),
    )


def forward_order(forward: Forward) -> tuple[Any, ...]:
    """What forwards are sorted by."""
    return forward.protocol, forward.first, forward.ipv6, forward.address


def by_bridge(elements: Elements) -> dict[str, dict[str, dict[tuple[str, ...], str]]]:
    """The elements of each bridge, in one pass."""
    found: dict[str, dict[str, dict[tuple[str, ...], str]]] = {}
    for name, all_of_it in elements.items():
        for key, value in all_of_it.items():
            found.setdefault(key[0], {}).setdefault(name, {})[key] = value
    return found


def _rule(text: str, comment: str) -> str:
    return f'{text} comment "{comment}"'


def _quoted(part: str) -> str:
    # Some names of interfaces are words of nft. All other parts are digits, dots, colons and slashes.
    return f'"{part}"'


def _key(name: str, key: tuple[str, ...]) -> str:
    kinds = SETS[name].split(";")[0].split(" : ")[0][len("type ") :].split(" . ")
    parts = key[1:] if name in OWNED else key
    return " . ".join(_quoted(part) if kind == "ifname" else part for kind, part in zip(kinds, parts))


def _element(name: str, key: tuple[str, ...], value: str) -> str:
    text = _key(name, key)
    comment = key[0] if name in OWNED else "" if name in MAPS else value
    if name in LIMITS:
        return f"{text} {value}"
    if comment:
        text += f' comment "{comment}"'
    return f"{text} : {value}" if name in MAPS else text


def element_list(name: str, elements: Mapping[tuple[str, ...], str]) -> str:
    """Elements in nft's words, in a stable order."""
    return ", ".join(_element(name, key, value) for key, value in sorted(elements.items()))


def static_comments(elements: Elements) -> dict[str, list[str]]:
    """The comments of each chain's rules; the first of vn_forward also names this version of the chains."""
    wanted = chains(elements)
    comments = {chain: [comment for _text, comment in rules] for chain, (_hook, rules) in wanted.items()}
    comments["vn_forward"][0] += f" [{version(elements)}]"
    return comments


def version(elements: Elements) -> str:
    """A short name for these sets and chains."""
    return hashlib.sha256(json.dumps([SETS, chains(elements)], sort_keys=True).encode()).hexdigest()[:8]


def render(elements: Elements) -> str:
    """The whole table as an nft script that replaces it in one transaction, whether it was there or not."""
    # "destroy table" would say it in one line, but nft 1.0.6 does not know it.
    lines = [f"table {FAMILY} {TABLE}", f"delete table {FAMILY} {TABLE}", f"table {FAMILY} {TABLE} {{"]
    for name, kind in SETS.items():
        mine = elements.get(name, {})
        body = f" elements = {{ {element_list(name, mine)} }};" if mine else ""
        lines.append(f"\t{'map' if name in MAPS else 'set'} {name} {{ {kind};{body} }}")
    comments = static_comments(elements)
    for chain, (hook, rules) in chains(elements).items():
        lines.append(f"\tchain {chain} {{")
        lines += [f"\t\t{hook}"] if hook else []
        lines += [f"\t\t{_rule(text, comment)}" for (text, _words), comment in zip(rules, comments[chain])]
        lines.append("\t}")
    return "\n".join([*lines, "}", ""])


def render_delta(before: Elements, after: Elements) -> str:
    """An nft script that turns one set of elements into the other and touches no others.

    Where the other chains are needed, the whole table, in one transaction too.
    """
    if chains(before) != chains(after):
        return render(after)
    deleted, added = [], []
    for name in SETS:
        old, new = before.get(name, {}), after.get(name, {})
        less = {key: value for key, value in old.items() if new.get(key) != value}
        more = {key: value for key, value in new.items() if old.get(key) != value}
        if less:
            deleted.append(f"delete element {FAMILY} {TABLE} {name} {{ {_deleted(name, less)} }}")
        if more:
            added.append(f"add element {FAMILY} {TABLE} {name} {{ {element_list(name, more)} }}")
    return "".join(line + "\n" for line in [*deleted, *added])


def _deleted(name: str, elements: Mapping[tuple[str, ...], str]) -> str:
    # A map's element is deleted together with its value, a set's by the key alone.
    return ", ".join(
        f"{_key(name, key)} : {value}" if name in MAPS else _key(name, key) for key, value in sorted(elements.items())
    )


def delete() -> str:
    """An nft script that removes the table."""
    return f"delete table {FAMILY} {TABLE}\n"
