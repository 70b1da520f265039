"""Changes are both in the stored and in the live definition."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("which", [[], ["--inactive"]])
def test_portgroup_has_changed(virsh, which: list[str]) -> None:
    assert virsh.xml("lab", *which).find("portgroup").attrib == {"name": "fast"}
    assert virsh.xml("lab", *which).find("portgroup/bandwidth/inbound").attrib == {"average": "2000"}


def test_transient_network_is_persistent_now(virsh) -> None:
    assert virsh.networks()["passing"] == "active yes yes"
