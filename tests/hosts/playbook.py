# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a program of Ansible on one host, and reads its recap."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build"
LOGS = BUILD / "hosts"
# One network, of which only the name is given.
SHORTEST = [{"name": "lab"}]
PLAYBOOK_SECONDS = 900
_TASK = re.compile(r"^TASK \[(.*)\] \*+$", re.MULTILINE)
_RECAP = re.compile(r"changed=(\d+) +unreachable=(\d+) +failed=(\d+)")


@dataclass(frozen=True)
class Outcome:
    """What a program printed, its exit status, and the counters of its host; without a recap these are None."""

    output: str
    status: int
    changed: int | None = None
    unreachable: int | None = None
    failed: int | None = None

    @property
    def passed(self) -> bool:
        """Whether the host was reached and no task failed."""
        return (self.unreachable, self.failed) == (0, 0)

    @property
    def tasks(self) -> dict[str, str]:
        """The diff and the result of each task that has changed something, by its name."""
        _before, *texts = _TASK.split(self.output)
        bodies = [text.split("\n\n")[0].strip() for text in texts[1::2]]
        changed = re.compile("^changed: ", re.MULTILINE)
        return {name: body for name, body in zip(texts[::2], bodies, strict=True) if changed.search(body)}


def run_ansible(command: Sequence[str], environment: Mapping[str, str]) -> Outcome:
    """Run ansible-playbook or ansible-pull. Raises subprocess.TimeoutExpired."""
    result = subprocess.run(
        command, env=dict(environment), capture_output=True, text=True, timeout=PLAYBOOK_SECONDS, check=False
    )
    output = result.stdout + result.stderr
    recap = _RECAP.search(output)
    return Outcome(output, result.returncode, *(map(int, recap.groups()) if recap else ()))
