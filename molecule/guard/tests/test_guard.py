"""A guest while faults occur in its network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab
from lab.guest import Guest, NetworkdGuest
from lab.host import Host
from lab.internet import ADDRESS, WEB_NAME
from lab.run import eventually

TIMEOUT = 60.0
NETWORK_CONFLICTS = Path(lab.__file__).with_name("programs") / "network_conflicts.py"


@pytest.fixture(scope="module")
def guest(lab_host: Host) -> Iterator[Guest]:
    guest = Guest(lab_host, "guest-a")
    guest.plug("vn-lab")
    guest.lease()
    yield guest
    guest.unplug()


@pytest.fixture(scope="module")
def networkd_guest(lab_host: Host) -> Iterator[Guest]:
    """A guest whose client reacts to its link."""
    guest = NetworkdGuest(lab_host, "guest-b")
    guest.plug("vn-lab")
    guest.lease()
    yield guest
    guest.unplug()


def is_healthy(host: Host) -> bool:
    return host.attempt(["virtnet", "check"]).ok


def shell(host: Host, command: str) -> str:
    return host.run(["sh", "-c", command])


def break_and_wait_for_repair(host: Host, fault: str) -> None:
    shell(host, fault)
    assert eventually(lambda: is_healthy(host), TIMEOUT), host.attempt(["virtnet", "check"]).out


@pytest.mark.parametrize(
    "fault",
    [
        "nft flush ruleset",
        "systemctl stop nftables.service; nft delete table inet virtnet",
        "ip link delete vn-lab",
        "ip link set vn-lab down",
        "ip address flush dev vn-lab",
        "rm /etc/dnsmasq.d/virtnet-lab.conf",
        "sysctl -qw net.ipv4.ip_forward=0",
    ],
)
def test_a_fault_is_repaired_and_the_guest_reaches_the_internet(lab_host: Host, guest: Guest, fault: str) -> None:
    assert guest.pings(ADDRESS)
    break_and_wait_for_repair(lab_host, fault)
    assert eventually(lambda: guest.pings(ADDRESS), TIMEOUT)
    assert guest.fetch(f"http://{WEB_NAME}/") == lab_host.address


def test_a_killed_guard_is_restarted_and_repairs_what_broke_meanwhile(lab_host: Host, guest: Guest) -> None:
    break_and_wait_for_repair(
        lab_host, "systemctl kill --signal=KILL --kill-whom=main virtnet; ip link delete vn-lab; nft flush ruleset"
    )
    assert eventually(lambda: guest.pings(ADDRESS), TIMEOUT)


def test_network_moves_out_of_a_conflict_and_its_guests_after_it(
    lab_host: Host, guest: Guest, networkd_guest: Guest
) -> None:
    before = guest.address()
    subnet = before.rpartition(".")[0]
    shell(lab_host, f"ip address add {subnet}.77/24 dev eth0")
    try:

        def moved() -> bool:
            shown = json.loads(lab_host.run(["virtnet", "show", "lab", "--json"]))
            return not shown["definition"]["ipv4"]["address"].startswith(f"{subnet}.") and not shown["conflicts"]

        assert eventually(moved, TIMEOUT)
        assert eventually(lambda: is_healthy(lab_host), TIMEOUT)
        # Only the link changes for it; its lease would last for minutes.
        assert eventually(
            lambda: bool(networkd_guest.address()) and not networkd_guest.address().startswith(f"{subnet}."), TIMEOUT
        )
        assert eventually(lambda: networkd_guest.pings(ADDRESS), TIMEOUT)
        # udhcpc does not react to the carrier; SIGUSR2 and SIGUSR1 act like an expired lease.
        guest.signal_client("USR2")
        assert eventually(lambda: not guest.address(), TIMEOUT)
        guest.signal_client("USR1")
        assert eventually(lambda: bool(guest.address()) and not guest.address().startswith(f"{subnet}."), TIMEOUT)
        assert guest.fetch(f"http://{WEB_NAME}/") == lab_host.address
        assert lab_host.resolves("guest-a.lab.test") == [guest.address()]
    finally:
        shell(lab_host, f"ip address delete {subnet}.77/24 dev eth0")


def test_a_fixed_network_with_a_conflict_stays_and_is_reported(lab_host: Host) -> None:
    shell(lab_host, "ip route add 10.72.0.0/25 dev eth0")
    try:
        result = lab_host.attempt(["virtnet", "check"])
        assert not result.ok and "network 'fixed' (10.72.0.0/24) overlaps the route 10.72.0.0/25 on eth0" in result.out
        program = NETWORK_CONFLICTS.read_text()
        assert "10.72.0.0/25" in lab_host.run(["/usr/bin/python3", "-I", "-B", "-", "fixed"], stdin=program)
        journal = ["journalctl", "-u", "virtnet.service", "-o", "cat"]
        assert eventually(lambda: "has a fixed address and stays" in lab_host.run(journal), TIMEOUT)
    finally:
        shell(lab_host, "ip route delete 10.72.0.0/25 dev eth0")


def test_leases_and_guests_are_shown(lab_host: Host, guest: Guest) -> None:
    leases = json.loads(lab_host.run(["virtnet", "leases", "--json"]))
    assert guest.address() in {lease["ip"] for lease in leases}
    assert "tap-guest-a" in lab_host.run(["virtnet", "show", "lab"])


def test_stopped_by_hand_stays_stopped_until_it_is_started(lab_host: Host, guest: Guest) -> None:
    lab_host.run(["virtnet", "stop", "lab"])
    assert not guest.pings(ADDRESS)
    assert "inactive" in lab_host.run(["virtnet", "list"])
    assert is_healthy(lab_host)
    lab_host.run(["virtnet", "start", "lab"])
    assert eventually(lambda: guest.pings(ADDRESS), TIMEOUT)
