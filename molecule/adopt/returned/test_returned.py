"""The networks are libvirt's again; guests were not affected."""

from __future__ import annotations

from lab.run import eventually

TIMEOUT = 60


def test_libvirt_has_its_networks_as_they_were(libvirt) -> None:
    assert libvirt.networks() == {
        "default": "active yes yes",
        "office": "active yes yes",
        "passing": "active no no",
        "tapped": "active no yes",
        "resting": "inactive no yes",
    }
    assert [libvirt.mode(name) for name in ("default", "office", "passing")] == ["nat", "nat", ""]
    assert [libvirt.mode(name, "--inactive") for name in ("default", "office")] == ["nat", "nat"]
    assert libvirt.ports("default") == ["5d744f21-ba4a-4d6e-bdb2-30a35ff3207d"]


def test_guests_kept_their_leases(libvirt, roamer, clerk, gets_address) -> None:
    assert libvirt.leases("default") == {roamer.address(): roamer.mac}
    assert libvirt.leases("office") == {"10.80.0.7": clerk.mac}
    assert gets_address(roamer, roamer.address()) and gets_address(clerk, "10.80.0.7")
    assert eventually(lambda: clerk.resolves("printer") == ["10.80.0.9"], TIMEOUT)
    assert eventually(lambda: roamer.resolves("www.internet.test"), TIMEOUT)
    assert roamer.fetch("http://www.internet.test/")


def test_routes_of_returned_networks_are_set_once(lab_host) -> None:
    routes = lab_host.run(["ip", "route", "show", "table", "all", "10.89.0.0/24"]).splitlines()
    assert len(routes) == 1
    assert routes[0].startswith("10.89.0.0/24 via 10.81.0.9 dev br-passing")


def test_returned_networks_have_no_definition_here(lab_host, definitions) -> None:
    assert not definitions
    assert lab_host.run(["ls", "/var/lib/virtnet/adopted"]) == ""
    assert not lab_host.attempt(["nft", "list", "table", "inet", "virtnet"]).ok
