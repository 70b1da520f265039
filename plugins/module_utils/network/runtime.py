# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""State that lasts until the next boot: networks started or stopped by hand, and runs of playbooks."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..core.errors import VirtnetError
from ..core.files import File, read_text, write_files
from ..core.lock import lock
from ..core.network_history import NetworkHistory, load_history
from ..core.notes import read_object
from ..core.paths import Paths

if TYPE_CHECKING:
    # The model imports half of the engine, and every module imports this file.
    from .model import Network

STARTED = "started"
STOPPED = "stopped"

# What runs under way are recorded by, beside names of networks: the settings of all, which no network can be called.
SETTINGS = "choice of subnets"

# Seconds that the tasks after a change of definitions may take, over all hosts of a play. Then the guard assumes that
# the run has died, and completes it.
RUN_TIMEOUT = 300.0


def desired_state(network: Network, record: str | None, running: bool = False) -> str:
    """The state that a network shall have now: as started or stopped by hand, else as after a boot. Pure.

    A network without autostart is stopped after a boot, whatever its definition says. ``running``: its bridge exists,
    though there is no record of who started it.
    """
    if record is not None:
        return "active" if record == STARTED else "inactive"
    return "active" if network.state == "active" and (network.autostart or running) else "inactive"


def with_desired_state(
    networks: Iterable[Network], records: Mapping[str, str], existing_bridges: Iterable[str] = ()
) -> list[Network]:
    """The networks with the state that they shall have now."""
    bridges = set(existing_bridges)

    def is_running(network: Network) -> bool:
        return network.has_own_bridge and network.bridge.name in bridges

    return [
        replace(network, state=desired_state(network, records.get(network.name), is_running(network)))
        for network in networks
    ]


def record_for(network: Network, before: str | None) -> str | None:
    """The record of a network once a run has set the state of its definition; None for no record."""
    if before == (STARTED if network.state == "active" else STOPPED):
        return before
    return STARTED if network.state == "active" and not network.autostart else None


def _records_path(paths: Paths) -> str:
    return os.path.join(paths.runtime, "runtime.json")


def read_records(paths: Paths) -> dict[str, str]:
    """The networks that were started or stopped by hand since the boot."""
    return {
        name: str(record)
        for name, record in _read_mapping(_records_path(paths)).items()
        if record in (STARTED, STOPPED)
    }


def records_file(records: Mapping[str, str], paths: Paths) -> File:
    """The file of the records; it is removed if there are none."""
    return File(_records_path(paths), json.dumps(dict(sorted(records.items()))) + "\n" if records else None)


@dataclass(frozen=True)
class Pending:
    """A network whose definition a run has changed: the parts that the run has still to reconcile.

    ``until``: when the guard completes the run, in seconds since the boot; 0 for one that has failed. ``before``: the
    files that define the network by path, as they were (None: not there), and ``record`` as read_records() had it, so
    that a run that fails is undone; ``before`` is None where that is not known.
    """

    until: float = 0.0
    parts: frozenset[str] = frozenset()
    before: Mapping[str, str | None] | None = None
    record: str | None = None

    def seconds_left(self) -> float:
        """Seconds that the run has left for this network; 0 if no run is at work on it any more."""
        return max(0.0, self.until - seconds_since_boot())


