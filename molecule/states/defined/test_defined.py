"""After a run: each network is in its defined state."""

from __future__ import annotations

RUNNING = {"always", "by-hand", "passing"}


def test_networks_are_in_their_states(network_host) -> None:
    expected = {"always": "active", "by-hand": "active", "passing": "active", "resting": "inactive"}
    assert network_host.states() == expected


def test_only_running_networks_have_bridges_and_fragments(network_host) -> None:
    assert network_host.bridges() == {f"vn-{name}" for name in RUNNING}
    assert network_host.fragments() == {f"virtnet-{name}.conf" for name in RUNNING}


def test_a_transient_definition_is_where_a_reboot_takes_it(network_host) -> None:
    listing = "cd / && ls etc/virtnet/networks/*.json run/virtnet/networks/*.json"
    kept = [f"etc/virtnet/networks/{name}.json" for name in ("always", "by-hand", "resting")]
    assert network_host.host.run(["sh", "-c", listing]).split() == [*kept, "run/virtnet/networks/passing.json"]


def test_a_guest_gets_a_lease(network_host) -> None:
    network_host.guest.plug("vn-always")
    assert network_host.guest.lease().startswith("10.70.0.")
