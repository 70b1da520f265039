# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reconcilers of a host's networks by part: the only place that knows all reconcilers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from ..bridge.network_managers import ManagedBridgeReconciler
from ..bridge.reconciler import BridgeReconciler
from ..bridge.spec import BridgeSpec
from ..core.options import Options
from ..core.paths import Paths
from ..core.reconcile import Reconciler, read_settled
from ..dnsmasq.reconciler import Fragments
from ..dnsmasq.spec import FragmentSpec
from ..firewall.reconciler import RulesReconciler
from ..kernel.links import OPENVSWITCH
from ..libvirt.definition import RegistrationSpec
from ..libvirt.reconciler import Registrations
from ..network.model import Network
from ..nft.spec import RulesSpec
from ..resolver.reconciler import ResolverEntries
from ..resolver.spec import EntrySpec
from .desired_state import (
    BRIDGES,
    ENTRIES,
    FRAGMENT_OPTIONS,
    FRAGMENTS,
    OVS_BRIDGES,
    REGISTRATIONS,
    RULES,
    Specs,
)

T = TypeVar("T")

# The options of a network that contain a part's options, so that an error names what the user wrote.
_OPTION_OF = {BRIDGES: "bridge", OVS_BRIDGES: "bridge", RULES: "", FRAGMENTS: "ipv4.dhcp", ENTRIES: "dns"}


def reconcilers_for(
    specs: Specs,
    paths: Paths,
    networks: Iterable[Network] = (),
    *,
    integrate: bool | None = None,
    resolver: str | None = None,
    may_move: bool = False,
) -> dict[str, Reconciler[Any, Any]]:
    """The reconciler of each part, in the order of PARTS; raises InvalidOption.

    ``networks`` are those that the user wrote, for the paths in errors; ``integrate`` is for the rules
    (firewall.reconciler.RulesReconciler), ``resolver`` for the entries (resolver.reconciler.ResolverEntries),
    ``may_move`` for the bridges (bridge.reconciler.BridgeReconciler).
    """
    listed = list(networks)
    path_of = {key: network.path for network in listed for key in (network.name, network.bridge.name) if network.path}
    ovs = [spec for spec in specs[BRIDGES] if spec.get("type") == OPENVSWITCH]
    linux = [spec for spec in specs[BRIDGES] if spec not in ovs]
    by_part = {**specs, BRIDGES: linux, OVS_BRIDGES: ovs}

    def read(part: str, from_options: Callable[[Options], T]) -> list[T]:
        specs = []
        for i, spec in enumerate(by_part[part]):
            path = path_of.get(spec.get("name") or spec["interface"])
            path = f"{path}.{_OPTION_OF[part]}".rstrip(".") if path else f"{part}[{i}]"
            specs.append(from_options(Options(dict(spec), path)))
        return specs

    def bridges(part: str) -> ManagedBridgeReconciler:
        return ManagedBridgeReconciler(
            BridgeReconciler(read(part, BridgeSpec.from_options), False, paths, may_move), paths
        )

    def fragments() -> list[FragmentSpec]:
        specs = read(FRAGMENTS, FragmentSpec.from_options)
        return [replace(spec, path=path_of.get(spec.name, ""), user_names=FRAGMENT_OPTIONS) for spec in specs]

    def entries() -> list[EntrySpec]:
        owners = {network.bridge.name: network.owner for network in listed}
        specs = read(ENTRIES, EntrySpec.from_options)
        return [replace(spec, owner=owners.get(spec.interface, spec.owner)) for spec in specs]

    return {
        RULES: RulesReconciler(read(RULES, RulesSpec.from_options), False, paths, integrate=integrate),
        BRIDGES: bridges(BRIDGES),
        OVS_BRIDGES: bridges(OVS_BRIDGES),
        FRAGMENTS: Fragments(fragments(), False, paths),
        ENTRIES: ResolverEntries(entries(), False, paths, resolver),
    }


def registrations_reconciler(specs: Specs, paths: Paths) -> Registrations:
    """The reconciler of libvirt's registrations. It is not a part: at boot libvirt starts after the networks."""
    options = [Options(dict(spec), f"{REGISTRATIONS}[{i}]") for i, spec in enumerate(specs[REGISTRATIONS])]
    return Registrations(list(map(RegistrationSpec.from_options, options)), False, paths)


def pending_changes(
    specs: Specs,
    paths: Paths,
    integrate: bool | None = None,
    resolver: str | None = None,
    *,
    networks: Iterable[Network] = (),
    check: bool = True,
) -> tuple[list[str], list[str]]:
    """The changes that all reconcilers plan now, and their notes. Without changes, none of their tasks has to run.

    ``networks`` are for errors. Without ``check``, a service that is starting or stopping is waited for.
    """
    by_part = reconcilers_for(specs, paths, networks, integrate=integrate, resolver=resolver, may_move=True)
    plans: list[Any] = [
        reconciler.plan(reconciler.read() if check else read_settled(reconciler))
        for reconciler in (*by_part.values(), registrations_reconciler(specs, paths))
    ]
    return [str(change) for plan in plans for change in plan.changes], [note for plan in plans for note in plan.notes]
