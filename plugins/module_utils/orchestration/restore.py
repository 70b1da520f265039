# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reconciles the parts with the stored definitions, without Ansible: at boot, and when something breaks."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.errors import VirtnetError, printable_lines
from ..core.files import File, write_files
from ..core.identity import host_identity
from ..core.lock import lock
from ..core.network_history import NetworkHistory, load_history
from ..core.paths import Paths
from ..core.reconcile import Plan, Reconciler, converge_locked
from ..dnsmasq.system_service import NoUsableDnsmasq
from ..kernel.links import Link, read_links
from ..libvirt.bridged import MODE as BRIDGED
from ..network.model import Network
from ..network.runtime import read_records, with_desired_state
from ..network.store import Stored, Unreadable, read_stored, updated_history
from ..openvswitch.bridges import read_all_links
from .desired_state import BRIDGES, ENTRIES, FRAGMENTS, OVS_BRIDGES, PARTS, REGISTRATIONS, RULES, specs_for
from .parts import reconcilers_for, registrations_reconciler

# The stages before and after the start of dnsmasq at boot. Only a running dnsmasq shows whether the resolver needs
# entries.
NETWORKS = "networks"
RESOLVER = "resolver"
STAGES = {NETWORKS: (RULES, BRIDGES, OVS_BRIDGES, FRAGMENTS), RESOLVER: (ENTRIES,)}


@dataclass(frozen=True)
class HostState:
    """What this host has stored about its networks, and its links.

    ``desired``: the defined networks with the state that they shall have now; ``history``: what networks had before;
    ``history_error``: why ``history`` cannot be read; ``unreadable``: definitions that cannot be read.
    """

    defined: Mapping[str, Network] = field(default_factory=dict)
    desired: Sequence[Network] = ()
    history: Mapping[str, NetworkHistory] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)
    unreadable: Mapping[str, Unreadable] = field(default_factory=dict)
    history_error: str = ""

    def named(self, names: Collection[str] = ()) -> list[Network]:
        """The networks of these names, or all; raises VirtnetError for one that is not defined, or not readably."""
        return Stored(self.defined, self.unreadable).named(names)

    @property
    def problems(self) -> list[str]:
        """A sentence for each stored file that cannot be read."""
        problems = [definition.problem for definition in self.unreadable.values()]
        return [*problems, self.history_error] if self.history_error else problems

    @property
    def running(self) -> list[Network]:
        """The networks that shall run now."""
        return [network for network in self.desired if network.state == "active"]


@dataclass(frozen=True)
class Outcome:
    """The result of reconciling one part. With an error, the changes concern networks without that error."""

    part: str
    changes: Sequence[str] = ()
    notes: Sequence[str] = ()
    error: str = ""

    @staticmethod
    def of(part: str, plan: Plan[Any], error: str = "") -> Outcome:
        """The result of a plan that was applied, or in check mode made."""
        return Outcome(part, tuple(map(str, plan.changes)), tuple(plan.notes), error)


def load_host_state(paths: Paths) -> HostState:
    """Read definitions, records and links; raises VirtnetError."""
    stored = read_stored(paths, host_identity(paths.root))
    defined = stored.networks
    recorded, history_error = _load_history(paths)
    # What an unreadable definition stands for is unknown, so nothing of that network is removed.
    history = {name: record for name, record in recorded.items() if name not in stored.unreadable}
    for network in defined.values():
        history[network.name] = updated_history(history.get(network.name, NetworkHistory()), network)
    links = read_all_links()
    desired = desired_networks([defined[name] for name in sorted(defined)], links, read_records(paths))
    return HostState(defined, desired, history, links, stored.unreadable, history_error)


def _load_history(paths: Paths) -> tuple[Mapping[str, NetworkHistory], str]:
    """What networks had before, or why that cannot be read: networks can be restored without it."""
    try:
        return load_history(paths), ""
    except VirtnetError as error:
        return {}, str(error)


def desired_networks(
    networks: Sequence[Network], links: Mapping[str, Link], records: Mapping[str, str]
) -> list[Network]:
    """The networks with the state that they shall have now. Pure.

    Their ports are those that exist: other guests of a bridge need it before all of its ports have appeared.
    """
    return [
        replace(
            network,
            bridge=replace(network.bridge, ports=tuple(port for port in network.bridge.ports if port in links)),
        )
        for network in with_desired_state(networks, records, links)
    ]


