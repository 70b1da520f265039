# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Remove from a host what the collection installed there."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.lock import lock_file
from ..core.reconcile import DELETE, Plan
from . import files as host_files
from .apply import HostChange
from .read import State

if TYPE_CHECKING:
    from .reconciler import HostReconciler

# The files below /etc/virtnet that the engine writes; others there belong to somebody else.
_OUR_SETTINGS = re.compile(
    r"networks/[^/]+\.json|dnsmasq(\.d)?/[^/]+\.conf|dnsmasq\.hosts/[^/]+\.(dhcp|names)|[a-z.]+/\.[^/]+\.virtnet-tmp"
)


def plan_removal(setup: HostReconciler, current: State) -> Plan[HostChange]:
    """Remove units, command, engine, settings and state; files of others stay."""
    changes = [change for name in setup.units for change in _remove_unit(setup, name, current)]
    if current.links.get(setup.paths.command) == setup.launcher:
        changes.append(
            HostChange(
                action=DELETE,
                name=f"command {setup.paths.command}",
                before=f"-> {setup.launcher}\n",
                remove=[setup.paths.command],
            )
        )
    changes += _remove_hooks(setup, current)
    if current.unfinished:
        changes.append(
            HostChange(
                action=DELETE,
                name="files and folders that a run left unfinished",
                before="".join(f"{path}\n" for path in current.unfinished),
                remove=current.unfinished,
            )
        )
    notes: list[str] = []
    settings = current.tree(setup.settings)
    foreign = [path for path in settings.files if not _OUR_SETTINGS.fullmatch(os.path.relpath(path, setup.settings))]
    if foreign:
        notes.append(f"not written by virtnet.linux, and therefore left: {', '.join(sorted(foreign))}")
    lock = lock_file(setup.paths.runtime)
    for folder, kept in (
        (setup.paths.engine, []),
        (setup.settings, foreign),
        (setup.paths.state, []),
        (setup.paths.runtime, [lock]),
    ):
        changes += _clear(folder, kept, current)
    return Plan(changes, [{}], notes)


def _remove_hooks(setup: HostReconciler, current: State) -> list[HostChange]:
    existing = [path for path in (*setup.hooks, setup.rules.path) if path in current.links or path in current.files]
    folders = [os.path.dirname(path) for path in existing if path in setup.hooks]
    if not existing:
        return []
    return [
        HostChange(
            action=DELETE, name=f"unit {host_files.RULES}", remove=[*existing, *folders], daemon_reload=current.systemd
        )
    ]


def _remove_unit(setup: HostReconciler, name: str, current: State) -> list[HostChange]:
    unit = current.unit(name)
    path = setup.units[name].path
    known = current.systemd and (unit.installed or unit.active != "inactive")
    if path not in current.files and setup.link(name) not in current.links and not known:
        return []
    old = current.files.get(path)
    return [
        HostChange(
            action=DELETE,
            name=f"unit {name}",
            before=(old.content or "") if old else "",
            stop_before=name if current.systemd and unit.active not in ("inactive", "failed") else "",
            remove=[setup.link(name), path],
            reset_failed=name if current.systemd and unit.active == "failed" else "",
            daemon_reload=current.systemd,
        )
    ]


def _clear(folder: str, kept: Sequence[str], current: State) -> list[HostChange]:
    """Remove the content of a folder but the files in ``kept``, and the folders that are empty then."""
    tree = current.tree(folder)
    files = [path for path in tree.files if path not in kept]
    folders = [path for path in tree.folders if not any(keep.startswith(f"{path}{os.sep}") for keep in kept)]
    if not files and not folders:
        return []
    return [
        HostChange(
            action=DELETE,
            name=f"folder {folder}",
            before="".join(f"{path}\n" for path in sorted([*files, *folders])),
            after="".join(f"{path}\n" for path in sorted(kept)),
            remove=[*files, *folders],
        )
    ]
