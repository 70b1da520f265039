"""libvirt's own default network is adopted and released, by the commands of the guide."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools import documented

from lab.host import Host
from lab.lab import Lab
from lab.run import attempt, eventually

SCENARIO = Path(__file__).resolve().parents[1]
ROOT = SCENARIO.parents[1]
LAB = Lab(f"molecule-{os.environ['MOLECULE_SCENARIO_NAME']}")
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build/collections"),
    "ANSIBLE_CONNECTION_PLUGINS": str(SCENARIO.parent / "shared/connection"),
    "ANSIBLE_PIPELINING": "true",
    "ANSIBLE_INVENTORY": f"{SCENARIO.parent / 'shared/inventory'},{SCENARIO / 'inventory'}",
    "MOLECULE_PROJECT_DIRECTORY": str(ROOT),
}
TIMEOUT = 60
LONG_TIMEOUT = 300


@pytest.fixture
def started() -> Iterator[None]:
    """The default network of Debian's package runs unless the system's dnsmasq holds its port."""
    for host in LAB.hosts():
        host.run(["systemctl", "disable", "--now", "dnsmasq.service"])
        virsh = ["virsh", "-c", "network:///system"]
        assert eventually(lambda host=host, virsh=virsh: host.attempt([*virsh, "net-start", "default"]).ok, TIMEOUT)
    yield


def run_command(command: str) -> None:
    result = attempt(["sh", "-c", command], LONG_TIMEOUT, env=ENVIRONMENT)
    print(f"$ {command}\n{result.out}")
    assert result.ok, f"{command}\n{result.out}{result.err}"


def is_adopted(host: Host) -> bool:
    return host.attempt(["test", "-e", "/etc/virtnet/networks/default.json"]).ok


@pytest.mark.usefixtures("started")
def test_the_default_network_moves_as_shown() -> None:
    check, everything, named, back = documented.commands("libvirt.rst")
    for command, adopted in ((check, False), (everything, True), (back, False), (named, True), (back, False)):
        run_command(command)
        assert [is_adopted(host) for host in LAB.hosts()] == [adopted] * len(LAB.hosts())
        assert all(host.attempt(["ip", "link", "show", "virbr0"]).ok for host in LAB.hosts())
