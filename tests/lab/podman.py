"""podman, on machines whose cgroups are the old kind too."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .run import Result, attempt, run

CGROUP = Path("/sys/fs/cgroup")
SETTINGS = Path(__file__).with_name("containers.conf")

# crun wants a pure version 2 tree at this place. Propagation is slave and not private: our view of the
# mounts lives as long as the container's monitor, and would otherwise keep every namespace alive that
# the machine has dropped in the meantime.
IN_CGROUP2 = [
    "unshare", "--mount", "--propagation", "slave", "sh", "-c",
    f'umount -R -l {CGROUP}; mount -t cgroup2 none {CGROUP} && exec "$@"', "podman",
]  # fmt: skip


def podman(*words: str, timeout: float = 60) -> str:
    return run([*_prefix(), "podman", *words], timeout, env=_env())


def ask(*words: str, timeout: float = 60) -> Result:
    """podman, where a refusal is an answer."""
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
