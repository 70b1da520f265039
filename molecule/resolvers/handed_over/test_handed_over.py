"""Before the boot, another manager takes over the interfaces of hosts that have one, for good, from ifupdown."""

from __future__ import annotations

from lab.guest import Guest
from lab.host import Host
from lab.managers import BOOT_SCRIPTS, bridge, taken_over
from lab.resolvers import TIMEOUT, shell, wait_for_answers, with_our_entries
from lab.run import eventually


def test_bridge_and_entries_stay(lab_host: Host, guest: Guest) -> None:
    before = bridge(lab_host)
    shell(lab_host, BOOT_SCRIPTS.get(lab_host.name, "true"))
    assert eventually(lambda: taken_over(lab_host) == [], TIMEOUT), taken_over(lab_host)
    assert bridge(lab_host) == before
    expected = with_our_entries({"outside": "203.0.113.1", "VPN": "-"}, guest)
    assert wait_for_answers(lab_host, guest, expected) == expected
