# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs of Debian packages that would start a service if they were installed: unpacked in .build instead."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from .testbed import REPOSITORY, call

SCRIPT = REPOSITORY / "tests" / "tools" / "unpack-packages"


@dataclass(frozen=True)
class Unpacked:
    """The files of some packages, with the libraries that they need and the machine lacks."""

    root: Path

    @property
    def libraries(self) -> str:
        """LD_LIBRARY_PATH for the programs."""
        folders = [self.root / "usr/lib/x86_64-linux-gnu", self.root / "lib/x86_64-linux-gnu"]
        folders += [folder for folder in (self.root / "usr/lib").glob("*-linux-gnu") if folder not in folders]
        return os.pathsep.join(map(str, folders))


def unpacked(name: str, *packages: str) -> Unpacked:
    """The packages in .build/NAME; the first process that asks unpacks them."""
    root = REPOSITORY / ".build" / name
    root.parent.mkdir(exist_ok=True)
    with (root.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            call("sh", str(SCRIPT), str(root), *packages, timeout=300)
    return Unpacked(root)
