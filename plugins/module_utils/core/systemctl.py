# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Units of systemd: their state, and jobs for them (systemctl(1))."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .command import find, run

# In seconds; longer than units take by default to start or to stop (DefaultTimeoutStartSec= in systemd-system.conf(5)).
JOB_TIMEOUT = 120.0

_PROPERTIES = "--property=LoadState,UnitFileState,ActiveState,NeedDaemonReload,MainPID,ExecStart,Restart"


@dataclass(frozen=True)
class Unit:
    """The state of a unit. The defaults are those of a unit that does not exist.

    ``load``, ``unit_file`` and ``active`` are LoadState, UnitFileState and ActiveState. ``stale``: its file has changed
    since systemd read it. ``main_pid`` is 0 if it does not run. ``exec_start`` is the command as systemctl prints it.
    ``restart`` is the setting Restart= (systemd.service(5)); '' if it is unknown.
    """

    load: str = "not-found"
    unit_file: str = ""
    active: str = "inactive"
    stale: bool = False
    main_pid: int = 0
    exec_start: str = ""
    restart: str = ""

    @property
    def installed(self) -> bool:
        """Whether there is such a unit, masked or not."""
        return self.load != "not-found"

    @property
    def enabled(self) -> bool:
        """Whether it is started at boot."""
        return self.unit_file.startswith("enabled")

    @property
    def running(self) -> bool:
        """Whether it runs or is about to run."""
        return self.active in ("active", "reloading", "activating")

    @property
    def changing(self) -> bool:
        """Whether it is starting or stopping."""
        return self.active in ("activating", "deactivating")


def available() -> bool:
    """Whether the host has systemctl."""
    return find("systemctl") is not None


def show(units: Sequence[str], *, check: bool = True) -> dict[str, Unit]:
    """The states of units by name.

    Raises MissingTool and CommandFailed; without ``check``, units are missing in the result if systemctl fails.
    """
    if not units:
        return {}
    return parse_units(units, run(["systemctl", "show", _PROPERTIES, *units], check=check).stdout)


def parse_units(units: Sequence[str], text: str) -> dict[str, Unit]:
    """The output of ``systemctl show``: a block of lines for each unit, in the order of the arguments."""
    blocks = [block for block in text.strip().split("\n\n") if block]
    return {unit: _parse_unit(block) for unit, block in zip(units, blocks)}


def _parse_unit(block: str) -> Unit:
    values = dict(line.partition("=")[::2] for line in block.splitlines())
    missing = Unit()
    return Unit(
        load=values.get("LoadState", missing.load),
        unit_file=values.get("UnitFileState", ""),
        active=values.get("ActiveState", missing.active),
        stale=values.get("NeedDaemonReload") == "yes",
        main_pid=int(values.get("MainPID") or 0),
        exec_start=values.get("ExecStart", ""),
        restart=values.get("Restart", ""),
    )


def is_active(unit: str) -> bool:
    """Whether a unit runs; raises MissingTool."""
    return run(["systemctl", "is-active", "--quiet", unit], check=False).code == 0


def is_restarting(unit: str) -> bool:
    """Whether systemd stops a unit only to start it again: ``systemctl list-jobs`` shows a restart job then."""
    jobs = run(["systemctl", "list-jobs", "--no-legend", "--plain", unit], check=False).stdout
    return any(job.split()[1:3] == [unit, "restart"] for job in jobs.splitlines())


def restart(units: Sequence[str], *, timeout: float = JOB_TIMEOUT) -> None:
    """Restart units, or start those that do not run, and wait for it; raises MissingTool, CommandFailed."""
    run(["systemctl", "restart", *units], timeout=timeout)


def queue_restart(units: Sequence[str]) -> None:
    """Let systemd restart units in the order of its jobs, without waiting for it; raises MissingTool, CommandFailed."""
    run(["systemctl", "--no-block", "restart", *units])


def stop(units: Sequence[str], *, timeout: float = JOB_TIMEOUT) -> None:
    """Stop units and wait for it; raises MissingTool, CommandFailed."""
    run(["systemctl", "stop", *units], timeout=timeout)


def reset_failed(units: Sequence[str]) -> None:
    """Forget that units failed, and how often they were started (StartLimitBurst= in systemd.unit(5))."""
    run(["systemctl", "reset-failed", *units], check=False)


def daemon_reload() -> None:
    """Let systemd read changed unit files; raises MissingTool, CommandFailed."""
    run(["systemctl", "daemon-reload"])


def hang_up(unit: str) -> None:
    """Send SIGHUP to the main process of a unit; the caller sees the effect.

    Not ``systemctl reload``: some distributions' units do not support it. Helper processes get no signal.
    """
    run(["systemctl", "kill", "--kill-who=main", "--signal=HUP", unit], check=False)
