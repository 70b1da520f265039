# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts of the scenarios and of the demo start again, whatever state a crash of the machine left them in."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from lab.lab import Lab
from lab.podman import ask, inspect

IMAGE = "bookworm"
# On a machine without the image it is built first.
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture
def lab() -> Iterator[Lab]:
    spare = Lab("spare")
    spare.down()
    spare.up({"spare-host": IMAGE})
    yield spare
    spare.down()


def test_a_host_whose_monitor_was_killed_is_started_again(lab: Lab) -> None:
    host = lab.host("spare-host")
    container = inspect(host.namespace)
    assert container is not None
    os.kill(container["State"]["ConmonPid"], signal.SIGKILL)
    os.kill(host.pid, signal.SIGKILL)
    # Podman would then show it as stopping for ever.
    ask("stop", "--time", "1", host.namespace)

    lab.up({"spare-host": IMAGE})

    assert host.attempt(["systemctl", "is-system-running"]).out.strip() in ("running", "degraded")
