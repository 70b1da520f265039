# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which networks have a private dnsmasq at ports of its own, since others hold the usual ones. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from .placement import place_networks, private_problem, reason_for_private
from .spec import SYSTEM, FragmentSpec
from .state import State
from .system_config import WILDCARD
from .system_service import NoUsableDnsmasq


def choose_redirects(
    specs: Sequence[FragmentSpec], current: State, redirected: Collection[str], undecided: Collection[str]
) -> set[str]:
    """The names of networks whose private instance needs ports of its own, of those that are ``undecided``.

    ``redirected``: those that have had them; they keep them as long as a private instance serves them. What no dnsmasq
    can serve is not refused here.
    """
    may_redirect = {spec.name for spec in specs if spec.name in undecided and spec.instance != SYSTEM}
    chosen: set[str] = set()
    if current.system_runs_or_is_enabled and current.config.binding == WILDCARD:
        # At the usual ports they would keep the system's dnsmasq from serving the others.
        chosen = {name for spec in specs if (name := spec.name) in may_redirect and reason_for_private(spec, current)}
    refused: set[str] = set()
    while True:
        tried = [
            replace(spec, redirect=True) if spec.name in chosen else spec for spec in specs if spec.name not in refused
        ]
        try:
            placements = place_networks(tried, current, with_names=may_redirect)
        except NoUsableDnsmasq as error:
            if error.network not in may_redirect - chosen:
                refused |= {error.network} if error.network else {spec.name for spec in tried}
                continue
            others = [
                spec for spec in tried if spec.name in may_redirect - chosen and reason_for_private(spec, current)
            ]
            chosen |= {error.network, *(spec.name for spec in others if private_problem(spec, current, ()))}
        else:
            private = {placement.spec.name for placement in placements if placement.is_private}
            return (private | refused) & may_redirect & (chosen | set(redirected))
