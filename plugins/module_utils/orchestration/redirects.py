# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Chooses the networks whose private dnsmasq has ports of its own (``dnsmasq.redirect``), where the user does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..core.options import Options
from ..core.paths import Paths
from ..core.reconcile import read_foretold, read_settled
from ..dnsmasq.reconciler import Fragments
from ..dnsmasq.redirects import choose_redirects
from ..dnsmasq.spec import PRESENT, SYSTEM, FragmentSpec
from ..dnsmasq.state import State as DnsmasqState
from ..network.model import Network
from .desired_state import FRAGMENTS, specs_for
from .state import State


def read_dnsmasq(networks: Sequence[Network], paths: Paths, *, foretold: bool = False) -> DnsmasqState | None:
    """The state of the host's dnsmasq and of the ports that it needs; None if nothing has to be chosen from it.

    ``foretold``: as the tasks before leave it (core.reconcile.read_foretold()).
    """
    if not any(map(_is_undecided, networks)):
        return None
    served = [network for network in networks if network.has_own_bridge and network.state == "active"]
    specs = [
        FragmentSpec(name=network.name, interface=network.bridge.name, instance=network.dnsmasq_instance)
        for network in served
    ]
    reconciler = Fragments(specs, False, paths)
    return read_foretold(reconciler) if foretold else read_settled(reconciler)


def with_redirects(new: Sequence[Network], unchanged: Sequence[Network], current: State) -> list[Network]:
    """The networks of the list, each with its choice. ``unchanged``: those that the list does not name."""
    stored = current.definitions
    redirected = {name for name, network in stored.items() if network.dnsmasq_redirect}
    undecided = {network.name for network in new if _is_undecided(network)}
    if undecided and current.dnsmasq is not None:
        options = specs_for([*new, *unchanged], {})[FRAGMENTS]
        specs = [FragmentSpec.from_options(Options(dict(spec))) for spec in options]
        served = [spec for spec in specs if spec.state == PRESENT]
        chosen = choose_redirects(served, current.dnsmasq, redirected & undecided, undecided)
        redirected = redirected - undecided | chosen
    return [
        replace(network, dnsmasq_redirect=True)
        if network.dnsmasq_redirect is None and network.name in redirected
        else network
        for network in new
    ]


def _is_undecided(network: Network) -> bool:
    is_served = network.has_own_bridge and network.state == "active" and network.dnsmasq_instance != SYSTEM
    return is_served and network.dnsmasq_redirect is None
