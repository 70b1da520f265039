"""After a boot, networks, entries and guests are as before, whatever manages interfaces and resolv.conf."""

from __future__ import annotations

from collections.abc import Callable

from lab.guest import Guest
from lab.host import Host
from lab.managers import BOOT_MANAGERS, as_text, bridge, bridge_faults, taken_over
from lab.resolvers import TIMEOUT, wait_for_answers, with_our_entries
from lab.run import eventually


def test_bridge_and_entries_are_back(lab_host: Host, guest: Guest, show: Callable[..., None]) -> None:
    assert bridge_faults(lab_host) == []
    assert eventually(lambda: taken_over(lab_host) == [], TIMEOUT), taken_over(lab_host)
    names = BOOT_MANAGERS.get(lab_host.name, "ifupdown")
    show(names, "boot", as_text(bridge(lab_host)))
    expected = with_our_entries({"outside": "203.0.113.1", "VPN": "-"}, guest)
    answered = wait_for_answers(lab_host, guest, expected)
    show(names, "after a boot", *answered.values())
    assert answered == expected
    # A manager that was slow to start has not changed the bridge or removed the guest's port.
    assert bridge_faults(lab_host) == [] and bridge(lab_host)["ports"] == [guest.tap]
