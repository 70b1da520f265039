"""A host with other firewalls: which packets pass, and what `virtnet check` predicts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.guest import Guest
from lab.host import Host
from lab.lab import Lab
from lab.run import eventually

INTEGRATION_FILE = "/var/lib/virtnet/firewalls.json"
TIMEOUT = 60
FLOW_NAMES = {
    "out": "guest to outside",
    "dns": "guest to host: DNS",
    "dhcp": "guest to host: DHCP",
    "forward": "outside to guest (tcp *:8080 -> 192.168.77.10:80)",
}


class FirewallHost:
    """The host, a guest on it, and the internet of the lab."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.guest = Guest(host, "guest-a")
        self.internet = Lab("molecule-firewalls").internet

    def passes(self) -> dict[str, bool]:
        """Which flows pass; tested in parallel, because dropped packets take seconds to time out."""
        dig = ["dig", "+time=2", "+tries=1", "+short", "@192.168.77.1", "www.internet.test"]
        lease = ["udhcpc", "-i", "eth0", "-n", "-q", "-t", "2", "-T", "1", "-s", "/bin/true"]
        fetch = ["curl", "-s", "-m", "2"]
        checks = {
            "out": lambda: self.guest.attempt([*fetch, "http://203.0.113.1/"]).ok,
            "dns": lambda: (answer := self.guest.attempt(dig)).ok and answer.out[:1].isdigit(),
            "dhcp": lambda: self.guest.attempt(lease).ok,
            "forward": lambda: self.internet.attempt([*fetch, f"http://{self.host.address}:8080/"]).ok,
        }
        with ThreadPoolExecutor(len(checks)) as pool:
            return dict(zip(checks, pool.map(lambda check: check(), checks.values()), strict=True))

    def reported_verdicts(self) -> dict[str, str]:
        """The result that `virtnet check` predicts for each flow."""
        verdicts = {packet["way"]: packet["verdict"] for packet in self.check()["packets"]}
        return {name: verdicts[flow] for name, flow in FLOW_NAMES.items()}

    def check(self) -> dict[str, list[dict[str, object]]]:
        answer: dict[str, list[dict[str, object]]] = json.loads(self.host.attempt(["virtnet", "check", "--json"]).out)
        return answer

    def wait_and_print(self, firewall: str, when: str, expected: dict[str, bool]) -> None:
        """Wait for the expected result, and add it to the table."""
        passing: dict[str, bool] = {}

        def is_expected() -> bool:
            passing.update(self.passes())
            return passing == expected

        matched = eventually(is_expected, TIMEOUT, 0.5)
        words = "  ".join(f"{name[:4]} {'yes' if ok else 'no':3}" for name, ok in passing.items())
        print(f"\n{firewall:20} {when:17} {words}", end="", flush=True)
        assert matched, (firewall, when, passing, self.host.run(["nft", "list", "ruleset"]))

    def wait_and_compare(self, firewall: str, when: str, expected: dict[str, bool]) -> None:
        """The same, compared with the prediction of `virtnet check`."""
        self.wait_and_print(firewall, when, expected)
        reported_verdicts = self.reported_verdicts()
        assert {name: verdict == "passes" for name, verdict in reported_verdicts.items()} == expected, (
            firewall,
            when,
            reported_verdicts,
        )

    def integrate(self, enabled: bool) -> str:
        text = json.dumps({"integrate": enabled})
        self.host.run(["sh", "-c", f"echo '{text}' > {INTEGRATION_FILE}"])
        return self.restore()

    def restore(self) -> str:
        result = self.host.attempt(["/usr/local/lib/virtnet/virtnet", "restore", "--stage", "networks"])
        assert result.ok, result.err
        return result.err

    def run(self, *commands: Sequence[str]) -> None:
        # systemd starts Docker at most three times a minute.
        self.host.attempt(["systemctl", "reset-failed", "docker.service", "docker.socket"])
        for command in commands:
            self.host.run(list(command), timeout=120)

    def wait_for_rules_service(self) -> None:
        """Wait until the service that follows firewalls has finished: systemd does not start it again before."""
        state = ["systemctl", "show", "--value", "--property=ActiveState", "virtnet-rules.service"]
        assert eventually(lambda: self.host.run(state).strip() != "activating", TIMEOUT)

    def apply_remedies(self) -> list[str]:
        """Run the remedies that `virtnet check` prints until it prints none; returns them."""
        applied: list[str] = []
        while True:
            rules = [rule for packet in self.check()["packets"] if packet["wanted"] for rule in packet["by"]]
            remedies = list(dict.fromkeys(rule["cure"] for rule in rules))
            if not remedies:
                return applied
            assert not set(remedies) & set(applied), "a line did not help"
            for remedy in remedies:
                self.host.run(["sh", "-c", remedy])
            applied += remedies


@pytest.fixture(scope="module")
def firewall_host(lab_host: Host) -> Iterator[FirewallHost]:
    host = FirewallHost(lab_host)
    host.guest.plug("vn-lab")
    host.guest.lease()
    with host.guest.listening(80):
        yield host
    host.host.attempt(["rm", "-f", INTEGRATION_FILE])
    host.guest.unplug()
