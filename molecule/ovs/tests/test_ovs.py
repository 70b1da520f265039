"""Guests on bridges of Open vSwitch: services, isolation, and faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testinfra.host import Host as Machine

from lab.guest import Guest
from lab.host import Host
from lab.internet import ADDRESS, WEB_NAME
from lab.run import eventually

TIMEOUT = 60
PORT = 8080
Pair = tuple[Guest, Guest]


@pytest.fixture(scope="module")
def isolated_guests(lab_host: Host) -> Iterator[Pair]:
    """Two guests on the network that isolates its guests."""
    pair = (Guest(lab_host, "closed-a"), Guest(lab_host, "closed-b"))
    try:
        for guest in pair:
            guest.plug("vn-closed")
        for guest in pair:
            guest.lease(TIMEOUT)
        yield pair
    finally:
        for guest in pair:
            guest.unplug()


def test_no_unit_has_failed(host: Machine) -> None:
    assert host.check_output("systemctl --failed --plain --no-legend") == ""


def test_bridges_have_the_desired_settings(host: Machine) -> None:
    row = host.check_output("ovs-vsctl --columns=rstp_enable,other_config,fail_mode list bridge vn-lab")
    assert "rstp_enable" in row and "true" in row
    assert 'rstp-forward-delay="4"' in row
    assert host.interface("vn-lab").addresses == ["10.90.0.1"]
    assert host.check_output("cat /sys/class/net/vn-lab/mtu") == "1400"
    assert host.check_output("ip -d -j link show vn-plain").count('"info_kind":"bridge"') == 1


def test_guests_get_leases_and_names(guests: Pair) -> None:
    a, b = guests
    assert all(guest.address().startswith("10.90.0.") for guest in guests)
    assert a.resolves("guest-b.lab.test") == [b.address()]
    assert a.pings(b.address())


def test_guest_fetches_a_page_as_the_host(lab_host: Host, guests: Pair) -> None:
    assert guests[0].fetch(f"http://{WEB_NAME}/") == lab_host.address


def test_host_resolves_guests(lab_host: Host, guests: Pair) -> None:
    assert lab_host.resolves("guest-a.lab.test") == [guests[0].address()]


def test_guest_is_not_reached_from_outside(lab_host: Host, guests: Pair) -> None:
    a, b = guests
    with a.listening(PORT):
        assert b.attempt(["curl", "-s", "-m", "5", f"http://{a.address()}:{PORT}/"]).ok
        assert lab_host.internet.reaches(a.address(), PORT, lab_host.address) == []


def test_a_port_forward_reaches_its_guest(lab_host: Host, guests: Pair) -> None:
    a = guests[0]
    a.run(["ip", "address", "add", "10.90.0.5/24", "dev", "eth0"])
    try:
        with a.listening(80):
            answer = lab_host.internet.attempt(["curl", "-s", "-m", "5", "-o", "/dev/null", f"{lab_host.address}:8081"])
            assert answer.ok, answer.err
    finally:
        a.run(["ip", "address", "delete", "10.90.0.5/24", "dev", "eth0"])


def test_isolated_guests_reach_the_host_alone(isolated_guests: Pair) -> None:
    a, b = isolated_guests
    assert a.pings("10.91.0.1")
    assert not a.pings(ADDRESS)
    assert not a.pings(b.address())


def test_guests_recover_from_a_restart_of_open_vswitch(lab_host: Host, guests: Pair) -> None:
    a, b = guests
    lab_host.run(["systemctl", "restart", "openvswitch-switch.service"])
    assert eventually(lambda: a.pings("10.90.0.1") and a.pings(b.address()), TIMEOUT)
    assert eventually(lambda: a.fetch(f"http://{WEB_NAME}/") == lab_host.address, TIMEOUT)


def test_bridges_come_back_with_their_guests(lab_host: Host, guests: Pair, isolated_guests: Pair) -> None:
    a, b = guests
    ports = lab_host.run(["ovs-vsctl", "list-ports", "vn-lab"])

    def ports_are_back() -> bool:
        return lab_host.attempt(["ovs-vsctl", "list-ports", "vn-lab"]).out == ports

    for fault in (["ovs-vsctl", "del-br", "vn-lab"], ["ip", "link", "delete", "vn-lab"]):
        lab_host.run(fault)
        assert eventually(lambda: ports_are_back() and a.pings(b.address()), TIMEOUT), fault
        assert eventually(lambda: a.fetch(f"http://{WEB_NAME}/") == lab_host.address, TIMEOUT), fault
    assert not isolated_guests[0].pings(isolated_guests[1].address())