def reconcile(
    host: HostState,
    paths: Paths,
    *,
    parts: Collection[str] = PARTS,
    names: Collection[str] | None = None,
    exclude: Collection[str] = (),
    check: bool = False,
) -> Iterator[Outcome]:
    """Reconcile parts with the definitions; a failure of one part does not stop the others.

    Only networks called ``names`` (None: all) and none called ``exclude`` are touched. The caller holds the lock.
    """

    def is_selected(name: str) -> bool:
        return name not in exclude and (names is None or name in names)

    networks = [network for network in host.desired if is_selected(network.name)]
    # A bridge that a network had before may be that of another network now.
    kept = {network.bridge.name for network in host.desired if not is_selected(network.name)}
    history = {
        name: replace(record, bridges={bridge: mac for bridge, mac in record.bridges.items() if bridge not in kept})
        for name, record in host.history.items()
        if is_selected(name)
    }
    try:
        reconcilers = reconcilers_for(specs_for(networks, history), paths)
    except VirtnetError as error:
        yield Outcome("definitions", error=str(error))
        return
    bridges_failed = False
    for part in (part for part in PARTS if part in parts):
        try:
            if part == ENTRIES and not check and (bridges_failed or BRIDGES not in parts):
                existing = reconcilers_for(specs_for(_with_existing_bridge(networks), history), paths)
                yield Outcome.of(part, converge_locked(existing[part]))
            elif part == FRAGMENTS:
                yield _reconcile_fragments(reconcilers[part], networks, history, paths, check=check)
            else:
                yield Outcome.of(part, converge_locked(reconcilers[part], check=check))
        except VirtnetError as error:
            bridges_failed = bridges_failed or part in (BRIDGES, OVS_BRIDGES)
            yield Outcome(part, error=str(error))


def _reconcile_fragments(
    reconciler: Reconciler[Any, Any],
    networks: Sequence[Network],
    history: Mapping[str, NetworkHistory],
    paths: Paths,
    *,
    check: bool,
) -> Outcome:
    """Reconcile DHCP and DNS. A network that no dnsmasq can serve stays as it is, and the others are served.

    Raises VirtnetError for every other failure.
    """
    errors: list[str] = []
    unserved: set[str] = set()
    while True:
        try:
            return Outcome.of(FRAGMENTS, converge_locked(reconciler, check=check), "; ".join(errors))
        except NoUsableDnsmasq as error:
            if not error.network or error.network in unserved:
                raise
            errors.append(str(error))
            unserved.add(error.network)
            served = [network for network in networks if network.name not in unserved]
            served_history = {name: record for name, record in history.items() if name not in unserved}
            reconciler = reconcilers_for(specs_for(served, served_history), paths)[FRAGMENTS]


def _with_existing_bridge(networks: Sequence[Network]) -> list[Network]:
    """The networks; one whose bridge could not be created counts as stopped."""
    links = read_links()
    return [replace(network, state="inactive") if network.bridge.name not in links else network for network in networks]


def register(host: HostState, paths: Paths, names: Collection[str]) -> Outcome:
    """Set the current state of networks in libvirt, if it is installed. The caller holds the lock."""
    networks = [network for network in host.desired if network.name in names]
    try:
        plan = converge_locked(registrations_reconciler(specs_for(networks, dict[str, NetworkHistory]()), paths))
    except VirtnetError as error:
        return Outcome(REGISTRATIONS, error=str(error))
    return Outcome.of(REGISTRATIONS, plan)


def restore(paths: Paths, stages: Collection[str] = (NETWORKS, RESOLVER)) -> int:
    """Reconcile the host with its definitions and log the result.

    Returns an exit status: 0, or 1 when a part failed.
    """
    status = 0
    with lock(paths.runtime):
        if RESOLVER in stages:
            write_files([File(resolver_ready(paths), "")])
        host = load_host_state(paths)
        for line in missing_ports(host):
            log_line(line)
        for line in host.problems:
            log_line(f"error: {line}")
            status = 1
        for outcome in reconcile(host, paths, parts=[part for stage in stages for part in STAGES[stage]]):
            for line in (*outcome.changes, *outcome.notes):
                log_line(line)
            if outcome.error:
                log_line(f"error: {outcome.error}")
                status = 1
    running = sorted(network.name for network in host.running)
    log_line(f"{len(running)} of {len(host.defined)} networks run{': ' if running else ''}{', '.join(running)}")
    return status


def resolver_ready(paths: Paths) -> str:
    """The file that exists when dnsmasq and the other name servers of this host have been started since the boot."""
    return os.path.join(paths.runtime, "resolver-ready")


def missing_ports(host: HostState) -> Iterable[str]:
    """A sentence for each missing port, and for each missing bridge that is not ours."""
    for network in host.running:
        if network.mode == BRIDGED and network.bridge.name not in host.links:
            yield f"{network.owner}: bridge {network.bridge.name} does not exist, and mode bridged does not create it"
        for port in host.defined[network.name].bridge.ports:
            if port not in network.bridge.ports:
                yield f"{network.owner}: interface {port} does not exist, so {network.bridge.name} runs without it"


def log_line(line: str) -> None:
    """Write one line to the journal (standard error)."""
    print(printable_lines(line), file=sys.stderr, flush=True)
