"""A guest on each host, and a VPN beside it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.guest import Guest
from lab.host import Host
from lab.resolvers import PATIENCE, VPN, shell


@pytest.fixture(scope="module")
def guest(lab_host: Host) -> Iterator[Guest]:
    one = Guest(lab_host, "guest-a")
    one.plug("vn-lab")
    shell(lab_host, VPN)
    one.lease(PATIENCE)
    yield one
    one.unplug()
    lab_host.attempt(["sh", "-c", "kill $(cat /run/corp.pid); ip netns delete corp; ip link delete vpn0"])
