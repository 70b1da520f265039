# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine as ``virtnet.linux.host`` installs it, for hosts on which an earlier run has been.

To pack the engine, send it and compile it takes longer than all else that a task does. Tests of what comes after that
have hosts with the engine; the Molecule scenarios, `make hosts` and `make fleet` have bare ones.
"""

from __future__ import annotations

import fcntl
import shutil
from functools import lru_cache
from pathlib import Path

from ansible_collections.virtnet.linux.plugins.module_utils.core.files import write_files
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.host.apply import compile_engine
from ansible_collections.virtnet.linux.plugins.module_utils.host.reconciler import HostReconciler
from ansible_collections.virtnet.linux.plugins.modules.engine import HOME, digest

from .testbed import REPOSITORY


@lru_cache(maxsize=1)
def installed_engine() -> Path:
    """A folder with usr/local/lib/virtnet, for an overlay; the first process that asks makes it."""
    root = REPOSITORY / ".build/installed-engine"
    home = root / HOME.relative_to("/")
    wanted = digest(REPOSITORY / "plugins/module_utils")
    with root.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists() or digest(home / "engine") != wanted:
            shutil.rmtree(root, ignore_errors=True)
            setup = HostReconciler("present", Paths(str(root)))
            write_files(setup.program)
            compile_engine(setup.engine)
    return root
