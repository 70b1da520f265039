# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts brought after the definitions, without Ansible: what the service does at boot and when something breaks."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.errors import VirtnetError, printable_lines
from ..core.files import File, put
from ..core.identity import host_identity
from ..core.lock import lock
from ..core.memory import Remembered, recall
from ..core.paths import Paths
from ..core.reconcile import Reconciler, converge_locked
from ..dnsmasq.system_service import NoUsableDnsmasq
from ..kernel.links import Link, read_links
from ..libvirt.bridged import MODE as BRIDGED
from ..network.model import Network
from ..network.runtime import as_intended, read_records
from ..network.store import Stored, Unreadable, read_stored, remembering
from ..openvswitch.bridges import read_all_links
from .desired_state import KINDS, SWITCHES, parts, registrations, specs

FRAGMENTS = "fragments"

# At boot these come before and after the start of dnsmasq, which decides whether the resolver needs entries.
NETWORKS = "networks"
RESOLVER = "resolver"
STAGES = {NETWORKS: ("rules", "bridges", SWITCHES, "fragments"), RESOLVER: ("entries",)}


@dataclass(frozen=True)
class Situation:
    """What is defined, what of it shall run now, and the host's links; definitions that cannot be read stand aside.

    ``forgotten``: why nothing is known of what networks had before.
    """

    defined: Mapping[str, Network] = field(default_factory=dict)
    wanted: Sequence[Network] = ()
    remembered: Mapping[str, Remembered] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)
    unreadable: Mapping[str, Unreadable] = field(default_factory=dict)
    forgotten: str = ""

    def named(self, names: Collection[str] = ()) -> list[Network]:
        """The networks of these names, or all; raises VirtnetError for one that is not defined, or not readably."""
        return Stored(self.defined, self.unreadable).named(names)

    @property
    def problems(self) -> list[str]:
        """What of ours cannot be read, a sentence each."""
        return [*(one.problem for one in self.unreadable.values()), *([self.forgotten] if self.forgotten else [])]

    @property
    def running(self) -> list[Network]:
        """Networks that shall run."""
        return [network for network in self.wanted if network.state == "active"]


@dataclass(frozen=True)
class Outcome:
    """What became of one part; with an error, the changes are those for networks that it does not concern."""

    kind: str
    changes: Sequence[str] = ()
    notes: Sequence[str] = ()
    error: str = ""


def gather(paths: Paths) -> Situation:
    """Read definitions, records and links; raises VirtnetError."""
    stored = read_stored(paths, host_identity(paths.root))
    defined = stored.networks
    # What is not known to be gone is not to be removed either.
    memory, forgotten = _recall(paths)
    remembered = {name: one for name, one in memory.items() if name not in stored.unreadable}
    for network in defined.values():
        remembered[network.name] = remembering(remembered.get(network.name, Remembered()), network)
    links = read_all_links()
    wanted = to_run([defined[name] for name in sorted(defined)], links, read_records(paths))
    return Situation(defined, wanted, remembered, links, stored.unreadable, forgotten)


def _recall(paths: Paths) -> tuple[Mapping[str, Remembered], str]:
    """What is remembered, or why nothing is: networks can be brought back without."""
    try:
        return recall(paths), ""
    except VirtnetError as error:
        return {}, str(error)


def to_run(networks: Sequence[Network], links: Mapping[str, Link], records: Mapping[str, str]) -> list[Network]:
    """What shall run now. Pure.

    An interface that is not there (yet) is left out of the ports, since the other guests of the bridge need it now.
    """
    return [
        replace(network, bridge=replace(network.bridge, ports=tuple(p for p in network.bridge.ports if p in links)))
        for network in as_intended(networks, records, links)
    ]


