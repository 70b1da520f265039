# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The work of the guard's child processes, which free at their end what they import and allocate."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..bridge.port_records import record_ovs_ports
from ..core.errors import Locked, VirtnetError
from ..core.files import write_files
from ..core.lock import lock
from ..core.paths import Paths
from ..kernel.links import OPENVSWITCH
from ..network.runtime import pending_file, read_pending
from ..orchestration.desired_state import BRIDGES, OVS_BRIDGES, PARTS, REGISTRATIONS
from ..orchestration.restore import NETWORKS, Outcome, load_host_state, log_line, reconcile, restore
from ..orchestration.subnet_conflicts import find_moves, guest_ports, store_moves
from .carrier import bring_up_saved, links_down
from .view import AFTER_BRIDGES, View

# Seconds to wait for a run that holds the lock; after that the guard handles events, and tries again.
_LOCK_TIMEOUT = 2.0

T = TypeVar("T")


@dataclass(frozen=True)
class Snapshot:
    """What the guard knows of the host; ``error``: why it could not be read.

    ``defined`` and ``running``: numbers of networks; ``problems``: a sentence for each stored file that is unreadable.
    """

    view: View = field(default_factory=View)
    defined: int = 0
    running: int = 0
    error: str = ""
    problems: Sequence[str] = ()


@dataclass(frozen=True)
class Repair:
    """What became of each part; ``locked``: nothing was done, since a run holds the lock."""

    outcomes: Sequence[Outcome] = ()
    locked: bool = False


@dataclass(frozen=True)
class Resolution:
    """What became of conflicts: sentences on networks that were moved and that were not, and errors of parts.

    ``moved``: the names of the networks that were moved.
    """

    moved: Sequence[str] = ()
    moves: Sequence[str] = ()
    unresolved: Sequence[str] = ()
    errors: Sequence[str] = ()


def in_child(work: Callable[..., T], *arguments: Any) -> T | None:
    """The result of a function that a child process calls; None if the child failed."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        _run_child(reader, writer, work, arguments)
    os.close(writer)
    with open(reader, "rb") as stream:
        pickled = stream.read()
    _process, status = os.waitpid(process, 0)
    if status != 0 or not pickled:
        return None
    result: T = pickle.loads(pickled)
    return result


def _run_child(reader: int, writer: int, work: Callable[..., Any], arguments: Sequence[Any]) -> None:
    status = 1
    try:
        os.close(reader)
        # The guard waits for its children, so that each completes what it began.
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        with open(writer, "wb") as stream:
            pickle.dump(work(*arguments), stream)
        status = 0
    except BrokenPipeError:
        # The guard was killed; its child has done the work all the same.
        status = 0
    except VirtnetError as error:
        log_line(f"error: {error}")
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def restore_at_boot(paths: Paths) -> None:
    """Restore all but the resolver's entries: another service restores these after dnsmasq has started."""
    restore(paths, [NETWORKS])
    bring_up_saved(paths)


def take_snapshot(paths: Paths, ports_before: Mapping[str, Mapping[int, str]]) -> Snapshot:
    """Read definitions and links."""
    try:
        host = load_host_state(paths)
    except VirtnetError as error:
        return Snapshot(error=str(error))
    view = View.of(host, ports_before)
    return Snapshot(view, len(host.defined), len(host.running), problems=host.problems)


def repair(paths: Paths, parts: Collection[str], exclude: Collection[str]) -> Repair:
    """Reconcile parts with the definitions, except those of networks that a run of a playbook is about to reconcile."""
    try:
        with lock(paths.runtime, _LOCK_TIMEOUT):
            return Repair(_repair_locked(paths, parts, exclude))
    except Locked:
        return Repair(locked=True)
    except VirtnetError as error:
        return Repair([Outcome(part, error=str(error)) for part in parts])


def _repair_locked(paths: Paths, parts: Collection[str], exclude: Collection[str]) -> list[Outcome]:
    # A run may have stored networks while this waited for the lock.
    exclude = {*exclude, *read_pending(paths)}
    host = load_host_state(paths)
    if exclude and all(network.name in exclude for network in host.desired):
        return []
    outcomes = list(reconcile(host, paths, parts=parts, exclude=exclude))
    dependent = AFTER_BRIDGES - set(parts)
    if dependent and any(outcome.part in (BRIDGES, OVS_BRIDGES) and outcome.changes for outcome in outcomes):
        outcomes += reconcile(load_host_state(paths), paths, parts=dependent, exclude=exclude)
    if OVS_BRIDGES in parts:
        networks = [network for network in host.running if network.name not in exclude]
        ovs = [network.bridge.name for network in networks if network.bridge.type == OPENVSWITCH]
        record_ovs_ports(ovs, paths)
    return outcomes


def finish_run(paths: Paths, networks: Collection[str]) -> None:
    """Clear the record of a run if its networks are as defined. What libvirt has is left to the run's own task."""
    with contextlib.suppress(Locked), lock(paths.runtime, _LOCK_TIMEOUT):
        pending = read_pending(paths)
        if not set(pending) <= set(networks) or any(REGISTRATIONS in run.parts for run in pending.values()):
            return
        outcomes = reconcile(load_host_state(paths), paths, names=networks, check=True)
        if not any(outcome.changes or outcome.error for outcome in outcomes):
            write_files([pending_file({}, paths)])


def resolve_conflicts(paths: Paths, exclude: Collection[str]) -> Resolution:
    """Move the networks whose subnet somebody else uses now, with all their parts, in one pass; raises VirtnetError."""
    with contextlib.ExitStack() as after, lock(paths.runtime, _LOCK_TIMEOUT):
        host = load_host_state(paths)
        moves, unresolved = find_moves(host, paths, {*exclude, *read_pending(paths)})
        if not moves:
            return Resolution(unresolved=unresolved)
        store_moves(moves, paths)
        # The guests' leases are invalid from now on. The links come up again when a server can answer new requests.
        after.enter_context(links_down(guest_ports(moves, host.links), paths))
        moved = [move.new.name for move in moves]
        outcomes = reconcile(load_host_state(paths), paths, parts=PARTS, names=moved)
        errors = [outcome.error for outcome in outcomes if outcome.error]
        return Resolution(moved, list(map(str, moves)), unresolved, errors)
