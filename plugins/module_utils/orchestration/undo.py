# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Undoes a run of which a task has failed: its networks get their former definitions, and the parts follow these."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Mapping, Sequence

from ..core.errors import VirtnetError
from ..core.files import File, write_files
from ..core.lock import lock
from ..core.paths import Paths
from ..network.runtime import (
    SETTINGS,
    Pending,
    concerned,
    pending_file,
    pending_path,
    read_pending,
    read_records,
    record_taken,
    records_file,
)
from .redirects import networks_with_taken_ports
from .restore import load_host_state, reconcile


def undo_run(objects: Collection[str] | None, paths: Paths) -> str:
    """Undo the run that a task about ``objects`` belongs to; returns what was done as a part of an error message.

    ``objects``: the networks or bridges that the task named; None: all. '' where no run has changed their definitions,
    or where that run has ended. libvirt's networks are the last part, whose task puts them back itself.
    Raises VirtnetError if the networks cannot be as before.
    """
    if not os.path.exists(pending_path(paths)):
        return ""
    with lock(paths.runtime):
        pending = read_pending(paths)
        undone = {
            name: pending[name]
            for name in concerned(pending, objects, paths)
            if pending[name].before is not None and pending[name].seconds_left()
        }
        if not undone:
            return ""
        failed = [network for network in load_host_state(paths).running if network.name in undone]
        # What cannot be learnt is no reason to leave the host as it is.
        with contextlib.suppress(VirtnetError):
            record_taken(networks_with_taken_ports(failed, paths), paths)
        _put_back(undone, paths)
        host = load_host_state(paths)
        outcomes = list(reconcile(host, paths, names=undone))
        others = {name: network for name, network in pending.items() if name not in undone}
        write_files([pending_file(others, paths)])
    errors = [outcome.error for outcome in outcomes if outcome.error]
    # Nobody knows what such a definition stood for, so what the run made stays.
    errors += [definition.problem for name, definition in host.unreadable.items() if name in undone]
    if errors:
        raise VirtnetError("; ".join(errors))
    return _said(undone)


def _put_back(undone: Mapping[str, Pending], paths: Paths) -> None:
    records = {name: record for name, record in read_records(paths).items() if name not in undone}
    records.update({name: network.record for name, network in undone.items() if network.record})
    files = [File(path, text) for network in undone.values() for path, text in (network.before or {}).items()]
    write_files([*files, records_file(records, paths)])


def _said(undone: Mapping[str, Pending]) -> str:
    added = {name for name, network in undone.items() if network.before and not any(network.before.values())}
    new = sorted(added - {SETTINGS})
    others = sorted(undone.keys() - set(new))
    said = [
        *([f"{_listed(new)} {'do' if len(new) > 1 else 'does'} not exist"] if new else []),
        *([f"{_listed(others)} {'are' if len(others) > 1 else 'is'} as before"] if others else []),
    ]
    return f"everything that the run has changed is undone: {', and '.join(said)}"


def _listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(", ".join(names).rsplit(", ", 1))
