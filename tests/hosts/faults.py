# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host of a lab does not do as it has to."""

from __future__ import annotations

from collections.abc import Callable

from lab.run import eventually

SECONDS_TO_SERVE = 60


class Fault(Exception):
    """A step did not do what it has to; the text says why."""


def wait_for(what: str, observe: Callable[[], object], expected: object) -> None:
    """Wait until an observation is as expected; raises Fault."""
    if not eventually(lambda: observe() == expected, SECONDS_TO_SERVE):
        raise Fault(f"{what}: {observe()!r}, not {expected!r}")
