"""For each owner of resolv.conf: names of guests, of the outside, of a VPN; before our entries, with them, after."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lab.guest import Guest
from lab.host import Host
from lab.internet import ADDRESS, WEB_NAME
from lab.resolvers import OWNERS, TIMEOUT, Owner, answers, clear_entries, shell, wait_for_answers, with_our_entries
from lab.run import eventually

INSTANCE = "virtnet-dnsmasq@_shared.service"
# The stub of systemd-resolved needs more of 127.0.0.0/8 than 127.0.0.1.
LOOPBACK = ["ip", "-4", "route", "show", "table", "local", "dev", "lo"]
Show = Callable[..., None]
RESTORE = "/usr/local/lib/virtnet/virtnet restore --stage resolver"


@pytest.fixture(scope="module", params=OWNERS, ids=lambda owner: owner.name)
def owner(request: pytest.FixtureRequest, lab_host: Host, guest: Guest) -> Iterator[Owner]:
    owner: Owner = request.param
    clear_entries(lab_host)
    shell(lab_host, owner.start)
    yield owner
    clear_entries(lab_host)
    shell(lab_host, owner.stop)
    shell(lab_host, f"{RESTORE}; systemctl start virtnet.service")


@pytest.fixture(scope="module")
def before(owner: Owner, lab_host: Host, guest: Guest) -> Iterator[dict[str, dict[str, str]]]:
    """The answers without our entries, without and with the VPN."""
    answers_before = {}
    assert eventually(lambda: answers(lab_host, guest)["outside"] != "-", TIMEOUT)
    answers_before["alone"] = answers(lab_host, guest)
    shell(lab_host, owner.vpn_up)
    assert eventually(lambda: answers(lab_host, guest)["VPN"] != "-", TIMEOUT), lab_host.run(
        ["cat", "/etc/resolv.conf"]
    )
    answers_before["VPN"] = answers(lab_host, guest)
    shell(lab_host, owner.vpn_down)
    assert wait_for_answers(lab_host, guest, answers_before["alone"]) == answers_before["alone"]
    for row in answers_before.values():
        assert row["full"] == row["reverse"] == row["short"] == "-"
    yield answers_before


def test_guests_resolve_and_all_else_is_as_before(
    owner: Owner, before: dict[str, dict[str, str]], lab_host: Host, guest: Guest, show: Show
) -> None:
    for when, row in before.items():
        show(owner.name, f"before, {when}", *row.values())
    resolv_conf = lab_host.run(["cat", "/etc/resolv.conf"])
    loopback = lab_host.run(LOOPBACK)
    shell(lab_host, f"systemctl start virtnet.service; {RESTORE}")
    # A resolver queried through a bridge without carrier would not answer; this one has a carrier.
    expected = {when: with_our_entries(row, guest) for when, row in before.items()}
    answered = wait_for_answers(lab_host, guest, expected["alone"])
    show(owner.name, "with us, alone", *answered.values())
    assert answered == expected["alone"], lab_host.run(["cat", "/etc/resolv.conf"])

    # A server that reads resolv.conf for guests does not return REFUSED to them (dig asks with EDNS).
    assert guest.run(["dig", "+short", "@10.80.0.1", WEB_NAME]).split() == [ADDRESS]

    # The VPN starts while our entries exist; its server comes between ours and the others.
    shell(lab_host, owner.vpn_up)
    answered = wait_for_answers(lab_host, guest, expected["VPN"])
    show(owner.name, "with us, VPN", *answered.values())
    assert answered == expected["VPN"], lab_host.run(["cat", "/etc/resolv.conf"])
    again = shell(lab_host, f"{RESTORE} 2>&1").splitlines()[:-1]
    # Some owners cannot use the name server of an isolated network together with others.
    assert [line for line in again if "guests on vn-closed" not in line] == []
    shell(lab_host, owner.vpn_down)
    assert wait_for_answers(lab_host, guest, expected["alone"]) == expected["alone"]

    clear_entries(lab_host)
    answered = wait_for_answers(lab_host, guest, before["alone"])
    show(owner.name, "after removal", *answered.values())
    assert answered == before["alone"]
    assert lab_host.run(["cat", "/etc/resolv.conf"]) == resolv_conf
    assert lab_host.run(LOOPBACK) == loopback


def test_a_stopped_dnsmasq_affects_only_its_own_names(
    owner: Owner, before: dict[str, dict[str, str]], lab_host: Host, guest: Guest
) -> None:
    shell(lab_host, f"systemctl start virtnet.service; {RESTORE}")
    expected = with_our_entries(before["alone"], guest)
    assert wait_for_answers(lab_host, guest, expected) == expected
    shell(lab_host, f"systemctl stop {INSTANCE}")
    try:
        # Refused at once, since nothing listens; on a timeout libc would wait 5 s for each server.
        assert lab_host.attempt(["timeout", "4", "getent", "ahostsv4", "www.internet.test"]).ok
    finally:
        shell(lab_host, f"systemctl start {INSTANCE}")
    assert wait_for_answers(lab_host, guest, expected) == expected


def test_the_guard_restores_entries_and_they_are_removed_with_the_network(
    owner: Owner, before: dict[str, dict[str, str]], lab_host: Host, guest: Guest
) -> None:
    shell(lab_host, f"systemctl start virtnet.service; {RESTORE}")
    expected = with_our_entries(before["alone"], guest)
    lab_host.run(["ip", "link", "delete", "vn-lab"])
    assert wait_for_answers(lab_host, guest, expected) == expected, lab_host.attempt(
        ["journalctl", "-u", "virtnet", "-n", "20"]
    ).out
    shell(lab_host, "virtnet stop lab")
    assert "10.80.0.1" not in lab_host.run(["cat", "/etc/resolv.conf"])
    assert answers(lab_host, guest)["outside"] == before["alone"]["outside"]
    shell(lab_host, "virtnet start lab")
    assert wait_for_answers(lab_host, guest, expected) == expected
