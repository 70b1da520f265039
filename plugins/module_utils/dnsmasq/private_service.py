# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The services that run private instances of dnsmasq."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core import systemctl
from ..core.systemctl import Unit
from .private_files import unit_name
from .system_service import restart_units


class SystemdInstances:
    """``virtnet-dnsmasq@NAME.service`` under systemd."""

    def status(self, names: Sequence[str]) -> Mapping[str, Unit]:
        """The current status of instances; none without systemctl. Cheap, changes nothing."""
        if not systemctl.available():
            return {}
        states = systemctl.show([unit_name(name) for name in names], check=False)
        return {name: states[unit_name(name)] for name in names if unit_name(name) in states}

    def daemon_reload(self) -> None:
        """Have systemd read changed unit files."""
        if systemctl.available():
            systemctl.daemon_reload()

    def stop(self, names: Sequence[str]) -> None:
        """Stop instances and wait for that; systemd also forgets that an instance failed."""
        if names and systemctl.available():
            units = [unit_name(name) for name in names]
            systemctl.stop(units)
            systemctl.reset_failed(units)

    def reload(self, name: str) -> None:
        """Send SIGHUP, on which dnsmasq reads hosts files again; does not wait for that."""
        systemctl.hang_up(unit_name(name))

    def restart(self, names: Sequence[str]) -> None:
        """Restart instances, or start those that do not run, and wait; raises DnsmasqFailed with the reason."""
        if names:
            restart_units([unit_name(name) for name in names])

    def restart_later(self, names: Sequence[str]) -> None:
        """Request restarts and do not wait for them; systemd orders them among its other jobs."""
        if names:
            systemctl.queue_restart([unit_name(name) for name in names])
