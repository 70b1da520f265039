# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The only place that runs other programs: without a shell, with a time limit, and with a checked result."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .errors import CommandFailed, MissingTool
from .families import package_of

SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
# The PATH of an ordinary user with sudo often lacks the sbin directories.
SEARCH_PATH = os.pathsep.join(
    [os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"]
)

# The most columns that systemd's programs accept; without the variable, they fold and cut their output at 80.
_COLUMNS = "65535"


@dataclass(frozen=True)
class Completed:
    """The exit status and output of a program."""

    code: int
    stdout: str
    stderr: str


def find(tool: str) -> str | None:
    """The path of a program, or None."""
    return shutil.which(tool, path=SEARCH_PATH)


def find_for_unit(tool: str) -> str | None:
    """The path of a program to be written into a file, or None; the same one whatever the PATH of the caller is.

    Where /usr/sbin is a link to /usr/bin, as on Arch and Fedora 42, a program has two paths. Another path would change
    the file, and restart what runs by it.
    """
    return shutil.which(tool, path=os.pathsep.join(SYSTEM_FOLDERS)) or find(tool)


def need(tool: str) -> str:
    """The path of a program; raises MissingTool, naming its package."""
    path = find(tool)
    if path is None:
        raise MissingTool(tool, package_of(tool))
    return path


def run(argv: Sequence[str], *, stdin: str | None = None, timeout: float = 30.0, check: bool = True) -> Completed:
    """Run a program without a shell; ``timeout`` in seconds.

    Raises MissingTool, and CommandFailed if it cannot be started (execve(2), fork(2)), if it does not end in time or,
    with ``check``, if its exit status is not 0.
    """
    command = [need(argv[0]), *argv[1:]]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C", "COLUMNS": _COLUMNS, "PATH": SEARCH_PATH},
            start_new_session=True,
        )
    except OSError as error:
        raise CommandFailed(
            f"{command[0]} cannot be started: {error.strerror}; if the file is damaged, install the package "
            f"{package_of(argv[0])} again, and if memory or processes are short, free some"
        ) from error
    with process:
        try:
            stdout, stderr = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            raise CommandFailed(f"{' '.join(argv)} did not end within {timeout:g} s") from None
        finally:
            if process.poll() is None:
                # The whole process group: a child of a script could keep its resources.
                os.killpg(process.pid, signal.SIGKILL)
    if check and process.returncode != 0:
        output = (stderr or stdout).strip() or "nothing"
        raise CommandFailed(f"{' '.join(argv)} failed with status {process.returncode} and said: {output}")
    return Completed(process.returncode, stdout, stderr)


def ip_json(arguments: Sequence[str], *, check: bool = True) -> list[Any]:
    """The list that ``ip -j`` prints, empty where it prints nothing.

    Raises what run() raises, and CommandFailed for other output.
    """
    text = run(["ip", *arguments], check=check).stdout.strip()
    try:
        return list(json.loads(text or "[]"))
    except ValueError as error:
        raise CommandFailed(
            f"ip {' '.join(arguments)} printed no JSON ({error}); iproute2 5.0 or newer is needed"
        ) from None
