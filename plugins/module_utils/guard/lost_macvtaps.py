# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Macvtaps that went with the bridge that they were made on, and the guests that still have them open.

The kernel makes a file /dev/tapINDEX for each (drivers/net/tap.c). Whoever has it open when the link goes keeps it, and
gets errors from it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

from ..core.errors import printable
from ..core.files import File, jot, read_note, read_text
from ..core.paths import Paths

_WAY_OUT = "start that guest again, or give it another interface, best as a port of {}"


@dataclass(frozen=True)
class Lost:
    """A link by name and index, and the bridge that it was made on."""

    name: str
    index: int
    bridge: str

    def __str__(self) -> str:
        return f"{self.name} was made on {self.bridge} and is gone with it"

    @property
    def news(self) -> str:
        """What the journal says of it when it has happened."""
        return f"{self}. Nothing gives it back to the guest that had it open: {_WAY_OUT.format(self.bridge)}."


def note_lost(new: Iterable[Lost], paths: Paths) -> None:
    """Note what was lost just now, beside what somebody still has open; raises VirtnetError."""
    every = [*(one for one in read_lost(paths) if holders(one)), *new]
    jot(File(_note(paths), json.dumps([astuple(one) for one in every])))


def read_lost(paths: Paths) -> list[Lost]:
    """What is noted."""
    try:
        listed = read_note(_note(paths)) or []
        return [Lost(str(name), int(index), str(bridge)) for name, index, bridge in listed]
    except (ValueError, TypeError):
        # As other notes that a reboot takes away: worth less than the run that reads them.
        return []


def still_held(paths: Paths) -> list[str]:
    """A sentence on each that a guest still has open."""
    return [
        f"{one}, and {', '.join(found)} still has it open: {_WAY_OUT.format(one.bridge)}"
        for one in read_lost(paths)
        for found in [holders(one)]
        if found
    ]


def holders(lost: Lost) -> Sequence[str]:
    """The processes that have its file open: number and name, as proc(5) has them.

    Only those of this network namespace: each namespace numbers its links from 1, and so names such files alike.
    """
    here = _namespace("self")
    return [
        f"process {pid} ({_name(pid)})"
        for pid in filter(str.isdigit, os.listdir("/proc"))
        if _namespace(pid) == here and _holds(pid, lost)
    ]


def _namespace(pid: str) -> str:
    """The network namespace of a process, '' for one that is gone (namespaces(7))."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


def _holds(pid: str, lost: Lost) -> bool:
    with contextlib.suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                # "/dev/tap7", and when the file is gone "/dev/tap7 (deleted)".
                file = os.readlink(f"/proc/{pid}/fd/{number}").partition(" ")[0]
                if os.path.basename(file) == f"tap{lost.index}":
                    return True
    return False


def _name(pid: str) -> str:
    return printable((read_text(f"/proc/{pid}/comm") or "?").strip())


def _note(paths: Paths) -> str:
    return os.path.join(paths.runtime, "links-lost")
