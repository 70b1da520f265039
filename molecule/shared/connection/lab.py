"""Ansible's connection to a host of a lab: nsenter, which takes 8 ms while `podman exec` takes 150."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection import ConnectionBase

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests"))

from lab.host import ENVIRONMENT  # noqa: E402
from lab.lab import Lab  # noqa: E402
from lab.run import Failed  # noqa: E402

DOCUMENTATION = """
name: lab
short_description: Runs tasks on a host of a lab
description:
  - Enters the namespaces of a container that C(tests/lab) started.
author: The virtnet.linux project (@virtnet)
extends_documentation_fragment:
  - connection_pipelining
options:
  host:
    description: Name of the host in its lab, where it is not that of the inventory.
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: lab_host
  lab:
    description: Name of the lab.
    required: true
    vars:
      - name: lab_name
  command_timeout:
    description: Seconds that one command may take. Not called timeout, because Ansible fills that in itself.
    type: int
    default: 600
    vars:
      - name: lab_command_timeout
"""


class Connection(ConnectionBase):
    transport = "lab"
    has_pipelining = True

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        return self._enter(["/bin/sh", "-c", cmd], in_data)

    def put_file(self, in_path: str, out_path: str) -> None:
        super().put_file(in_path, out_path)
        self._copy(["dd", f"of={out_path}", "bs=1M", "status=none"], Path(in_path).read_bytes())

    def fetch_file(self, in_path: str, out_path: str) -> None:
        super().fetch_file(in_path, out_path)
        Path(out_path).write_bytes(self._copy(["dd", f"if={in_path}", "bs=1M", "status=none"], None))

    def close(self) -> None:
        self._connected = False

    def _copy(self, command: list[str], content: bytes | None) -> bytes:
        code, out, err = self._enter(command, content)
        if code:
            raise AnsibleError(f"{' '.join(command)}: {err.decode(errors='replace').strip()}")
        return out

    def _inside(self, command: list[str]) -> list[str]:
        """The command line, for use on the machine."""
        inside: list[str] = Lab(self.get_option("lab")).host(self.get_option("host")).command(command)
        return inside

    def _enter(self, command: list[str], content: bytes | None) -> tuple[int, bytes, bytes]:
        try:
            result = subprocess.run(
                self._inside(command),
                input=content or b"",
                capture_output=True,
                timeout=self.get_option("command_timeout"),
                check=False,
                env=ENVIRONMENT,
            )
        except (Failed, KeyError, subprocess.TimeoutExpired) as error:
            raise AnsibleConnectionFailure(str(error)) from error
        return result.returncode, result.stdout, result.stderr
