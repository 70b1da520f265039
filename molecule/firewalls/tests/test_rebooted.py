"""After a boot with firewalls of others enabled, in whatever order they come up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from lab.host import Host

if TYPE_CHECKING:
    from .conftest import Host4

SERVICES = ["nftables", "firewalld", "docker"]


@pytest.fixture(scope="module", autouse=True)
def _rebooted(lab_host: Host) -> Iterator[None]:
    lab_host.run(["systemctl", "enable", *SERVICES])
    lab_host.reboot()
    yield
    lab_host.run(["systemctl", "disable", "--now", *SERVICES, "docker.socket"])


def test_all_of_them_and_us(bed: Host4) -> None:
    bed.show("all of them enabled", "after boot", {"out": True, "dns": True, "dhcp": True, "forward": True})
