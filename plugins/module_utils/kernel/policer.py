# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The limit of what guests send: packets that arrive at a bridge beyond its rate are dropped (nft(8), LIMIT STATEMENT).

The table ``netdev virtnet`` has a chain at the ingress of each bridge, where the policers of tc are too, which not
every kernel has. Packets cannot wait on another device instead (mirred): they would lose the state of br_netfilter,
and leave the host without NAT.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.command import find, run
from .bandwidth import KIBIBYTES, KILOBYTES, Limit
from .nft_table import list_table

FAMILY = "netdev"
TABLE = "virtnet"

# Before all other chains (NF_IP_PRI_RAW_BEFORE_DEFRAG), so that they do no work for dropped packets.
_PRIORITY = -450
_UNITS = {"bytes": 1, "kbytes": 1024, "mbytes": 1024**2}


@dataclass(frozen=True)
class Policer:
    """Rates in bytes a second, each with its burst in bytes; the peak comes first, if there is one."""

    rates: Sequence[tuple[int, int]] = ()

    @staticmethod
    def of(limit: Limit) -> Policer:
        """The policer of a limit. The kernel's bucket holds one second of the rate and the burst (nft_limit_init())."""
        rate = limit.average * KILOBYTES
        average = (rate, max(limit.bucket - rate, 0))
        return Policer((average,) if limit.peak is None else ((limit.peak * KILOBYTES, 0), average))

    def __str__(self) -> str:
        (rate, burst), *peak = reversed(self.rates)
        most = f", {peak[0][0] // KILOBYTES} kB/s" if peak else ""
        return f"{rate // KILOBYTES} kB/s{most} in bursts of {round((rate + burst) / KIBIBYTES)} KiB"


def chain(bridge: str) -> str:
    """The chain of a bridge; the prefix avoids names that are keywords of nft."""
    return f"in_{bridge}"


def read_policers() -> dict[str, Policer | None]:
    """Policers by chain, None for a chain that we did not make like this; raises CommandFailed."""
    if find("nft") is None:
        return {}
    listed = list_table(FAMILY, TABLE)
    return {} if listed is None else parse(listed)


def parse(text: str) -> dict[str, Policer | None]:
    """Policers by chain, from the output of ``nft -j list table netdev virtnet``."""
    listed = json.loads(text)["nftables"]
    chains = [item["chain"] for item in listed if "chain" in item]
    rules = [item["rule"] for item in listed if "rule" in item]
    policers: dict[str, Policer | None] = {}
    for listed_chain in chains:
        name = listed_chain["name"]
        rates = [_rate(rule["expr"]) for rule in rules if rule["chain"] == name]
        hook = (listed_chain.get("hook"), listed_chain.get("prio"))
        right = hook == ("ingress", _PRIORITY) and _is_on_bridge(listed_chain)
        known = tuple(rate for rate in rates if rate is not None)
        policers[name] = Policer(known) if right and known and len(known) == len(rates) else None
    return policers


def _is_on_bridge(listed_chain: Mapping[str, Any]) -> bool:
    """Whether a chain is on its bridge, or nft does not print the device (nft 1.0 in JSON)."""
    device = listed_chain.get("dev", listed_chain["name"].partition("_")[2])
    name = str(device[0] if isinstance(device, list) and len(device) == 1 else device)
    return chain(name) == str(listed_chain["name"])


def _rate(expressions: Sequence[Any]) -> tuple[int, int] | None:
    if len(expressions) != 2 or "drop" not in expressions[1] or "limit" not in expressions[0]:
        return None
    limit = expressions[0]["limit"]
    if not limit.get("inv") or limit.get("per") != "second" or limit.get("rate_unit") not in _UNITS:
        return None
    return (
        limit["rate"] * _UNITS[limit["rate_unit"]],
        limit.get("burst", 0) * _UNITS.get(limit.get("burst_unit", "bytes"), 0),
    )


@dataclass(frozen=True)
class SetPolicer:
    """Set the policer of an existing bridge, None for none. One transaction does it, so no packet is lost."""

    bridge: str
    policer: Policer | None

    def apply(self) -> None:
        """Load it, and delete the table with the last policer; raises MissingTool, CommandFailed."""
        if self.policer is None and set(read_policers()) <= {chain(self.bridge)}:
            run(["nft", "delete", "table", FAMILY, TABLE])
        else:
            run(["nft", "-f", "-"], stdin=self.script)

    @property
    def script(self) -> str:
        """The script for nft."""
        place = f"{FAMILY} {TABLE}"
        name = chain(self.bridge)
        if self.policer is None:
            return f"delete chain {place} {name}\n"
        rules = "\n".join(
            f"\t\tlimit rate over {rate} bytes/second{f' burst {burst} bytes' if burst else ''} drop"
            for rate, burst in self.policer.rates
        )
        hook = f'type filter hook ingress device "{self.bridge}" priority {_PRIORITY}; policy accept;'
        declared = f"table {place} {{\n\tchain {name} {{ {hook} }}\n}}\n"
        # A chain that may not exist has to be added before it can be deleted ("destroy" is newer than nft 1.0.6).
        return (
            f"{declared}delete chain {place} {name}\n"
            f"table {place} {{\n\tchain {name} {{\n\t\t{hook}\n{rules}\n\t}}\n}}\n"
        )
