"""virsh shows which networks libvirt knows."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from lxml import etree

from lab.host import Host


@dataclass(frozen=True)
class Virsh:
    """virsh on a host."""

    host: Host

    def run(self, *words: str) -> str:
        return self.host.run(["virsh", "-c", "network:///system", *words])

    def networks(self) -> dict[str, str]:
        """Name to state, autostart and persistent, without the network of Debian's package."""
        rows = [line.split() for line in self.run("net-list", "--all").splitlines()[2:] if line.strip()]
        return {name: " ".join(words) for name, *words in rows if name != "default"}

    def xml(self, name: str, *options: str) -> etree._Element:
        return etree.fromstring(self.run("net-dumpxml", *options, name))


@pytest.fixture
def virsh(lab_host: Host) -> Virsh:
    return Virsh(lab_host)
