# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reconciler of definitions: validates the whole list, assigns subnets, stores definitions.

What it stores is the desired state of the host's networks; the parts follow it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence

from ..core.command import find
from ..core.files import write_files
from ..core.identity import host_identity
from ..core.network_history import NetworkHistory, history_file, load_history
from ..core.paths import Paths
from ..core.reconcile import DELETE, preflight, read_settled
from ..firewall.helper_modules import read_missing
from ..firewall.listeners import check_listeners, read_listeners
from ..firewall.zones import read_zones
from ..ipam.allocator import AllocationSettings, Fleet, read_allocation_settings
from ..ipam.in_use import read_avoided_subnets, read_order, read_subnets_in_use
from ..ipam.subnets import Pool, host_prefix
from ..kernel.links import has_ipv6
from ..libvirt.connection import driver_installed
from ..libvirt.managed import LIBVIRT
from ..network import runtime
from ..network.combinations import notes_on_dhcp, refuse_others_names, refuse_without_effect
from ..network.model import Network
from ..network.store import read_stored, updated_history
from ..openvswitch.bridges import read_all_links
from ..resolver.reconciler import read_own_servers
from .allocation import Allocation
from .definition_changes import (
    NetworksPlan,
    changed_definitions,
    changed_settings,
    removed_unreadable,
)
from .desired_state import REGISTRATIONS, TASK_PARTS, Specs, specs_for
from .domains import read_searched_domains, with_domains
from .host_validation import new_forwards, validate_on_host
from .parts import reconcilers_for, registrations_reconciler
from .redirects import read_dnsmasq, with_redirects
from .state import State
from .validation import require_unique, validate_together


