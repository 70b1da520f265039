"""After a boot libvirt has started what we have started."""

from __future__ import annotations


def test_networks_are_as_before(virsh) -> None:
    assert virsh.networks() == {
        "lab": "active yes yes",
        "resting": "inactive no yes",
        "passing": "active yes yes",
        "from-xml": "active yes yes",
        "site": "active yes yes",
    }


def test_nothing_failed_and_nothing_waited_for_the_other(virsh) -> None:
    assert virsh.host.run(["systemctl", "--failed", "--plain", "--no-legend"]) == ""
    assert "10.70.0.1/24" in virsh.host.run(["ip", "-br", "address", "show", "vn-lab"])
