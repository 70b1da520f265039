# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mark of connections: where another firewall needs it they have it, and nowhere else; tested with real packets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from kernel.nft_testbed import network, plug
from kernel.polling import wait_until
from kernel.testbed import OUTSIDE, PROBE, PYTHON, UPLINK, Namespace, NamespaceTestbed

A = "192.168.30"
LAB = network("a", A)
# An address that both uplinks lead to, and the host's address on the second one.
SERVER, SECOND_UPLINK = "192.0.2.9", "198.51.100.2"

# As guides on several uplinks have it: connections keep their uplink, by marks that are stored without a mask.
SEVERAL_UPLINKS = f"""
table inet uplinks {{
    chain prerouting {{
        type filter hook prerouting priority mangle; policy accept;
        meta mark set ct mark
        iifname "br-a" ct state new ct mark set 2 meta mark set 2
    }}
    chain forward {{
        type filter hook forward priority filter; policy {{policy}};
        ct state established,related accept
        iifname "br-a" accept
    }}
    chain postrouting {{
        type filter hook postrouting priority mangle; policy accept;
        ip daddr {SERVER} oifname "eth0" counter
        ip daddr {SERVER} oifname "eth1" counter
    }}
}}
"""
DROPS_ALL = "table inet mine { chain way { type filter hook forward priority filter; policy drop; }; }"
DROPS_NOTHING = """
table inet mine {
    chain way { type filter hook forward priority filter; policy accept; counter; }
    chain in { type filter hook input priority filter; policy accept; ip saddr 198.51.100.77 drop; }
}
"""


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[NamespaceTestbed]:
    testbed = NamespaceTestbed(tmp_path)
    yield testbed
    testbed.close()


def load(testbed: NamespaceTestbed, rules: str) -> None:
    testbed.host.run("nft", "-f", "-", stdin=rules)


def marks(testbed: NamespaceTestbed) -> bool:
    return "ct mark set" in testbed.host.run("nft", "list", "table", "inet", "virtnet")


def names(result: Any) -> list[str]:
    return [change.partition(":")[0] for change in result["changes"]]


@pytest.mark.parametrize("others", ["", DROPS_NOTHING], ids=["nobody", "chains that drop nothing of networks"])
def test_a_host_without_firewalls_that_drop_has_no_mark(testbed: NamespaceTestbed, others: str) -> None:
    load(testbed, others)
    modes = ("nat", "routed", "isolated", "open")
    networks = [network(mode, f"192.168.{n}", mode) for n, mode in enumerate(modes, 31)]
    testbed.task("nft", [LAB, *networks])
    guest = plug(testbed, "a", A)
    testbed.outside.serve()
    assert guest.ask(OUTSIDE) == UPLINK
    assert not marks(testbed)
    assert "mark=0" in testbed.host.run("conntrack", "-L", "-p", "tcp", "--orig-src", f"{A}.2")


def second_uplink(testbed: NamespaceTestbed) -> Namespace:
    """Another uplink, chosen by the packet's mark; both lead to a server with the same address."""
    second = Namespace("outside2")
    testbed.namespaces.append(second)
    testbed.add_veth(second, "eth0", "198.51.100.1/24", "eth1")
    for name in ("all", "eth0", "eth1"):
        testbed.host.run("sysctl", "-q", "-w", f"net.ipv4.conf.{name}.rp_filter=0")
    for command in (
        f"ip address add {SECOND_UPLINK}/24 dev eth1",
        "ip route add default via 198.51.100.1 table 100",
        "ip rule add priority 100 lookup main suppress_prefixlength 0",
        "ip rule add priority 200 fwmark 2 lookup 100",
    ):
        testbed.host.run(*command.split())
    for outside in (testbed.outside, second):
        outside.run("ip", "address", "add", f"{SERVER}/32", "dev", "lo")
        outside.serve()
    return second


@pytest.mark.parametrize("policy", ["accept", "drop"])
def test_all_packets_of_a_connection_leave_by_the_uplink_of_the_first(testbed: NamespaceTestbed, policy: str) -> None:
    second_uplink(testbed)
    load(testbed, SEVERAL_UPLINKS.replace("{policy}", policy))
    testbed.task("nft", [LAB])
    guest = plug(testbed, "a", A)
    assert guest.ask(SERVER) == SECOND_UPLINK
    first, other = [
        rule["rule"]["expr"][-1]["counter"]["packets"]
        for rule in testbed.host.json("nft", "-j", "list", "chain", "inet", "uplinks", "postrouting")["nftables"]
        if "rule" in rule
    ]
    assert first == 0
    # SYN, ACK and FIN.
    assert other >= 3


