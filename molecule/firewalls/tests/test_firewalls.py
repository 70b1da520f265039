"""Other firewalls, met for real: who gets through before us, with us, after their reload or restart, after removal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from lab.guest import Guest
from lab.host import Host
from lab.lab import Lab

SWITCH = "/var/lib/virtnet/firewalls.json"
OWN = """\
table inet mine {
  chain way { type filter hook forward priority 0; policy drop; }
  chain in { type filter hook input priority 0; policy drop; ct state established,related accept; iif lo accept; }
}
"""
ALL = {"out": True, "dns": True, "dhcp": True, "forward": True}
LEGACY = [["iptables-legacy", "-P", chain, "DROP"] for chain in ("FORWARD", "INPUT")]
LINE = ["-m", "connmark", "--mark", "0x100000/0x100000", "-j", "ACCEPT"]
ANSWERS = ["iptables-legacy", "-I", "INPUT", "-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT"]


class Host4:
    """The host, a guest on it, and the internet beside it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.guest = Guest(host, "guest-a")
        self.internet = Lab("molecule-firewalls").internet

    def passes(self) -> dict[str, bool]:
        def works(command: list[str]) -> bool:
            return self.guest.attempt(command, 10).ok

        dig = ["dig", "+time=1", "+tries=1", "+short", "@192.168.77.1", "www.internet.test"]
        asked = self.guest.attempt(dig, 10)
        return {
            "out": works(["curl", "-s", "-m", "2", "http://203.0.113.1/"]),
            "dns": asked.ok and asked.out[:1].isdigit(),
            "dhcp": works(["udhcpc", "-i", "eth0", "-n", "-q", "-t", "2", "-T", "1", "-s", "/bin/true"]),
            "forward": self.internet.attempt(["curl", "-s", "-m", "2", f"http://{self.host.address}:8080/"]).ok,
        }

    def show(self, firewall: str, when: str) -> dict[str, bool]:
        found = self.passes()
        words = "  ".join(f"{name}: {'yes' if ok else 'no':3}" for name, ok in found.items())
        print(f"\n{firewall:22} {when:16} {words}", end="", flush=True)
        return found

    def integrate(self, wanted: bool) -> str:
        text = json.dumps({"integrate": wanted})
        self.host.run(["sh", "-c", f"echo '{text}' > {SWITCH}"])
        return self.restore()

    def restore(self) -> str:
        done = self.host.attempt(["/usr/local/lib/virtnet/virtnet", "restore", "--stage", "networks"])
        assert done.ok, done.err
        return done.err

    def run(self, *commands: list[str]) -> None:
        for command in commands:
            self.host.run(command)


@pytest.fixture(scope="module")
def bed(lab_host: Host) -> Iterator[Host4]:
    made = Host4(lab_host)
    made.guest.plug("vn-lab")
    made.guest.lease()
    with made.guest.listening(80):
        yield made
    made.host.attempt(["rm", "-f", SWITCH])
    made.guest.unplug()


FIREWALLS = {
    "firewalld": (
        [["systemctl", "start", "firewalld"]],
        {"reload": [["firewall-cmd", "--reload"]], "restart": [["systemctl", "restart", "firewalld"]]},
        [["systemctl", "stop", "firewalld"]],
    ),
    "ufw": (
        [["ufw", "--force", "enable"], ["systemctl", "start", "ufw"]],
        {"reload": [["ufw", "reload"]], "restart": [["systemctl", "restart", "ufw"]]},
        [["ufw", "--force", "disable"], ["systemctl", "stop", "ufw"]],
    ),
    "docker, FORWARD DROP": (
        [["systemctl", "start", "docker"], ["iptables", "-P", "FORWARD", "DROP"]],
        {"restart": [["systemctl", "restart", "docker"], ["iptables", "-P", "FORWARD", "DROP"]]},
        [["systemctl", "stop", "docker", "docker.socket"], ["iptables", "-P", "FORWARD", "ACCEPT"]],
    ),
}


@pytest.mark.parametrize("name", FIREWALLS)
def test_asked_by_its_own_hook(bed: Host4, name: str) -> None:
    start, again, stop = FIREWALLS[name]
    bed.integrate(False)
    bed.run(*start)
    time.sleep(1)
    before = bed.show(name, "before us")
    assert not before["out"]
    bed.integrate(True)
    assert bed.show(name, "with us") == ALL
    assert "firewall" not in bed.restore() and "rule" not in bed.restore()
    for how, commands in again.items():
        bed.run(*commands)
        time.sleep(2)
        assert bed.show(name, f"after {how}") == ALL
    bed.integrate(False)
    assert bed.show(name, "after removal") == before
    bed.run(*stop)


def test_rules_are_back_after_nftables_service(bed: Host4) -> None:
    bed.integrate(True)
    bed.run(["systemctl", "start", "nftables"], ["systemctl", "restart", "nftables"])
    time.sleep(1)
    assert bed.show("nftables.service", "after restart") == ALL
    bed.run(["systemctl", "stop", "nftables"])
    bed.restore()


def test_rules_written_by_hand_are_named_with_the_line_that_helps(bed: Host4) -> None:
    bed.host.run(["nft", "-f", "-"], stdin=OWN)
    before = bed.show("own nft rules", "before")
    assert not any(before.values())
    said = bed.restore()
    for chain in ("way", "in"):
        assert f"chain {chain} of table inet mine drops by default" in said
        bed.run(["nft", "insert", "rule", "inet", "mine", chain, "ct mark & 0x00100000 != 0 accept"])
    assert bed.show("own nft rules", "with the line") == ALL
    assert "drops by default" not in bed.restore()
    bed.run(["nft", "delete", "table", "inet", "mine"])


def test_iptables_legacy_is_named_with_the_line_that_helps(bed: Host4) -> None:
    bed.run(*LEGACY, ANSWERS)
    assert not bed.show("iptables-legacy", "before")["out"]
    said = bed.restore()
    for chain in ("FORWARD", "INPUT"):
        assert f"iptables-legacy -I {chain} {' '.join(LINE)}" in said
        bed.run(["iptables-legacy", "-I", chain, *LINE])
    assert bed.show("iptables-legacy", "with the line") == ALL
    bed.run(["iptables-legacy", "-F"], *[[*command[:-1], "ACCEPT"] for command in LEGACY])
