"""After a boot, networks, entries and guests are as before it."""

from __future__ import annotations

from lab.guest import Guest
from lab.host import Host
from lab.managers import bridge, keeps, show
from lab.resolvers import answers, settled, with_us


def test_bridge_and_entries_are_back(lab_host: Host, guest: Guest) -> None:
    found = keeps(lab_host)
    show(lab_host.name, "ifupdown", "boot", bridge(lab_host))
    assert found == []
    expected = with_us({"outside": "203.0.113.1", "VPN": "-"}, guest)
    answered = settled(lab_host, guest, expected)
    assert answered == expected, answers(lab_host, guest)
