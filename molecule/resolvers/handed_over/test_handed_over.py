"""Before the boot, hosts that have managers of interfaces are handed over to one, for good; ifupdown goes."""

from __future__ import annotations

from lab.guest import Guest
from lab.host import Host
from lab.managers import BOOT, bridge, managed
from lab.resolvers import PATIENCE, settled, shell, with_us
from lab.run import eventually


def test_bridge_and_entries_stay(lab_host: Host, guest: Guest) -> None:
    before = bridge(lab_host)
    shell(lab_host, BOOT.get(lab_host.name, "true"))
    assert eventually(lambda: managed(lab_host) == [], PATIENCE), managed(lab_host)
    assert bridge(lab_host) == before
    expected = with_us({"outside": "203.0.113.1", "VPN": "-"}, guest)
    assert settled(lab_host, guest, expected) == expected
