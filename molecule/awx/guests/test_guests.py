"""Guests with real leases are hosts of an inventory, reached by ssh through their host; report and status show them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import netns
from lab.guest import Guest
from lab.lab import Lab
from lab.run import eventually

SCENARIO = Path(__file__).resolve().parents[1]
ROOT = SCENARIO.parents[1]
KEY = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "key"
TIMEOUT = 60
SSHD = ["/usr/sbin/sshd", "-D", "-o", "PidFile=none"]
SSH_CONFIG = f"""\
Host *
  IdentityFile {KEY}
  IdentitiesOnly yes
  UserKnownHostsFile /dev/null
  StrictHostKeyChecking no
  LogLevel ERROR
"""


@dataclass(frozen=True)
class Controller:
    """Ansible in the internet of the lab, from where guests can be reached only through their hosts."""

    lab: Lab
    folder: Path

    def run(self, program: str, *words: str, timeout: float = 300) -> str:
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build/collections"),
            "ANSIBLE_CONNECTION_PLUGINS": str(SCENARIO.parent / "shared/connection"),
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_SSH_ARGS": f"-F {self.folder / 'ssh_config'}",
            "MOLECULE_PROJECT_DIRECTORY": str(ROOT),
        }
        command = [sys.executable, "-m", "ansible", program, *words]
        result = subprocess.run(
            netns.inside(self.lab.internet.namespace, command),
            capture_output=True, text=True, timeout=timeout, check=False, env=environment, cwd=self.folder,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(f"molecule-{os.environ['MOLECULE_SCENARIO_NAME']}")


@pytest.fixture(scope="module")
def controller(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Controller:
    folder = tmp_path_factory.mktemp("controller")
    (folder / "ssh_config").write_text(SSH_CONFIG)
    return Controller(lab, folder)


@pytest.fixture(scope="module")
def guest(lab: Lab) -> Iterator[Guest]:
    """A guest with an sshd, on the network that the inventory lists."""
    guest = Guest(lab.host("debian13"), "guest-a")
    guest.plug("vn-listed")
    try:
        address = guest.lease()
        guest.start([*SSHD, "-o", f"ListenAddress={address}"])
        assert eventually(
            lambda: "SSH-2.0" in guest.attempt(["ssh-keyscan", "-T", "5", address]).out.strip() != "", TIMEOUT
        )
        yield guest
    finally:
        guest.unplug()


def test_the_inventory_lists_the_guest(controller: Controller, guest: Guest) -> None:
    output = controller.run("inventory", "-i", str(SCENARIO / "guests" / "fleet.guests.yml"), "--list")
    # Values from outside are marked as unsafe, so that they are no templates.
    listed = json.loads(output, object_hook=lambda value: value.get("__ansible_unsafe", value))
    print(json.dumps(listed, indent=2))
    variables = listed["_meta"]["hostvars"]["guest-a.listed"]
    assert variables["ansible_host"] == guest.address()
    assert variables["virtnet_mac"] == guest.mac
    command = shlex.split(variables["ansible_ssh_common_args"])[1]
    assert command.startswith("ProxyCommand=ssh ") and command.endswith(" -W '[%h]:%p' -- 203.0.113.12")
    assert 'User="root"' in command
    for group in ("virtnet_guests", "network_listed", "host_debian13", "leased"):
        assert listed[group]["hosts"] == ["guest-a.listed"], group


def test_the_guest_is_reached_through_its_host(controller: Controller, guest: Guest) -> None:
    command = "ip -br -4 address show dev eth0"
    output = controller.run(
        "adhoc", "-i", str(SCENARIO / "guests" / "fleet.guests.yml"), "network_listed", "-m", "command", "-a", command
    )
    assert f" {guest.address()}/24" in output


def test_report_and_status_show_both_hosts_and_the_guest(controller: Controller, guest: Guest) -> None:
    sources = [f"--inventory={SCENARIO.parent / 'shared/inventory'}", f"--inventory={SCENARIO / 'inventory'}"]
    page = controller.folder / "page.html"
    controller.run("playbook", *sources, "virtnet.linux.report", "-e", f"virtnet_report={page}")
    shown = controller.run("playbook", *sources, "virtnet.linux.status")
    print(shown)
    for text in (page.read_text(), shown):
        assert all(word in text for word in ("debian12", "debian13", "listed", "asked", "guest-a", guest.address()))
