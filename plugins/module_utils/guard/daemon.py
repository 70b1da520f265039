# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard: restores at boot, then listens to the kernel and puts right what breaks.

It sleeps until an event concerns a network of ours. Then a child process brings the parts concerned after the
definitions, under the lock that runs of the playbook take too; so the guard itself stays small, and one that is killed
at any moment is followed by one that finds everything on disk.

Runs of a playbook store definitions first and bring the parts after them task by task. Until all parts of those
networks are right, or the run has taken too long, the guard leaves these networks to it (runtime.py: Pending), so that
the run does what it said in check mode.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections.abc import Collection, Mapping
from typing import Any

from ..bridge import isolation
from ..bridge.port_records import ports_record, read_ports, recorded_bridges
from ..core.errors import Locked, VirtnetError
from ..core.files import jot, read_text
from ..core.inotify import Folders, Looks, watch_folders
from ..core.lock import lock
from ..core.paths import Paths
from ..kernel import events
from ..network.runtime import now as boottime
from ..network.runtime import pending_path, read_pending
from ..orchestration.desired_state import KINDS, SWITCHES
from ..orchestration.restore import resolver_ready, say
from ..resolver.watch import is_relevant, watched_folders
from . import workers as guard_work
from .backoff import Backoff, Unrest
from .lost_macvtaps import note_lost
from .ovs_watch import LOST, NEWS, SwitchWatch
from .view import CONFLICT, View

# Events come in bursts: what one burst breaks is repaired at once.
_BURST = 0.03
# While events come that concern nobody, the guard looks at them so often.
_PAUSE = 0.02
# So long a network that was moved stays where it is.
_RESTS = 30.0
# So often it is looked whether a run of a playbook is through.
_RUN_CHECK = 1.0

_RETRY = 2.0
# So long a repair may take that is under way when the guard is to stop: one that waits for a service that waits for the
# guard has no end.
_LAST = 5.0
# So soon it is looked again why a port has left its bridge, where a run keeps that from showing.
_LEFT_CHECK = 0.2

_EVERYTHING = frozenset({*KINDS, CONFLICT})


