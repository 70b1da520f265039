# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""TCP over an uplink with a smaller MTU, where nobody hears that packets are too large for it.

server 198.51.100.2 --- router 203.0.113.1 --- (MTU 1400) --- 203.0.113.2 host --- guest; without errors of ICMP
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kernel.nft_testbed import address_of, network, plug, subnet_of, wait_for_addresses
from kernel.testbed import OUTSIDE, PROBE, TIMEOUT, UPLINK, Namespace, NamespaceTestbed

MTU = 1400
KILOBYTES = 200
# Seconds that a transfer gets until it counts as stalled; one that is not takes milliseconds.
STALLED = 3.0
SUBNETS = {4: "192.168.30", 6: "fd00:a"}
SERVER = {4: "198.51.100.2", 6: "fd98::2"}
ROUTER = {4: OUTSIDE, 6: "fd99::1"}
HOST = {4: UPLINK, 6: "fd99::2"}
PORTS = count(9000, 2)
NO_ERRORS = """
table inet deaf {
chain input {
type filter hook input priority filter
icmp type destination-unreachable drop
icmpv6 type packet-too-big drop
}
}
"""


class Narrow(NamespaceTestbed):
    """The outside is a router; a server is behind it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.server = Namespace("server")
        self.namespaces.append(self.server)
        self.add_veth(self.outside, "eth1", "198.51.100.1/24", "server0")
        self.host.run("ip", "link", "set", "server0", "netns", self.server.name, "name", "eth0", "up")
        self.server.run("ip", "address", "add", f"{SERVER[4]}/24", "dev", "eth0")
        self.server.run("ip", "address", "add", f"{SERVER[6]}/64", "dev", "eth0", "nodad")
        self.outside.run("ip", "address", "add", "fd98::1/64", "dev", "eth1", "nodad")
        self.outside.run("ip", "address", "add", f"{ROUTER[6]}/64", "dev", "eth0", "nodad")
        self.host.run("ip", "address", "add", f"{HOST[6]}/64", "dev", "eth0", "nodad")
        self.host.run("ip", "route", "add", "default", "via", ROUTER[6])
        for gateway in ("198.51.100.1", "fd98::1"):
            self.server.run("ip", "route", "add", "default", "via", gateway)
        for version, subnet in SUBNETS.items():
            self.outside.run("ip", "route", "add", subnet_of(subnet), "via", HOST[version])
        for namespace in (self.outside, self.host):
            namespace.run("ip", "link", "set", "eth0", "mtu", str(MTU))
        self.outside.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.server.run("nft", "-f", "-", stdin=NO_ERRORS)
        wait_for_addresses(self.server, self.outside, self.host)


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[Narrow]:
    testbed = Narrow(tmp_path)
    yield testbed
    testbed.close()


class Way(NamedTuple):
    """From a sender to a receiver at an address."""

    sender: Namespace
    receiver: Namespace
    address: str

    def passes(self, within: float = TIMEOUT) -> bool:
        """Whether data arrive, at a service of its own: a connection that stalls occupies one."""
        port = next(PORTS)
        self.receiver.serve(port)
        command = (sys.executable, "-S", str(PROBE), "send", self.address, str(port + 1), str(KILOBYTES))
        try:
            self.sender.run(*command, timeout=within)
        except subprocess.TimeoutExpired:
            return False
        return True


@pytest.mark.parametrize("version", [4, 6])
def test_segments_fit_a_smaller_mtu_of_the_uplink(testbed: Narrow, version: int) -> None:
    subnet, server = SUBNETS[version], testbed.server
    forward = {"port_range": {"start": 9000, "end": 9999}, "to": address_of(subnet, 2)}
    desired: list[dict[str, Any]] = [network("a", subnet, port_forwards=[forward])]
    without = [{**desired[0], "clamp_mss": False}]
    testbed.task("nft", without)
    guest = plug(testbed, "a", subnet)
    guest.run("nft", "-f", "-", stdin=NO_ERRORS)
    ways = (Way(guest, server, SERVER[version]), Way(server, guest, HOST[version]))
    assert guest.pings(SERVER[version])
    assert not any(way.passes(within=STALLED) for way in ways)
    assert testbed.task("nft", desired)["changes"] == ["rules of a: clamp_mss false -> true"]
    assert not testbed.task("nft", desired)["changed"]
    assert all(way.passes() for way in ways)
    # The MTU is that of the route at the time of the connection.
    for namespace in (testbed.outside, testbed.host):
        namespace.run("ip", "link", "set", "eth0", "mtu", str(MTU - 100))
    assert all(way.passes() for way in ways)
    testbed.task("nft", without)
    assert not ways[0].passes(within=STALLED)


@pytest.mark.parametrize("version", [4, 6])
def test_segments_of_a_routed_network_fit_too(testbed: Narrow, version: int) -> None:
    subnet, server = SUBNETS[version], testbed.server
    desired = network("a", subnet, "routed")
    testbed.task("nft", [{**desired, "clamp_mss": False}])
    guest = plug(testbed, "a", subnet)
    ways = (Way(guest, server, SERVER[version]), Way(server, guest, address_of(subnet, 2)))
    assert not ways[1].passes(within=STALLED)
    testbed.task("nft", [desired])
    assert all(way.passes() for way in ways)
