# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Chooses domains for networks that name none, when they are defined first."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..core.paths import Paths
from ..core.untrusted import LARGEST_RESOLV_CONF, UnusableFile, read_untrusted_text
from ..network.domains import choose_domain, domain_candidates, is_exact
from ..network.model import Network
from ..resolver.owner import RESOLV_CONF
from ..resolver.plain_file import without_blocks
from ..resolver.reconciler import read_entries
from ..resolver.resolv_conf import parse
from .state import State


def read_searched_domains(paths: Paths) -> frozenset[str]:
    """The domains that the host searches, without those of our networks."""
    try:
        text = read_untrusted_text(os.path.join(paths.root, RESOLV_CONF), LARGEST_RESOLV_CONF) or ""
    except UnusableFile:
        # The reconciler of the resolver refuses it, if an entry is needed.
        return frozenset()
    searched = {domain.rstrip(".").lower() for domain in parse(without_blocks(text)).search}
    return frozenset(searched - {entry.domain for entry in read_entries(paths).values()})


def with_domains(new: Sequence[Network], unchanged: Sequence[Network], current: State) -> list[Network]:
    """The networks of the list, each with its domain. ``unchanged``: those that the list does not name.

    A stored network keeps the domain that was chosen for it. One that was stored without a domain keeps none.
    """
    undecided = [network for network in new if _is_undecided(network, current)]
    chosen = {network.name: domain for network in undecided for domain in _stored_choice(network, current)}
    taken = {network.dns.domain for network in (*unchanged, *new) if network.dns.domain} | set(chosen.values())
    # Names that others answer must not become names of a network.
    forwarded = {one.domain for network in (*unchanged, *new) for one in network.dns.names.forwarders if one.domain}
    for network in sorted(undecided, key=lambda network: (not is_exact(network.name), network.name)):
        if network.name not in chosen:
            # The host may still search the domain of a network of ours whose definition is lost.
            own = domain_candidates(network.name) if network.name in current.history else ()
            chosen[network.name] = choose_domain(network.name, taken, set(current.searched).difference(own) | forwarded)
            taken.add(chosen[network.name])
    return [
        network.with_domain(chosen[network.name]) if network.name in chosen else _without_empty(network, current)
        for network in new
    ]


def _is_undecided(network: Network, current: State) -> bool:
    stored = current.definitions.get(network.name)
    goes_without = stored is not None and stored.dns.domain is None and _has_name_server(stored)
    return network.dns.domain is None and _has_name_server(network) and not goes_without


def _stored_choice(network: Network, current: State) -> Sequence[str]:
    """The domain that was chosen for a network earlier, or nothing."""
    stored = current.definitions.get(network.name)
    domain = stored.dns.domain if stored is not None else None
    return [domain] if domain and domain in domain_candidates(network.name) else []


def _without_empty(network: Network, current: State) -> Network:
    """A network without a domain whose definition is from a version without automatic domains does not change."""
    stored = current.definitions.get(network.name)
    same = network.dns.domain == "" and stored is not None and stored.dns.domain is None
    return network.with_domain(None) if same else network


def _has_name_server(network: Network) -> bool:
    return network.has_own_bridge and network.dns.enabled and bool(network.own_addresses)
