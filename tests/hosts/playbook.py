# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a program of Ansible on one host, and reads its recap."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.host import Host

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
        bodies = [text.split("\nPLAY ")[0].strip() for text in texts[1::2]]
        changed = re.compile("^changed: ", re.MULTILINE)
        return {name: body for name, body in zip(texts[::2], bodies, strict=True) if changed.search(body)}


def play_in_lab(
    host: Host, inventory: Path, playbook: str, networks: Sequence[Mapping[str, Any]], *options: str
) -> tuple[str, Outcome]:
    """Run a playbook of the collection on a host of a lab, with these networks; what was typed, and the outcome."""
    variables = {
        "ansible_connection": "lab",
        "ansible_python_interpreter": "/usr/bin/python3",
        "lab_name": host.lab,
        "virtnet_networks": networks,
    }
    inventory.write_text(json.dumps({"all": {"hosts": {host.name: variables}}}))
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(BUILD / "collections"),
        "ANSIBLE_CONNECTION_PLUGINS": str(ROOT / "molecule/shared/connection"),
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_NOCOLOR": "1",
    }
    program = Path(sys.executable).with_name("ansible-playbook")
    words = [f"virtnet.linux.{playbook}", *options]
    return f"$ ansible-playbook {' '.join(words)}", run_ansible(
        [str(program), "-i", str(inventory), *words], environment
    )


def first_error(output: str) -> str:
    """The first message of a failed task, or of ansible-playbook itself."""
    if match := re.search(r"(?:FAILED|UNREACHABLE)! => (\{.*\})", output):
        return str(json.loads(match[1]).get("msg", match[1]))[:600]
    if match := re.search(r"^\[?ERROR\]?: (.*)$", output, re.MULTILINE):
        return match[1][:600]
    return output.strip().splitlines()[-1][:600] if output.strip() else "no output"


def run_ansible(command: Sequence[str], environment: Mapping[str, str]) -> Outcome:
    """Run ansible-playbook or ansible-pull. Raises subprocess.TimeoutExpired."""
    result = subprocess.run(
        command, env=dict(environment), capture_output=True, text=True, timeout=PLAYBOOK_SECONDS, check=False
    )
    output = result.stdout + result.stderr
    recap = _RECAP.search(output)
    return Outcome(output, result.returncode, *(map(int, recap.groups()) if recap else ()))
