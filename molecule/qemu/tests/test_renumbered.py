"""A network with a virtual machine gets another subnet: the machine's link goes down and up; it renews the lease."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lab.host import Host
from lab.internet import ADDRESS
from lab.machine import KERNEL, TIMEOUT, Machine
from lab.run import eventually


@pytest.fixture(scope="module")
def machine(lab_host: Host) -> Iterator[Machine]:
    if not lab_host.attempt(["test", "-e", KERNEL]).ok:
        pytest.skip("Debian has no kernel for x86_64 among this machine's packages, and no other is known to boot here")
    machine = Machine(lab_host, "vm-moving")
    try:
        machine.boot("network", network="moving")
        yield machine
        print(f"--- console of {machine.name}\n{machine.console()}")
    finally:
        machine.power_off()


def subnet(host: Host) -> str:
    """The first three numbers of the network's addresses."""
    shown = json.loads(host.run(["virtnet", "show", "moving", "--json"]))
    return str(shown["definition"]["ipv4"]["address"]).rpartition(".")[0] + "."


def moves(host: Host) -> int:
    """How many moves of a network the guard has logged."""
    return host.run(["journalctl", "--unit=virtnet", "--output=cat"]).count("so it moves to")


def cause_conflict(host: Host) -> None:
    """Another interface uses the subnet until the network has moved."""
    before = subnet(host)
    host.run(["ip", "address", "add", f"{before}77/24", "dev", "eth0"])
    try:
        assert eventually(lambda: subnet(host) != before, TIMEOUT, interval=0.5)
        assert eventually(lambda: host.attempt(["virtnet", "check"]).ok, TIMEOUT, interval=0.5)
    finally:
        host.run(["ip", "address", "delete", f"{before}77/24", "dev", "eth0"])


def test_machine_follows_its_network_to_another_subnet(machine: Machine) -> None:
    host = machine.host
    machine.wait_for_output(rf"guest: lease of {subnet(host)}\d+ ")
    machine.wait_for_output(r"guest: round \d+: www\.internet\.test is [\d.]+, and sees [\d.]+")
    changes = machine.console().count("guest: link changed")
    cause_conflict(host)
    assert eventually(lambda: machine.console().count("guest: link changed") > changes, TIMEOUT, interval=0.5)
    machine.wait_for_output(rf"guest: lease of {subnet(host)}\d+ from {subnet(host)}1, ")
    rounds = len(machine.rounds())
    good = (ADDRESS, host.address)
    assert eventually(
        lambda: any((name, source) == good for _, name, source in machine.rounds()[rounds:]), TIMEOUT, 0.5
    )
    assert machine.link() == "up"


def test_a_link_set_down_by_its_owner_stays_down(machine: Machine) -> None:
    machine.set_link("down")
    # A network that has moved does not move again for a while; this one must move at once.
    machine.host.run(["systemctl", "restart", "virtnet"])
    before = moves(machine.host)
    cause_conflict(machine.host)
    # The guard logs it when all is done, the links included.
    assert eventually(lambda: moves(machine.host) > before, TIMEOUT, interval=0.5)
    assert machine.link() == "down"
