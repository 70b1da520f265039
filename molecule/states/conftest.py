"""What a host tells about its networks: the engine's word, and that of other programs."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from lab.guest import Guest
from lab.host import Host

_LIST = (
    "import json, sys; sys.path.insert(0, '/usr/local/lib/virtnet'); from engine.orchestration.status import networks; "
    "from engine.core.paths import Paths; print(json.dumps({n['name']: n['state'] for n in networks(Paths())}))"
)


@dataclass(frozen=True)
class Carrier:
    """A host that carries networks, and its guest."""

    host: Host

    @property
    def guest(self) -> Guest:
        return Guest(self.host, "guest-a")

    def states(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.host.run(["python3", "-c", _LIST]))
        return found

    def bridges(self) -> set[str]:
        links = json.loads(self.host.run(["ip", "-j", "link", "show", "type", "bridge"]) or "[]")
        return {link["ifname"] for link in links}

    def fragments(self) -> set[str]:
        return set(self.host.run(["sh", "-c", "cd /etc/dnsmasq.d && ls virtnet-*.conf 2>/dev/null || true"]).split())


@pytest.fixture
def carrier(lab_host: Host) -> Carrier:
    return Carrier(lab_host)
