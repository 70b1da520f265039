# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The services that run private instances of dnsmasq."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from ..core import systemctl
from ..core.errors import CommandFailed
from ..core.systemctl import Unit
from .private_files import unit_name
from .system_service import DnsmasqFailed, journal_errors


class Instances(Protocol):
    """The operations on private instances."""

    def status(self, names: Sequence[str]) -> Mapping[str, Unit]:
        """The current status of instances; cheap, changes nothing."""

    def daemon_reload(self) -> None:
        """Have systemd read changed unit files."""

    def stop(self, names: Sequence[str]) -> None:
        """Stop instances and wait for that."""

    def reload(self, name: str) -> None:
        """Send SIGHUP, on which dnsmasq reads hosts files again; does not wait for that."""

    def restart(self, names: Sequence[str]) -> None:
        """Restart instances, or start those that do not run, and wait; raises DnsmasqFailed with the reason."""

    def restart_later(self, names: Sequence[str]) -> None:
        """Request restarts and do not wait for them."""


class SystemdInstances:
    """``virtnet-dnsmasq@NAME.service`` under systemd."""

    def status(self, names: Sequence[str]) -> Mapping[str, Unit]:
        """The current status of instances; none without systemctl."""
        if not systemctl.available():
            return {}
        states = systemctl.show([unit_name(name) for name in names], check=False)
        return {name: states[unit_name(name)] for name in names if unit_name(name) in states}

    def daemon_reload(self) -> None:
        """``systemctl daemon-reload``."""
        if systemctl.available():
            systemctl.daemon_reload()

    def stop(self, names: Sequence[str]) -> None:
        """``systemctl stop``; systemd also forgets that an instance failed."""
        if names and systemctl.available():
            units = [unit_name(name) for name in names]
            systemctl.stop(units)
            systemctl.reset_failed(units)

    def reload(self, name: str) -> None:
        """Send SIGHUP."""
        systemctl.hang_up(unit_name(name))

    def restart(self, names: Sequence[str]) -> None:
        """``systemctl restart``; raises DnsmasqFailed with the reason from the journal."""
        if not names:
            return
        since = time.time()
        units = [unit_name(name) for name in names]
        systemctl.reset_failed(units)
        try:
            systemctl.restart(units)
        except CommandFailed as error:
            raise DnsmasqFailed(journal_errors(units, since) or str(error)) from error

    def restart_later(self, names: Sequence[str]) -> None:
        """``systemctl restart`` without waiting; systemd orders it among its other jobs."""
        if names:
            systemctl.queue_restart([unit_name(name) for name in names])
