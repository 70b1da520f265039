# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds until the next boot: networks started or stopped by hand, and runs that are not through yet."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ..core.files import File, put, read_note
from ..core.lock import lock
from ..core.paths import Paths
from .model import Network

STARTED = "started"
STOPPED = "stopped"

# So long the tasks that follow a change of definitions may take, over all hosts of a play. After it the guard takes
# the run for dead and finishes its work.
RUN_PATIENCE = 300.0


def intent(network: Network, record: str | None, running: bool = False) -> str:
    """The state that a network shall have now: as it was put by hand, or as after a boot. Pure.

    A network that is not autostarted is stopped after a boot, whatever its definition says; ``running``: its bridge is
    there, though nobody wrote down who started it.
    """
    if record is not None:
        return "active" if record == STARTED else "inactive"
    return "active" if network.state == "active" and (network.autostart or running) else "inactive"


def as_intended(networks: Iterable[Network], records: Mapping[str, str], bridges: Iterable[str] = ()) -> list[Network]:
    """Networks with the state that they shall have now."""
    there = set(bridges)

    def runs(network: Network) -> bool:
        return network.has_own_bridge and network.bridge.name in there

    return [replace(one, state=intent(one, records.get(one.name), runs(one))) for one in networks]


def record_after(network: Network, before: str | None) -> str | None:
    """What is to be recorded once somebody asked for the state of this definition; None for nothing."""
    if before == (STARTED if network.state == "active" else STOPPED):
        return before
    return STARTED if network.state == "active" and not network.autostart else None


def _records(paths: Paths) -> str:
    return os.path.join(paths.runtime, "runtime.json")


def read_records(paths: Paths) -> dict[str, str]:
    """Networks that were started or stopped by hand since the boot."""
    return {name: str(word) for name, word in _mapping(_records(paths)).items() if word in (STARTED, STOPPED)}


def records_file(records: Mapping[str, str], paths: Paths) -> File:
    """The file that keeps the records."""
    return File(_records(paths), json.dumps(dict(sorted(records.items()))) + "\n" if records else None)


@dataclass(frozen=True)
class Pending:
    """Networks whose definitions a run has changed, and the parts that it is about to bring after them."""

    names: frozenset[str] = frozenset()
    until: float = 0.0
    kinds: frozenset[str] = frozenset()


def now() -> float:
    """Seconds since the boot, suspended time included: nobody sets this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def pending_path(paths: Paths) -> str:
    """Where a run says what it is about to do."""
    return os.path.join(paths.runtime, "pending.json")


def read_pending(paths: Paths) -> Pending:
    """What a run is about; nothing when it is through."""
    data = _mapping(pending_path(paths))
    names, kinds, until = data.get("names"), data.get("kinds"), data.get("until")
    if not isinstance(names, list) or not isinstance(kinds, list) or not isinstance(until, (int, float)):
        return Pending()
    return Pending(frozenset(map(str, names)), float(until), frozenset(map(str, kinds)))


def pending_file(pending: Pending, paths: Paths) -> File:
    """The note of a run; without names or parts, that there is none."""
    text = json.dumps({"names": sorted(pending.names), "until": pending.until, "kinds": sorted(pending.kinds)})
    return File(pending_path(paths), f"{text}\n" if pending.names and pending.kinds else None)


def note_run(names: Iterable[str], kinds: Iterable[str], paths: Paths) -> None:
    """Say which networks a run is about to bring after their definitions. The caller holds the lock."""
    before = read_pending(paths)
    still = before.names if before.until > now() else frozenset[str]()
    put([pending_file(Pending(still | {*names}, now() + RUN_PATIENCE, frozenset(kinds)), paths)])


def followed(kind: str, paths: Paths) -> None:
    """Say that one part is as defined; with the last one the run is through."""
    if os.path.exists(pending_path(paths)):
        with lock(paths.runtime):
            pending = read_pending(paths)
            put([pending_file(replace(pending, kinds=pending.kinds - {kind}), paths)])


def followed_all(paths: Paths) -> None:
    """Say that the run is through."""
    if os.path.exists(pending_path(paths)):
        with lock(paths.runtime):
            put([pending_file(Pending(), paths)])


def _mapping(path: str) -> Mapping[str, object]:
    # Notes that nobody can read are worth less than the run that reads them.
    try:
        data = read_note(path)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
