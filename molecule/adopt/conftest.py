"""virsh and the guests show who owns the networks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from lxml import etree

from lab.guest import Guest
from lab.host import Host

# A DHCP client that requests one address, and changes nothing in the guest.
DHCP_REQUEST = ["udhcpc", "-f", "-i", "eth0", "-s", "/bin/true", "-q", "-n", "-t", "5", "-T", "3"]


@dataclass(frozen=True)
class Libvirt:
    """virsh on a host."""

    host: Host

    def virsh(self, *words: str) -> str:
        return self.host.run(["virsh", "-c", "network:///system", *words])

    def networks(self) -> dict[str, str]:
        """Name to state, autostart and persistent."""
        rows = [line.split() for line in self.virsh("net-list", "--all").splitlines()[2:] if line.strip()]
        return {name: " ".join(words) for name, *words in rows}

    def mode(self, name: str, *options: str) -> str:
        """The forward mode; '' for an isolated network."""
        forward = etree.fromstring(self.virsh("net-dumpxml", *options, name)).find("forward")
        return "" if forward is None else forward.get("mode")

    def ports(self, name: str) -> list[str]:
        return re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", self.virsh("net-port-list", name))

    def leases(self, name: str) -> dict[str, str]:
        """Address to MAC address."""
        rows = re.findall(r"(\S+) +ipv4 +([0-9.]+)/", self.virsh("net-dhcp-leases", name))
        return {address: mac for mac, address in rows}


@pytest.fixture(scope="module")
def libvirt(lab_host: Host) -> Libvirt:
    return Libvirt(lab_host)


@pytest.fixture(scope="module")
def roamer(lab_host: Host) -> Guest:
    """A guest on the network default."""
    return Guest(lab_host, "roamer")


@pytest.fixture(scope="module")
def clerk(lab_host: Host) -> Guest:
    """A guest on the network office, with a static host."""
    return Guest(lab_host, "clerk")


@pytest.fixture
def definitions(lab_host: Host) -> dict[str, Any]:
    names = lab_host.run(["sh", "-c", "ls /etc/virtnet/networks /run/virtnet/networks 2>/dev/null || true"]).split()
    definitions = {}
    for name in names:
        if name.endswith(".json"):
            script = f"cat /etc/virtnet/networks/{name} 2>/dev/null || cat /run/virtnet/networks/{name}"
            definitions[name[: -len(".json")]] = json.loads(lab_host.run(["sh", "-c", script]))
    return definitions


@pytest.fixture
def gets_address() -> Callable[[Guest, str], bool]:
    """Whether the DHCP server gives a guest this address."""

    def request(guest: Guest, address: str) -> bool:
        result = guest.attempt([*DHCP_REQUEST, "-r", address, "-x", f"hostname:{guest.name}"])
        return f"lease of {address} obtained" in result.out + result.err

    return request


@dataclass(frozen=True)
class Pings:
    """The pings of a guest since the beginning; ``gaps``: how many in sequence had no answer, for each gap."""

    sent: int
    gaps: list[int]


@pytest.fixture
def pings() -> Callable[[Guest], Pings]:
    """The record of a guest's pings so far, 0.1 s apart."""

    def read(guest: Guest) -> Pings:
        record = guest.host.run(["cat", f"/run/{guest.name}.ping"])
        answered = [0, *sorted({int(number) for number in re.findall(r"icmp_seq=(\d+) ttl=", record)})]
        gaps = [after - before - 1 for before, after in pairwise(answered) if after > before + 1]
        return Pings(answered[-1], gaps)

    return read
