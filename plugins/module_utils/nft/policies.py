# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The chains of policies. A table without policies has none of them.

A verdict map leads the first packet of a flow to the chain of its network, before the chains of the modes: so a policy
can open a network that is closed to others. The chain goes on to that of the mode, without another lookup of the
network. Frames within a network pass it by.
"""

from __future__ import annotations

from collections.abc import Sequence

from .policy import ALLOW, DENY, LIMITED
from .policy_sets import HOST, PolicySet, chain_names, policy_set, settings_of
from .sets import Elements

Rules = Sequence[tuple[str, str]]

_REFUSE = "counter reject with icmpx admin-prohibited"
_LOG_RATE = "limit rate 10/second burst 20 packets"
# MLD reports are for snooping bridges; neighbour discovery finds the gateway.
_ICMP = (
    ("icmp type echo-request return", "ping"),
    (
        "icmpv6 type { echo-request, nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-report, "
        "mld-listener-done, mld2-listener-report } return",
        "ping and neighbour discovery",
    ),
)


def declarations(elements: Elements) -> dict[str, str]:
    """The declarations of the sets of policies that have elements."""
    sets = {name: policy_set(name) for name, members in elements.items() if members}
    return {name: one.declaration for name, one in sorted(sets.items()) if one}


def chain_rules(elements: Elements, spoofed: Rules, helpers: Rules) -> dict[str, Rules]:
    """The rules of each chain, those that others refer to first; the rules of ``spoofed`` and ``helpers`` are shared.

    vn_opened: into another network that the policy names. vn_allowed_MODE: as without a policy.
    """
    chains: dict[str, Rules] = {}
    by_bridge: dict[str, list[PolicySet]] = {}
    for name, members in elements.items():
        one = policy_set(name)
        if one and members:
            by_bridge.setdefault(one.bridge, []).append(one)
    if elements.get("vn_policed"):
        chains["vn_opened"] = [
            ("ct state invalid,untracked drop", "no connection"),
            *spoofed,
            *helpers,
            ("goto vn_pass", "into a network that the policy names"),
        ]
        for mode in LIMITED:
            chains[f"vn_allowed_{mode}"] = [
                ("oifname vmap @vn_to_guest", "to a guest"),
                (f"goto vn_from_{mode}", "from a guest"),
            ]
    bridges = {key[0] for name in ("vn_policed", "vn_policed_host") for key in elements.get(name, {})}
    for bridge in sorted(bridges):
        chains.update(_of_network(elements, bridge, sorted(by_bridge.get(bridge, ()))))
    return chains


def _of_network(elements: Elements, bridge: str, sets: Sequence[PolicySet]) -> dict[str, Rules]:
    policy = settings_of(elements, bridge)
    chains: dict[str, Rules] = {}
    refuse = _REFUSE
    if policy.log:
        name = elements.get("vn_bridges", {}).get((bridge,), bridge)
        refused = f"vn_refused_{bridge}"
        chains[refused] = [(f'{_LOG_RATE} log prefix "virtnet {name} refused: "', "log"), (_REFUSE, "refused")]
        refuse = f"goto {refused}"
    forwarding, host = chain_names(elements, bridge)
    if forwarding:
        mode = elements.get("vn_from_guest", {}).get((bridge,), "").rpartition("vn_from_")[2]
        allowed = f"goto vn_allowed_{mode}" if mode in LIMITED else "return"
        chains[forwarding] = [
            (f'oifname "{bridge}" return', "frames within the network (br_netfilter)"),
            *((f"{one.expression} @{one.name} {refuse}", "denied") for one in sets if one.kind == DENY),
            # These first: the others leave it to the mode whether another network is reached.
            *(
                (f"{one.expression} @{one.name} {'goto vn_opened' if 'o' in one.fields else allowed}", "allowed")
                for one in sorted(sets, key=lambda one: "o" not in one.fields)
                if one.kind == ALLOW
            ),
            (refuse if policy.default == DENY else allowed, f"default: {policy.default}"),
        ]
    if host:
        ports = [(f"{one.expression} @{one.name} return", "allowed") for one in sets if one.kind == HOST]
        chains[host] = [*ports, *_ICMP, (refuse, "other ports of the host")]
    return chains
