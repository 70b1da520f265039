# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard's event loop: restores the networks at boot, then waits for events and repairs what they break.

It sleeps until an event concerns a network of ours. Then a child process reconciles the parts concerned with the
definitions. It holds the lock that runs of the playbook take too. The guard keeps nothing that is not also on disk, so
that another one can replace it at any moment.

A run of a playbook stores definitions first and reconciles the parts task by task. Until all parts of these networks
are as defined, or the run has taken too long, the guard leaves these networks to the run (network.runtime.Pending), so
that the run does what it announced in check mode.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Collection, Iterable
from typing import Any

from ..core.errors import VirtnetError
from ..core.files import write_files
from ..core.paths import Paths
from ..kernel import events
from ..network.runtime import pending_file, read_pending
from ..orchestration.desired_state import OVS_BRIDGES, PARTS, RULES
from ..orchestration.restore import Outcome
from . import workers
from .journal import Journal
from .ndp_proxy import NdpProxyProcess
from .ovs_watch import OvsEvent, OvsWatch
from .ports import (
    check_frames_of_new_ports,
    known_ports,
    process_detached,
    report_lost_macvtaps,
    save_ports,
    set_flags_of_new_ports,
)
from .scheduler import Scheduler
from .service import handle_signals, notify
from .view import CONFLICT, EVERYTHING, FIREWALLS, RUN, View
from .watched_folders import DEFINITIONS, POLLED, Watcher, add_new_folders, receive, start_watch

# Seconds between two wake-ups while events come that concern no network of ours.
_IDLE_PAUSE = 0.02
# Seconds until the next look at ports that could not be processed, since a run held the lock.
_PORTS_RETRY = 0.2
# Seconds until conflicts are resolved again after that failed.
_CONFLICT_RETRY = 2.0
# Seconds between two checks whether a run of a playbook is complete.
_RUN_CHECK_INTERVAL = 1.0
# Seconds that a repair has to finish when the guard is stopped: it may wait for a unit that waits for the guard.
_STOP_TIMEOUT = 5.0


