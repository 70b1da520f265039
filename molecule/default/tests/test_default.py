"""Two guests on a network defined in three lines: what they get, and what they cannot reach."""

from __future__ import annotations

import ipaddress
import time

import pytest
from testinfra.host import Host as Machine

from lab.guest import Guest
from lab.host import Host
from lab.internet import ADDRESS, SWITCH, WEB_NAME
from lab.run import eventually

PORT = 8080
# Longer than systemd waits before it starts a service again.
CALM_SECONDS = 1.5
POOL = ipaddress.ip_network("192.168.0.0/16")
Pair = tuple[Guest, Guest]


def test_service_is_enabled_and_running(host: Machine) -> None:
    service = host.service("virtnet.service")
    assert service.is_enabled
    assert service.is_running


def test_no_unit_has_failed(host: Machine) -> None:
    assert host.check_output("systemctl --failed --plain --no-legend") == ""


def test_bridge_carries_an_address_of_the_pool(host: Machine) -> None:
    (address,) = host.interface("vn-lab", family="inet").addresses
    assert ipaddress.ip_address(address) in POOL


def test_guests_get_leases_of_the_subnet(host: Machine, guests: Pair) -> None:
    (gateway,) = host.interface("vn-lab", family="inet").addresses
    subnet = ipaddress.ip_network(f"{gateway}/24", strict=False)
    leases = {guest.address() for guest in guests}
    assert len(leases | {gateway}) == 3
    assert all(ipaddress.ip_address(lease) in subnet for lease in leases)


def test_guests_resolve_each_other(guests: Pair) -> None:
    a, b = guests
    assert a.resolves("guest-b") == [b.address()]
    assert a.resolves("guest-b.lab.test") == [b.address()]
    assert b.resolves("guest-a.lab.test") == [a.address()]


def test_guests_reach_each_other(guests: Pair) -> None:
    a, b = guests
    assert a.pings(b.address())


def test_host_resolves_guests_and_the_internet(lab_host: Host, guests: Pair) -> None:
    for guest in guests:
        assert lab_host.resolves(f"{guest.name}.lab.test") == [guest.address()]
    assert lab_host.resolves(WEB_NAME) == [ADDRESS]


def test_the_systems_dnsmasq_starts_again_when_it_is_killed_and_stays_stopped_when_it_is_stopped(
    host: Machine, lab_host: Host, guests: Pair
) -> None:
    if not host.service("dnsmasq.service").exists:
        pytest.skip("a private one serves here")
    lab_host.run(["systemctl", "kill", "--signal=KILL", "dnsmasq.service"])
    assert eventually(lambda: guests[0].resolves("guest-b.lab.test") == [guests[1].address()], 60)
    lab_host.run(["systemctl", "stop", "dnsmasq.service"])
    time.sleep(CALM_SECONDS)
    assert not host.service("dnsmasq.service").is_running
    lab_host.run(["systemctl", "start", "dnsmasq.service"])
    assert eventually(lambda: guests[0].resolves("guest-b.lab.test") == [guests[1].address()], 60)


def test_guest_fetches_a_page_as_the_host(lab_host: Host, guests: Pair) -> None:
    assert guests[0].fetch(f"http://{WEB_NAME}/") == lab_host.address


def test_guest_is_reached_by_its_neighbour_but_not_from_outside(lab_host: Host, guests: Pair) -> None:
    a, b = guests
    with a.listening(PORT):
        assert b.attempt(["curl", "-s", "-m", "5", f"http://{a.address()}:{PORT}/"]).ok
        assert lab_host.internet.reaches(a.address(), PORT, lab_host.address) == []


def test_nobody_gets_a_lease_on_the_uplink(lab_host: Host) -> None:
    client = ["udhcpc", "-f", "-n", "-q", "-t", "2", "-T", "1", "-s", "/bin/true", "-i", SWITCH]
    assert not lab_host.internet.attempt(client).ok
