"""After the network with a guest was stopped: its bridge is removed, the guest's link has no master."""

from __future__ import annotations


def test_network_is_stopped_and_still_defined(network_host) -> None:
    assert network_host.states()["always"] == "inactive"
    assert "vn-always" not in network_host.bridges()
    assert "virtnet-always.conf" not in network_host.fragments()


def test_the_guests_link_exists_and_has_no_master(network_host) -> None:
    assert "master" not in network_host.host.run(["ip", "link", "show", network_host.guest.tap])
    assert not network_host.guest.pings("10.70.0.1")
