# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prepare a host: folders, the engine, and the services that restore networks at boot."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import replace
from typing import Any

from ..core import systemctl
from ..core.errors import NotConverged
from ..core.families import DNSMASQ_PROGRAM, read_distribution
from ..core.files import File, unfinished_files
from ..core.lock import lock, lock_file
from ..core.paths import Paths
from ..core.reconcile import CHANGE, CREATE, Plan, describe
from . import files as host_files
from . import read as host_read
from . import requirements as host_needs
from .apply import FOLDER_MODE, HostChange, apply_change, compile_engine, remove
from .files import SERVICE
from .read import State
from .removal import plan_removal

PRESENT = "present"
ABSENT = "absent"
STOPPED = "stopped"

_DNSMASQ = "dnsmasq.service"
_LAUNCHER_MODE = 0o755
_CACHE = "__pycache__"
# In seconds; longer than the unit's own limit.
_START_PATIENCE = 330.0


class HostReconciler:
    """Reconciler of what the collection installs on a host."""

    def __init__(self, state: str, paths: Paths, *, guard: bool = True) -> None:
        self.state = state
        self.paths = paths
        self.units = {
            name: File(os.path.join(paths.units, name), text)
            for name, text in host_files.units(paths.engine, guard=guard).items()
        }
        self.launcher = os.path.join(paths.engine, "virtnet")
        # It is written before what requires a restart, so that a later run restarts if this one is killed meanwhile.
        self.due = os.path.join(paths.runtime, "service-restart-due")
        self.rules = File(os.path.join(paths.units, host_files.RULES), host_files.rules_unit(paths.engine))
        self.hooks = [os.path.join(paths.units, f"{unit}.wants", host_files.RULES) for unit in host_files.FIREWALLS]
        self.engine = os.path.join(paths.engine, "engine")
        self.settings = os.path.dirname(paths.definitions)
        # Parents are listed too, or their modes would depend on the umask.
        self.folders = (self.settings, paths.definitions, paths.state, paths.engine, self.engine)
        self.program: list[File] = []
        if state == PRESENT:
            texts = host_files.engine_files()
            self.program = [File(os.path.join(self.engine, name), text) for name, text in texts.items()]
            launcher = host_files.launcher(host_files.boot_interpreter())
            self.program.append(File(self.launcher, launcher, _LAUNCHER_MODE))
        self.packages = sorted({os.path.dirname(file.path) for file in self.program} - set(self.folders))

    def link(self, name: str) -> str:
        """The link that enables a unit."""
        return os.path.join(self.paths.units, "multi-user.target.wants", name)

    def _unfinished(self) -> list[str]:
        """Temporary files that interrupted runs left in shared folders, and empty folders that they made there."""
        # Imported here, since it imports the bridges, which the preparation of a host does not need.
        from ..bridge.network_managers import FOLDERS

        paths = self.paths
        shared = [
            paths.dnsmasq_fragments,
            paths.units,
            *map(os.path.dirname, (paths.sysctl_file, paths.dnsmasq_drop_in)),
        ]
        shared += [os.path.join(paths.root, folder) for folder in ("etc", *FOLDERS)]
        files = [path for folder in shared for path in unfinished_files(folder)]
        own = [os.path.dirname(path) for path in (paths.dnsmasq_drop_in, *self.hooks)]
        return [*files, *(folder for folder in own if host_read.is_empty(folder, files))]

    def read(self) -> State:
        """Versions, units, folders and files."""
        present = self.state == PRESENT
        cleared = () if present else (self.settings, self.paths.state, self.paths.runtime)
        versions = host_needs.read_versions() if present else {}
        lacks_library = present and "pyroute2" not in versions
        return State(
            versions=versions,
            system_python=host_needs.read_system_python(self.paths.root) if lacks_library else "",
            interpreter=host_files.boot_interpreter() if present else "",
            needs=host_needs.read_needs(self.paths.root),
            distribution=read_distribution(self.paths.root),
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
        """What to install, or, for absent, what to remove."""
        if self.state == ABSENT:
            return plan_removal(self, current)
        if self.state == STOPPED:
            return Plan(self._halt(current), [{}])
        host_needs.refuse_distribution(current.versions, current.distribution, current.needs)
        host_needs.refuse_old(current.versions, current.distribution)
        host_needs.refuse_wrong_python(current.versions, current.system_python)
        if current.systemd:
            host_needs.refuse_hidden_python(current.interpreter)
        program = self._renew_program(current)
        # Missing packages are made with the files of the program.
        folders = [*self.folders, *(folder for folder in self.packages if folder in current.folders)]
        changes = [
            *(change for folder in folders for change in _make_folder(folder, current)),
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
        # A failed service is not started again here: this run may be about to repair the cause.
        failed = [name for name in self.units if current.unit(name).active == "failed"]
        notes += [f"{name} failed when it ran last; see journalctl -u {name}" for name in failed]
        return Plan(changes, [self._result(current)], notes)

    def _result(self, current: State) -> dict[str, Any]:
        dnsmasq = current.unit(_DNSMASQ)
        programs = dict(current.versions)
        if not dnsmasq.installed:
            # Debian's dnsmasq-base has the program without the service.
            programs.pop("dnsmasq", None)
        return {
            "family": current.distribution.family,
            "ready": not host_needs.prevents_services(current.versions, current.needs),
            "missing": host_needs.missing(programs, current.distribution, current.needs),
            "dnsmasq": {
                "installed": dnsmasq.installed,
                "enabled": dnsmasq.enabled,
                "active": dnsmasq.active == "active",
                "program": "dnsmasq" in current.versions,
                "service_package": current.distribution.package("dnsmasq"),
                "program_package": current.distribution.package(DNSMASQ_PROGRAM),
            },
        }

    def _renew_program(self, current: State) -> list[HostChange]:
        """Replace the engine; obsolete files are removed, and all bytecode with any change."""
        new = [file for file in self.program if current.files.get(file.path) != file]
        tree = current.tree(self.paths.engine)
        named = {file.path for file in self.program}
        cached = [path for path in tree.files if _CACHE in path.split(os.sep)]
        obsolete = [path for path in tree.files if path not in named and path not in cached]
        if not new and not obsolete:
            return []
        folders = [folder for folder in tree.folders if folder not in (*self.folders, *self.packages)]
        old = [file.path for file in new if file.path in current.files]
        before = {path: _digest(current.files[path]) for path in old}
        before.update({path: "not of this version" for path in obsolete})
        after = {file.path: _digest(file) for file in new}
        return [
            HostChange(
                action=CHANGE if named & set(current.files) else CREATE,
                name=f"engine {self.paths.engine}",
                before=describe(dict(sorted(before.items()))),
                after=describe(dict(sorted(after.items()))),
                remove=[*obsolete, *cached, *folders],
                files=[*self._restart_is_due(current), *new],
            )
        ]

    def _restart_is_due(self, current: State) -> list[File]:
        running = current.unit(SERVICE).active == "active"
        return [File(self.due, "")] if running and not current.restart_due else []

    def _offer_command(self, current: State) -> list[HostChange]:
        """Link the program into the PATH, unless something else has its name."""
        link = self.paths.command
        if current.command_taken or current.links.get(link) == self.launcher:
            return []
        old = current.links.get(link, "")
        if old and os.path.exists(link):
            return []
        before, after = (f"-> {path}\n" if path else "" for path in (old, self.launcher))
        return [HostChange(CREATE, f"command {link}", before, after, link=link, target=self.launcher)]

    def _halt(self, current: State) -> list[HostChange]:
        """Stop the guard; everything else stays."""
        if not current.systemd or current.unit(SERVICE).active in ("inactive", "failed"):
            return []
        return [
            HostChange(
                action=CHANGE,
                name=f"service {SERVICE}",
                before="running\n",
                after="stopped\n",
                detail="stopped",
                stop=SERVICE,
            )
        ]

    def _renew_unit(self, name: str, current: State) -> list[HostChange]:
        file = {**self.units, host_files.RULES: self.rules}[name]
        old = current.files.get(file.path)
        if old == file:
            return []
        return [
            HostChange(
                action=CHANGE if old else CREATE,
                name=f"unit {name}",
                before=(old.content or "") if old else "",
                after=file.content or "",
                files=[*(self._restart_is_due(current) if name == SERVICE else []), file],
                daemon_reload=current.systemd,
            )
        ]

    def _hook(self, current: State) -> list[HostChange]:
        """Let firewalls want our rules: a link for each, whether it is installed or not."""
        missing = [hook for hook in self.hooks if os.path.basename(current.links.get(hook, "")) != host_files.RULES]
        return [
            HostChange(
                action=CREATE,
                name=f"link {hook}",
                link=hook,
                daemon_reload=current.systemd and hook == missing[-1],
            )
            for hook in missing
        ]

    def _start(self, name: str, current: State, renewed: bool) -> list[HostChange]:
        """Enable and start a service; systemd has to know its current file, even after a run that was killed."""
        unit = current.unit(name)
        link = self.link(name)
        enabled = os.path.basename(current.links.get(link, "")) == name
        active = unit.active in ("active", "failed") or not current.systemd
        known = unit.installed and not unit.stale
        unit_changes = current.files.get(self.units[name].path) != self.units[name]
        # The change of the file itself reloads systemd.
        reloaded = known or not current.systemd or unit_changes
        # A running service has the engine and the unit of the time of its start.
        old = current.restart_due or renewed or unit_changes
        fresh = name != SERVICE or unit.active != "active" or not old or not current.systemd
        if enabled and active and reloaded and fresh:
            return []
        words = {"reloaded": reloaded, "enabled": enabled, "started": active, "restarted": fresh}
        return [
            HostChange(
                action=CHANGE,
                name=f"service {name}",
                before=describe(words),
                after=describe(dict.fromkeys(words, True)),
                detail=", ".join(word for word, done in words.items() if not done),
                link="" if enabled else link,
                daemon_reload=not reloaded,
                start="" if active and fresh else name,
            )
        ]

    def apply(self, plan: Plan[HostChange]) -> None:
        """Apply the changes; raises VirtnetError naming the path that cannot be changed."""
        for change in plan.changes:
            apply_change(change)


def set_up(state: str, paths: Paths, *, check: bool, guard: bool = True) -> Plan[HostChange]:
    """Prepare or clear the host, or stop the guard.

    Where packages are missing, only check mode has a plan: services that start without them would go on so. There are
    two more differences from converge(). Services take the lock themselves, so they are started and stopped
    without it; and they are waited for, since the next task must not meet them at work. When the host is cleared, the
    lock file is removed too.
    """
    setup = HostReconciler(state, paths, guard=guard)
    with contextlib.nullcontext() if check or state == STOPPED else lock(paths.runtime):
        plan = setup.plan(setup.read())
        if check:
            return plan
        if not plan.result[0].get("ready", True):
            # Packages come first.
            return replace(plan, changes=[])
        setup.apply(plan)
    if state == PRESENT:
        compile_engine(setup.engine)
    for change in plan.changes:
        if change.stop:
            systemctl.stop([change.stop], timeout=_START_PATIENCE)
    start = [change.start for change in plan.changes if change.start]
    if start:
        systemctl.restart(start, timeout=_START_PATIENCE)
        remove([setup.due])
    remaining = setup.plan(setup.read()).changes if plan.changes else ()
    if remaining:
        raise NotConverged("the host still differs after the change: " + "; ".join(map(str, remaining)))
    if state == ABSENT:
        remove([lock_file(paths.runtime), paths.runtime])
    return plan


def _digest(file: File) -> str:
    return hashlib.sha256((file.content or "").encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _make_folder(folder: str, current: State) -> list[HostChange]:
    mode = current.folders.get(folder)
    if mode == FOLDER_MODE:
        return []
    before = {} if mode is None else {"mode": "of another owner" if mode == host_read.NOT_OURS else f"{mode:04o}"}
    return [
        HostChange(
            action=CREATE if mode is None else CHANGE,
            name=f"folder {folder}",
            before=describe(before),
            after=describe({"mode": f"{FOLDER_MODE:04o}"}),
            folder=folder,
        )
    ]
