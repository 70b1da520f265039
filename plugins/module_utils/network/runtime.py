# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""State that lasts until the next boot: networks started or stopped by hand, and the run of a playbook."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..core.files import File, write_files
from ..core.lock import lock
from ..core.notes import read_object
from ..core.paths import Paths

if TYPE_CHECKING:
    # The model imports half of the engine, and every module imports this file.
    from .model import Network

STARTED = "started"
STOPPED = "stopped"

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
    """A run under way: networks whose definitions it has changed, and the parts that it has still to reconcile.

    ``until``: when the guard completes the run, in seconds since the boot; 0 for one that has failed.
    """

    names: frozenset[str] = frozenset()
    until: float = 0.0
    parts: frozenset[str] = frozenset()

    def seconds_left(self, now: float) -> float:
        """Seconds that the run has left; 0 if no run is at work any more. ``now``: in seconds since the boot."""
        return max(0.0, self.until - now) if self.names else 0.0


def seconds_since_boot() -> float:
    """Seconds since the boot, with the time that the host was suspended. Nobody can set this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def pending_path(paths: Paths) -> str:
    """The file that records the run under way."""
    return os.path.join(paths.runtime, "pending.json")


def read_pending(paths: Paths) -> Pending:
    """The run under way; an empty one if there is none."""
    data = _read_mapping(pending_path(paths))
    names, parts, until = data.get("names"), data.get("kinds"), data.get("until")
    if not isinstance(names, list) or not isinstance(parts, list) or not isinstance(until, (int, float)):
        return Pending()
    return Pending(frozenset(map(str, names)), float(until), frozenset(map(str, parts)))


def pending_file(pending: Pending, paths: Paths) -> File:
    """The record of a run; the file is removed if the run has no networks or no parts left."""
    text = json.dumps({"names": sorted(pending.names), "until": pending.until, "kinds": sorted(pending.parts)})
    return File(pending_path(paths), f"{text}\n" if pending.names and pending.parts else None)


def record_pending_run(names: Iterable[str], parts: Iterable[str], paths: Paths) -> None:
    """Record the networks whose parts a run is about to reconcile. The caller holds the lock."""
    before = read_pending(paths)
    unfinished = before.names if before.until > seconds_since_boot() else frozenset[str]()
    pending = Pending(unfinished | {*names}, seconds_since_boot() + RUN_TIMEOUT, frozenset(parts))
    write_files([pending_file(pending, paths)])


def mark_part_done(part: str, paths: Paths) -> None:
    """Remove a part from the record of the run; the run ends with its last part."""
    if os.path.exists(pending_path(paths)):
        with lock(paths.runtime):
            pending = read_pending(paths)
            write_files([pending_file(replace(pending, parts=pending.parts - {part}), paths)])


def fail_pending_run(paths: Paths) -> None:
    """Record that the run has failed: it does no more, and the guard completes what it stored."""
    if os.path.exists(pending_path(paths)):
        with lock(paths.runtime):
            write_files([pending_file(replace(read_pending(paths), until=0.0), paths)])


def clear_pending_run(paths: Paths) -> None:
    """Record that the run is complete."""
    if os.path.exists(pending_path(paths)):
        with lock(paths.runtime):
            write_files([pending_file(Pending(), paths)])


def _read_mapping(path: str) -> Mapping[str, object]:
    # A file that lasts until the next boot must not make a run fail.
    try:
        return read_object(path)
    except ValueError:
        return {}
