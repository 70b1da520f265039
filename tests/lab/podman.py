"""podman, also on machines with cgroups of version 1."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .run import Result, attempt, run

CGROUP = Path("/sys/fs/cgroup")
SETTINGS = Path(__file__).with_name("containers.conf")

# crun needs a pure version 2 tree at this place. Propagation is slave and not private: the monitor of a
# container keeps our view of the mounts, and would otherwise keep every namespace alive that the machine
# has removed in the meantime.
IN_CGROUP2 = [
    "unshare", "--mount", "--propagation", "slave", "sh", "-c",
    f'umount -R -l {CGROUP}; mount -t cgroup2 none {CGROUP} && exec "$@"', "podman",
]  # fmt: skip


def podman(*words: str, timeout: float = 60) -> str:
    return run([*_prefix(), "podman", *words], timeout, env=_env())


def ask(*words: str, timeout: float = 60) -> Result:
    """Runs podman; a failure is returned, not raised."""
    return attempt([*_prefix(), "podman", *words], timeout, env=_env())


def inspect(container: str) -> dict[str, Any] | None:
    answer = ask("container", "inspect", container)
    if not answer.ok:
        return None
    details: dict[str, Any] = json.loads(answer.out)[0]
    return details


def _prefix() -> list[str]:
    return [] if (CGROUP / "cgroup.controllers").exists() else IN_CGROUP2


def _env() -> dict[str, str]:
    return {**os.environ, "CONTAINERS_CONF": str(SETTINGS)}
