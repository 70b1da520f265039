"""Who owns resolv.conf: names of guests, of the outside, of a VPN; before our entries, with them, and after."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.guest import Guest
from lab.host import Host
from lab.resolvers import OWNERS, PATIENCE, Owner, answers, clear_entries, settled, shell, show, with_us
from lab.run import eventually

INSTANCE = "virtnet-dnsmasq@_shared.service"
RESTORE = "/usr/local/lib/virtnet/virtnet restore --stage resolver"


@pytest.fixture(scope="module", params=OWNERS, ids=lambda owner: owner.name)
def owner(request: pytest.FixtureRequest, lab_host: Host, guest: Guest) -> Iterator[Owner]:
    one: Owner = request.param
    if lab_host.name not in one.hosts:
        pytest.skip(f"{one.name} is not on {lab_host.name}")
    clear_entries(lab_host)
    shell(lab_host, one.start)
    yield one
    clear_entries(lab_host)
    shell(lab_host, one.stop)
    shell(lab_host, f"{RESTORE}; systemctl start virtnet.service")


@pytest.fixture(scope="module")
def before(owner: Owner, lab_host: Host, guest: Guest) -> Iterator[dict[str, dict[str, str]]]:
    """What was answered before us, without and with the VPN."""
    found = {}
    assert eventually(lambda: answers(lab_host, guest)["outside"] != "-", PATIENCE)
    found["alone"] = answers(lab_host, guest)
    shell(lab_host, owner.vpn_up)
    assert eventually(lambda: answers(lab_host, guest)["VPN"] != "-", PATIENCE), lab_host.run(
        ["cat", "/etc/resolv.conf"]
    )
    found["VPN"] = answers(lab_host, guest)
    shell(lab_host, owner.vpn_down)
    assert settled(lab_host, guest, found["alone"]) == found["alone"]
    for how, one in found.items():
        assert one["full"] == one["reverse"] == one["short"] == "-"
        show(lab_host.name, owner.name, f"before, {how}", *one.values())
    yield found


def test_guests_resolve_and_all_else_is_as_before(
    owner: Owner, before: dict[str, dict[str, str]], lab_host: Host, guest: Guest
) -> None:
    resolv_conf = lab_host.run(["cat", "/etc/resolv.conf"])
    shell(lab_host, f"systemctl start virtnet.service; {RESTORE}")
    # A resolver that is asked without a guest's carrier on the bridge would not be; there is one.
    expected = {how: with_us(one, guest) for how, one in before.items()}
    found = settled(lab_host, guest, expected["alone"])
    show(lab_host.name, owner.name, "with us, alone", *found.values())
    assert found == expected["alone"], lab_host.run(["cat", "/etc/resolv.conf"])

    # The VPN comes while our entries are there, and between them and the others.
    shell(lab_host, owner.vpn_up)
    found = settled(lab_host, guest, expected["VPN"])
    show(lab_host.name, owner.name, "with us, VPN", *found.values())
    assert found == expected["VPN"], lab_host.run(["cat", "/etc/resolv.conf"])
    assert shell(lab_host, f"{RESTORE} 2>&1").splitlines()[:-1] == []
    shell(lab_host, owner.vpn_down)
    assert settled(lab_host, guest, expected["alone"]) == expected["alone"]

    clear_entries(lab_host)
    found = settled(lab_host, guest, before["alone"])
    show(lab_host.name, owner.name, "after removal", *found.values())
    assert found == before["alone"]
    assert lab_host.run(["cat", "/etc/resolv.conf"]) == resolv_conf


def test_a_stopped_dnsmasq_costs_nothing_but_its_own_names(
    owner: Owner, before: dict[str, dict[str, str]], lab_host: Host, guest: Guest
) -> None:
    shell(lab_host, f"systemctl start virtnet.service; {RESTORE}")
    expected = with_us(before["alone"], guest)
    assert settled(lab_host, guest, expected) == expected
    shell(lab_host, f"systemctl stop {INSTANCE}")
    try:
        # Refused at once, since nobody listens; a libc that had to wait for an answer would take 5 s for each server.
        assert lab_host.attempt(["timeout", "4", "getent", "ahostsv4", "www.internet.test"]).ok
    finally:
        shell(lab_host, f"systemctl start {INSTANCE}")
    assert settled(lab_host, guest, expected) == expected


def test_guard_puts_entries_back_and_they_go_with_the_network(
    owner: Owner, before: dict[str, dict[str, str]], lab_host: Host, guest: Guest
) -> None:
    shell(lab_host, f"systemctl start virtnet.service; {RESTORE}")
    expected = with_us(before["alone"], guest)
    lab_host.run(["ip", "link", "delete", "vn-lab"])
    assert settled(lab_host, guest, expected) == expected, lab_host.attempt(
        ["journalctl", "-u", "virtnet", "-n", "20"]
    ).out
    shell(lab_host, "virtnet stop lab")
    assert "10.80.0.1" not in lab_host.run(["cat", "/etc/resolv.conf"])
    assert answers(lab_host, guest)["outside"] == before["alone"]["outside"]
    shell(lab_host, "virtnet start lab")
    assert settled(lab_host, guest, expected) == expected
