# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules for IPv6, tested with real packets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.bed import Bed, script
from kernel.nft_bed import network, plug

A, B = "fd00:a", "fd00:b"
OUTSIDE, UPLINK = "2001:db8::1", "2001:db8::2"


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    made = Bed(tmp_path)
    made.host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
    for space, address in ((made.outside, OUTSIDE), (made.host, UPLINK)):
        space.run("ip", "address", "add", f"{address}/64", "dev", "eth0", "nodad")
    made.host.run("ip", "-6", "route", "add", "default", "via", OUTSIDE)
    yield made
    made.close()


def sysctl(bed: Bed, key: str) -> str:
    return bed.host.run("cat", f"/proc/sys/net/ipv6/conf/{key}").strip()


CASES = [
    ("nat", {}, UPLINK, False),
    ("nat", {"nat": {"ipv6": False}}, f"{A}::2", False),
    ("routed", {}, f"{A}::2", True),
    ("isolated", {}, "", False),
    ("open", {}, f"{A}::2", True),
]


@pytest.mark.parametrize(("mode", "more", "seen_outside", "from_outside"), CASES)
def test_mode_decides_which_traffic_passes(
    bed: Bed, mode: str, more: dict[str, Any], seen_outside: str, from_outside: bool
) -> None:
    bed.task("nft", [network("other", B, "nat"), network("a", A, mode, **more)])
    guest, sibling = plug(bed, "a", A), plug(bed, "a", A, 3)
    bed.outside.serve()
    bed.outside.run("ip", "route", "add", f"{A}::/64", "via", UPLINK)
    for protocol in ("tcp", "udp"):
        assert guest.ask(OUTSIDE, protocol=protocol) == seen_outside
        assert bed.outside.ask(f"{A}::2", protocol=protocol) == (OUTSIDE if from_outside else "")
        assert sibling.ask(f"{A}::2", protocol=protocol) == f"{A}::3"
    assert guest.pings(OUTSIDE) == bool(seen_outside)
    assert bed.outside.pings(f"{A}::2") == from_outside
    assert guest.pings(f"{A}::1")
    assert bed.host.ask(f"{A}::2") == f"{A}::1"


@pytest.mark.parametrize("second", ["nat", "routed", "isolated"])
@pytest.mark.parametrize("first", ["nat", "routed", "isolated"])
def test_networks_reach_each_other_only_if_both_are_routed(bed: Bed, first: str, second: str) -> None:
    bed.task("nft", [network("a", A, first), network("b", B, second)])
    guest = plug(bed, "a", A)
    plug(bed, "b", B)
    bed.host.serve(53)
    bed.host.run("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
    both = first == second == "routed"
    assert guest.ask(f"{B}::2") == (f"{A}::2" if both else "")
    # The host is not reached at its address on the other network either.
    assert guest.ask(f"{B}::1", 53) == (f"{A}::2" if both else "")
    assert guest.ask(f"{A}::1", 53) == f"{A}::2"


def test_a_guest_cannot_use_the_address_of_another_subnet(bed: Bed) -> None:
    bed.outside.run("ip", "route", "add", "fd66::/64", "via", UPLINK)
    bed.task("nft", [network("a", A, "routed")])
    guest = plug(bed, "a", A)
    bed.outside.run("ip", "route", "add", f"{A}::/64", "via", UPLINK)
    guest.run("ip", "address", "add", "fd66::1/128", "dev", "lo")
    bed.host.run("ip", "route", "add", "fd66::/64", "dev", "br-a")
    assert "1 received" not in guest.run("ping", "-c1", "-W1", "-I", "fd66::1", OUTSIDE, check=False)
    assert guest.pings(OUTSIDE)


def test_a_network_without_ipv6_forwards_none(bed: Bed) -> None:
    bed.task("nft", [{**network("a", A, "routed"), "subnets": ["10.9.0.0/24"]}])
    assert sysctl(bed, "all/forwarding") == "0"
    guest = plug(bed, "a", A)
    bed.host.run("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
    bed.outside.run("ip", "route", "add", f"{A}::/64", "via", UPLINK)
    assert guest.pings(f"{A}::1")
    assert not guest.pings(OUTSIDE)
    assert not bed.outside.pings(f"{A}::2")


def test_forwarding_is_enabled_stored_and_restored(bed: Bed) -> None:
    sysctl_file = bed.root / "etc/sysctl.d/60-virtnet.conf"
    both = {**network("a", A, "nat"), "subnets": [f"{A}::/64", "10.9.0.0/24"]}
    bed.task("nft", [both])
    assert sysctl(bed, "all/forwarding") == "1"
    assert "net.ipv6.conf.all.forwarding = 1\nnet.ipv4.ip_forward = 1\n" in sysctl_file.read_text()
    assert not bed.task("nft", [both])["changed"]
    bed.task("nft", [{**both, "subnets": ["10.9.0.0/24"]}])
    assert sysctl(bed, "all/forwarding") == "0"
    assert bed.host.run("cat", "/proc/sys/net/ipv4/ip_forward") == "1\n"
    bed.task("nft", [], purge=True)
    assert (bed.host.run("cat", "/proc/sys/net/ipv4/ip_forward"), sysctl_file.exists()) == ("0\n", False)


def advertise(bed: Bed) -> None:
    """Send a router advertisement from the outside (RFC 4861 section 4.2)."""
    bed.outside.run(*script("router_advertisement"), "eth0", "2001:db8:7::")


def default_routes(bed: Bed) -> list[str]:
    return [route["protocol"] for route in bed.host.json("ip", "-6", "-j", "route", "show", "default")]


def test_the_host_keeps_its_default_route_from_router_advertisements(bed: Bed) -> None:
    bed.host.run("ip", "-6", "route", "delete", "default")
    bed.outside.run("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
    bed.host.run("sysctl", "-q", "-w", "net.ipv6.conf.eth0.accept_ra=1")
    for _ in range(50):
        advertise(bed)
        if default_routes(bed) == ["ra"]:
            break
        time.sleep(0.2)
    assert default_routes(bed) == ["ra"]
    result = bed.task("nft", [network("a", A, "nat")])
    assert "net.ipv6.conf.eth0.accept_ra: 1 -> 2" in result["changes"][0]
    assert (sysctl(bed, "all/forwarding"), sysctl(bed, "eth0/accept_ra")) == ("1", "2")
    assert default_routes(bed) == ["ra"]
    assert not bed.task("nft", [network("a", A, "nat")])["changed"]
    bed.outside.serve()
    assert plug(bed, "a", A).ask(OUTSIDE)
    bed.task("nft", [], purge=True)
    assert (sysctl(bed, "all/forwarding"), sysctl(bed, "eth0/accept_ra")) == ("0", "1")
    assert default_routes(bed) == ["ra"]


def test_an_uplink_that_another_program_configures_is_not_changed(bed: Bed) -> None:
    bed.host.run("sysctl", "-q", "-w", "net.ipv6.conf.eth0.accept_ra=0")
    bed.task("nft", [network("a", A, "nat")])
    assert sysctl(bed, "eth0/accept_ra") == "0"
