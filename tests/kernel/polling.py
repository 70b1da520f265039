# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for conditions by polling."""

from __future__ import annotations

import time
from collections.abc import Callable

TIMEOUT = 60.0


def eventually(condition: Callable[[], object], timeout: float = TIMEOUT) -> bool:
    """Whether a condition becomes true within some seconds."""
    start = time.monotonic()
    while not condition():
        waited = time.monotonic() - start
        if waited > timeout:
            return False
        # Conditions start programs, so polling slows down: the programs under test need the processor too.
        time.sleep(min(0.01 + waited / 10, 0.2))
    return True


def wait_until(condition: Callable[[], object], timeout: float = TIMEOUT) -> None:
    """Wait until a condition is true; AssertionError after some seconds."""
    assert eventually(condition, timeout), f"the condition did not hold within {timeout:g} s"
