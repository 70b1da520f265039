# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules for IPv6, tested with real packets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.nft_testbed import network, plug
from kernel.polling import eventually
from kernel.testbed import NamespaceTestbed, script

A, B = "fd00:a", "fd00:b"
OUTSIDE, UPLINK = "2001:db8::1", "2001:db8::2"


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[NamespaceTestbed]:
    testbed = NamespaceTestbed(tmp_path)
    testbed.host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
    for namespace, address in ((testbed.outside, OUTSIDE), (testbed.host, UPLINK)):
        namespace.run("ip", "address", "add", f"{address}/64", "dev", "eth0", "nodad")
    testbed.host.run("ip", "-6", "route", "add", "default", "via", OUTSIDE)
    yield testbed
    testbed.close()


def sysctl(testbed: NamespaceTestbed, key: str) -> str:
    return testbed.host.run("cat", f"/proc/sys/net/ipv6/conf/{key}").strip()


CASES = [
    ("nat", {}, UPLINK, False),
    ("nat", {"nat": {"ipv6": False}}, f"{A}::2", False),
    ("routed", {}, f"{A}::2", True),
    ("isolated", {}, "", False),
    ("open", {}, f"{A}::2", True),
]


@pytest.mark.parametrize(("mode", "options", "seen_outside", "from_outside"), CASES)
def test_mode_decides_which_traffic_passes(
    testbed: NamespaceTestbed, mode: str, options: dict[str, Any], seen_outside: str, from_outside: bool
) -> None:
    testbed.task("nft", [network("other", B, "nat"), network("a", A, mode, **options)])
    guest, sibling = plug(testbed, "a", A), plug(testbed, "a", A, 3)
    testbed.outside.serve()
    testbed.outside.run("ip", "route", "add", f"{A}::/64", "via", UPLINK)
    for protocol in ("tcp", "udp"):
        assert guest.ask(OUTSIDE, protocol=protocol) == seen_outside
        assert testbed.outside.ask(f"{A}::2", protocol=protocol) == (OUTSIDE if from_outside else "")
        assert sibling.ask(f"{A}::2", protocol=protocol) == f"{A}::3"
    assert guest.pings(OUTSIDE) == bool(seen_outside)
    assert testbed.outside.pings(f"{A}::2") == from_outside
    assert guest.pings(f"{A}::1")
    assert testbed.host.ask(f"{A}::2") == f"{A}::1"


@pytest.mark.parametrize("second", ["nat", "routed", "isolated"])
@pytest.mark.parametrize("first", ["nat", "routed", "isolated"])
def test_networks_reach_each_other_only_if_both_are_routed(testbed: NamespaceTestbed, first: str, second: str) -> None:
    testbed.task("nft", [network("a", A, first), network("b", B, second)])
    guest = plug(testbed, "a", A)
    plug(testbed, "b", B)
    testbed.host.serve(53)
    testbed.host.run("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
    both = first == second == "routed"
    assert guest.ask(f"{B}::2") == (f"{A}::2" if both else "")
    # The host is not reachable at its address on the other network either.
    assert guest.ask(f"{B}::1", 53) == (f"{A}::2" if both else "")
    assert guest.ask(f"{A}::1", 53) == f"{A}::2"


def test_a_guest_cannot_use_the_address_of_another_subnet(testbed: NamespaceTestbed) -> None:
    testbed.outside.run("ip", "route", "add", "fd66::/64", "via", UPLINK)
    testbed.task("nft", [network("a", A, "routed")])
    guest = plug(testbed, "a", A)
    testbed.outside.run("ip", "route", "add", f"{A}::/64", "via", UPLINK)
    guest.run("ip", "address", "add", "fd66::1/128", "dev", "lo")
    testbed.host.run("ip", "route", "add", "fd66::/64", "dev", "br-a")
    assert "1 received" not in guest.run("ping", "-c1", "-W1", "-I", "fd66::1", OUTSIDE, check=False)
    assert guest.pings(OUTSIDE)


def test_a_network_without_ipv6_forwards_none(testbed: NamespaceTestbed) -> None:
    testbed.task("nft", [{**network("a", A, "routed"), "subnets": ["10.9.0.0/24"]}])
    assert sysctl(testbed, "all/forwarding") == "0"
    guest = plug(testbed, "a", A)
    testbed.host.run("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
    testbed.outside.run("ip", "route", "add", f"{A}::/64", "via", UPLINK)
    assert guest.pings(f"{A}::1")
    assert not guest.pings(OUTSIDE)
    assert not testbed.outside.pings(f"{A}::2")


def test_forwarding_is_enabled_stored_and_restored(testbed: NamespaceTestbed) -> None:
    sysctl_file = testbed.root / "etc/sysctl.d/60-virtnet.conf"
    both = {**network("a", A, "nat"), "subnets": [f"{A}::/64", "10.9.0.0/24"]}
    testbed.task("nft", [both])
    assert sysctl(testbed, "all/forwarding") == "1"
    assert "net.ipv6.conf.all.forwarding = 1\nnet.ipv4.ip_forward = 1\n" in sysctl_file.read_text()
    assert not testbed.task("nft", [both])["changed"]
    testbed.task("nft", [{**both, "subnets": ["10.9.0.0/24"]}])
    assert sysctl(testbed, "all/forwarding") == "0"
    assert testbed.host.run("cat", "/proc/sys/net/ipv4/ip_forward") == "1\n"
    testbed.task("nft", [], purge=True)
    assert (testbed.host.run("cat", "/proc/sys/net/ipv4/ip_forward"), sysctl_file.exists()) == ("0\n", False)


def advertise(testbed: NamespaceTestbed) -> None:
    """Send a router advertisement from the outside (RFC 4861 section 4.2)."""
    testbed.outside.run(*script("router_advertisement"), "eth0", "2001:db8:7::")


def default_routes(testbed: NamespaceTestbed) -> list[str]:
    return [route["protocol"] for route in testbed.host.json("ip", "-6", "-j", "route", "show", "default")]


def test_the_host_keeps_its_default_route_from_router_advertisements(testbed: NamespaceTestbed) -> None:
    testbed.host.run("ip", "-6", "route", "delete", "default")
    testbed.outside.run("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
    testbed.host.run("sysctl", "-q", "-w", "net.ipv6.conf.eth0.accept_ra=1")

    def is_advertised() -> bool:
        advertise(testbed)
        return default_routes(testbed) == ["ra"]

    eventually(is_advertised)
    assert default_routes(testbed) == ["ra"]
    result = testbed.task("nft", [network("a", A, "nat")])
    assert "net.ipv6.conf.eth0.accept_ra: 1 -> 2" in result["changes"][0]
    assert (sysctl(testbed, "all/forwarding"), sysctl(testbed, "eth0/accept_ra")) == ("1", "2")
    assert default_routes(testbed) == ["ra"]
    assert not testbed.task("nft", [network("a", A, "nat")])["changed"]
    testbed.outside.serve()
    assert plug(testbed, "a", A).ask(OUTSIDE)
    testbed.task("nft", [], purge=True)
    assert (sysctl(testbed, "all/forwarding"), sysctl(testbed, "eth0/accept_ra")) == ("0", "1")
    assert default_routes(testbed) == ["ra"]


def test_an_uplink_that_another_program_configures_is_not_changed(testbed: NamespaceTestbed) -> None:
    testbed.host.run("sysctl", "-q", "-w", "net.ipv6.conf.eth0.accept_ra=0")
    testbed.task("nft", [network("a", A, "nat")])
    assert sysctl(testbed, "eth0/accept_ra") == "0"