def bring(
    situation: Situation,
    paths: Paths,
    *,
    kinds: Collection[str] = KINDS,
    names: Collection[str] | None = None,
    leave: Collection[str] = (),
    check: bool = False,
) -> Iterator[Outcome]:
    """Bring parts after the definitions; one that fails does not keep the others from their work.

    Only networks called ``names`` (None: all) and none called ``leave`` are touched. The caller holds the lock.
    """

    def meant(name: str) -> bool:
        return name not in leave and (names is None or name in names)

    wanted = [network for network in situation.wanted if meant(network.name)]
    remembered = {name: one for name, one in situation.remembered.items() if meant(name)}
    try:
        made = parts(specs(wanted, remembered), paths)
    except VirtnetError as error:
        yield Outcome("definitions", error=str(error))
        return
    bridges_fail = False
    for kind, part in zip(KINDS, made):
        if kind not in kinds:
            continue
        try:
            if kind == "entries" and not check and (bridges_fail or "bridges" not in kinds):
                part = parts(specs(_standing(wanted), remembered), paths)[KINDS.index(kind)]
            if kind == FRAGMENTS:
                yield _served(part, wanted, remembered, paths, check=check)
                continue
            plan = converge_locked(part, check=check)
            yield Outcome(kind, tuple(map(str, plan.changes)), tuple(plan.notes))
        except VirtnetError as error:
            bridges_fail = bridges_fail or kind in ("bridges", SWITCHES)
            yield Outcome(kind, error=str(error))


def _served(
    part: Reconciler[Any, Any],
    networks: Sequence[Network],
    remembered: Mapping[str, Remembered],
    paths: Paths,
    *,
    check: bool,
) -> Outcome:
    """DHCP and DNS. A network that no dnsmasq can serve stays as it is, and the others are served.

    Raises VirtnetError where something else is wrong.
    """
    errors: list[str] = []
    unserved: set[str] = set()
    while True:
        try:
            plan = converge_locked(part, check=check)
        except NoUsableDnsmasq as error:
            if not error.network or error.network in unserved:
                raise
            errors.append(str(error))
            unserved.add(error.network)
            served = [network for network in networks if network.name not in unserved]
            known = {name: one for name, one in remembered.items() if name not in unserved}
            part = parts(specs(served, known), paths)[KINDS.index(FRAGMENTS)]
        else:
            return Outcome(FRAGMENTS, tuple(map(str, plan.changes)), tuple(plan.notes), "; ".join(errors))


def _standing(networks: Sequence[Network]) -> list[Network]:
    """The networks as they are: one whose bridge could not be made is one that is stopped."""
    links = read_links()
    return [replace(network, state="inactive") if network.bridge.name not in links else network for network in networks]


def register(situation: Situation, paths: Paths, names: Collection[str]) -> Outcome:
    """Tell libvirt, where it is, in which state networks are now. The caller holds the lock."""
    wanted = [network for network in situation.wanted if network.name in names]
    try:
        plan = converge_locked(registrations(specs(wanted, dict[str, Remembered]()), paths))
    except VirtnetError as error:
        return Outcome("registrations", error=str(error))
    return Outcome("registrations", tuple(map(str, plan.changes)), tuple(plan.notes))


def restore(paths: Paths, stages: Collection[str] = (NETWORKS, RESOLVER)) -> int:
    """Bring the host to its definitions and tell the journal.

    Returns an exit status: 0, or 1 when a part failed.
    """
    status = 0
    with lock(paths.runtime):
        if RESOLVER in stages:
            put([File(resolver_ready(paths), "")])
        situation = gather(paths)
        for line in missing_ports(situation):
            say(line)
        for line in situation.problems:
            say(f"error: {line}")
            status = 1
        for outcome in bring(situation, paths, kinds=[kind for stage in stages for kind in STAGES[stage]]):
            for line in (*outcome.changes, *outcome.notes):
                say(line)
            if outcome.error:
                say(f"error: {outcome.error}")
                status = 1
    running = sorted(network.name for network in situation.running)
    say(f"{len(running)} of {len(situation.defined)} networks run{': ' if running else ''}{', '.join(running)}")
    return status


def resolver_ready(paths: Paths) -> str:
    """The file that says that dnsmasq and whoever else answers on this host has had its turn since the boot."""
    return os.path.join(paths.runtime, "resolver-ready")


def missing_ports(situation: Situation) -> Iterable[str]:
    """Interfaces that shall be ports, and bridges of others, that are not there."""
    for network in situation.running:
        if network.mode == BRIDGED and network.bridge.name not in situation.links:
            yield f"{network.owner}: {network.bridge.name} is not there, and is not ours to make"
        for port in situation.defined[network.name].bridge.ports:
            if port not in network.bridge.ports:
                yield f"{network.owner}: interface {port} is not there and is left out of {network.bridge.name}"


def say(line: str) -> None:
    """One line for the journal."""
    print(printable_lines(line), file=sys.stderr, flush=True)
