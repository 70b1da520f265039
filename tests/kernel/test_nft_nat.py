# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Source NAT, forwarded SCTP, and flows during a reload of the rules, tested with real packets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.nft_testbed import wait_for_addresses
from kernel.testbed import OUTSIDE, PROBE, UPLINK, Namespace, NamespaceTestbed, script

A = "192.168.30"
SCTP = Path(__file__).with_name("sctp.py")


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[NamespaceTestbed]:
    testbed = NamespaceTestbed(tmp_path)
    yield testbed
    testbed.close()


def network(**options: Any) -> dict[str, Any]:
    return {"name": "a", "bridge": "br-a", "mode": "nat", "subnets": [f"{A}.0/24"], **options}


def plug(testbed: NamespaceTestbed, host: int = 2) -> Namespace:
    if testbed.link("br-a") is None:
        testbed.task("bridge", [{"name": "br-a", "addresses": [f"{A}.1/24"]}])
    return testbed.add_guest("br-a", f"{A}.{host}/24", gateway=f"{A}.1")


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def sources_seen(testbed: NamespaceTestbed, guest: Namespace, first_port: int, count: int = 4) -> list[tuple[str, int]]:
    """The source of so many connections of each protocol as seen outside; ``first_port``: of the guest."""
    service = testbed.outside.start(*script("peer_printer"), str(count))
    assert line(service) == "ready"
    guest.run(*script("peer_sender"), OUTSIDE, str(count), str(first_port))
    sources = [line(service).split() for _ in range(2 * count)]
    service.wait(20)
    return [(address, int(port)) for address, port in sources]


def test_the_outside_sees_the_configured_sources_and_ports(testbed: NamespaceTestbed) -> None:
    for last in (10, 11):
        testbed.host.run("ip", "address", "add", f"203.0.113.{last}/24", "dev", "eth0")
    testbed.task("nft", [network()])
    guest = plug(testbed)
    assert all(address == UPLINK and port >= 1024 for address, port in sources_seen(testbed, guest, 500))
    single = {"source": {"start": "203.0.113.10", "end": "203.0.113.10"}, "ports": {"start": 40000, "end": 40009}}
    testbed.task("nft", [network(nat=single)])
    assert all(
        address == "203.0.113.10" and 40000 <= port <= 40009 for address, port in sources_seen(testbed, guest, 510)
    )
    range_of_two = {"source": {"start": "203.0.113.10", "end": "203.0.113.11"}}
    testbed.task("nft", [network(nat=range_of_two)])
    assert {address for address, _port in sources_seen(testbed, guest, 520)} <= {"203.0.113.10", "203.0.113.11"}
    assert guest.pings(OUTSIDE)
    testbed.task("nft", [network(nat={"ports": {"start": 50000, "end": 50009}})])
    assert all(address == UPLINK and 50000 <= port <= 50009 for address, port in sources_seen(testbed, guest, 530))


NEIGHBOUR, NEIGHBOUR6 = "10.8.0.1", "fd08::1"


def test_subnets_are_reached_without_nat_and_reach_nobody(testbed: NamespaceTestbed) -> None:
    outside, host = testbed.outside, testbed.host
    subnets = [f"{A}.0/24", "fd00:30::/64"]
    for namespace, address in ((outside, "fd99::1/64"), (host, "fd99::2/64")):
        namespace.run("ip", "address", "add", address, "dev", "eth0", "nodad")
    host.run("ip", "route", "add", "default", "via", "fd99::1")
    for address, route, gateway in ((NEIGHBOUR, subnets[0], UPLINK), (NEIGHBOUR6, subnets[1], "fd99::2")):
        outside.run("ip", "address", "add", address, "dev", "lo")
        outside.run("ip", "route", "add", route, "via", gateway)
    outside.serve()
    testbed.task("nft", [network(subnets=subnets)])
    testbed.task("bridge", [{"name": "br-a", "addresses": [f"{A}.1/24", "fd00:30::1/64"]}])
    guest = plug(testbed)
    guest.run("ip", "address", "add", "fd00:30::2/64", "dev", "eth0", "nodad")
    guest.run("ip", "route", "add", "default", "via", "fd00:30::1")
    guest.serve()
    wait_for_addresses(host, guest, outside)

    def seen() -> list[str]:
        return [guest.ask(address) for address in (NEIGHBOUR, NEIGHBOUR6, OUTSIDE)]

    assert seen() == [UPLINK, "fd99::2", UPLINK]
    exceptions = {"nat": {"except": ["10.8.0.0/16", "fd08::/64"]}}
    without_nat = [network(subnets=subnets, **exceptions)]
    predicted = testbed.task("nft", without_nat, check=True)
    assert testbed.task("nft", without_nat) == predicted
    (change,) = predicted["changes"]
    assert "except: ['10.8.0.0/16', 'fd08::/64']" in change
    assert not testbed.task("nft", without_nat)["changed"]
    assert seen() == [f"{A}.2", "fd00:30::2", UPLINK]
    assert guest.ask(NEIGHBOUR, protocol="udp") == f"{A}.2" and guest.pings(NEIGHBOUR)
    # Only source NAT is left out: nobody outside begins a connection with a guest.
    assert outside.ask(f"{A}.2", source=NEIGHBOUR) == outside.ask("fd00:30::2", source=NEIGHBOUR6) == ""
    testbed.task("nft", [network(subnets=subnets, nat={"except": ["10.8.0.0/16"]})])
    assert seen() == [f"{A}.2", "fd99::2", UPLINK]
    testbed.task("nft", [network(subnets=subnets)])
    assert seen() == [UPLINK, "fd99::2", UPLINK]


def test_sctp_is_forwarded_with_correct_checksums(testbed: NamespaceTestbed) -> None:
    testbed.task("nft", [network(port_forwards=[{"protocol": "sctp", "port": 3868, "to": f"{A}.2", "to_port": 3869}])])
    guest = plug(testbed)
    service = guest.start(sys.executable, str(SCTP), "answer", "3869")
    assert line(service) == "ready"
    answer = testbed.outside.run(sys.executable, str(SCTP), "ask", UPLINK, "3868", timeout=90).split()
    assert answer == [UPLINK, "3868"]
    assert line(service) == OUTSIDE


def test_a_flow_loses_no_packet_while_the_table_is_replaced_a_hundred_times(testbed: NamespaceTestbed) -> None:
    testbed.outside.serve()
    testbed.task("nft", [network()])
    guest = plug(testbed)
    flow = guest.start(sys.executable, str(PROBE), "flow", OUTSIDE, "8000", "0")
    testbed.host.run_engine("replace_table", str(testbed.root), timeout=500)
    sent, answered = flow.communicate("", timeout=60)[0].split()
    assert int(sent) > 500
    assert sent == answered
