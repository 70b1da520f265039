# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The networks whose rules differ from the desired ones, and what follows for connections. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.reconcile import CHANGE, CREATE, DELETE, Change, describe, difference
from ..nft import elements as nft_elements
from ..nft.elements import Rules
from ..nft.policy import policy_lines
from ..nft.port_forwards import Forward
from ..nft.sets import Elements

# Lines of a policy in a message.
_MOST_SHOWN = 4


@dataclass(frozen=True)
class RulesDifference:
    """A network whose rules differ; None: it has no rules. ``names``: of all networks, by bridge."""

    current: Rules | None
    desired: Rules | None
    names: Mapping[str, str] = field(default_factory=dict)

    def change(self) -> Change:
        """The change that the user sees."""
        both = [rules for rules in (self.desired, self.current) if rules is not None]
        name = f"rules of {next((rules.name for rules in both if rules.name), both[0].bridge)}"
        before, after = (_text(rules, self.names) for rules in (self.current, self.desired))
        if self.current is None or self.desired is None:
            return Change(CREATE if self.current is None else DELETE, name, before, after)
        details = [difference(_values(self.current), _values(self.desired)), self._policy_detail()]
        detail = ", ".join(filter(None, details)) or "elements repaired"
        return Change(action=CHANGE, name=name, before=before, after=after, detail=detail)

    def _policy_detail(self) -> str:
        before, after = (
            () if rules is None else policy_lines(rules.policy, self.names) for rules in (self.current, self.desired)
        )
        added = [f"+ {line}" for line in after if line not in before]
        removed = [f"- {line}" for line in before if line not in after]
        shown = [*removed, *added][:_MOST_SHOWN]
        more = len(removed) + len(added) - len(shown)
        return f"policy {', '.join(shown)}{f' and {more} more' if more else ''}" if shown else ""

    @property
    def has_new_policy(self) -> bool:
        """Whether flows that were allowed may be refused by its policy now."""
        return self.current is not None and self.desired is not None and self.current.policy != self.desired.policy

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
    names = {
        bridge: name for known in (current, desired) for (bridge,), name in known.get("vn_bridges", {}).items() if name
    }
    old, new = nft_elements.by_bridge(current), nft_elements.by_bridge(desired)
    return [
        RulesDifference(
            nft_elements.rules_of(old[bridge], bridge) if bridge in old else None,
            nft_elements.rules_of(new[bridge], bridge) if bridge in new else None,
            names,
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


def _text(rules: Rules | None, names: Mapping[str, str]) -> str:
    if rules is None:
        return ""
    policy = [f"{rules.name}: {line}" for line in policy_lines(rules.policy, names)]
    return describe({**_values(rules), **({"policy": policy} if policy else {})})
