# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filters of frames from guests: the table ``bridge virtnet``, which needs no br_netfilter.

A bridge has a chain with its rules, and the map ``ports`` leads frames to it by the port that they came from. Not every
kernel can match the bridge itself (NFT_BRIDGE_META). Frames to the host are accepted first: they are nearly all that
guests send, and no other guest gets them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.command import find, run
from ..core.files import File, write_files
from ..core.notes import read_object
from ..core.paths import Paths
from .nft_table import list_table

FAMILY = "bridge"
TABLE = "virtnet"
_PLACE = f"{FAMILY} {TABLE}"

# Before all chains of others (NF_BR_PRI_NAT_DST_BRIDGED).
_HOOK = "type filter hook prerouting priority -300; policy accept;"
_BASE = "prerouting"
_PREFIX = "in_"
_BASE_RULES = (
    # Guests solicit the host's neighbours and advertise themselves to it: see the rules of the bridge.
    ("ether daddr @gateways meta l4proto != icmpv6 accept", "to the host itself"),
    ("iifname vmap @ports", "by the port of a guest"),
)
_SETS = {"gateways": "set", "ports": "map"}
_DECLARED = (
    f"table {_PLACE} {{\n"
    "\tset gateways { type ether_addr; }\n"
    "\tmap ports { type ifname : verdict; }\n"
    f"\tchain {_BASE} {{ {_HOOK} }}\n"
    "}\n"
)

# Names of ports that can be written in a script of nft: quotes have no escape there, and an asterisk is a pattern.
_SAFE_PORT = re.compile(r"[A-Za-z0-9_.:@+=,-]{1,15}")

# The text of a rule in the syntax of nft, and its comment.
Rule = tuple[str, str]


@dataclass(frozen=True)
class FrameFilter:
    """The filter of one bridge: its rules, the MAC address of the host there, and the names of the guests' ports."""

    mac: str
    rules: Sequence[Rule]
    ports: frozenset[str] = frozenset()

    @property
    def version(self) -> str:
        """A digest of the rules."""
        return _digest(self.rules)


@dataclass(frozen=True)
class LoadedFilter:
    """The filter of a bridge as the kernel has it; ``version`` is empty where the rules are not as we loaded them."""

    version: str = ""
    macs: frozenset[str] = frozenset()
    ports: frozenset[str] = frozenset()

    def equals(self, desired: FrameFilter) -> bool:
        """Whether it needs no change."""
        return (self.version, self.macs, self.ports) == (desired.version, frozenset({desired.mac}), desired.ports)


@dataclass(frozen=True)
class FrameFilters:
    """The filters of the host by bridge. ``exists``: there is a table; ``intact``: what all share is as we made it."""

    bridges: Mapping[str, LoadedFilter] = field(default_factory=dict)
    exists: bool = False
    intact: bool = True


def can_be_filtered(port: str) -> bool:
    """Whether nft has a syntax for the name of this port."""
    return _SAFE_PORT.fullmatch(port) is not None


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _record_path(paths: Paths) -> str:
    return os.path.join(paths.runtime, "frame-filters.json")


def may_be_loaded(paths: Paths) -> bool:
    """Whether we have loaded filters since boot: most hosts have none, and are not to pay for a look at them."""
    return os.path.exists(_record_path(paths))


def read_filters(paths: Paths) -> FrameFilters:
    """The loaded filters; raises CommandFailed where nft refuses to list them."""
    if find("nft") is None:
        return FrameFilters()
    try:
        record = read_object(_record_path(paths))
    except ValueError:
        record = {}
    listed = list_table(FAMILY, TABLE)
    return FrameFilters() if listed is None else parse(listed, record)