class Guard:
    """Runs until it is stopped by a signal."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.view = View()
        self.scheduler = Scheduler()
        self.journal = Journal()
        self.stopped = False
        self._view_outdated = True
        self._selector = selectors.DefaultSelector()
        self._ovs = OvsWatch(self._selector)
        self._ndp = NdpProxyProcess(self._selector, self.journal)

    def run(self) -> int:
        """Restore the networks, report to systemd, and handle events."""
        with contextlib.ExitStack() as stack:
            # Before anything is read, so that no event is missed.
            sockets = [stack.enter_context(source) for source in events.listen()]
            folders = start_watch(self.paths)
            stack.callback(folders.close)
            if folders.pause is not None:
                self.journal.log(POLLED.format(folders.pause))
            stack.enter_context(self._selector)
            wakeup = handle_signals(self._stop, stack)
            for number in (*(source.fileno() for source in sockets), *folders.filenos(), wakeup.fileno()):
                self._selector.register(number, selectors.EVENT_READ)
            stack.callback(self._ovs.close)
            stack.callback(self._ndp.close)
            workers.in_child(workers.restore_at_boot, self.paths)
            self._refresh()
            self.scheduler.request([CONFLICT], time.monotonic())
            notify("READY=1")
            while not self.stopped:
                self._selector.select(self._timeout(folders.pause))
                self._receive(sockets, folders)
                if self.stopped or not self._work():
                    time.sleep(_IDLE_PAUSE)
                else:
                    # Files may have changed in new folders before these are watched.
                    self._request(add_new_folders(folders, self.paths))
        return 0

    def _stop(self, _number: int, _frame: Any) -> None:
        self.stopped = True
        signal.setitimer(signal.ITIMER_REAL, _STOP_TIMEOUT)

    def _timeout(self, poll_interval: float | None) -> float | None:
        """Seconds to wait for an event; None for any time."""
        now = time.monotonic()
        times = [self.scheduler.next_time(), self._ovs.retry_time(), self._ndp.retry_time()]
        if poll_interval is not None:
            times.append(now + poll_interval)
        if self.view.detached_candidates or self.view.unsaved or self.view.without_flags or self.view.unfiltered:
            times.append(now + _PORTS_RETRY)
        known = [when for when in times if when is not None]
        return max(0.0, min(known) - now) if known else None

    def _receive(self, sockets: Collection[socket.socket], folders: Watcher) -> None:
        self._receive_kernel_events(sockets)
        self._request(receive(folders, self.paths))
        process_detached(self.view, self.paths)
        failed = check_frames_of_new_ports(self.view, self.paths, self.journal)
        failed |= set_flags_of_new_ports(self.view, self.paths, self.journal)
        self.scheduler.request(failed, time.monotonic())
        report_lost_macvtaps(self.view, self.paths, self.journal)
        save_ports(self.view, self.paths, self.journal)
        self._receive_ovs_event()
        self._ndp.maintain()

    def _receive_kernel_events(self, sockets: Collection[socket.socket]) -> None:
        now = time.monotonic()
        overrun = False
        for source in sockets:
            for event in events.receive(source):
                overrun = overrun or isinstance(event, events.Overrun)
                self.scheduler.request(self.view.handle(event), now)
        if overrun:
            self._refresh()

    def _request(self, concerned: Iterable[str]) -> None:
        """Check what changes of files concern: parts, or all of them and the view for DEFINITIONS."""
        now = time.monotonic()
        for part in concerned:
            if part == DEFINITIONS:
                self._view_outdated = True
            self.scheduler.request(EVERYTHING if part == DEFINITIONS else [part], now)

    def _receive_ovs_event(self) -> None:
        """The kernel does not report the ports of Open vSwitch's bridges; its database does."""
        event = self._ovs.receive()
        if event is OvsEvent.DISCONNECTED:
            self.journal.log("Open vSwitch has stopped; its bridges wait for it.")
        connected = self._ovs.maintain(needed=any(bridge.openvswitch for bridge in self.view.bridges.values()))
        if connected:
            self.scheduler.backoff.reset(OVS_BRIDGES)
        if connected or event is OvsEvent.CHANGED:
            self.scheduler.request([OVS_BRIDGES], time.monotonic())

    def _work(self) -> bool:
        """Do what is due; returns whether anything was."""
        now, used = time.monotonic(), _processor_seconds()
        due = self.scheduler.take_due(now)
        if not due:
            return False
        pending = self._pending_networks(now)
        parts = due - {CONFLICT, FIREWALLS, RUN}
        if FIREWALLS in due:
            # Their integrations belong to the rules.
            parts |= {RULES}
        repaired = bool(parts) and self._repair(parts, pending)
        if FIREWALLS in due and not repaired:
            # Not after a repair, which the backoff limits: the other firewall may be about to start again.
            self.scheduler.examined_firewalls(_processor_seconds() - used, time.monotonic())
        if CONFLICT in due:
            self._resolve_conflicts(pending)
        if RUN in due and pending:
            workers.in_child(workers.finish_run, self.paths, pending)
        if self._view_outdated:
            self._refresh()
        return True

    def _pending_networks(self, now: float) -> list[str]:
        """The networks that runs of playbooks are about to reconcile."""
        pending = read_pending(self.paths)
        at_work = {name: network for name, network in pending.items() if network.seconds_left()}
        unfinished = sorted(pending.keys() - at_work.keys())
        if unfinished:
            self.journal.log(f"A run that changed {', '.join(unfinished)} did not finish; the guard completes it.")
            with contextlib.suppress(VirtnetError):
                write_files([pending_file(at_work, self.paths)])
            self._request([DEFINITIONS])
        if at_work:
            self.scheduler.request_at(RUN, now + _RUN_CHECK_INTERVAL)
        return sorted(at_work)

    def _repair(self, parts: Collection[str], pending: Collection[str]) -> bool:
        """Returns whether anything was changed."""
        repair = workers.in_child(workers.repair, self.paths, sorted(parts), pending)
        now = time.monotonic()
        if repair is None:
            repair = workers.Repair([Outcome(part, error="the repair itself was cut short") for part in sorted(parts)])
        if repair.locked:
            self.scheduler.request(parts, now)
        for outcome in repair.outcomes:
            self._process_outcome(outcome, now)
        return any(outcome.changes for outcome in repair.outcomes)

    def _process_outcome(self, outcome: Outcome, now: float) -> None:
        part = outcome.part
        for change in outcome.changes:
            self.journal.log(f"Repaired: {change}.")
        if outcome.error:
            self.journal.repair_failed(part, outcome.error, self.scheduler.failed(part, now))
            return
        for note in outcome.notes:
            self.journal.log_if_changed(f"note {part}", f"{note}.")
        if outcome.changes:
            objects = [change.partition(": ")[0] for change in outcome.changes]
            self.journal.log_each(self.scheduler.backoff.repaired(part, objects, now))
            self._view_outdated = True
        elif self.scheduler.backoff.succeeded(part):
            self.journal.recovered(part)

    def _resolve_conflicts(self, pending: Collection[str]) -> None:
        now = time.monotonic()
        paused = self.scheduler.paused_moves(now)
        resolution = workers.in_child(workers.resolve_conflicts, self.paths, [*pending, *paused])
        if resolution is None:
            # A run holds the lock, or definitions cannot be read.
            self.scheduler.request_at(CONFLICT, now + _CONFLICT_RETRY)
            return
        self.journal.log_each(resolution.moves)
        for network in resolution.moved:
            self.scheduler.pause_moves(network, time.monotonic())
            self._view_outdated = True
        self.journal.log_state("conflicts", resolution.unresolved)
        for error in resolution.errors:
            self.journal.log(f"Could not reconcile a part with the new subnet: {error}")
            self.scheduler.request(PARTS, time.monotonic())
        if paused:
            # These networks may have a conflict that was ignored now.
            self.scheduler.request_at(CONFLICT, min(paused.values()))

    def _refresh(self) -> None:
        """Read definitions and links again."""
        self._view_outdated = False
        snapshot = workers.in_child(workers.take_snapshot, self.paths, known_ports(self.view, self.paths))
        if snapshot is None or snapshot.error:
            error = snapshot.error if snapshot else "reading the host's state was cut short"
            self.journal.log_if_changed("definitions", f"Cannot guard: {error}.")
            return
        self.journal.log_state("definitions", snapshot.problems)
        snapshot.view.follow(self.view)
        self.view = snapshot.view
        self._ndp.update(self.view.ndp_proxies)
        save_ports(self.view, self.paths, self.journal)
        for bridge in self.view.missing:
            self.scheduler.request(self.view.part_of(bridge), time.monotonic())
        notify(f"STATUS=Guarding {snapshot.running} of {snapshot.defined} networks")
        self._pending_networks(time.monotonic())


def _processor_seconds() -> float:
    """What this process and its children that have ended have used; a busy host does not count as work of ours."""
    return sum(os.times()[:4])
