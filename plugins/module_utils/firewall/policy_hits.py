# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The packets that entries of policies have matched, as the loaded table counts them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nft.listing import Table
from ..nft.policy import ALLOW, DENY, Policy
from ..nft.policy_sets import entry_of, policy_set


@dataclass(frozen=True)
class Hits:
    """The first packets of flows that an entry has matched. ``entry``: in words, as ``allow -> dmz tcp 443``."""

    network: str
    entry: str
    packets: int

    def as_options(self) -> dict[str, Any]:
        """The return value."""
        return {"entry": self.entry, "packets": self.packets}


def policy_hits(table: Table | None) -> list[Hits]:
    """The hits of all networks; those of host's ports as well. They count since the entry was added, or the whole
    table was loaded."""
    if table is None:
        return []
    names = {bridge: name for (bridge,), name in table.elements.get("vn_bridges", {}).items()}
    hits = []
    for set_name, counted in table.hits.items():
        one = policy_set(set_name)
        if one is None:
            continue
        for key, (packets, _bytes) in counted.items():
            entry = entry_of(one, key)
            (named,) = Policy(allow=(entry,)).with_networks(names).allow
            to_host = f"to host {entry.protocol} {entry.ports}"
            text = f"{one.kind} {named}" if one.kind in (ALLOW, DENY) else to_host
            hits.append(Hits(names.get(one.bridge, one.bridge), text, packets))
    return sorted(hits, key=lambda hit: (hit.network, hit.entry))
