# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Macvtaps that were deleted with their bridge, and the guests that still have them open.

The kernel creates a file /dev/tapINDEX for each (drivers/net/tap.c). A process that has the file open when the link is
deleted keeps it, and every read and write fails.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

from ..core.errors import printable
from ..core.files import File, read_text, write_volatile
from ..core.notes import read_note
from ..core.paths import Paths

_REMEDY = "start that guest again, or give it another interface, best as a port of {}"


@dataclass(frozen=True)
class LostMacvtap:
    """A link by name and index, and its bridge."""

    name: str
    index: int
    bridge: str

    def __str__(self) -> str:
        return f"{self.name} was made on {self.bridge} and is gone with it"

    @property
    def news(self) -> str:
        """The line that the guard logs when it has happened."""
        return f"{self}. Nothing gives it back to the guest that had it open: {_REMEDY.format(self.bridge)}."


def save_lost(new: Iterable[LostMacvtap], paths: Paths) -> None:
    """Add macvtaps that were lost just now to those that are still open; raises VirtnetError."""
    still_open = [macvtap for macvtap in load_lost(paths) if holders(macvtap)]
    write_volatile(File(_file(paths), json.dumps([astuple(macvtap) for macvtap in (*still_open, *new)])))


def load_lost(paths: Paths) -> list[LostMacvtap]:
    """The macvtaps that were saved; none if the file is not valid: it lasts until the next boot only."""
    try:
        listed = read_note(_file(paths)) or []
        return [LostMacvtap(str(name), int(index), str(bridge)) for name, index, bridge in listed]
    except (ValueError, TypeError):
        return []


def still_open(paths: Paths) -> list[str]:
    """A sentence for each lost macvtap that a guest still has open."""
    return [
        f"{macvtap}, and {', '.join(processes)} still has it open: {_REMEDY.format(macvtap.bridge)}"
        for macvtap in load_lost(paths)
        for processes in [holders(macvtap)]
        if processes
    ]


def holders(macvtap: LostMacvtap) -> Sequence[str]:
    """The processes that have its file open: number and name, as in proc(5).

    Only those of this network namespace: each namespace numbers its links from 1, so the file names repeat.
    """
    here = _namespace("self")
    return [
        f"process {pid} ({_name(pid)})"
        for pid in filter(str.isdigit, os.listdir("/proc"))
        if _namespace(pid) == here and _has_open(pid, macvtap)
    ]


def _namespace(pid: str) -> str:
    """The network namespace of a process, '' for one that has ended (namespaces(7))."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


def _has_open(pid: str, macvtap: LostMacvtap) -> bool:
    with contextlib.suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                # "/dev/tap7", or if the file is deleted "/dev/tap7 (deleted)".
                file = os.readlink(f"/proc/{pid}/fd/{number}").partition(" ")[0]
                if os.path.basename(file) == f"tap{macvtap.index}":
                    return True
    return False


def _name(pid: str) -> str:
    return printable((read_text(f"/proc/{pid}/comm") or "?").strip())


def _file(paths: Paths) -> str:
    return os.path.join(paths.runtime, "links-lost")
