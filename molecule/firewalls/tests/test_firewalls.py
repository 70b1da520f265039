"""Real other firewalls: which packets pass before ours, with ours, after their reload or restart, after removal.

For each firewall, the prediction of `virtnet check` is compared with what happens to the packets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.host import Host

if TYPE_CHECKING:
    from .conftest import FirewallHost

ALL_PASS = {"out": True, "dns": True, "dhcp": True, "forward": True}
OWN_RULES = Path(__file__).with_name("own_rules.nft").read_text()
LIBVIRT_NETWORK = """\
<network><name>theirs</name><forward mode="nat"/><bridge name="virbr7"/><dns enable="no"/>\
<ip address="192.168.123.1" netmask="255.255.255.0"/></network>
"""
PODMAN = ["podman", "--storage-driver=vfs"]
CONTAINER = [*PODMAN, "run", "--detach", "--name=theirs", "--cgroups=disabled", "--runtime=crun", "--publish=9090:80",
             "--network=podman", "--rootfs", "/srv/theirs", "/bin/busybox", "sleep", "3600"]  # fmt: skip
MAKE_CONTAINER_ROOT = """\
for file in /usr/bin/busybox $(ldd /usr/bin/busybox | grep -o "/[^ ]*"); do install -D $file /srv/theirs$file; done
cd /srv/theirs && mkdir -p proc sys dev etc && ln -sfn usr/bin bin
"""


def backend(name: str) -> list[str]:
    """The command that selects firewalld's backend."""
    return ["sed", "-i", f"s/^FirewallBackend=.*/FirewallBackend={name}/", "/etc/firewalld/firewalld.conf"]


@pytest.fixture(autouse=True)
def _others_are_gone(lab_host: Host) -> Iterator[None]:
    """Some firewalls leave rules behind when they stop."""
    yield
    for line in lab_host.run(["nft", "list", "tables"]).splitlines():
        _word, family, table = line.split()
        if table != "virtnet":
            lab_host.attempt(["nft", "delete", "table", family, table])
    # A query for its rules would create missing tables.
    if lab_host.attempt(["grep", "-q", "filter", "/proc/net/ip_tables_names"]).ok:
        for chain in ("FORWARD", "INPUT"):
            lab_host.run(["iptables-legacy", "-P", chain, "ACCEPT"])
        lab_host.run(["iptables-legacy", "-F"])


