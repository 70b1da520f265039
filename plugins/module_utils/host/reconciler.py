# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host itself: folders, the engine, and the services that bring networks back at boot."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Sequence
from typing import Any

from ..core import systemctl
from ..core.errors import NotConverged
from ..core.files import File, unfinished
from ..core.lock import lock, lock_file
from ..core.paths import Paths
from ..core.reconcile import CHANGE, CREATE, DELETE, Plan, describe
from . import files as host_files
from . import read as host_read
from . import requirements as host_needs
from .apply import FOLDER_MODE, HostChange, compile_engine, make, remove
from .files import SERVICE
from .read import State

PRESENT = "present"
ABSENT = "absent"
STOPPED = "stopped"

_DNSMASQ = "dnsmasq.service"
_LAUNCHER_MODE = 0o755
_CACHE = "__pycache__"
# Somewhat longer than the unit's own limit.
_START_PATIENCE = 330.0

# What of /etc/virtnet we write; anything else there is somebody else's.
_OUR_SETTINGS = re.compile(
    r"networks/[^/]+\.json|dnsmasq(\.d)?/[^/]+\.conf|dnsmasq\.hosts/[^/]+\.(dhcp|names)|[a-z.]+/\.[^/]+\.virtnet-tmp"
)


class HostSetup:
    """The part that prepares a host, or clears it."""

    def __init__(self, state: str, paths: Paths, *, guard: bool = True) -> None:
        self.state = state
        self.paths = paths
        self.units = {
            name: File(os.path.join(paths.units, name), text)
            for name, text in host_files.units(paths.engine, guard=guard).items()
        }
        self.launcher = os.path.join(paths.engine, "virtnet")
        # Written before what makes a restart necessary, so that one that is killed in between is caught up with.
        self.due = os.path.join(paths.runtime, "service-restart-due")
        self.rules = File(os.path.join(paths.units, host_files.RULES), host_files.rules_unit(paths.engine))
        self.hooks = [os.path.join(paths.units, f"{one}.wants", host_files.RULES) for one in host_files.FIREWALLS]
        self.engine = os.path.join(paths.engine, "engine")
        self.settings = os.path.dirname(paths.definitions)
        # Each with its parent, whose mode would otherwise be left to a umask.
        self.folders = (self.settings, paths.definitions, paths.state, paths.engine, self.engine)
        self.program = self._program() if state == PRESENT else []
        self.packages = sorted({os.path.dirname(file.path) for file in self.program} - set(self.folders))

    def link(self, name: str) -> str:
        """What enables a unit."""
        return os.path.join(self.paths.units, "multi-user.target.wants", name)

    @property
    def _shared(self) -> list[str]:
        """Folders of others into which we write."""
        # It brings the bridges along, which no run needs that prepares a host.
        from ..bridge.network_managers import FOLDERS

        paths = self.paths
        files = (paths.sysctl_file, paths.dnsmasq_drop_in)
        folders = [os.path.join(paths.root, one) for one in ("etc", *FOLDERS)]
        return [paths.dnsmasq_fragments, paths.units, *map(os.path.dirname, files), *folders]

    def _unfinished(self) -> list[str]:
        """What runs that were cut short began among the files of others: files, and folders for files to come."""
        files = [path for folder in self._shared for path in unfinished(folder)]
        own = [os.path.dirname(path) for path in (self.paths.dnsmasq_drop_in, *self.hooks)]
        return [*files, *(folder for folder in own if host_read.is_empty(folder, files))]

    def _program(self) -> list[File]:
        launcher = host_files.launcher(host_files.boot_interpreter())
        return [
            *(File(os.path.join(self.engine, name), text) for name, text in host_files.engine_files().items()),
            File(self.launcher, launcher, _LAUNCHER_MODE),
        ]

    def read(self) -> State:
        """Versions, units, folders and files."""
        present = self.state == PRESENT
        cleared = () if present else (self.settings, self.paths.state, self.paths.runtime)
        return State(
            versions=host_needs.read_versions() if present else {},
            needs=host_needs.read_needs(self.paths.root),
            family=host_needs.read_family(self.paths.root),
            systemd=host_read.has_systemd(self.paths),
            units=host_read.read_units(self.paths, (*self.units, _DNSMASQ)),
            links=host_read.read_links([self.paths.command, *(self.link(name) for name in self.units), *self.hooks]),
            restart_due=os.path.exists(self.due),
            command_taken=os.path.lexists(self.paths.command) and not os.path.islink(self.paths.command),
            folders=host_read.read_folders((*self.folders, *self.packages)),
            files=host_read.read_files([file.path for file in (*self.units.values(), self.rules, *self.program)]),
            unfinished=() if present else self._unfinished(),
            trees={folder: host_read.read_tree(folder) for folder in (self.paths.engine, *cleared)},
        )

    def plan(self, current: State) -> Plan[HostChange]:
        """What the host lacks; or, for absent, what of ours it still has."""
        if self.state == ABSENT:
            return self._plan_absent(current)
        if self.state == STOPPED:
            return Plan(self._halt(current), [{}])
        host_needs.refuse_old(current.versions, current.family)
        program = self._renew_program(current)
        changes = [
            *(change for folder in self.folders for change in _make_folder(folder, current)),
            # Those that are not there come with the program.
            *(
                change
                for folder in self.packages
                if folder in current.folders
                for change in _make_folder(folder, current)
            ),
            *program,
            *self._offer_command(current),
            *(change for name in (*self.units, host_files.RULES) for change in self._renew_unit(name, current)),
            *self._hook(current),
            *(change for name in self.units for change in self._start(name, current, bool(program))),
        ]
        notes = []
        if current.command_taken:
            notes.append(f"{self.paths.command} is not ours and stays; the command is {self.launcher}")
        if not current.systemd:
            notes.append(f"systemd does not run here: {' and '.join(self.units)} are enabled, but were not started")
        # Not started again: what made one fail may be what this very run is about to repair.
        failed = [name for name in self.units if current.unit(name).active == "failed"]
        notes += [f"{name} failed when it ran last; see journalctl -u {name}" for name in failed]
        return Plan(changes, [self._holds(current)], notes)

    def _holds(self, current: State) -> dict[str, Any]:
        dnsmasq = current.unit(_DNSMASQ)
        programs = dict(current.versions)
        if not dnsmasq.installed:
            # Debian's dnsmasq-base brings the program without the service.
            programs.pop("dnsmasq", None)
        return {
            "family": current.family,
            "missing": host_needs.missing(programs, current.family, current.needs),
            "dnsmasq": {
                "installed": dnsmasq.installed,
                "enabled": dnsmasq.enabled,
                "active": dnsmasq.active == "active",
                "program": "dnsmasq" in current.versions,
            },
        }

    def _renew_program(self, current: State) -> list[HostChange]:
        """The engine as a whole: files that it no longer has go, and with any change what Python made of them."""
        new = [file for file in self.program if not _is_right(file, current)]
        tree = current.tree(self.paths.engine)
        named = {file.path for file in self.program}
        cached = [path for path in tree.files if _CACHE in path.split(os.sep)]
        strange = [path for path in tree.files if path not in named and path not in cached]
        if not new and not strange:
            return []
        folders = [folder for folder in tree.folders if folder not in (*self.folders, *self.packages)]
        old = [file.path for file in new if file.path in current.files]
        before = {path: _digest(current.files[path].content) for path in old}
        before.update({path: "not of this version" for path in strange})
        after = {file.path: _digest(file.content or "") for file in new}
        return [
            HostChange(
                CHANGE if named & set(current.files) else CREATE,
                f"engine {self.paths.engine}",
                describe(dict(sorted(before.items()))),
                describe(dict(sorted(after.items()))),
                remove=[*strange, *cached, *folders],
                files=[*self._restart_is_due(current), *new],
            )
        ]

    def _restart_is_due(self, current: State) -> list[File]:
        running = current.unit(SERVICE).active == "active"
        return [File(self.due, "")] if running and not current.restart_due else []

    def _offer_command(self, current: State) -> list[HostChange]:
        """The program in everybody's path, unless something else has that name."""
        link = self.paths.command
        if current.command_taken or current.links.get(link) == self.launcher:
            return []
        old = current.links.get(link, "")
        if old and os.path.exists(link):
            return []
        before, after = (f"-> {path}\n" if path else "" for path in (old, self.launcher))
        return [HostChange(CREATE, f"command {link}", before, after, link=link, target=self.launcher)]

    def _halt(self, current: State) -> list[HostChange]:
        """Nothing guards any more; everything else stays."""
        if not current.systemd or current.unit(SERVICE).active in ("inactive", "failed"):
            return []
        return [HostChange(CHANGE, f"service {SERVICE}", "running\n", "stopped\n", "stopped", stop=SERVICE)]

    def _renew_unit(self, name: str, current: State) -> list[HostChange]:
        file = {**self.units, host_files.RULES: self.rules}[name]
        if _is_right(file, current):
            return []
        old = current.files.get(file.path)
        return [
            HostChange(
                CHANGE if old else CREATE,
                f"unit {name}",
                old.content if old else "",
                file.content or "",
                files=[*(self._restart_is_due(current) if name == SERVICE else []), file],
                daemon_reload=current.systemd,
            )
        ]

    def _hook(self, current: State) -> list[HostChange]:
        """Firewalls want our rules: a link for each, whether it is installed or will be."""
        missing = [hook for hook in self.hooks if os.path.basename(current.links.get(hook, "")) != host_files.RULES]
        return [
            HostChange(
                CREATE,
                f"link {hook}",
                link=hook,
                daemon_reload=current.systemd and hook == missing[-1],
            )
            for hook in missing
        ]

    def _unhook(self, current: State) -> list[HostChange]:
        there = [path for path in (*self.hooks, self.rules.path) if path in current.links or path in current.files]
        folders = [os.path.dirname(path) for path in there if path in self.hooks]
        if not there:
            return []
        remove_paths = [*there, *folders]
        return [HostChange(DELETE, f"unit {host_files.RULES}", remove=remove_paths, daemon_reload=current.systemd)]

    def _start(self, name: str, current: State, renewed: bool) -> list[HostChange]:
        """Enabled and started, and known to systemd as its file says also after a run that was killed in between."""
        unit = current.unit(name)
        link = self.link(name)
        enabled = os.path.basename(current.links.get(link, "")) == name
        active = unit.active in ("active", "failed") or not current.systemd
        known = unit.installed and not unit.stale
        # A file that is not right yet brings its own reload.
        reloaded = known or not current.systemd or not _is_right(self.units[name], current)
        # What runs is the engine and the unit as they were when it was started.
        old = current.restart_due or renewed or not _is_right(self.units[name], current)
        fresh = name != SERVICE or unit.active != "active" or not old or not current.systemd
        if enabled and active and reloaded and fresh:
            return []
        words = {"reloaded": reloaded, "enabled": enabled, "started": active, "restarted": fresh}
        return [
            HostChange(
                CHANGE,
                f"service {name}",
                describe(words),
                describe(dict.fromkeys(words, True)),
                ", ".join(word for word, done in words.items() if not done),
                link="" if enabled else link,
                daemon_reload=not reloaded,
                start="" if active and fresh else name,
            )
        ]

    def _plan_absent(self, current: State) -> Plan[HostChange]:
        changes = [change for name in self.units for change in self._stop(name, current)]
        if current.links.get(self.paths.command) == self.launcher:
            changes.append(
                HostChange(
                    DELETE, f"command {self.paths.command}", f"-> {self.launcher}\n", remove=[self.paths.command]
                )
            )
        changes += self._unhook(current)
        if current.unfinished:
            left = "".join(f"{path}\n" for path in current.unfinished)
            changes.append(
                HostChange(DELETE, "files and folders that a run left unfinished", left, remove=current.unfinished)
            )
        notes: list[str] = []
        settings = current.tree(self.settings)
        foreign = [p for p in settings.files if not _OUR_SETTINGS.fullmatch(os.path.relpath(p, self.settings))]
        if foreign:
            notes.append(f"not written by virtnet.linux, and therefore left: {', '.join(sorted(foreign))}")
        lock = lock_file(self.paths.runtime)
        for folder, kept in (
            (self.paths.engine, []),
            (self.settings, foreign),
            (self.paths.state, []),
            (self.paths.runtime, [lock]),
        ):
            changes += _clear(folder, kept, current)
        return Plan(changes, [{}], notes)

    def _stop(self, name: str, current: State) -> list[HostChange]:
        unit = current.unit(name)
        path = self.units[name].path
        known = current.systemd and (unit.installed or unit.active != "inactive")
        if path not in current.files and self.link(name) not in current.links and not known:
            return []
        old = current.files.get(path)
        return [
            HostChange(
                DELETE,
                f"unit {name}",
                old.content if old else "",
                stop_before=name if current.systemd and unit.active not in ("inactive", "failed") else "",
                remove=[self.link(name), path],
                reset_failed=name if current.systemd and unit.active == "failed" else "",
                daemon_reload=current.systemd,
            )
        ]

    def apply(self, plan: Plan[HostChange]) -> None:
        """Make the changes; raises VirtnetError naming the path that stands in the way."""
        for change in plan.changes:
            make(change)


