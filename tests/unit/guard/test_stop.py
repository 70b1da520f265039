# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard stops when systemd stops it, whatever a repair waits for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COLLECTIONS = Path(__file__).resolve().parents[3] / ".build/collections"
PROGRAM = Path(__file__).with_name("stopped_guard.py")


@pytest.mark.parametrize("seconds", [0.1, 987.0])
def test_a_repair_is_completed_unless_it_does_not_end(seconds: float) -> None:
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), str(COLLECTIONS), str(seconds)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            # systemd kills the processes that are left of a service.
            if seconds > 1:
                os.kill(child, signal.SIGKILL)