def seconds_since_boot() -> float:
    """Seconds since the boot, with the time that the host was suspended. Nobody can set this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def pending_path(paths: Paths) -> str:
    """The file that records the runs under way."""
    return os.path.join(paths.runtime, "pending.json")


def read_pending(paths: Paths) -> dict[str, Pending]:
    """The networks that runs are at work on, or have left behind."""
    return {
        name: Pending(float(note["until"]), frozenset(map(str, note["kinds"])), note.get("before"), note.get("record"))
        for name, note in _read_mapping(pending_path(paths)).items()
        if isinstance(note, Mapping)
        and isinstance(note.get("until"), (int, float))
        and isinstance(note.get("kinds"), list)
        and (note.get("before") is None or _can_be_undone(name, note, paths))
    }


def _can_be_undone(name: str, note: Mapping[str, object], paths: Paths) -> bool:
    """Whether a note has what the files that define its network contained, and nothing else is to be written."""
    before = note["before"]
    files = {os.path.join(folder, f"{name}.json") for folder in (paths.definitions, paths.transient_definitions)}
    return (
        note.get("record") in (STARTED, STOPPED, None)
        and isinstance(before, Mapping)
        and before.keys() <= ({paths.allocation_settings} if name == SETTINGS else files)
        and all(isinstance(text, (str, type(None))) for text in before.values())
    )


def pending_file(pending: Mapping[str, Pending], paths: Paths) -> File:
    """The record of the runs under way, without networks that are complete; the file is removed with the last one."""
    notes = {
        name: {
            "until": network.until,
            "kinds": sorted(network.parts),
            **({} if network.before is None else {"before": network.before, "record": network.record}),
        }
        for name, network in sorted(pending.items())
        if network.parts
    }
    return File(pending_path(paths), f"{json.dumps(notes)}\n" if notes else None)


def record_pending_run(
    names: Iterable[str],
    parts: Iterable[str],
    paths: Paths,
    defining: Mapping[str, Iterable[str]] | None = None,
    files: Iterable[File] = (),
) -> None:
    """Record the networks whose parts a run is about to reconcile, and write ``files``. The caller holds the lock.

    ``defining``: by network, the files that the run is about to change, for one that can be undone. Raises
    VirtnetError; if the disk is full, then nothing is written.
    """
    others = {name: network for name, network in read_pending(paths).items() if network.seconds_left()}
    until, records = seconds_since_boot() + RUN_TIMEOUT, read_records(paths)
    own = {
        name: Pending(
            until,
            frozenset(parts),
            None if defining is None else {path: read_text(path) for path in defining.get(name, ())},
            records.get(name),
        )
        for name in names
    }
    write_files([pending_file({**others, **own}, paths), *files])


def mark_part_done(part: str, objects: Collection[str] | None, paths: Paths) -> None:
    """Remove a part from the record of the networks that a task has reconciled (``concerned``)."""
    _change_pending(objects, lambda network: replace(network, parts=network.parts - {part}), paths)


def fail_pending_run(objects: Collection[str] | None, paths: Paths) -> None:
    """Record that a run has failed: it does no more, and the guard completes what it stored.

    The run of another task, at work on other networks than those that failed (``concerned``), goes on.
    """
    _change_pending(objects, lambda network: replace(network, until=0.0), paths)


def clear_pending_run(paths: Paths) -> None:
    """Record that all runs are complete."""
    _change_pending(None, lambda _network: Pending(), paths)


def _change_pending(objects: Collection[str] | None, change: Callable[[Pending], Pending], paths: Paths) -> None:
    if os.path.exists(pending_path(paths)):
        with lock(paths.runtime):
            pending = read_pending(paths)
            changed = {name: change(pending[name]) for name in concerned(pending, objects, paths)}
            write_files([pending_file({**pending, **changed}, paths)])


def concerned(pending: Iterable[str], objects: Collection[str] | None, paths: Paths) -> list[str]:
    """The networks that a task was about; ``objects``: networks, or bridges of theirs, that it named; None: all.

    No task of bridges or entries can name a network that never had a bridge of its own, nor SETTINGS: each task is
    about these too.
    """
    if objects is None:
        return list(pending)
    try:
        history = load_history(paths)
    except VirtnetError:
        history = {}
    bridges = {name: history.get(name, NetworkHistory()).bridges for name in pending}
    return [name for name, own in bridges.items() if not own or not {name, *own}.isdisjoint(objects)]


def _taken_path(paths: Paths) -> str:
    return os.path.join(paths.runtime, "taken.json")


def read_taken(paths: Paths) -> set[str]:
    """The networks for whose addresses another server has taken the port of DNS when they appeared."""
    return set(_read_mapping(_taken_path(paths)))


def record_taken(names: Iterable[str], paths: Paths) -> None:
    """Remember such networks: once the addresses are gone again, nobody could know."""
    if new := set(names):
        notes = dict.fromkeys(sorted(read_taken(paths) | new), True)
        write_files([File(_taken_path(paths), json.dumps(notes) + "\n")])


def _read_mapping(path: str) -> Mapping[str, object]:
    # A file that lasts until the next boot must not make a run fail.
    try:
        return read_object(path)
    except ValueError:
        return {}
