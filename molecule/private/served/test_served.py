"""Private instances serve guests; the host and other machines are not affected."""

from __future__ import annotations

import pytest
from testinfra.host import Host as Machine

from lab.guest import Guest
from lab.host import Host
from lab.internet import ADDRESS, WEB_NAME
from lab.run import eventually

Pair = tuple[Guest, Guest]
# Works with both managers of resolver entries.
REMOVE_ENTRIES = """
if systemctl --quiet is-active systemd-resolved; then resolvectl revert vn-lab
else resolvconf -f -d $(ls /run/resolvconf/interfaces | grep virtnet); fi
"""
UNITS = ("virtnet-dnsmasq@_shared.service", "virtnet-dnsmasq@closed.service")


def is_as_defined(lab_host: Host) -> bool:
    return lab_host.attempt(["virtnet", "check"]).ok


def state_and_journal(lab_host: Host) -> str:
    """Deviations from the definition, and the journal of the guard and the instances."""
    journal = ["journalctl", "--unit=virtnet", "--unit=virtnet-dnsmasq@*", "--lines=60", "--output=short-precise"]
    return "\n".join([lab_host.attempt(["virtnet", "check"]).out, lab_host.run(journal)])


@pytest.mark.parametrize("unit", UNITS)
def test_instances_run_as_a_user_and_with_few_capabilities(host: Machine, unit: str) -> None:
    assert host.service(unit).is_enabled
    pid = host.check_output(f"systemctl show --property=MainPID --value '{unit}'")
    status = host.file(f"/proc/{pid}/status").content_string
    (user,) = (line.split()[1] for line in status.splitlines() if line.startswith("Uid:"))
    assert int(user) == host.user("dnsmasq").uid
    assert "CapBnd:\t0000000000003400" in status


def test_an_isolated_instance_watches_no_file(host: Machine, lab_host: Host) -> None:
    def watched(unit: str) -> int:
        pid = host.check_output(f"systemctl show --property=MainPID --value '{unit}'")
        return host.check_output(f"ls -l /proc/{pid}/fd").count("inotify")

    # systemd-resolved follows the host's uplinks by itself.
    assert [watched(unit) for unit in UNITS] == [0 if has_resolved(lab_host) else 1, 0]


def has_resolved(lab_host: Host) -> bool:
    return "systemd-resolved" in lab_host.run(["systemctl", "list-units", "--plain", "--no-legend", "--type=service"])


def test_other_resolvers_of_the_host_answer_on_their_own_addresses(lab_host: Host) -> None:
    if not has_resolved(lab_host):
        pytest.skip("there are none")
    for server, program in (("127.0.0.53", "systemd-resolve"), ("127.0.0.1", "unbound")):
        assert lab_host.run(["dig", "+short", f"@{server}", WEB_NAME]).split() == [ADDRESS]
        assert program in lab_host.run(["ss", "-Hulnp", "src", f"{server}:53"])


def test_no_unit_has_failed(host: Machine) -> None:
    assert host.check_output("systemctl --failed --plain --no-legend") == ""


def test_guests_get_leases_and_names(guests: Pair) -> None:
    a, b = guests
    assert a.address().startswith("10.80.0.")
    assert a.resolves("guest-b.lab.test") == [b.address()]
    assert a.resolves(WEB_NAME) == [ADDRESS]


def test_isolated_guest_knows_its_own_names_only(lab_host: Host) -> None:
    guest = Guest(lab_host, "guest-c")
    guest.plug("vn-closed")
    try:
        assert guest.lease().startswith("10.81.0.")
        assert guest.resolves("guest-c.closed.test") == [guest.address()]
        assert guest.resolves(WEB_NAME) == []
    finally:
        guest.unplug()


def test_host_resolves_guests_and_the_internet(lab_host: Host, guests: Pair) -> None:
    assert lab_host.resolves(WEB_NAME) == [ADDRESS]
    assert eventually(lambda: lab_host.resolves("guest-a.lab.test") == [guests[0].address()], 60)


def test_killed_instance_comes_back_with_its_leases(lab_host: Host, guests: Pair) -> None:
    address = guests[0].address()
    lab_host.run(["systemctl", "kill", "--signal=KILL", UNITS[0]])
    assert eventually(lambda: guests[1].resolves("guest-a.lab.test") == [address], 60)


def test_leases_are_listed(lab_host: Host, guests: Pair) -> None:
    listed = lab_host.run(["/usr/local/lib/virtnet/virtnet", "leases", "lab"])
    assert all(guest.address() in listed for guest in guests)


@pytest.mark.parametrize(
    "fault",
    [
        "systemctl stop virtnet-dnsmasq@_shared.service",
        # Not by a number that may be 0: kill(2) would then signal the whole test run.
        "systemctl kill --signal=KILL virtnet-dnsmasq@_shared.service",
        "rm -r /etc/virtnet/dnsmasq.d",
        "rm /etc/virtnet/dnsmasq.d/lab.conf",
        "rm /etc/virtnet/dnsmasq/_shared.conf",
    ],
)
def test_a_missing_instance_is_repaired(lab_host: Host, guests: Pair, fault: str) -> None:
    lab_host.run(["sh", "-c", fault])
    assert eventually(lambda: is_as_defined(lab_host), 60), state_and_journal(lab_host)
    assert eventually(lambda: guests[0].resolves("guest-b.lab.test") == [guests[1].address()], 60)


def test_missing_entries_of_the_host_resolver_are_repaired(lab_host: Host, guests: Pair) -> None:
    address = guests[0].address()
    assert eventually(lambda: lab_host.resolves("guest-a.lab.test") == [address], 60)
    journal = ["journalctl", "--unit=virtnet", "--output=cat"]
    before = lab_host.run(journal).count("Repaired")
    lab_host.run(["sh", "-c", REMOVE_ENTRIES])
    assert eventually(lambda: lab_host.run(journal).count("Repaired") > before, 60), lab_host.run(journal)
    assert eventually(lambda: is_as_defined(lab_host), 60), state_and_journal(lab_host)
    assert eventually(lambda: lab_host.resolves("guest-a.lab.test") == [address], 60)
