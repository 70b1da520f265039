# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The services that run private instances of dnsmasq."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..core.command import find, run
from ..core.errors import CommandFailed
from .private_files import unit
from .system_service import DnsmasqFailed, hang_up, journal, properties_of


@dataclass(frozen=True)
class Instance:
    """A private instance as it runs; ``pid`` 0 where it does not."""

    active: str = "inactive"
    pid: int = 0

    @property
    def running(self) -> bool:
        """Whether it runs or is about to."""
        return self.active in ("active", "reloading", "activating")


class Instances(Protocol):
    """What is asked of the private instances."""

    def status(self, names: Sequence[str]) -> Mapping[str, Instance]:
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

    def status(self, names: Sequence[str]) -> Mapping[str, Instance]:
        """The instances as they are."""
        if not names or find("systemctl") is None:
            return {}
        wanted = [unit(name) for name in names]
        shown = run(["systemctl", "show", "--property=ActiveState,MainPID", *wanted], check=False).stdout
        blocks = [properties_of(block) for block in shown.strip().split("\n\n")]
        return {
            name: Instance(block.get("ActiveState", "inactive"), int(block.get("MainPID", "0")))
            for name, block in zip(names, blocks)
        }

    def reload(self) -> None:
        """``systemctl daemon-reload``."""
        if find("systemctl") is not None:
            run(["systemctl", "daemon-reload"])

    def stop(self, names: Sequence[str]) -> None:
        """``systemctl stop``; one that had failed is forgotten."""
        if names and find("systemctl") is not None:
            run(["systemctl", "stop", *map(unit, names)], timeout=120)
            run(["systemctl", "reset-failed", *map(unit, names)], check=False)

    def reread(self, name: str) -> None:
        """SIGHUP."""
        hang_up(unit(name))

    def restart(self, names: Sequence[str]) -> None:
        """``systemctl restart``; raises DnsmasqFailed with what the journal says."""
        if not names:
            return
        since = time.time()
        run(["systemctl", "reset-failed", *map(unit, names)], check=False)
        try:
            run(["systemctl", "restart", *map(unit, names)], timeout=120)
        except CommandFailed as error:
            raise DnsmasqFailed(journal(map(unit, names), since) or str(error)) from error

    def restart_later(self, names: Sequence[str]) -> None:
        """Restarts that systemd orders among its other jobs."""
        if names:
            run(["systemctl", "--no-block", "restart", *map(unit, names)])
