# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A controller with an inventory, hosts with networks and leases, and Ansible of several versions.

Ansible reaches a host by its connection `local`, with a Python that first enters namespaces of its own: /etc and
/var/lib show the host's files there, the engine is installed, and there are no links. The module that reads the host
is the real one. A compromised host has a fake Python that prints any answer.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import read_network
from ansible_collections.virtnet.linux.plugins.module_utils.network.store import text_of

from .installed_engine import installed_engine

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT = 300
# 2286: the leases of the tests do not expire.
LEASE_EXPIRY = 9999999999
ENTER_HOST = """\
#!/bin/sh
exec unshare --mount --net --propagation private sh -ec '
mount -t overlay overlay -o lowerdir={root}/etc:/etc /etc
mount -t overlay overlay -o lowerdir={root}/lib:/var/lib /var/lib
mount -t overlay overlay -o lowerdir={engine}/usr/local/lib:/usr/local/lib /usr/local/lib
exec {python} "$@"' enter "$@"
"""


def versions() -> list[str]:
    """The versions of ansible-core to test: VIRTNET_ANSIBLES, folders .build/ansible-VERSION, else the one here."""
    return os.environ.get("VIRTNET_ANSIBLES", "").split() or ["installed"]


def python_of(version: str) -> Path:
    """The Python of the environment with this version of ansible-core."""
    return Path(sys.executable) if version == "installed" else REPOSITORY / f".build/ansible-{version}/bin/python"


def lease(ip: str, name: str = "*", mac: str = "") -> str:
    """A line of dnsmasq's lease file."""
    mac = mac or "52:54:00:00:" + ":".join(f"{int(byte):02x}" for byte in ip.split(".")[2:])
    return f"{LEASE_EXPIRY} {mac} {ip} {name} *\n"


@dataclass
class Controller:
    """Runs Ansible on an inventory in a folder."""

    folder: Path
    python: Path
    variables: dict[str, dict[str, Any]] = field(default_factory=dict)
    enter: Callable[[list[str]], list[str]] = list
    """Where it runs."""

    def host(self, name: str, networks: Sequence[dict[str, Any]] = (), leases: str = "", **variables: Any) -> None:
        """A hypervisor with networks, and the leases of its private dnsmasq."""
        root = self.folder / "hosts" / name
        definitions, private = root / "etc/virtnet/networks", root / "lib/virtnet/dnsmasq"
        definitions.mkdir(parents=True)
        private.mkdir(parents=True)
        for item in networks:
            network = read_network(Options(item), name)
            (definitions / f"{network.name}.json").write_text(text_of(network))
        (private / "lab.leases").write_text(leases)
        words = {"root": root, "engine": installed_engine(), "python": sys.executable}
        script = ENTER_HOST.format(**{name: shlex.quote(str(word)) for name, word in words.items()})
        self._python(name, script, variables)

    def compromised_host(self, name: str, answer: Any, **variables: Any) -> None:
        """A compromised hypervisor, which gives any answer."""
        self._python(name, f"#!/bin/sh\ncat <<'END'\n{json.dumps(answer)}\nEND\n", variables)

    def _python(self, name: str, script: str, variables: dict[str, Any]) -> None:
        program = self.folder / "hosts" / f"{name}.python"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(script)
        program.chmod(0o755)
        local = {"ansible_connection": "local", "ansible_python_interpreter": str(program)}
        self.variables[name] = {**local, **variables}

    def write(self, guests: dict[str, Any] | None = None, **groups: Any) -> Path:
        """The inventory's folder: guests.yml, which Ansible parses first, and hosts.yml."""
        inventory = self.folder / "inventory"
        inventory.mkdir(exist_ok=True)
        children = {"hypervisors": {"hosts": self.variables}, **groups}
        (inventory / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": children}}))
        settings = {"plugin": "virtnet.linux.guests", "sources": ["hosts.yml"], "hosts": "hypervisors"}
        (inventory / "guests.yml").write_text(yaml.safe_dump({**settings, **(guests or {})}))
        return inventory

    def run(self, program: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs one of Ansible's programs."""
        collections = os.environ.get("VIRTNET_COLLECTIONS", str(REPOSITORY / ".build/collections"))
        settings = {
            "ANSIBLE_COLLECTIONS_PATH": collections,
            "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_NOCOLOR": "1",
            "HOME": str(self.folder),
        }
        result = subprocess.run(
            self.enter([str(self.python), "-m", "ansible", program, *words]),
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
            cwd=self.folder,
            env={**os.environ, **settings, **environment},
        )
        print(f"$ ansible-{program} {shlex.join(words)}\n{result.stdout}{result.stderr}")
        return result

    def list_inventory(self, *sources: Path, **environment: str) -> dict[str, Any]:
        """The output of ansible-inventory; values marked as unsafe are shown without the mark."""
        result = self.run("inventory", *(f"--inventory={value}" for value in sources), "--list", **environment)
        assert result.returncode == 0, result.stderr
        inventory: dict[str, Any] = json.loads(
            result.stdout, object_hook=lambda value: value.get("__ansible_unsafe", value)
        )
        inventory["warnings"] = " ".join(result.stderr.split())
        return inventory

    def run_plays(self, inventory: Path, *plays: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        """Runs plays without facts."""
        playbook = self.folder / "book.yml"
        playbook.write_text(json.dumps([{"gather_facts": False, **play} for play in plays]))
        return self.run("playbook", f"--inventory={inventory}", str(playbook))