NONE_PASS = dict.fromkeys(ALL_PASS, False)
RELOAD = {"reload": [["firewall-cmd", "--reload"]]}
DROP = ["iptables", "-P", "FORWARD", "DROP"]
# Firewall -> how it starts, what passes before ours, what happens to it, how it stops.
FIREWALLS = {
    "firewalld": (
        [["systemctl", "start", "firewalld"]],
        {**NONE_PASS, "forward": True},
        {**RELOAD, "restart": [["systemctl", "restart", "firewalld"]]},
        [["systemctl", "stop", "firewalld"]],
    ),
    "firewalld (iptables)": (
        [backend("iptables"), ["systemctl", "start", "firewalld"]],
        {**NONE_PASS, "forward": True},
        RELOAD,
        [["systemctl", "stop", "firewalld"],
         backend("nftables")],
    ),
    "ufw": (
        [["ufw", "--force", "enable"], ["systemctl", "start", "ufw"]],
        NONE_PASS,
        {"reload": [["ufw", "reload"]]},
        [["ufw", "--force", "disable"], ["systemctl", "stop", "ufw"]],
    ),
    "docker, FORWARD DROP": (
        [["systemctl", "start", "docker"], DROP],
        {**ALL_PASS, "out": False, "forward": False},
        {"restart": [["systemctl", "restart", "docker"], DROP]},
        [["systemctl", "stop", "docker", "docker.socket"], [*DROP[:-1], "ACCEPT"]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIREWALLS)
def test_a_firewall_lets_guests_pass_through_its_own_hook(firewall_host: FirewallHost, name: str) -> None:
    start, before, again, stop = FIREWALLS[name]
    firewall_host.integrate(False)
    firewall_host.run(*start)
    firewall_host.wait_and_compare(name, "before us", before)
    firewall_host.integrate(True)
    firewall_host.wait_and_compare(name, "with us", ALL_PASS)
    # A second start changes nothing.
    assert "firewall" not in firewall_host.restore() and "rule" not in firewall_host.restore()
    for how, commands in again.items():
        firewall_host.run(*commands)
        firewall_host.wait_and_compare(name, f"after {how}", ALL_PASS)
    firewall_host.integrate(False)
    firewall_host.wait_and_compare(name, "after removal", before)
    firewall_host.run(*stop)


# What an administrator does at run time: each takes our bridge out of our zone, or what our zone lets in.
CHANGES_OF_FIREWALLD = {
    "change-interface": ["--zone=public", "--change-interface=vn-lab"],
    "remove-interface": ["--zone=virtnet", "--remove-interface=vn-lab"],
    "remove-service": ["--zone=virtnet", "--remove-service=dns"],
}


def test_the_guard_gives_guests_back_what_a_change_of_firewalld_takes(firewall_host: FirewallHost) -> None:
    firewall_host.run(["systemctl", "start", "virtnet", "firewalld"])
    firewall_host.integrate(True)
    firewall_host.wait_and_compare("firewalld", "with us", ALL_PASS)
    for what, change in CHANGES_OF_FIREWALLD.items():
        firewall_host.run(["firewall-cmd", *change])
        firewall_host.wait_and_compare(f"firewalld, {what}", "guard on", ALL_PASS)
        zone = firewall_host.host.run(["firewall-cmd", "--get-zone-of-interface=vn-lab"])
        assert zone.strip() == "virtnet"
    firewall_host.run(["systemctl", "stop", "firewalld"])


# Firewall -> how it starts; each of them blocks everything.
FIREWALLS_WITHOUT_HOOK = {
    "nft by hand": [["nft", "-f", "/root/own.nft"]],
    **{
        tool: [
            *([tool, "-P", chain, "DROP"] for chain in ("FORWARD", "INPUT")),
            [tool, "-A", "INPUT", "-m", "conntrack", "--ctstate", "ESTABLISHED", "-j", "ACCEPT"],
        ]
        for tool in ("iptables-nft", "iptables-legacy")
    },
}


@pytest.mark.parametrize("name", FIREWALLS_WITHOUT_HOOK)
def test_a_firewall_without_a_hook_is_reported_with_working_remedies(firewall_host: FirewallHost, name: str) -> None:
    firewall_host.integrate(True)
    firewall_host.host.run(["sh", "-c", "cat > /root/own.nft"], stdin=OWN_RULES)
    firewall_host.run(*FIREWALLS_WITHOUT_HOOK[name])
    firewall_host.wait_and_compare(name, "before", NONE_PASS)
    assert firewall_host.host.attempt(["virtnet", "check"]).code == 1
    # A run reports it too.
    assert "to let them pass: " in firewall_host.restore()
    assert firewall_host.apply_remedies()
    firewall_host.wait_and_compare(name, "with the lines", ALL_PASS)
    assert firewall_host.host.attempt(["virtnet", "check"]).code == 0
    assert "dropped by" not in firewall_host.restore()


def test_guests_pass_with_rules_of_libvirt(firewall_host: FirewallHost) -> None:
    firewall_host.host.run(["sh", "-c", "cat > /root/theirs.xml"], stdin=LIBVIRT_NETWORK)
    firewall_host.run(["virsh", "net-define", "/root/theirs.xml"], ["virsh", "net-start", "theirs"])
    firewall_host.wait_and_compare("libvirt's network", "beside us", ALL_PASS)
    firewall_host.run(["systemctl", "restart", "libvirtd"])
    firewall_host.wait_and_compare("libvirt's network", "after restart", ALL_PASS)
    assert "theirs" in firewall_host.host.run(["virsh", "net-list", "--name"])
    firewall_host.run(["virsh", "net-destroy", "theirs"], ["virsh", "net-undefine", "theirs"])


def test_guests_pass_with_rules_of_podman(firewall_host: FirewallHost) -> None:
    firewall_host.run(["sh", "-c", MAKE_CONTAINER_ROOT], CONTAINER)
    assert "netavark" in firewall_host.host.run(["nft", "list", "tables"])
    firewall_host.wait_and_compare("podman's network", "beside us", ALL_PASS)
    firewall_host.run([*PODMAN, "rm", "--force", "--time=0", "theirs"])
    firewall_host.wait_and_compare("podman's network", "after it", ALL_PASS)


# Events that remove our rules, or add rules after them; docker is last, since it leaves rules behind.
EVENTS = {
    "nftables restart": [["systemctl", "restart", "nftables"]],
    "firewalld start": [["nft", "delete", "table", "inet", "virtnet"], ["systemctl", "start", "firewalld"]],
    "firewalld reload": [["firewall-cmd", "--complete-reload"]],
    "nftables, firewalld": [["systemctl", "restart", "nftables"], ["systemctl", "restart", "firewalld"]],
    "firewalld stop": [["systemctl", "stop", "firewalld"]],
    "ufw start": [["nft", "delete", "table", "inet", "virtnet"], ["systemctl", "restart", "ufw"]],
    "docker start": [["nft", "delete", "table", "inet", "virtnet"], ["systemctl", "start", "docker"]],
    "docker restart": [["nft", "flush", "ruleset"], ["systemctl", "restart", "docker"], DROP],
    "docker stop": [["systemctl", "stop", "docker", "docker.socket"]],
}


# Together with the guard, which need not wait for a unit, events that both handle.
GUARDED = {
    "flush ruleset": [["nft", "flush", "ruleset"]],
    **{event: EVENTS[event] for event in ("nftables, firewalld", "firewalld stop", "docker restart", "docker stop")},
}


@pytest.mark.parametrize(("guard", "events"), [("off", EVENTS), ("on", GUARDED)], ids=["off", "on"])
def test_rules_are_restored_after_each_event(
    firewall_host: FirewallHost, guard: str, events: Mapping[str, Sequence[Sequence[str]]]
) -> None:
    firewall_host.integrate(True)
    firewall_host.run(
        ["systemctl", "start", "nftables"], ["systemctl", "stop" if guard == "off" else "start", "virtnet"]
    )
    for event, commands in events.items():
        firewall_host.wait_for_rules_service()
        firewall_host.run(*commands)
        firewall_host.wait_and_print(event, f"guard {guard}", ALL_PASS)
    firewall_host.run(["systemctl", "stop", "nftables"])
    firewall_host.restore()
