"""After the network was started again: the guest is connected without any action of its own."""

from __future__ import annotations


def test_guest_is_back_with_its_address(network_host) -> None:
    assert network_host.states()["always"] == "active"
    assert "master vn-always" in network_host.host.run(["ip", "link", "show", network_host.guest.tap])
    assert network_host.guest.pings("10.70.0.1")
    network_host.guest.unplug()
