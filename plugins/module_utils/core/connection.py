# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SSH connection that started this process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

from .files import read_text


def connection_peer(environment: Mapping[str, str]) -> str:
    """The remote address of the SSH connection (SSH_CONNECTION in ssh(1)), or ''.

    sudo removes the variable, so it is also looked up in the environments of parent processes.
    """
    value = environment.get("SSH_CONNECTION", "") or _inherited("SSH_CONNECTION")
    return value.split()[0].removeprefix("::ffff:") if value else ""


def _inherited(variable: str) -> str:
    """A variable of the nearest ancestor process that has it, or ''."""
    process = os.getppid()
    for _generation in range(16):
        with contextlib.suppress(OSError):
            for item in (read_text(f"/proc/{process}/environ") or "").split("\0"):
                if item.startswith(f"{variable}="):
                    return item.partition("=")[2]
        # proc(5): the command's name, in parentheses, may contain anything; the second field after it is the parent.
        fields = (read_text(f"/proc/{process}/stat") or "").rpartition(")")[2].split()
        process = int(fields[1]) if len(fields) > 1 else 0
        if process < 2:
            break
    return ""
