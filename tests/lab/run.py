"""The one module that starts processes."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).with_name("scripts")


def script(name: str, *arguments: str) -> str:
    """The text of a script of the lab, with its arguments, for ``sh -c``; other commands may follow or precede it."""
    return f"set -- {shlex.join(arguments)}\n{(SCRIPTS / name).read_text()}"


@dataclass(frozen=True)
class Result:
    command: list[str]
    code: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        return self.code == 0


class Failed(RuntimeError):
    """A command failed or did not end in time."""


def attempt(
    command: Sequence[str], timeout: float = 60, stdin: str = "", env: Mapping[str, str] | None = None
) -> Result:
    """Runs a command; a failure is returned, not raised."""
    try:
        result = subprocess.run(
            list(command),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=env,
            # In a group of its own, so that a host that signals its own group does not reach us.
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"no answer within {timeout:g} s: {shlex.join(command)}") from error
    return Result(list(command), result.returncode, result.stdout, result.stderr)


def run(command: Sequence[str], timeout: float = 60, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
    """Runs a command that must succeed, and returns its output."""
    result = attempt(command, timeout, stdin, env)
    if not result.ok:
        output = (result.err.strip() or result.out.strip())[-2000:]
        raise Failed(f"code {result.code} from: {shlex.join(command)}\n{output}")
    return result.out


def start(command: Sequence[str], log: Path) -> int:
    """Starts a daemon that outlives us, and returns its pid."""
    with log.open("ab") as log_file:
        daemon = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=log_file, stderr=log_file, start_new_session=True
        )
    return daemon.pid


def stop(pids: Sequence[int], timeout: float = 3) -> None:
    """Ends processes that we started: with SIGTERM, then with SIGKILL."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            try:
                os.kill(pid, sign)
            except ProcessLookupError:
                continue
        if eventually(lambda: not any(alive(pid) for pid in pids), timeout):
            return
    raise Failed(f"still there after SIGKILL: {pids}")


def alive(pid: int) -> bool:
    """A zombie whose parent never waits for it counts as ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def eventually(condition: Callable[[], bool], timeout: float, interval: float = 0.05) -> bool:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True