def set_up(state: str, paths: Paths, *, check: bool, guard: bool = True) -> Plan[HostChange]:
    """Prepare or clear the host, or stop the guard.

    As converge(), but for two things: the services are started and stopped without the lock, which they take
    themselves, and waited for, since what follows must not meet them at work; and after clearing not even the lock is
    left.
    """
    part = HostSetup(state, paths, guard=guard)
    with contextlib.nullcontext() if check or state == STOPPED else lock(paths.runtime):
        plan = part.plan(part.read())
        if not check:
            part.apply(plan)
    if check:
        return plan
    if state == PRESENT:
        compile_engine(part.engine)
    for change in plan.changes:
        if change.stop:
            systemctl.stop([change.stop], timeout=_START_PATIENCE)
    start = [change.start for change in plan.changes if change.start]
    if start:
        systemctl.restart(start, timeout=_START_PATIENCE)
        remove([part.due])
    left = part.plan(part.read()).changes if plan.changes else ()
    if left:
        raise NotConverged("the host still differs after the change: " + "; ".join(map(str, left)))
    if state == ABSENT:
        remove([lock_file(paths.runtime), paths.runtime])
    return plan


def _is_right(file: File, current: State) -> bool:
    have = current.files.get(file.path)
    return have is not None and have.content == file.content and have.mode == file.mode


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _make_folder(folder: str, current: State) -> list[HostChange]:
    mode = current.folders.get(folder)
    if mode == FOLDER_MODE:
        return []
    before = {} if mode is None else {"mode": "of another owner" if mode == host_read.NOT_OURS else f"{mode:04o}"}
    return [
        HostChange(
            CREATE if mode is None else CHANGE,
            f"folder {folder}",
            describe(before),
            describe({"mode": f"{FOLDER_MODE:04o}"}),
            folder=folder,
        )
    ]


def _clear(folder: str, kept: Sequence[str], current: State) -> list[HostChange]:
    """Remove a folder with everything but what is kept, and the folders that this leaves empty."""
    tree = current.tree(folder)
    files = [path for path in tree.files if path not in kept]
    folders = [path for path in tree.folders if not any(keep.startswith(f"{path}{os.sep}") for keep in kept)]
    if not files and not folders:
        return []
    return [
        HostChange(
            DELETE,
            f"folder {folder}",
            "".join(f"{path}\n" for path in sorted([*files, *folders])),
            "".join(f"{path}\n" for path in sorted(kept)),
            remove=[*files, *folders],
        )
    ]
