"""After a boot, networks, entries and guests are as before it, whoever manages interfaces and owns resolv.conf."""

from __future__ import annotations

from collections.abc import Callable

from lab.guest import Guest
from lab.host import Host
from lab.managers import AT_BOOT, as_text, bridge, keeps, managed
from lab.resolvers import PATIENCE, settled, with_us
from lab.run import eventually


def test_bridge_and_entries_are_back(lab_host: Host, guest: Guest, show: Callable[..., None]) -> None:
    assert keeps(lab_host) == []
    assert eventually(lambda: managed(lab_host) == [], PATIENCE), managed(lab_host)
    names = AT_BOOT.get(lab_host.name, "ifupdown")
    show(names, "boot", as_text(bridge(lab_host)))
    expected = with_us({"outside": "203.0.113.1", "VPN": "-"}, guest)
    answered = settled(lab_host, guest, expected)
    show(names, "after a boot", *answered.values())
    assert answered == expected
    # A manager that was slow to start has not taken the bridge, or the guest off it.
    assert keeps(lab_host) == [] and bridge(lab_host)["ports"] == [guest.tap]