def parse(text: str, record: Mapping[str, Any]) -> FrameFilters:
    """The filters in the output of ``nft -j list table bridge virtnet``.

    ``record``: by chain, the version of the rules that we loaded, and a digest of their listing after that.
    """
    digests, elements, sound = _parse_listing(text)
    if not sound:
        return FrameFilters(exists=True, intact=False)
    versions = {}
    for chain, digest in digests.items():
        version, listed = record[chain] if _is_entry(record.get(chain)) else ("", "")
        versions[chain] = version if listed == digest else ""
    macs, ports = _by_bridge(elements["gateways"]), _by_bridge(elements["ports"])
    bridges = {chain[len(_PREFIX) :] for chain in digests if chain.startswith(_PREFIX)} | macs.keys() | ports.keys()
    return FrameFilters(
        {
            bridge: LoadedFilter(
                versions.get(_PREFIX + bridge, ""), macs.get(bridge, frozenset()), ports.get(bridge, frozenset())
            )
            for bridge in bridges
        },
        exists=True,
        intact=versions.get(_BASE) == _digest(_BASE_RULES),
    )


def _is_entry(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(one, str) for one in value)


def _parse_listing(text: str) -> tuple[dict[str, str], dict[str, list[tuple[str, str]]], bool]:
    """Digests of the chains, (element, bridge) by set, and whether the sets are of the kinds that we made."""
    chains: dict[str, list[Any]] = {}
    elements: dict[str, list[tuple[str, str]]] = {}
    sound = True
    for item in json.loads(text)["nftables"]:
        if "chain" in item:
            chain = item["chain"]
            chains[chain["name"]] = [{key: chain.get(key) for key in ("type", "hook", "prio", "policy")}]
        elif "rule" in item:
            chains[item["rule"]["chain"]].append([item["rule"].get("comment", ""), item["rule"]["expr"]])
        elif "set" in item or "map" in item:
            kind = "set" if "set" in item else "map"
            name = item[kind]["name"]
            sound = sound and _SETS.get(name) == kind
            elements[name] = [_parse_element(element) for element in item[kind].get("elem", ())]
    digests = {name: _digest(content) for name, content in chains.items()}
    return digests, elements, sound and elements.keys() == _SETS.keys()


def _parse_element(element: Any) -> tuple[str, str]:
    """An element and its bridge: that of its chain, or of its comment."""
    verdict: Any = None
    if isinstance(element, list):
        element, verdict = element
    comment = ""
    if isinstance(element, dict) and "elem" in element:
        comment = element["elem"].get("comment", "")
        element = element["elem"]["val"]
    if verdict is not None:
        ((_kind, target),) = verdict.items()
        comment = target["target"].removeprefix(_PREFIX) if isinstance(target, dict) else ""
    return str(element), str(comment)


