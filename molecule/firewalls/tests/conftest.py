"""A host with other firewalls: who gets through, and what `virtnet check` tells of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.guest import Guest
from lab.host import Host
from lab.lab import Lab
from lab.run import eventually

SWITCH = "/var/lib/virtnet/firewalls.json"
PATIENCE = 60
WAYS = {
    "out": "guest to outside",
    "dns": "guest to host: DNS",
    "dhcp": "guest to host: DHCP",
    "forward": "outside to guest (tcp *:8080 -> 192.168.77.10:80)",
}


class Host4:
    """The host, a guest on it, and the internet beside it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.guest = Guest(host, "guest-a")
        self.internet = Lab("molecule-firewalls").internet

    def passes(self) -> dict[str, bool]:
        """Who gets through; asked all at once, since what is dropped takes seconds to show."""
        dig = ["dig", "+time=2", "+tries=1", "+short", "@192.168.77.1", "www.internet.test"]
        lease = ["udhcpc", "-i", "eth0", "-n", "-q", "-t", "2", "-T", "1", "-s", "/bin/true"]
        fetch = ["curl", "-s", "-m", "2"]
        asks = {
            "out": lambda: self.guest.attempt([*fetch, "http://203.0.113.1/"]).ok,
            "dns": lambda: (asked := self.guest.attempt(dig)).ok and asked.out[:1].isdigit(),
            "dhcp": lambda: self.guest.attempt(lease).ok,
            "forward": lambda: self.internet.attempt([*fetch, f"http://{self.host.address}:8080/"]).ok,
        }
        with ThreadPoolExecutor(len(asks)) as pool:
            return dict(zip(asks, pool.map(lambda ask: ask(), asks.values()), strict=True))

    def told(self) -> dict[str, str]:
        """What becomes of them as `virtnet check` tells."""
        verdicts = {one["way"]: one["verdict"] for one in self.check()["packets"]}
        return {name: verdicts[way] for name, way in WAYS.items()}

    def check(self) -> dict[str, list[dict[str, object]]]:
        found: dict[str, list[dict[str, object]]] = json.loads(self.host.attempt(["virtnet", "check", "--json"]).out)
        return found

    def show(self, firewall: str, when: str, wanted: dict[str, bool]) -> None:
        """Wait for what is wanted, and put it into the table."""
        found: dict[str, bool] = {}

        def as_wanted() -> bool:
            found.update(self.passes())
            return found == wanted

        right = eventually(as_wanted, PATIENCE, 0.5)
        words = "  ".join(f"{name[:4]} {'yes' if ok else 'no':3}" for name, ok in found.items())
        print(f"\n{firewall:20} {when:17} {words}", end="", flush=True)
        assert right, (firewall, when, found, self.host.run(["nft", "list", "ruleset"]))

    def compare(self, firewall: str, when: str, wanted: dict[str, bool]) -> None:
        """The same, and what `virtnet check` tells."""
        self.show(firewall, when, wanted)
        told = self.told()
        assert {name: verdict == "passes" for name, verdict in told.items()} == wanted, (firewall, when, told)

    def integrate(self, wanted: bool) -> str:
        text = json.dumps({"integrate": wanted})
        self.host.run(["sh", "-c", f"echo '{text}' > {SWITCH}"])
        return self.restore()

    def restore(self) -> str:
        done = self.host.attempt(["/usr/local/lib/virtnet/virtnet", "restore", "--stage", "networks"])
        assert done.ok, done.err
        return done.err

    def run(self, *commands: Sequence[str]) -> None:
        # systemd starts Docker three times a minute and no more.
        self.host.attempt(["systemctl", "reset-failed", "docker.service", "docker.socket"])
        for command in commands:
            self.host.run(list(command), timeout=120)

    def calm(self) -> None:
        """Wait until the service that follows firewalls is through: systemd does not start it again before."""
        state = ["systemctl", "show", "--value", "--property=ActiveState", "virtnet-rules.service"]
        assert eventually(lambda: self.host.run(state).strip() != "activating", PATIENCE)

    def cure(self) -> list[str]:
        """Run the lines that `virtnet check` names, until it names none; returns them."""
        made: list[str] = []
        while True:
            by = [one for packet in self.check()["packets"] if packet["wanted"] for one in packet["by"]]
            cures = list(dict.fromkeys(one["cure"] for one in by))
            if not cures:
                return made
            assert not set(cures) & set(made), "a line did not help"
            for cure in cures:
                self.host.run(["sh", "-c", cure])
            made += cures


@pytest.fixture(scope="module")
def bed(lab_host: Host) -> Iterator[Host4]:
    made = Host4(lab_host)
    made.guest.plug("vn-lab")
    made.guest.lease()
    with made.guest.listening(80):
        yield made
    made.host.attempt(["rm", "-f", SWITCH])
    made.guest.unplug()