def start_docker(testbed: NamespaceTestbed, policy: str = "DROP") -> None:
    """The chains of Docker that matter here, as it makes them."""
    for rule in (f"-P FORWARD {policy}", "-N DOCKER-USER", "-I FORWARD -j DOCKER-USER"):
        testbed.host.run("iptables-nft", *rule.split())


def stop_docker(testbed: NamespaceTestbed) -> None:
    for rule in ("-F FORWARD", "-F DOCKER-USER", "-X DOCKER-USER", "-P FORWARD ACCEPT"):
        testbed.host.run("iptables-nft", *rule.split())


@pytest.mark.parametrize("policy", ["DROP", "ACCEPT"])
def test_guests_pass_docker_by_the_mark_which_stays_while_docker_restarts(
    testbed: NamespaceTestbed, policy: str
) -> None:
    start_docker(testbed, policy)
    testbed.task("nft", [LAB])
    guest = plug(testbed, "a", A)
    testbed.outside.serve()
    assert guest.ask(OUTSIDE) == UPLINK
    assert marks(testbed)
    assert not testbed.task("nft", [LAB])["changed"]
    stop_docker(testbed)
    assert not testbed.task("nft", [LAB])["changed"]
    start_docker(testbed, policy)
    assert names(testbed.task("nft", [LAB])) == ["rule in DOCKER-USER (iptables-nft)"]
    assert guest.ask(OUTSIDE) == UPLINK
    # Once the others have no chain there, connections lose it.
    testbed.host.run("nft", "delete", "table", "ip", "filter")
    assert names(testbed.task("nft", [LAB], check=True)) == ["table inet virtnet"]
    assert names(testbed.task("nft", [LAB])) == ["table inet virtnet"]
    assert not marks(testbed)
    assert guest.ask(OUTSIDE) == UPLINK


def packets_that_docker_accepts(testbed: NamespaceTestbed) -> int:
    rules = testbed.host.run("iptables-nft", "-L", "DOCKER-USER", "-v", "-x", "-n").splitlines()
    return sum(int(rule.split()[0]) for rule in rules if "virtnet.linux" in rule)


def test_connections_that_exist_when_docker_starts_pass_it(testbed: NamespaceTestbed) -> None:
    testbed.task("nft", [LAB])
    guest = plug(testbed, "a", A)
    testbed.outside.serve()
    guest.start(*PYTHON, str(PROBE), "flow", OUTSIDE, "8000", "0")
    connection = ("conntrack", "-L", "-p", "udp", "--orig-src", f"{A}.2")
    wait_until(lambda: "ASSURED" in testbed.host.run(*connection))
    start_docker(testbed)
    testbed.task("nft", [LAB])
    assert "mark=1048576" in testbed.host.run(*connection)
    wait_until(lambda: packets_that_docker_accepts(testbed) > 10)


def remedies(warnings: Sequence[str]) -> list[str]:
    return [warning.partition("; to let them pass: ")[2] for warning in warnings]


def test_guests_pass_a_chain_that_drops_once_it_has_the_rule_that_a_run_advises(testbed: NamespaceTestbed) -> None:
    load(testbed, DROPS_ALL)
    result = testbed.task("nft", [LAB])
    guest = plug(testbed, "a", A)
    testbed.outside.serve()
    assert guest.ask(OUTSIDE) == ""
    for remedy in filter(None, remedies(result["warnings"])):
        assert '"br-a"' in remedy
        testbed.host.run("sh", "-c", remedy)
    assert guest.ask(OUTSIDE) == UPLINK
    after = testbed.task("nft", [LAB])
    assert not after["changed"]
    assert "warnings" not in after
    # Also when the table is made anew.
    testbed.host.run("nft", "delete", "table", "inet", "virtnet")
    testbed.task("nft", [LAB])
    assert not marks(testbed)
    assert guest.ask(OUTSIDE) == UPLINK
