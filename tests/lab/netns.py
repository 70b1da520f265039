"""Named network namespaces of the machine, through `ip`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .run import attempt, run, stop


def path(name: str) -> Path:
    return Path("/run/netns") / name


def make(name: str) -> None:
    run(["ip", "netns", "add", name])
    run(inside(name, ["ip", "link", "set", "lo", "up"]))


def drop(name: str) -> None:
    """Removes the namespace with all its processes."""
    if path(name).exists():
        stop(pids(name))
        run(["ip", "netns", "delete", name])


def pids(name: str) -> list[int]:
    result = attempt(["ip", "netns", "pids", name])
    return [int(pid) for pid in result.out.split()] if result.ok else []


def holds(name: str, pid: int) -> bool:
    """Whether the process runs in this namespace: another process may have got the same pid since."""
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino == path(name).stat().st_ino
    except (FileNotFoundError, ProcessLookupError):
        return False


def inside(name: str, command: Sequence[str]) -> list[str]:
    return ["nsenter", f"--net={path(name)}", "--", *command]
