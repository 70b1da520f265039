"""After the network was started again: the guest is on it without having done anything."""

from __future__ import annotations


def test_guest_is_back_with_its_address(carrier) -> None:
    assert carrier.states()["always"] == "active"
    assert "master vn-always" in carrier.host.run(["ip", "link", "show", carrier.guest.tap])
    assert carrier.guest.pings("10.70.0.1")
    carrier.guest.unplug()
