# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The networks whose rules differ from the desired ones, and what follows for connections. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.reconcile import CHANGE, CREATE, DELETE, Change, describe, difference
from ..nft import elements as nft_elements
from ..nft.elements import Rules
from ..nft.port_forwards import Forward
from ..nft.sets import Elements


@dataclass(frozen=True)
class RulesDifference:
    """A network whose rules differ; None: it has no rules."""

    current: Rules | None
    desired: Rules | None

    def change(self) -> Change:
        """The change that the user sees."""
        both = [rules for rules in (self.desired, self.current) if rules is not None]
        name = f"rules of {next((rules.name for rules in both if rules.name), both[0].bridge)}"
        before, after = _text(self.current), _text(self.desired)
        if self.current is None or self.desired is None:
            return Change(CREATE if self.current is None else DELETE, name, before, after)
        detail = difference(_values(self.current), _values(self.desired)) or "elements repaired"
        return Change(action=CHANGE, name=name, before=before, after=after, detail=detail)

    @property
    def removed_forwards(self) -> Sequence[Forward]:
        """Port forwards that it no longer has."""
        kept = () if self.desired is None else self.desired.forwards
        return [] if self.current is None else [forward for forward in self.current.forwards if forward not in kept]

    @property
    def new_forwards(self) -> Sequence[Forward]:
        """Port forwards that it does not have yet."""
        known = () if self.current is None else self.current.forwards
        return [] if self.desired is None else [forward for forward in self.desired.forwards if forward not in known]

    @property
    def redirected(self) -> Collection[str]:
        """Addresses whose name server has other ports than before."""
        before, after = (
            (set() if rules is None else set(rules.redirect_dns)) for rules in (self.current, self.desired)
        )
        return before ^ after

    @property
    def closed_subnets(self) -> Sequence[str]:
        """Its subnets, where connections that were allowed are no longer: conntrack lets them pass until they end."""
        if self.current is None:
            return ()
        if self.desired is None:
            return self.current.subnets
        loses_dns = self.current.dns and not self.desired.dns
        closed = self.desired.mode == "isolated" and (self.current.mode != "isolated" or loses_dns)
        return self.current.subnets if closed else ()


def rules_differences(current: Elements, desired: Elements) -> list[RulesDifference]:
    """The networks whose elements differ, by name of the bridge."""
    old, new = nft_elements.by_bridge(current), nft_elements.by_bridge(desired)
    return [
        RulesDifference(
            nft_elements.rules_of(old[bridge], bridge) if bridge in old else None,
            nft_elements.rules_of(new[bridge], bridge) if bridge in new else None,
        )
        for bridge in sorted({*old, *new})
        if old.get(bridge) != new.get(bridge)
    ]


def _values(rules: Rules) -> Mapping[str, Any]:
    return {
        "bridge": rules.bridge,
        "mode": rules.mode,
        "uplink": ", ".join(rules.uplinks) or "any",
        "subnets": list(rules.subnets),
        **({"nat": rules.nat.as_options()} if rules.mode == "nat" else {}),
        **({"port_forwards": [str(forward) for forward in rules.forwards]} if rules.forwards else {}),
        "isolate_guests": rules.isolate_guests,
        **({"connection_rate": rules.connection_rate or "no limit"} if rules.mode != "open" else {}),
        **({"clamp_mss": rules.clamp_mss} if rules.mode != "open" else {}),
        **({"conntrack_helpers": list(rules.helpers)} if rules.helpers else {}),
        **({"dns": rules.dns} if rules.mode == "isolated" else {}),
        **({"redirect_dns": list(rules.redirect_dns)} if rules.redirect_dns else {}),
        **({"redirect_dhcp": True} if rules.redirect_dhcp else {}),
    }


def _text(rules: Rules | None) -> str:
    return "" if rules is None else describe(_values(rules))
