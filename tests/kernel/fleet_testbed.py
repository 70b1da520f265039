# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet of hosts that real playbooks configure with the real modules.

Each host is a network namespace and a mount namespace with files of its own below /etc, /usr, /var and /run; no
systemd runs there. Ansible reaches it by its connection `local`, with a Python that enters these namespaces. A host
that is down has a closed port of ssh.
"""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from .engine_client import PROGRAMS
from .installed_engine import installed_engine
from .inventory_testbed import Controller
from .testbed import Namespace

# Networks that need no service: what these tests are about is the way through the roles.
QUIET: dict[str, Any] = {"ipv4": {"dhcp": {"enabled": False}}, "dns": {"enabled": False}}
SETTINGS = {"virtnet_resolver": "none", "virtnet_firewall_integration": False}
# A site as people write it; the keywords of a play are added.
SITE: dict[str, Any] = {"name": "Site", "hosts": "all", "roles": ["virtnet.linux.virtnet"]}
_RECAP = re.compile(r"^(\S+)\s+: (.*=.*)$", re.MULTILINE)


class ManagedHost:
    """One host; a process holds its namespaces. A ``bare`` one has no engine yet."""

    def __init__(self, name: str, folder: Path, python: str = sys.executable, *, bare: bool = False) -> None:
        self.namespace = Namespace(name)
        scratch = folder / f"{name}.files"
        scratch.mkdir(parents=True)
        hold = ["unshare", "--mount", "--propagation", "private", "sh", str(PROGRAMS / "managed_host.sh")]
        engine = [] if bare else [str(installed_engine())]
        holder = self.namespace.start(*hold, str(scratch), uuid4().hex, *engine)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        self._enter = ["nsenter", f"--target={holder.pid}", "--mount", "--net"]
        self.python = folder / f"{name}.python"
        # Byte code of the engine is beside it, as on any host.
        words = ("env", "--unset=PYTHONPYCACHEPREFIX", *self._enter, python)
        self.python.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        self.python.chmod(0o755)

    def run(self, *command: str, check: bool = True) -> str:
        """The output of a program on this host."""
        done = subprocess.run([*self._enter, *command], capture_output=True, text=True, check=False, timeout=60)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def networks(self) -> dict[str, Any]:
        """The stored definitions by name."""
        files = self.run("sh", "-c", "cat /etc/virtnet/networks/*.json", check=False)
        decoder, found = json.JSONDecoder(), {}
        while files := files.strip():
            one, end = decoder.raw_decode(files)
            found[one["name"]], files = one, files[end:]
        return found

    def bridges(self) -> list[str]:
        """The names of the bridges that exist."""
        return sorted(one["ifname"] for one in self.namespace.json("ip", "-j", "link", "show", "type", "bridge"))


@dataclass
class FleetTestbed:
    """Hosts, and a controller."""

    folder: Path
    python: Path = Path(sys.executable)
    """That of the controller, with its version of ansible-core."""
    bare: bool = False
    """Whether its hosts have no engine before the first run."""
    hosts: dict[str, ManagedHost] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.controller = Controller(self.folder, self.python)

    def host(self, name: str, **variables: Any) -> ManagedHost:
        """A host that answers."""
        host = self.hosts[name] = ManagedHost(name, self.folder, bare=self.bare)
        local = {"ansible_connection": "local", "ansible_python_interpreter": str(host.python)}
        self.controller.variables[name] = {**local, **SETTINGS, **variables}
        return host

    def host_that_is_down(self, name: str, **variables: Any) -> None:
        """A host whose port of ssh is closed."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        ssh = {"ansible_host": "127.0.0.1", "ansible_port": port, "ansible_ssh_retries": 0}
        self.controller.variables[name] = {**ssh, **SETTINGS, **variables}

    def inventory(self, **groups: Any) -> Path:
        """The file of the inventory."""
        file = self.folder / "hosts.json"
        children = {"hypervisors": {"hosts": self.controller.variables}, **groups}
        file.write_text(json.dumps({"all": {"children": children}}))
        return file

    def run(self, *words: str, inventory: Path | None = None, **play: Any) -> Run:
        """A run of the site with these keywords of a play and arguments of ansible-playbook."""
        book = self.folder / "site.yml"
        book.write_text(json.dumps([{"gather_facts": False, **SITE, **play}]))
        return self.run_book(book, *words, inventory=inventory)

    def run_book(self, book: Path | str, *words: str, inventory: Path | None = None) -> Run:
        """A run of a playbook."""
        source = inventory or self.inventory()
        done = self.controller.run("playbook", f"--inventory={source}", *words, str(book))
        return Run(done.returncode, done.stdout + done.stderr)

    def close(self) -> None:
        for host in self.hosts.values():
            host.namespace.close()


@dataclass(frozen=True)
class Run:
    """What a run of ansible-playbook said."""

    code: int
    output: str

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """The counters of each host."""
        return {
            host: {name: int(value) for name, value in (pair.split("=") for pair in counters.split())}
            for host, counters in _RECAP.findall(self.output)
        }

    @property
    def words(self) -> str:
        """The output in one line."""
        return " ".join(self.output.split())