class Guard:
    """Watches until it is told to stop."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.view = View()
        self.due: dict[str, float] = {}
        self.backoff = Backoff()
        self.rested: dict[str, float] = {}
        self.unrest = Unrest()
        self.said: dict[str, str] = {}
        self.stopped = False
        self.stale = True
        self.run_check = 0.0
        self.switch: SwitchWatch | None = None
        self.pause: float | None = None

    def run(self) -> int:
        """Restore, tell systemd, watch."""
        with contextlib.ExitStack() as stack:
            # Before anything is read, so that nothing happens unseen.
            sockets = [stack.enter_context(one) for one in events.listen()]
            folders = watch_folders()
            stack.callback(folders.close)
            self.pause = folders.pause
            if folders.pause is not None:
                say(
                    "No inotify instance is left (fs.inotify.max_user_instances, which other programs have used up): "
                    f"files are looked at every {folders.pause:g} s instead."
                )
            selector = stack.enter_context(selectors.DefaultSelector())
            for number in (*(one.fileno() for one in sockets), *folders.filenos(), self._signals(stack).fileno()):
                selector.register(number, selectors.EVENT_READ)
            # systemd makes it with the first private instance, which comes after us at boot: too late to be watched.
            with contextlib.suppress(OSError):
                os.makedirs(self.paths.private_running, mode=0o755, exist_ok=True)
            self._watch_folders(folders)
            self.switch = SwitchWatch(selector)
            stack.callback(self.switch.close)
            guard_work.in_child(guard_work.boot, self.paths)
            self._refresh()
            self._want(CONFLICT, time.monotonic())
            notify("READY=1")
            while not self.stopped:
                selector.select(self._patience())
                self._listen(sockets, folders)
                self._listen_to_switch()
                if self.stopped or not self._act():
                    time.sleep(_PAUSE)
                self._watch_folders(folders)
        return 0

    def _signals(self, stack: contextlib.ExitStack) -> socket.socket:
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        stack.enter_context(theirs)
        theirs.setblocking(False)
        ours.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        # systemd ends what is left then (systemd.kill(5), KillMode=mixed), and the next start completes it.
        signal.signal(signal.SIGALRM, lambda _number, _frame: os._exit(0))
        stack.callback(_release_signals)
        return ours

    def _stop(self, _number: int, _frame: Any) -> None:
        self.stopped = True
        signal.setitimer(signal.ITIMER_REAL, _LAST)

    def _patience(self) -> float | None:
        times = [max(when, self.backoff.until(kind)) for kind, when in self.due.items()]
        if self.run_check:
            times.append(self.run_check)
        if self.pause is not None:
            times.append(time.monotonic() + self.pause)
        again = self.switch.due() if self.switch is not None else None
        times += [] if again is None else [again]
        if self.view.left or self.view.unnoted or self.view.unmarked:
            times.append(time.monotonic() + _LEFT_CHECK)
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _folders(self) -> Mapping[str, str]:
        paths = self.paths
        return {
            paths.dnsmasq_fragments: "fragments",
            paths.private_fragments: "fragments",
            paths.private_instances: "fragments",
            paths.dnsmasq_hosts: "fragments",
            paths.private_running: "fragments",
            **dict.fromkeys(watched_folders(paths.root), "entries"),
            paths.definitions: "",
            paths.transient_definitions: "",
            paths.runtime: "",
        }

    def _watch_folders(self, folders: Folders | Looks) -> None:
        if self.stale:
            folders.add(self._folders())

    def _listen(self, sockets: Collection[socket.socket], folders: Folders | Looks) -> None:
        now = time.monotonic()
        self._hear(sockets, now)
        kinds = self._folders()
        paths = self.paths
        private = (paths.private_fragments, paths.private_instances, paths.private_running, paths.dnsmasq_hosts)
        for folder, name in folders.receive():
            kind = kinds.get(folder, "-")
            if kind == "-":
                continue
            if kind:
                # Fragments and entries of ours carry our name; others are no business of ours.
                ours = ("virtnet" in name or folder in private) and not name.startswith(".")
                if ours or not name or self._is_about_resolver(kind, folder, name):
                    self._want(kind, now)
            elif not name.startswith(".") and name.endswith(".json"):
                self._redefined(now)
        self._see_what_left()
        self._keep_apart()
        self._say_what_is_lost()
        self._note_ports()

    def _listen_to_switch(self) -> None:
        """What its database says; which ports a bridge has the kernel does not tell."""
        if self.switch is None:
            return
        news = self.switch.heard()
        if news == LOST:
            say("Open vSwitch has gone; its bridges wait for it.")
        back = self.switch.keep(wanted=bool(self.view.switched))
        if back:
            self.backoff.forget(SWITCHES)
        if back or news == NEWS:
            self._want(SWITCHES, time.monotonic())

    def _is_about_resolver(self, kind: str, folder: str, name: str) -> bool:
        """Whether the resolver changed; while the host boots, it changes with each service that comes up."""
        return kind == "entries" and is_relevant(folder, name) and os.path.exists(resolver_ready(self.paths))

    def _hear(self, sockets: Collection[socket.socket], now: float) -> None:
        missed = False
        for source in sockets:
            for event in events.receive(source):
                missed = missed or isinstance(event, events.Overrun)
                for kind in self.view.heard(event):
                    self._want(kind, now)
        if missed:
            self._refresh()

    def _see_what_left(self) -> None:
        """Forget ports that were taken off their bridges, but none that was lost with its bridge.

        A run that makes a bridge again holds the lock until all its ports are back.
        """
        if not self.view.left:
            return
        with contextlib.suppress(Locked), lock(self.paths.runtime, 0):
            for port, bridge in sorted(self.view.left.items()):
                now = events.read_link(port)
                own = self.view.indexes(bridge)
                if now is not None and now.master in own:
                    self.view.heard(now)
                elif now is not None and any(map(events.read_link, own)):
                    self.view.taken_off(port)

    def _keep_apart(self) -> None:
        """Mark guests that were plugged in, where they are kept from each other; a run that has the lock goes first."""
        if not self.view.unmarked:
            return
        with contextlib.suppress(Locked), lock(self.paths.runtime, 0):
            unmarked, self.view.unmarked = self.view.unmarked, {}
            for port, bridge in sorted(unmarked.items()):
                now = events.read_link(port)
                if now is None or now.master not in self.view.indexes(bridge):
                    continue
                try:
                    if isolation.mark_guest(now.name, bridge):
                        say(f"{now.name} is kept from the other guests of {bridge}.")
                except VirtnetError as error:
                    self._once(f"apart {port}", f"Cannot keep {now.name} from the other guests of {bridge}: {error}.")

    def _say_what_is_lost(self) -> None:
        """A macvtap dies with the bridge that it was made on, and with it the file that a guest has open."""
        ridden, self.view.ridden = self.view.ridden, []
        gone = [lost for lost, bridge in ridden if events.read_link(bridge) is None]
        for lost in gone:
            say(lost.news)
        if gone:
            try:
                note_lost(gone, self.paths)
            except VirtnetError as error:
                self._once("lost", f"Cannot note what is gone: {error}.")

    def _note_ports(self) -> None:
        """Keep on disk what is plugged in, for the time after a loss."""
        for bridge, ports in self.view.notes():
            note = ports_record(bridge, ports, self.paths)
            try:
                if read_text(note.path) != note.content:
                    jot(note)
            except VirtnetError as error:
                self.view.unnoted.add(bridge)
                self._once("ports", f"Cannot note the ports of {bridge}: {error}.")

    def _redefined(self, now: float) -> None:
        """Definitions or notes of a run changed: look at everything anew."""
        self.stale = True
        for kind in _EVERYTHING:
            self._want(kind, now)

    def _want(self, kind: str, now: float) -> None:
        if kind == CONFLICT:
            self.due[kind] = self.unrest.heard(now)
        else:
            self.due[kind] = min(now + _BURST, self.due.get(kind, now + _BURST))

    def _act(self) -> bool:
        """Do what is due; whether there was anything."""
        now = time.monotonic()
        kinds = {kind for kind, when in self.due.items() if max(when, self.backoff.until(kind)) <= now}
        checking = bool(self.run_check) and self.run_check <= now
        if not kinds and not checking:
            return False
        for kind in kinds:
            del self.due[kind]
        if CONFLICT in kinds:
            self.unrest.looked()
        left = self._left_to_a_run(now)
        if kinds - {CONFLICT}:
            self._heal(kinds - {CONFLICT}, left)
        if CONFLICT in kinds:
            self._settle(left)
        if checking and left:
            guard_work.in_child(guard_work.finish_run, self.paths, left)
        if self.stale:
            self._refresh()
        return True

    def _left_to_a_run(self, now: float) -> list[str]:
        pending = read_pending(self.paths)
        self.run_check = 0.0
        if not pending.names:
            return []
        if pending.until <= boottime():
            say(
                f"A run that changed {', '.join(sorted(pending.names))} did not come to its end; the guard finishes it."
            )
            with contextlib.suppress(OSError):
                os.unlink(pending_path(self.paths))
            self._redefined(now)
            return []
        self.run_check = now + _RUN_CHECK
        return sorted(pending.names)

    def _heal(self, kinds: Collection[str], left: Collection[str]) -> None:
        found = guard_work.in_child(guard_work.heal, self.paths, sorted(kinds), left)
        now = time.monotonic()
        if found is None:
            found = [{"kind": kind, "error": "the repair itself was cut short"} for kind in kinds]
        for outcome in found:
            kind = str(outcome["kind"])
            if outcome.get("busy"):
                self._want(kind, now)
                continue
            changes = outcome.get("changes", ())
            for change in changes:
                say(f"Put right: {change}.")
            if outcome.get("error"):
                delay = self.backoff.failed(kind, now)
                self._once(
                    kind, f"Could not put right {kind}: {outcome['error']} It is tried again, now in {delay:g} s."
                )
                self.due[kind] = now + delay
                continue
            for note in outcome.get("notes", ()):
                self._once(f"note {kind}", f"{note}.")
            if changes:
                for line in self.backoff.repaired(kind, [change.partition(": ")[0] for change in changes], now):
                    say(f"{line[0].upper()}{line[1:]}.")
                self.stale = True
            elif self.backoff.went_well(kind):
                self.said.pop(kind, None)
                say(f"All is well again with {kind}.")

    def _settle(self, left: Collection[str]) -> None:
        now = time.monotonic()
        resting = {name: until for name, until in self.rested.items() if until > now}
        found = guard_work.in_child(guard_work.settle_conflicts, self.paths, [*left, *resting])
        if found is None:
            # The lock is held, or definitions cannot be read: the next look tells.
            self.due[CONFLICT] = now + _RETRY
            return
        for line in found["moved"]:
            say(f"{line[0].upper()}{line[1:]}.")
        for name in found["names"]:
            self.rested[name] = time.monotonic() + _RESTS
            self.stale = True
        self._once("conflicts", " ".join(f"{line[0].upper()}{line[1:]}." for line in found["stay"]))
        for line in found["errors"]:
            say(f"Could not follow the new subnet: {line}")
            for kind in KINDS:
                self._want(kind, time.monotonic())
        if resting:
            # Whether they have met somebody meanwhile shows when they have rested.
            self.due[CONFLICT] = min(resting.values())

    def _once(self, key: str, line: str) -> None:
        if self.said.get(key, "") != line:
            self.said[key] = line
            if line:
                say(line)

    def _refresh(self) -> None:
        """Read definitions and links again."""
        self.stale = False
        # What another guard, or a run that stopped a bridge, has noted counts until the host shows otherwise.
        noted = {
            name: {index: port for port, index in read_ports(name, self.paths)}
            for name in recorded_bridges(self.paths)
            if name not in self.view.ports
        }
        seen = guard_work.in_child(guard_work.look, self.paths, {**noted, **self.view.ports})
        if seen is None or seen.error:
            self._once("definitions", f"Cannot guard: {seen.error if seen else 'the look at the host was cut short'}.")
            return
        self._once("definitions", " ".join(f"{line[0].upper()}{line[1:]}." for line in seen.unreadable))
        self.view = seen.view
        self._note_ports()
        for kind in frozenset[str]().union(*map(self.view.part, self.view.missing)):
            self._want(kind, time.monotonic())
        notify(f"STATUS=Guarding {seen.running} of {seen.defined} networks")
        self._left_to_a_run(time.monotonic())


def _release_signals() -> None:
    """Disarm the timer of a stop, and ignore further requests to stop: the guard is at its end.

    An interpreter that shuts down has no handlers any more, so that an alarm would kill it (signal(7), SIGALRM).
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.set_wakeup_fd(-1)


def notify(message: str) -> None:
    """Tell systemd (sd_notify(3)), where it listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        with channel, contextlib.suppress(OSError):
            channel.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)
