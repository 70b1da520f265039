"""Private instances serve guests beside servers that hold port 53, which do not notice."""

from __future__ import annotations

import pytest
from testinfra.host import Host as Machine

from lab.guest import Guest
from lab.host import Host
from lab.internet import ADDRESS, WEB_NAME
from lab.run import eventually

Pair = tuple[Guest, Guest]
# Who holds port 53 on each host, and where.
HOLDERS = {"debian12": ("dnsmasq", "0.0.0.0"), "debian13": ("unbound", "10.80.0.1")}


def redirected(lab_host: Host) -> set[str]:
    """The networks whose private instance has ports of its own."""
    names = ("lab", "closed", "plain")
    texts = {name: lab_host.run(["cat", f"/etc/virtnet/networks/{name}.json"]) for name in names}
    return {name for name, text in texts.items() if '"redirect": true' in text}


def test_only_networks_whose_port_is_held_are_redirected(lab_host: Host) -> None:
    assert redirected(lab_host) == {"debian12": {"lab", "closed"}, "debian13": {"lab"}}[lab_host.name]


def test_the_other_server_still_holds_its_port_and_answers(lab_host: Host) -> None:
    program, address = HOLDERS[lab_host.name]
    assert program in lab_host.run(["ss", "-Hlntp", "src", f"{address}:53"])
    assert lab_host.run(["dig", "+short", "@127.0.0.1", WEB_NAME]).split() == [ADDRESS]


def test_no_unit_has_failed(host: Machine) -> None:
    assert host.check_output("systemctl --failed --plain --no-legend") == ""


def test_guests_get_leases_and_names(guests: Pair) -> None:
    a, b = guests
    assert a.address().startswith("10.80.0.")
    assert a.resolves("guest-b.lab.test") == [b.address()]


def test_options_of_a_whole_dnsmasq_are_in_force(guests: Pair) -> None:
    """To stop-dns-rebind an address for documentation is a private one; guests of other networks get the answer."""
    assert guests[0].resolves(WEB_NAME) == []


@pytest.mark.parametrize("name", ["closed", "plain"])
def test_guests_of_other_networks_are_served(lab_host: Host, name: str) -> None:
    guest = Guest(lab_host, "guest-c")
    guest.plug(f"vn-{name}")
    try:
        assert guest.lease()
        assert guest.resolves(WEB_NAME) == ([] if name == "closed" else [ADDRESS])
        assert name != "closed" or guest.resolves("guest-c.closed.test") == [guest.address()]
    finally:
        guest.unplug()


def test_the_host_resolves_guests_and_the_internet(lab_host: Host, guests: Pair) -> None:
    assert lab_host.resolves(WEB_NAME) == [ADDRESS]
    assert eventually(lambda: lab_host.resolves("guest-a.lab.test") == [guests[0].address()], 60)


@pytest.mark.parametrize("fault", ["nft flush ruleset", "systemctl kill --signal=KILL virtnet-dnsmasq@lab.service"])
def test_a_fault_is_repaired(lab_host: Host, guests: Pair, fault: str) -> None:
    lab_host.run(["sh", "-c", fault])
    assert eventually(lambda: guests[0].resolves("guest-b.lab.test") == [guests[1].address()], 60)
    assert eventually(lambda: lab_host.attempt(["virtnet", "check"]).ok, 60), lab_host.attempt(["virtnet", "check"]).out
