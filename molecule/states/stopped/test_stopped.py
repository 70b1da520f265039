"""After the network with a guest was stopped: its bridge is gone, the guest's link is free."""

from __future__ import annotations


def test_network_is_stopped_and_still_defined(carrier) -> None:
    assert carrier.states()["always"] == "inactive"
    assert "vn-always" not in carrier.bridges()
    assert "virtnet-always.conf" not in carrier.fragments()


def test_guests_link_is_there_and_free(carrier) -> None:
    assert "master" not in carrier.host.run(["ip", "link", "show", carrier.guest.tap])
    assert not carrier.guest.pings("10.70.0.1")
