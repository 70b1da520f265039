"""Virtual machines started by libvirt get a lease, names and outside access, and keep them if the bridge is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.host import Host
from lab.internet import ADDRESS
from lab.machine import KERNEL, TIMEOUT, Machine
from lab.run import eventually

# How a domain names its network, with the expected bridge and subnet.
SOURCES = {
    "network": ({"network": "lab"}, "vn-lab", "10.72.0."),
    "bridge": ({"bridge": "virbr0"}, "virbr0", "10.73.0."),
}


@pytest.fixture(scope="module")
def machines(lab_host: Host) -> Iterator[dict[str, Machine]]:
    if not lab_host.attempt(["test", "-e", KERNEL]).ok:
        pytest.skip("Debian has no kernel for x86_64 among this machine's packages, and no other is known to boot here")
    machines = {kind: Machine(lab_host, f"vm-{kind}") for kind in SOURCES}
    try:
        for kind, machine in machines.items():
            machine.boot(kind, **SOURCES[kind][0])
        yield machines
        for machine in machines.values():
            print(f"--- console of {machine.name}\n{machine.console()}")
    finally:
        for machine in machines.values():
            machine.power_off()


def reaches_internet(machine: Machine) -> bool:
    """Only output from now on counts."""
    before = len(machine.rounds())
    good = (ADDRESS, machine.host.address)
    return eventually(
        lambda: any((name, source) == good for _, name, source in machine.rounds()[before + 1 :]), TIMEOUT, interval=0.5
    )


@pytest.mark.parametrize("kind", SOURCES)
def test_machine_gets_a_lease_resolves_names_and_reaches_the_internet(machines: dict[str, Machine], kind: str) -> None:
    machine, subnet = machines[kind], SOURCES[kind][2]
    leased = machine.wait_for_output(r"guest: lease of (\S+) from ([^ ,]+), router ([^ ,]+), DNS ([^ ,]+)")
    assert leased[1].startswith(subnet)
    assert [leased[i] for i in (2, 3, 4)] == [f"{subnet}1"] * 3
    assert reaches_internet(machine), machine.console()
    shown = machine.host.run(["/usr/local/lib/virtnet/virtnet", "leases"])
    assert f"{leased[1]} " in shown
    assert f" {machine.name} " in shown


@pytest.mark.parametrize("kind", SOURCES)
def test_machine_is_attached_again_to_a_recreated_bridge(machines: dict[str, Machine], kind: str) -> None:
    machine, bridge, host = machines[kind], SOURCES[kind][1], machines[kind].host
    machine.wait_for_output("guest: round")
    tap = machine.tap()
    host.run(["ip", "link", "delete", bridge])
    assert eventually(lambda: f" master {bridge} " in host.run(["ip", "link", "show", tap]), 60, interval=0.2)
    assert reaches_internet(machine), machine.console()


def test_libvirt_knows_who_is_on_its_network(machines: dict[str, Machine]) -> None:
    ports = machines["network"].host.run(["virsh", "-c", "network:///system", "net-port-list", "lab"])
    assert len(ports.split("\n", 2)[2].split()) == 1
