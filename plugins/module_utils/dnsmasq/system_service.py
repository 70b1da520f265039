# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The system's dnsmasq as a service: its status, start, stop, and the reason of a failed start."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..core import systemctl
from ..core.command import find, run
from ..core.errors import CommandFailed, VirtnetError
from ..core.files import read_text
from ..core.systemctl import Unit
from .start_command import DEBIAN_DEFAULTS, debian_command, exec_start_words

UNIT = "dnsmasq.service"
OUR_UNIT = "virtnet.service"
OLDEST = (2, 80)

_DEBIAN_HELPER = "systemd-helper"
# UnitFileState of a unit that runs after the next boot too.
_ENABLED = ("enabled", "static", "alias", "indirect", "generated", "linked")
# Lines of a log that give the reason of a failure, in dnsmasq's words.
_REASON = re.compile(r"fail|error|cannot|unknown|illegal|bad |in use|missing|junk|invalid|no such|too many", re.I)
# Lines that report a failure without its reason.
_NO_REASON = re.compile(r"FAILED to start up|Failed to start|dnsmasq\.service: ")


class DnsmasqFailed(VirtnetError):
    """The service did not start, or does not serve; the text gives the reason."""


class NoUsableDnsmasq(VirtnetError):
    """No dnsmasq of the host can serve a network; the text gives the reason and the remedy.

    ``network``: the only network that is concerned, or ''.
    """

    def __init__(self, message: str, network: str = "") -> None:
        super().__init__(message)
        self.network = network


@dataclass(frozen=True)
class ServiceStatus:
    """The status of the service.

    ``command`` is what the next start runs; ``version`` is () if it is unknown. ``active`` is ActiveState, but
    "activating" also while the service stops because of a restart.

    ``known``: systemd has told of it.

    ``restart_policy``: when systemd starts it again by itself (Restart= in systemd.service(5)); '' if it is unknown.

    ``ordered_after_us``: our own service is starting or stopping, and systemd keeps dnsmasq waiting for it. If our
    service waited for a start of dnsmasq then, both would wait for ever.
    """

    command: tuple[str, ...]
    installed: bool = True
    version: tuple[int, ...] = ()
    active: str = "inactive"
    enabled: str = ""
    pid: int = 0
    ordered_after_us: bool = False
    restart_policy: str = ""
    known: bool = True

    @property
    def running(self) -> bool:
        """Whether it runs or is about to run."""
        return Unit(active=self.active).running

    @property
    def usable(self) -> bool:
        """Whether it is installed, new enough and enabled."""
        return self.installed and not self.problem

    @property
    def problem(self) -> str:
        """Why it cannot be used although it is installed, with the remedy; '' for nothing."""
        if not self.installed:
            return ""
        problem = version_problem(self.version)
        if problem:
            return problem
        if self.enabled.startswith("masked"):
            return f"{UNIT} is masked; run 'systemctl unmask {UNIT}' and 'systemctl enable --now {UNIT}'"
        if not self.enabled.startswith(_ENABLED):
            return f"{UNIT} is not enabled ({self.enabled or 'unknown'}); run 'systemctl enable --now {UNIT}'"
        return ""


def not_installed(version: tuple[int, ...] = ()) -> ServiceStatus:
    """The status on a host without the service; the command is that of Debian's package."""
    return ServiceStatus(command=debian_command(DEBIAN_DEFAULTS) or (), installed=False, version=version)


def version_problem(version: tuple[int, ...]) -> str:
    """Why a dnsmasq of this version cannot be used, with the remedy; '' for nothing, or if it is unknown."""
    if not version or version >= OLDEST:
        return ""
    return f"version {'.'.join(map(str, version))} is too old; install dnsmasq {'.'.join(map(str, OLDEST))} or newer"


def parse_version(text: str) -> tuple[int, ...]:
    """The version in the output of ``dnsmasq --version``; () if there is none."""
    match = re.search(r"version (\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else ()


class SystemDnsmasq:
    """dnsmasq.service under systemd; ``root`` is the root of the file system."""

    def __init__(self, root: str = "/") -> None:
        self.root = root

    def status(self) -> ServiceStatus:
        """The current status; cheap, changes nothing."""
        if find("dnsmasq") is None or not systemctl.available():
            return not_installed()
        units = systemctl.show([UNIT, OUR_UNIT], check=False)
        dnsmasq, our_unit = units.get(UNIT, Unit()), units.get(OUR_UNIT, Unit())
        version = parse_version(run(["dnsmasq", "--version"], check=False).stdout)
        if not dnsmasq.installed:
            return replace(not_installed(version), ordered_after_us=our_unit.changing, known=UNIT in units)
        restarting = dnsmasq.active == "deactivating" and systemctl.is_restarting(UNIT)
        return ServiceStatus(
            command=self._command(dnsmasq.exec_start, dnsmasq.main_pid),
            version=version,
            active="activating" if restarting else dnsmasq.active,
            enabled="masked" if dnsmasq.load == "masked" else dnsmasq.unit_file,
            pid=dnsmasq.main_pid,
            ordered_after_us=our_unit.changing,
            restart_policy=dnsmasq.restart,
        )

    def _command(self, exec_start: str, pid: int) -> tuple[str, ...]:
        """The command of the next start: Debian's helper's, else that of the running process, else that of the unit."""
        words = exec_start_words(exec_start)
        if words and os.path.basename(words[0]) == _DEBIAN_HELPER:
            command = debian_command(read_text(os.path.join(self.root, "etc/default/dnsmasq")) or "")
            if command is not None:
                return command
        running = read_text(f"/proc/{pid}/cmdline") if pid else None
        if running:
            return tuple(running.rstrip("\0").split("\0"))
        if words and os.path.basename(words[0]) == "dnsmasq":
            return tuple(word for word in words if not word.startswith("$"))
        return not_installed().command

    def restart(self) -> None:
        """Restart it, or start it if it does not run, and wait for that; raises DnsmasqFailed with the reason."""
        restart_units([UNIT])

    def restart_later(self) -> None:
        """Request a restart and do not wait for it; systemd orders it among its other jobs."""
        systemctl.queue_restart([UNIT])

    def reload(self) -> None:
        """Send SIGHUP, on which dnsmasq reads hosts files again; does not wait for that."""
        systemctl.hang_up(UNIT)

    def stop(self) -> None:
        """Stop it and wait for that."""
        systemctl.stop([UNIT])


def restart_units(units: Sequence[str]) -> None:
    """Restart units of dnsmasq and wait for that; raises DnsmasqFailed with the reason from the journal."""
    since = time.time()
    # Restarts of ours, one after another, must not exhaust the start limit of a unit.
    systemctl.reset_failed(units)
    try:
        systemctl.restart(units)
    except CommandFailed as error:
        raise DnsmasqFailed(journal_errors(units, since) or str(error)) from error


def journal_errors(units: Iterable[str], since: float) -> str:
    """What units logged about a failure since a point in time, in seconds since the epoch; '' without journalctl."""
    if find("journalctl") is None:
        return ""
    options = [f"--unit={name}" for name in units]
    command = ["journalctl", *options, f"--since=@{int(since)}", "--output=cat", "--no-pager", "--lines=30"]
    return relevant_lines(run(command, check=False).stdout)


def relevant_lines(log: str) -> str:
    """The lines of a log that give the reason of a failure, else its last lines; joined to one, without duplicates."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith("-- ")]
    candidates = [line for line in lines if not _NO_REASON.match(line)]
    reasons = [line for line in candidates if _REASON.search(line)] or lines
    return "; ".join(dict.fromkeys(reasons[-5:]))
