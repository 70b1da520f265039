# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's connection to light hosts and hosts of a lab, which records the CPU time of the hosts' side.

Programs on a host are children of Ansible here, while over ssh they run on another machine: the remaining CPU time
is that of the controller.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from ansible.plugins.loader import connection_loader

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.light import LightHost  # noqa: E402

DOCUMENTATION = """
name: counted
short_description: Runs tasks on a host of a lab or on a light host
description:
  - Enters its namespaces.
author: The virtnet.linux project (@virtnet)
extends_documentation_fragment:
  - connection_pipelining
options:
  host:
    description: Name of the host.
    default: inventory_hostname
    vars:
      - name: inventory_hostname
  lab:
    description: Name of the lab; C(light) for light hosts.
    required: true
    vars:
      - name: lab_name
  command_timeout:
    description: Seconds that one command may take.
    type: int
    default: 600
    vars:
      - name: lab_command_timeout
"""


class Connection(connection_loader.get("lab", class_only=True)):  # type: ignore[misc]
    transport = "counted"

    def _inside(self, command: list[str]) -> list[str]:
        if self.get_option("lab") != "light":
            inside: list[str] = super()._inside(command)
            return inside
        return LightHost(int(self.get_option("host").removeprefix("light"))).command(command)

    def _enter(self, command: list[str], content: bytes | None) -> tuple[int, bytes, bytes]:
        before = _spent()
        try:
            done: tuple[int, bytes, bytes] = super()._enter(command, content)
        finally:
            with Path(os.environ["BENCH_CPU"]).open("a") as sink:
                sink.write(f"{_spent() - before}\n")
        return done


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