class Networks:
    """Definitions of networks; without ``pools``, ``fleet`` or ``resolver``, those of an earlier run hold.

    ``resolver`` is for the entries, which may refuse it (resolver.reconciler.ResolverEntries).
    """

    def __init__(
        self,
        networks: Sequence[Network],
        purge: bool,
        paths: Paths,
        pools: Sequence[Pool] | None = None,
        fleet: Fleet | None = None,
        resolver: str | None = None,
    ) -> None:
        self.networks = networks
        self.purge = purge
        self.paths = paths
        self.pools = pools
        self.fleet = fleet or Fleet()
        self.resolver = resolver
        require_unique(networks, "name", lambda network: network.name)

    def read(self) -> State:
        """Stored definitions and records, and the state of the host that a network may conflict with."""
        return self._read(foretold=False)

    def read_foretold(self) -> State:
        """The state with the dnsmasq that the role has installed before."""
        return self._read(foretold=True)

    def _read(self, *, foretold: bool) -> State:
        identity = host_identity(self.paths.root)
        stored = read_stored(self.paths, identity)
        own = {str(address.ip) for network in stored.networks.values() for address in network.own_addresses}
        own |= read_own_servers(self.paths.root)
        needs_ipv6 = any(network.has_ipv6 or network.ipv6.auto for network in self.networks)
        return State(
            definitions=stored.networks,
            history=load_history(self.paths),
            records=runtime.read_records(self.paths),
            occupied=read_subnets_in_use(self.paths.root, os.environ, own, ipv6=needs_ipv6),
            avoided=read_avoided_subnets(self.paths.root),
            order=read_order(),
            settings=read_allocation_settings(self.paths),
            prefix=host_prefix(identity) if has_ipv6(self.paths.proc_sys) else None,
            links=read_all_links() if find("ip") else {},
            listeners=read_listeners() if any(network.forwards for network in self.networks) else (),
            has_libvirt=driver_installed(self.paths.root),
            dnsmasq=read_dnsmasq(self.networks, self.paths, foretold=foretold),
            unreadable=stored.unreadable,
            searched=read_searched_domains(self.paths),
            missing_helpers=read_missing({helper for network in self.networks for helper in network.helpers}),
            taken=runtime.read_taken(self.paths),
            zones=read_zones() if any(network.bridge.zone for network in self.networks) else None,
        )

    def plan(self, current: State) -> NetworksPlan:
        """All definitions as they will be; raises InvalidOption for every error that the list can have."""
        listed = {network.name for network in self.networks}
        removed = self._removed(current)
        # An unreadable definition that the list does not name is kept, with all that its network has on this host.
        unreadable_kept = set(current.unreadable) - removed - listed
        unchanged = [one for one in current.definitions.values() if one.name not in removed | listed]
        defined = [network for network in self.networks if network.name not in removed]
        settings = self._settings(current.settings)
        allocation = Allocation(defined, unchanged, current, settings, self.fleet)
        assigned = with_domains(allocation.assign(), unchanged, current)
        self._validate(assigned, unchanged, current)
        new = with_redirects(assigned, unchanged, current)
        after = {network.name: network for network in sorted([*unchanged, *new], key=lambda network: network.name)}
        history = _updated_history(current, after.values())
        records = _updated_records(current.records, new, after)
        specs = self._specs(new, unchanged, current, history, unreadable_kept)
        networks = list(after.values())
        unreadable_removed = {name: one for name, one in current.unreadable.items() if name not in unreadable_kept}
        return NetworksPlan(
            changes=[
                *changed_settings(current.settings, settings, self.paths),
                *removed_unreadable(unreadable_removed),
                *changed_definitions(current.definitions, after, current.records, records, self.paths),
            ],
            result=[network.as_options() for network in networks],
            notes=[
                *allocation.notes(new),
                *(note for network in new for note in notes_on_dhcp(network)),
                *(current.unreadable[name].problem for name in sorted(unreadable_kept)),
            ],
            return_values=specs,
            networks=networks,
            specs=specs,
            history_files=[history_file(history, self.paths)],
            record_files=[runtime.records_file(records, self.paths)],
        )

    def _settings(self, stored: AllocationSettings) -> AllocationSettings:
        pools = stored.pools if self.pools is None else tuple(self.pools)
        return AllocationSettings(pools, stored.share if self.fleet.share is None else self.fleet.share)

    def _removed(self, current: State) -> set[str]:
        removed = {network.name for network in self.networks if network.state == "absent"}
        if self.purge:
            removed |= {*current.definitions, *current.unreadable} - {network.name for network in self.networks}
        return removed

    def _validate(self, new: Sequence[Network], unchanged: Sequence[Network], current: State) -> None:
        validate_together([*unchanged, *new])
        for network in new:
            refuse_others_names(network)
            refuse_without_effect(network)
            validate_on_host(network, current)
        check_listeners(new_forwards(new, current), current.listeners)

    def _specs(
        self,
        new: Sequence[Network],
        unchanged: Sequence[Network],
        current: State,
        history: Mapping[str, NetworkHistory],
        unreadable_kept: Collection[str],
    ) -> Specs:
        """What the parts have to do. A network that the list does not name keeps its state, even if stopped by hand."""
        running = [*new, *runtime.with_desired_state(unchanged, current.records, current.links)]
        known_history = {name: record for name, record in history.items() if name not in unreadable_kept}
        specs = specs_for(sorted(running, key=lambda network: network.name), known_history)
        removed = self._removed(current)
        # libvirt's own networks that the user removes, also those that we never knew.
        of_libvirt = sorted(one.name for one in self.networks if one.name in removed and one.managed_by == LIBVIRT)
        absent = [{"name": name, "state": "absent", "managed_by": LIBVIRT} for name in of_libvirt]
        others = [spec for spec in specs[REGISTRATIONS] if spec["name"] not in of_libvirt]
        return {**specs, REGISTRATIONS: [*absent, *others]}

    def apply(self, plan: NetworksPlan) -> None:
        """Store the definitions, unless one of the reconcilers refuses what they ask for.

        The history is stored first: a run that is cut short can then be completed or undone by another.
        """
        for reconciler in reconcilers_for(plan.specs, self.paths, plan.networks, resolver=self.resolver).values():
            part = reconciler.plan(read_settled(reconciler))
            # What only goes away is not refused here: whatever is wrong with dnsmasq, bridges and rules can go.
            if any(change.action != DELETE for change in part.changes):
                preflight(reconciler, part)
        registrations = registrations_reconciler(plan.specs, self.paths)
        # Not every play has a task for libvirt, so the run does not wait for one that has nothing to do.
        libvirt = (REGISTRATIONS,) if registrations.plan(registrations.read()).changes else ()
        write_files(plan.history_files)
        # Tasks of their own reconcile the parts: meanwhile the guard leaves these networks to them.
        files = [*plan.record_files, *(file for change in plan.changes for file in change.files)]
        runtime.record_pending_run(
            plan.changed_networks, (*TASK_PARTS, *libvirt), self.paths, plan.definition_files, files
        )


def _updated_history(current: State, after: Collection[Network]) -> dict[str, NetworkHistory]:
    """The history with all networks of before and after.

    A stored definition may be copied from another host; its network must be removable as completely as any other.
    """
    history = dict(current.history)
    for network in (*current.definitions.values(), *after):
        history[network.name] = updated_history(history.get(network.name, NetworkHistory()), network)
    return history


def _updated_records(records: Mapping[str, str], new: Sequence[Network], after: Collection[str]) -> dict[str, str]:
    """The networks that count as started or stopped by hand when this run is complete."""
    named = {network.name for network in new}
    updated = {name: record for name, record in records.items() if name in after and name not in named}
    for network in sorted(new, key=lambda network: network.name):
        record = runtime.record_for(network, records.get(network.name))
        if record is not None:
            updated[network.name] = record
    return updated
