# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guard with a repair that takes a while: python3 stopped_guard.py COLLECTIONS SECONDS, run by test_stop.py.

It prints the process id of the repair. Its exit status is 0 if the guard was stopped and the repair was completed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

sys.path.insert(0, sys.argv[1])
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths  # noqa: E402
from ansible_collections.virtnet.linux.plugins.module_utils.guard import daemon, service, workers  # noqa: E402


def repair(seconds: float) -> str:
    """Runs with the signal handlers of the guard, as every repair does."""
    print(os.getpid(), flush=True)
    time.sleep(seconds)
    return "done"


daemon._STOP_TIMEOUT = 0.2
guard = daemon.Guard(Paths())
with contextlib.ExitStack() as stack:
    service.handle_signals(guard._stop, stack)
    answer = workers.in_child(repair, float(sys.argv[2]))
# A second request to stop has no effect, and no alarm is left for an interpreter that shuts down.
os.kill(os.getpid(), signal.SIGTERM)
armed = signal.getitimer(signal.ITIMER_REAL)[0]
sys.exit(0 if (guard.stopped, answer, armed) == (True, "done", 0.0) else 3)
