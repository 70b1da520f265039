"""Fixtures for the checks of every scenario: the hosts of the scenario's lab."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host as Machine

from lab.guest import Guest
from lab.host import Host
from lab.lab import Lab

Pair = tuple[Guest, Guest]
LAB = Lab(f"molecule-{os.environ['MOLECULE_SCENARIO_NAME']}")


class LabBackend(BaseBackend):
    """testinfra's connection to a host of a lab."""

    NAME = "lab"

    def __init__(self, host: Host) -> None:
        super().__init__(host.name)
        self._host = host

    def run(self, command: str, *args: str, **kwargs: object) -> CommandResult:
        result = self._host.attempt(["sh", "-c", self.get_command(command, *args)])
        return CommandResult(self, result.code, command.encode(), result.out.encode(), result.err.encode())


@pytest.fixture(scope="module", params=LAB.hosts(), ids=lambda host: host.name)
def lab_host(request: pytest.FixtureRequest) -> Host:
    host: Host = request.param
    return host


@pytest.fixture(scope="module")
def host(lab_host: Host) -> Machine:
    """testinfra's view of the host."""
    return Machine(LabBackend(lab_host))


@pytest.fixture(scope="session")
def plugged() -> Iterator[dict[str, Pair]]:
    """Two guests on the network `lab` of every host, started in parallel: a DHCP server takes time to offer."""
    pairs = {host.name: (Guest(host, "guest-a"), Guest(host, "guest-b")) for host in LAB.hosts()}
    everyone = [guest for pair in pairs.values() for guest in pair]
    try:
        for guest in everyone:
            guest.plug("vn-lab")
        yield pairs
    finally:
        for guest in everyone:
            guest.unplug()


@pytest.fixture(scope="module")
def guests(lab_host: Host, plugged: dict[str, Pair]) -> Pair:
    """The two guests of a host, with their leases."""
    for guest in plugged[lab_host.name]:
        guest.lease()
    return plugged[lab_host.name]
