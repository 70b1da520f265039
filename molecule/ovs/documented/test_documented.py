"""The layout with a foreign bridge is set up as in the guide: a veth pair leads from the bridge to the host's address.

Packets are not tested: here Open vSwitch forwards them in userspace, and nothing keeps the host's own stack from the
ports of a bridge that is not ours.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tools import documented

from lab.host import Host


@pytest.fixture
def office(lab_host: Host) -> Iterator[Host]:
    lab_host.run(["ovs-vsctl", "add-br", "vn-office"])
    try:
        yield lab_host
    finally:
        lab_host.run(["ovs-vsctl", "--if-exists", "del-br", "vn-office"])
        lab_host.attempt(["ip", "link", "delete", "gw0"])


def test_the_guide_puts_the_address_behind_a_veth_pair(office: Host) -> None:
    for command in documented.commands("openvswitch.rst"):
        office.run(["sh", "-c", command])
    assert office.run(["ovs-vsctl", "port-to-br", "gw1"]).strip() == "vn-office"
    assert " UP " in (output := office.run(["ip", "-br", "address", "show", "gw0"]))
    assert "192.168.40.1/24" in output
