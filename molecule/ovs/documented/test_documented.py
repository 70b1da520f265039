"""The layout of others that the guide shows: a veth pair leads from the bridge to the host's address."""

from __future__ import annotations

from collections.abc import Iterator

import documented
import pytest

from lab.guest import Guest
from lab.host import Host
from lab.run import eventually

PATIENCE = 60
GATEWAY = "192.168.40.1"


@pytest.fixture
def guest(lab_host: Host) -> Iterator[Guest]:
    one = Guest(lab_host, "guest-a")
    lab_host.run(["ovs-vsctl", "add-br", "vn-office"])
    try:
        lab_host.run(["ip", "netns", "add", one.name])
        lab_host.run(["ip", "link", "add", one.tap, "up", "type", "veth", "peer", "name", "eth0", "netns", one.name])
        lab_host.run(["ovs-vsctl", "add-port", "vn-office", one.tap])
        one.run(["ip", "address", "add", "192.168.40.9/24", "dev", "eth0"])
        one.run(["ip", "link", "set", "eth0", "up"])
        yield one
    finally:
        lab_host.run(["ovs-vsctl", "--if-exists", "del-br", "vn-office"])
        lab_host.attempt(["ip", "link", "delete", "gw0"])
        one.unplug()


def test_a_guest_reaches_the_gateway_behind_the_pair(lab_host: Host, guest: Guest) -> None:
    for command in documented.commands("openvswitch.rst"):
        lab_host.run(["sh", "-c", command])
    assert eventually(lambda: guest.pings(GATEWAY), PATIENCE)
