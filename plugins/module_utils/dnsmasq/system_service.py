# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The system's dnsmasq as a service: is it there, how is it started, start it, why did it not start."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from ..core import systemctl
from ..core.command import find, run
from ..core.errors import CommandFailed, MissingTool, VirtnetError
from ..core.files import read_text
from ..core.systemctl import Unit

UNIT = "dnsmasq.service"
OUR_UNIT = "virtnet.service"
OLDEST = (2, 80)

_HELPER = "systemd-helper"
_DEBIAN_DEFAULTS = "CONFIG_DIR=/etc/dnsmasq.d,.dpkg-dist,.dpkg-old,.dpkg-new"
_LASTING = ("enabled", "static", "alias", "indirect", "generated", "linked")
# What tells why a start failed, in the words of dnsmasq; the rest of the journal is noise to a reader.
_TELLING = re.compile(r"fail|error|cannot|unknown|illegal|bad |in use|missing|junk|invalid|no such|too many", re.I)
_THAT_IT_FAILED = re.compile(r"FAILED to start up|Failed to start|dnsmasq\.service: ")


class DnsmasqFailed(VirtnetError):
    """The service did not start; the text says why."""


class NoUsableDnsmasq(VirtnetError):
    """The host has no dnsmasq that could serve a network; the text says why and what to do.

    ``network``: the one network that is concerned, or '' where others are too.
    """

    def __init__(self, message: str, network: str = "") -> None:
        super().__init__(message)
        self.network = network


@dataclass(frozen=True)
class ServiceStatus:
    """The service as it is; ``command`` is what starts it next time, ``version`` () where it is not known.

    ``ordered_after_us``: our own service is starting or stopping just now, and systemd lets dnsmasq wait for it; so
    whoever waits for a start of dnsmasq, and is waited for by our service, waits for ever.
    """

    command: tuple[str, ...]
    installed: bool = True
    version: tuple[int, ...] = ()
    active: str = "inactive"
    enabled: str = ""
    pid: int = 0
    ordered_after_us: bool = False

    @property
    def running(self) -> bool:
        """Whether it runs or is about to."""
        return Unit(active=self.active).running

    @property
    def usable(self) -> bool:
        """Whether it is there, new enough and enabled."""
        try:
            self.refuse_unusable()
        except NoUsableDnsmasq:
            return False
        return self.installed

    def refuse_unusable(self) -> None:
        """Raise NoUsableDnsmasq when the service is there but cannot be used; not when it is not installed (yet)."""
        if not self.installed:
            return
        problem = ""
        if self.version and self.version < OLDEST:
            found = ".".join(map(str, self.version))
            problem = f"version {found} is too old; install dnsmasq {'.'.join(map(str, OLDEST))} or newer"
        elif self.enabled.startswith("masked"):
            problem = f"{UNIT} is masked; run 'systemctl unmask {UNIT}' and 'systemctl enable --now {UNIT}'"
        elif not self.enabled.startswith(_LASTING):
            problem = f"{UNIT} is not enabled ({self.enabled or 'unknown'}); run 'systemctl enable --now {UNIT}'"
        if problem:
            raise NoUsableDnsmasq(f"no usable system dnsmasq: {problem}")

    def need_installed(self) -> None:
        """Raise MissingTool when the service is not installed."""
        if not self.installed:
            raise MissingTool("the system's dnsmasq (dnsmasq.service)", "dnsmasq")


def not_installed(version: tuple[int, ...] = ()) -> ServiceStatus:
    """A host without the service; Debian's package would start it like this."""
    return ServiceStatus(command=debian_command(_DEBIAN_DEFAULTS) or (), installed=False, version=version)


class DnsmasqService(Protocol):
    """What is asked of the system's dnsmasq."""

    def status(self) -> ServiceStatus:
        """The service as it is; cheap, no change."""

    def restart(self) -> None:
        """Start it, after a stop where it runs, and wait; raises DnsmasqFailed with the reason."""

    def restart_later(self) -> None:
        """Ask for a restart without waiting for it."""

    def reread(self) -> None:
        """Have it read again what it reads on SIGHUP; does not wait for that."""

    def stop(self) -> None:
        """Stop it and wait."""


