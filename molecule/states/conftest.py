"""The state of a host's networks, from the engine and from other programs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

import lab
from lab.guest import Guest
from lab.host import Host

NETWORK_STATES = Path(lab.__file__).with_name("programs") / "network_states.py"


@dataclass(frozen=True)
class NetworkHost:
    """A host with networks, and its guest."""

    host: Host

    @property
    def guest(self) -> Guest:
        return Guest(self.host, "guest-a")

    def states(self) -> dict[str, str]:
        states: dict[str, str] = json.loads(self.host.run(["python3", "-I", "-"], stdin=NETWORK_STATES.read_text()))
        return states

    def bridges(self) -> set[str]:
        links = json.loads(self.host.run(["ip", "-j", "link", "show", "type", "bridge"]) or "[]")
        return {link["ifname"] for link in links}

    def fragments(self) -> set[str]:
        return set(self.host.run(["sh", "-c", "cd /etc/dnsmasq.d && ls virtnet-*.conf 2>/dev/null || true"]).split())


@pytest.fixture
def network_host(lab_host: Host) -> NetworkHost:
    return NetworkHost(lab_host)
