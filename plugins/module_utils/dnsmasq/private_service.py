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
from .private_files import unit
from .system_service import DnsmasqFailed, journal


class Instances(Protocol):
    """What is asked of the private instances."""

    def status(self, names: Sequence[str]) -> Mapping[str, Unit]:
        """The instances as they are; cheap, no change."""

    def reload(self) -> None:
        """Have changed unit files read."""

    def stop(self, names: Sequence[str]) -> None:
        """Stop them and wait."""

    def reread(self, name: str) -> None:
        """Have one read again what it reads on SIGHUP; does not wait for that."""

    def restart(self, names: Sequence[str]) -> None:
        """Start them, after a stop where they run, and wait; raises DnsmasqFailed with the reason."""

    def restart_later(self, names: Sequence[str]) -> None:
        """Ask for a restart without waiting for it."""


class SystemdInstances:
    """``virtnet-dnsmasq@NAME.service`` under systemd."""

    def status(self, names: Sequence[str]) -> Mapping[str, Unit]:
        """The instances as they are."""
        if not systemctl.available():
            return {}
        states = systemctl.show([unit(name) for name in names], check=False)
        return {name: states[unit(name)] for name in names if unit(name) in states}

    def reload(self) -> None:
        """``systemctl daemon-reload``."""
        if systemctl.available():
            systemctl.daemon_reload()

    def stop(self, names: Sequence[str]) -> None:
        """``systemctl stop``; a failure of an instance is forgotten."""
        if names and systemctl.available():
            units = [unit(name) for name in names]
            systemctl.stop(units)
            systemctl.reset_failed(units)

    def reread(self, name: str) -> None:
        """SIGHUP."""
        systemctl.hang_up(unit(name))

    def restart(self, names: Sequence[str]) -> None:
        """``systemctl restart``; raises DnsmasqFailed with what the journal says."""
        if not names:
            return
        since = time.time()
        units = [unit(name) for name in names]
        systemctl.reset_failed(units)
        try:
            systemctl.restart(units)
        except CommandFailed as error:
            raise DnsmasqFailed(journal(units, since) or str(error)) from error

    def restart_later(self, names: Sequence[str]) -> None:
        """Restarts that systemd orders among its other jobs."""
        if names:
            systemctl.queue_restart([unit(name) for name in names])