def parse_version(text: str) -> tuple[int, ...]:
    """The version that ``dnsmasq --version`` writes; () where it cannot be read."""
    match = re.search(r"version (\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else ()


class SystemDnsmasq:
    """dnsmasq.service under systemd."""

    def __init__(self, root: str = "/") -> None:
        self.root = root

    def status(self) -> ServiceStatus:
        """The service as it is."""
        if find("dnsmasq") is None or not systemctl.available():
            return not_installed()
        units = systemctl.show([UNIT, OUR_UNIT], check=False)
        dnsmasq, our_unit = units.get(UNIT, Unit()), units.get(OUR_UNIT, Unit())
        version = parse_version(run(["dnsmasq", "--version"], check=False).stdout)
        if not dnsmasq.installed:
            return replace(not_installed(version), ordered_after_us=our_unit.changing)
        return ServiceStatus(
            command=self._command(dnsmasq.exec_start, dnsmasq.main_pid),
            version=version,
            active=dnsmasq.active,
            enabled="masked" if dnsmasq.load == "masked" else dnsmasq.unit_file,
            pid=dnsmasq.main_pid,
            ordered_after_us=our_unit.changing,
        )

    def _command(self, exec_start: str, pid: int) -> tuple[str, ...]:
        """What the next start runs: by Debian's helper, or as it runs now, or as the unit has it."""
        declared = exec_start_words(exec_start)
        defaults = os.path.join(self.root, "etc/default/dnsmasq")
        if declared and os.path.basename(declared[0]) == _HELPER:
            command = debian_command(read_text(defaults) or "")
            if command is not None:
                return command
        running = read_text(f"/proc/{pid}/cmdline") if pid else None
        if running:
            return tuple(running.rstrip("\0").split("\0"))
        if declared and os.path.basename(declared[0]) == "dnsmasq":
            return tuple(word for word in declared if not word.startswith("$"))
        return not_installed().command

    def restart(self) -> None:
        """``systemctl restart``, which also starts; raises DnsmasqFailed with what the journal says."""
        since = time.time()
        # Our own attempts, one after another, must not use up the unit's start limit.
        systemctl.reset_failed([UNIT])
        try:
            systemctl.restart([UNIT])
        except CommandFailed as error:
            raise DnsmasqFailed(journal([UNIT], since) or str(error)) from error

    def restart_later(self) -> None:
        """A restart that systemd orders among its other jobs."""
        systemctl.queue_restart([UNIT])

    def reread(self) -> None:
        """SIGHUP."""
        systemctl.hang_up(UNIT)

    def stop(self) -> None:
        """``systemctl stop``."""
        systemctl.stop([UNIT])


def journal(units: Iterable[str], since: float) -> str:
    """What services said about a failure since a moment; '' where nobody can tell."""
    if find("journalctl") is None:
        return ""
    named = [f"--unit={name}" for name in units]
    command = ["journalctl", *named, f"--since=@{int(since)}", "--output=cat", "--no-pager", "--lines=30"]
    return telling_lines(run(command, check=False).stdout)


def telling_lines(log: str) -> str:
    """The lines of a log that say what went wrong, or its last ones; in one line, none twice."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith("-- ")]
    why = [line for line in lines if not _THAT_IT_FAILED.match(line)]
    telling = [line for line in why if _TELLING.search(line)] or lines
    return "; ".join(dict.fromkeys(telling[-5:]))


def exec_start_words(text: str) -> tuple[str, ...]:
    """The command in what ``systemctl show`` writes for ExecStart: ``{ path=... ; argv[]=... ; ... }``."""
    match = re.search(r"argv\[\]=(.*?) ; ", text)
    return tuple(match[1].split()) if match else ()


def debian_command(defaults: str) -> tuple[str, ...] | None:
    """What Debian's helper runs, from /etc/default/dnsmasq; None where only a shell could tell.

    Follows /usr/share/dnsmasq/init-system-common. Left out is what bears on nothing here: the trust anchors of
    dns-root-data, the resolv.conf of resolvconf.
    """
    values = shell_assignments(defaults)
    if values is None:
        return None
    words = ["/usr/sbin/dnsmasq", "-x", "/run/dnsmasq/dnsmasq.pid"]
    for flag, name in (("-m", "MAILHOSTNAME"), ("-t", "MAILTARGET")):
        words += [flag, values[name]] if values.get(name) else []
    words += ["-u", values.get("DNSMASQ_USER") or "dnsmasq"]
    for flag, name in (("-i", "DNSMASQ_INTERFACE"), ("-I", "DNSMASQ_EXCEPT")):
        for interface in values.get(name, "").split():
            words += [flag, interface]
    optional = (
        ("-l", "DHCP_LEASE"),
        ("-s", "DOMAIN_SUFFIX"),
        ("-r", "RESOLV_CONF"),
        ("-c", "CACHESIZE"),
        ("-7", "CONFIG_DIR"),
    )
    for flag, name in optional:
        words += [flag, *values[name].split()] if values.get(name) else []
    return (*words, *values.get("DNSMASQ_OPTS", "").split(), "--local-service")


_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def shell_assignments(text: str) -> Mapping[str, str] | None:
    """The variables that a shell fragment of plain assignments sets; None where it does more than that."""
    values: dict[str, str] = {}
    try:
        for line in text.replace("\\\n", "").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["export"]:
                words = words[1:]
            for word in words:
                match = _ASSIGNMENT.fullmatch(word)
                if match is None:
                    return None
                value = _VARIABLE.sub(lambda found: values.get(found[1] or found[2], ""), match[2])
                if "$" in value or "`" in value:
                    return None
                values[match[1]] = value
    except ValueError:
        return None
    return values
