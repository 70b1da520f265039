# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands that ``virtnet check`` shows are accepted by the firewall, and let the packets of guests pass."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel.guard_testbed import GuardTestbed, network_without_services, new_testbed
from kernel.testbed import OUTSIDE, UPLINK

FORWARD = {"protocol": "tcp", "port": 8080, "to": "192.168.30.50", "to_port": 8000}
ROUNDS = 5

NFT = "add table inet mine; add chain inet mine c {{ type filter hook {} priority {}; policy drop; }}"
FIREWALLS = {
    "nft prerouting": ("nft", NFT.format("prerouting", "mangle")),
    "nft forward": ("nft", NFT.format("forward", "filter")),
    "nft postrouting": ("nft", NFT.format("postrouting", "mangle")),
    "iptables prerouting": ("iptables", "-t", "mangle", "-P", "PREROUTING", "DROP"),
    "iptables postrouting": ("iptables", "-t", "mangle", "-P", "POSTROUTING", "DROP"),
}


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[GuardTestbed]:
    with new_testbed(tmp_path) as testbed:
        testbed.host.run("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0", check=False)
        yield testbed


def advised(testbed: GuardTestbed) -> list[list[str]]:
    """The commands that the check shows, for packets that are dropped or may be."""
    lines = testbed.command("check", check=False).splitlines()
    found = (re.search(r"to let them pass: (.*)$", line) for line in lines)
    return [shlex.split(match[1]) for match in found if match]


# Connections of open networks have no mark, by which others can let them pass.
CASES = (
    *(("nft prerouting", mode) for mode in ("nat", "routed", "open")),
    *(("iptables prerouting", mode) for mode in ("nat", "open")),
    *((firewall, "open") for firewall in ("nft forward", "nft postrouting", "iptables postrouting")),
)


@pytest.mark.parametrize(("firewall", "mode"), CASES)
def test_the_advised_commands_let_packets_of_guests_pass(testbed: GuardTestbed, firewall: str, mode: str) -> None:
    network = network_without_services("lab", mode=mode, ipv4={"address": "192.168.30.1/24"})
    testbed.run_playbook({**network, "port_forwards": [FORWARD]})
    guest = testbed.add_guest("vn-lab", "192.168.30.50/24", "192.168.30.1")
    guest.serve()
    testbed.outside.serve()
    testbed.outside.run("ip", "route", "add", "192.168.30.0/24", "via", UPLINK)
    assert guest.ask(OUTSIDE)
    testbed.host.run(*FIREWALLS[firewall])
    assert not guest.ask(OUTSIDE)
    for _round in range(ROUNDS):
        for command in advised(testbed):
            testbed.host.run(*command)
    assert testbed.command("check") == "All is well: 1 of 1 networks run.\n"
    assert guest.ask(OUTSIDE)
    assert testbed.outside.ask(UPLINK, 8080)
    assert bool(testbed.outside.ask("192.168.30.50")) == (mode != "nat")


def test_panic_mode_of_firewalld_is_named_with_the_command_that_ends_it(testbed: GuardTestbed) -> None:
    testbed.run_playbook(network_without_services("lab", ipv4={"address": "192.168.30.1/24"}))
    chains = "".join(
        f"chain raw_{hook} {{ type filter hook {hook} priority -291; policy drop; }}\n"
        for hook in ("prerouting", "output")
    )
    testbed.host.run("nft", "-f", "-", stdin=f"table inet firewalld_policy_drop {{\n{chains}}}")
    assert {tuple(command) for command in advised(testbed)} == {("firewall-cmd", "--panic-off")}


def test_panic_mode_of_firewalld_with_iptables_is_named_with_the_command_that_ends_it(testbed: GuardTestbed) -> None:
    testbed.run_playbook(network_without_services("lab", ipv4={"address": "192.168.30.1/24"}))
    for chain in ("PREROUTING", "OUTPUT"):
        testbed.host.run("iptables", "-t", "raw", "-N", f"{chain}_direct")
        testbed.host.run("iptables", "-t", "raw", "-A", chain, "-j", f"{chain}_direct")
        testbed.host.run("iptables", "-t", "raw", "-P", chain, "DROP")
    assert {tuple(command) for command in advised(testbed)} == {("firewall-cmd", "--panic-off")}