def _by_bridge(elements: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    sorted_out: dict[str, set[str]] = {}
    for element, bridge in elements:
        sorted_out.setdefault(bridge, set()).add(element)
    return {bridge: frozenset(members) for bridge, members in sorted_out.items()}


def script(desired: Mapping[str, FrameFilter | None], loaded: FrameFilters) -> str:
    """The script for nft that sets or, where None, deletes the filters of these bridges, in one transaction."""
    others = loaded.bridges.keys() - desired.keys()
    if not others and not any(desired.values()):
        return f"delete table {_PLACE}\n" if loaded.exists else ""
    lines = [] if loaded.intact or loaded.bridges else [f"table {_PLACE}\n", f"delete table {_PLACE}\n"]
    lines.append(_DECLARED)
    if not (loaded.exists and loaded.intact):
        lines += [f"flush chain {_PLACE} {_BASE}\n", *(_rule(_BASE, rule) for rule in _BASE_RULES)]
    deletions, chains, additions, last = [], [], [], []
    for bridge, old in sorted(loaded.bridges.items()):
        if bridge not in desired:
            # Ports may have gone from one bridge to another since.
            moved = {port for wanted in desired.values() if wanted for port in wanted.ports} & old.ports
            deletions += [_delete("ports", _port(port, bridge)) for port in sorted(moved)]
    for bridge, wanted in sorted(desired.items()):
        old = loaded.bridges.get(bridge, LoadedFilter())
        chain = _PREFIX + bridge
        new_macs = frozenset[str]() if wanted is None else frozenset({wanted.mac})
        new_ports = frozenset[str]() if wanted is None else wanted.ports
        deletions += [_delete("gateways", mac) for mac in sorted(old.macs - new_macs)]
        deletions += [_delete("ports", _port(port, bridge)) for port in sorted(old.ports - new_ports)]
        additions += [_add("gateways", f'{mac} comment "{bridge}"') for mac in sorted(new_macs - old.macs)]
        additions += [_add("ports", _port(port, bridge)) for port in sorted(new_ports - old.ports)]
        if wanted is None:
            last += [f"delete chain {_PLACE} {chain}\n"] if bridge in loaded.bridges else []
        elif wanted.version != old.version:
            chains += [f"add chain {_PLACE} {chain}\n", f"flush chain {_PLACE} {chain}\n"]
            chains += [_rule(chain, rule) for rule in wanted.rules]
    return "".join([*lines, *deletions, *chains, *additions, *last])


def _rule(chain: str, rule: Rule) -> str:
    text, comment = rule
    return f'add rule {_PLACE} {chain} {text} comment "{comment}"\n'


def _port(port: str, bridge: str) -> str:
    # Some names of interfaces are keywords of nft.
    return f'"{port}" : goto {_PREFIX}{bridge}'


def _add(name: str, element: str) -> str:
    return f"add element {_PLACE} {name} {{ {element} }}\n"


def _delete(name: str, element: str) -> str:
    return f"delete element {_PLACE} {name} {{ {element} }}\n"


def load(desired: Mapping[str, FrameFilter | None], paths: Paths) -> None:
    """Set the filters of these bridges; None deletes one, and the table with the last. The caller holds the lock.

    Raises MissingTool, CommandFailed; a script that nft refuses changes nothing.
    """
    loaded = read_filters(paths)
    text = script(desired, loaded)
    if not text:
        return
    if not may_be_loaded(paths):
        # A run that ends right after the load has to find the table again.
        write_files([File(_record_path(paths), "{}")])
    run(["nft", "-f", "-"], stdin=text)
    listed = list_table(FAMILY, TABLE)
    digests = {} if listed is None else _parse_listing(listed)[0]
    versions = {_PREFIX + bridge: old.version for bridge, old in loaded.bridges.items()}
    versions.update({_PREFIX + bridge: wanted.version for bridge, wanted in desired.items() if wanted})
    versions[_BASE] = _digest(_BASE_RULES)
    record = {chain: [versions.get(chain, ""), digest] for chain, digest in digests.items()}
    write_files([File(_record_path(paths), json.dumps(record) if record else None)])


def add_ports(ports: Mapping[str, str], paths: Paths) -> dict[str, str]:
    """Lead the frames of these ports, each with its bridge, to the filters. The caller holds the lock.

    Returns those ports whose bridge has a filter. Raises CommandFailed.
    """
    text = "".join(_add("ports", _port(port, bridge)) for port, bridge in sorted(ports.items()))
    if run(["nft", "-f", "-"], stdin=text, check=False).code == 0:
        return dict(ports)
    # A port of this name was on another bridge, or a filter is not loaded yet.
    filters = read_filters(paths)
    filtered = {port: bridge for port, bridge in ports.items() if bridge in filters.bridges}
    lines = []
    for port, bridge in sorted(filtered.items()):
        former = [one for one, old in filters.bridges.items() if port in old.ports and one != bridge]
        lines += [_delete("ports", _port(port, one)) for one in former]
        if port not in filters.bridges[bridge].ports:
            lines.append(_add("ports", _port(port, bridge)))
    if lines:
        run(["nft", "-f", "-"], stdin="".join(lines))
    return filtered


def remove_ports(ports: Iterable[tuple[str, str]], paths: Paths) -> None:
    """Forget ports that have left the bridge beside them. The caller holds the lock. Raises CommandFailed."""
    filters = read_filters(paths)
    lines = [
        _delete("ports", _port(port, bridge))
        for port, bridge in sorted(ports)
        if bridge in filters.bridges and port in filters.bridges[bridge].ports
    ]
    if lines:
        run(["nft", "-f", "-"], stdin="".join(lines))
