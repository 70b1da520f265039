"""After a boot libvirt lists the networks that we started as active."""

from __future__ import annotations


def test_networks_are_as_before(virsh) -> None:
    assert virsh.networks() == {
        "lab": "active yes yes",
        "resting": "inactive no yes",
        "passing": "active yes yes",
        "from-xml": "active yes yes",
        "site": "active yes yes",
    }


def test_no_unit_failed_after_the_reboot(virsh) -> None:
    assert virsh.host.run(["systemctl", "--failed", "--plain", "--no-legend"]) == ""
    assert "10.70.0.1/24" in virsh.host.run(["ip", "-br", "address", "show", "vn-lab"])
