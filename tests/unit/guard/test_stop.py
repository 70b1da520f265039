# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard stops when it is told to, whatever a repair of its waits for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COLLECTIONS = Path(__file__).resolve().parents[3] / ".build/collections"
PROGRAM = """
import contextlib, os, signal, sys, time
sys.path.insert(0, sys.argv[1])
from ansible_collections.virtnet.linux.plugins.module_utils.guard import daemon, workers
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths

daemon._LAST = 0.2
watch = daemon.Guard(Paths())
with contextlib.ExitStack() as stack:
    watch._signals(stack)

    def work(seconds):
        # Below the guard's handlers, as a repair is.
        print(os.getpid(), flush=True)
        time.sleep(seconds)
        return "done"

    answer = workers.in_child(work, float(sys.argv[2]))
# Who asks again finds a guard that is at its end, and no alarm is left for an interpreter that shuts down.
os.kill(os.getpid(), signal.SIGTERM)
armed = signal.getitimer(signal.ITIMER_REAL)[0]
sys.exit(0 if (watch.stopped, answer, armed) == (True, "done", 0.0) else 3)
"""


@pytest.mark.parametrize("seconds", [0.1, 987.0])
def test_a_repair_is_finished_unless_it_has_no_end(seconds: float) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(COLLECTIONS), str(seconds)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            # What systemd does with what is left of a service.
            if seconds > 1:
                os.kill(child, signal.SIGKILL)
