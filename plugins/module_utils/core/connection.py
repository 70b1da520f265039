# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection by which this process was started."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

from .files import read_text


def connection_peer(environment: Mapping[str, str]) -> str:
    """The address that the connection to this host comes from (ssh(1): SSH_CONNECTION), or nothing.

    sudo takes it out of the environment; the shell that called sudo still has it in its own.
    """
    value = environment.get("SSH_CONNECTION", "") or _inherited("SSH_CONNECTION")
    return value.split()[0].removeprefix("::ffff:") if value else ""


def _inherited(variable: str) -> str:
    """A variable of the nearest ancestor process that has it."""
    process = os.getppid()
    for _generation in range(16):
        with contextlib.suppress(OSError):
            for item in (read_text(f"/proc/{process}/environ") or "").split("\0"):
                if item.startswith(f"{variable}="):
                    return item.partition("=")[2]
        # proc(5): the command's name stands in parentheses and may contain anything; the parent is the second after.
        fields = (read_text(f"/proc/{process}/stat") or "").rpartition(")")[2].split()
        process = int(fields[1]) if len(fields) > 1 else 0
        if process < 2:
            break
    return ""
