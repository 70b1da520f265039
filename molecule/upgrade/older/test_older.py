"""The older release serves guests; its engine is one folder of files."""

from __future__ import annotations


def test_the_engine_of_the_older_release_is_installed(upgraded) -> None:
    assert {"paths.py", "guard.py", "dnsmasq_fragment.py"} <= upgraded.files(".py")
    assert upgraded.folders() == set()
    assert upgraded.guard()[0] == "active"


def test_a_guest_gets_a_lease_from_the_older_release(upgraded) -> None:
    upgraded.guest.plug("vn-lab")
    assert upgraded.guest.lease().startswith("10.76.0.")
