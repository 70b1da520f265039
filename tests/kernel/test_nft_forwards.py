# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Port forwards, tested with real packets."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.engine_client import engine_script
from kernel.frames import in_namespace
from kernel.nft_testbed import address_of, plug, serving_testbed, wait_for_addresses
from kernel.nft_testbed import network as base_network
from kernel.polling import wait_until
from kernel.testbed import OUTSIDE, PROBE, UPLINK, NamespaceTestbed

A, B = "192.168.30", "192.168.31"
OUTSIDE6, UPLINK6, A6 = "2001:db8::1", "2001:db8::2", "fd00:a"


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[NamespaceTestbed]:
    yield from serving_testbed(tmp_path)


def network(name: str, subnet: str, mode: str = "nat", *forwards: dict[str, Any], **options: Any) -> dict[str, Any]:
    return base_network(name, subnet, mode, port_forwards=list(forwards), **options)


WEB = [
    {"port": 8080, "to": f"{A}.2", "to_port": 8000},
    {"protocol": "udp", "port": 8080, "to": f"{A}.2", "to_port": 8000},
]


def test_a_host_that_does_not_know_protocols_by_name_needs_no_second_run(testbed: NamespaceTestbed) -> None:
    """A Debian host without the package netbase has no /etc/protocols; nft lists numbers there."""
    desired = [network("a", A, "nat", *WEB, {"protocol": "sctp", "port_range": {"start": 5, "end": 9}, "to": f"{A}.2"})]

    def run(*networks: dict[str, Any]) -> Any:
        runs = [{"part": "nft", "wanted": networks, "check": False, "purge": False, "root": str(testbed.root)}]
        without_file = ("unshare", "--mount", "sh", "-c", 'mount --bind /dev/null /etc/protocols && exec "$@"', "sh")
        return json.loads(testbed.host.run(*without_file, *engine_script("engine_task"), stdin=json.dumps(runs)))[0]

    assert run(*desired)["changes"]
    assert run(*desired)["changes"] == []
    plug(testbed, "a", A)
    assert testbed.outside.ask(UPLINK, 8080, "udp") == OUTSIDE
    fewer = [{**desired[0], "port_forwards": desired[0]["port_forwards"][:1]}]
    assert run(*fewer)["changes"]
    assert testbed.outside.ask(UPLINK, 8080, "udp") == ""


# From outside, from the host, from a guest of another network, from one of the same; and the source address seen.
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("mode", ["nat", "routed", "isolated", "open"])
def test_a_forward_is_reached_from_everywhere(testbed: NamespaceTestbed, mode: str, protocol: str) -> None:
    testbed.task("nft", [network("a", A, mode, *WEB), network("b", B)])
    plug(testbed, "a", A)
    sibling, other = plug(testbed, "a", A, 3), plug(testbed, "b", B)
    source = f"{A}.1" if mode == "isolated" else OUTSIDE
    assert testbed.outside.ask(UPLINK, 8080, protocol) == source
    assert testbed.host.ask(UPLINK, 8080, protocol) == (f"{A}.1" if mode == "isolated" else UPLINK)
    assert other.ask(UPLINK, 8080, protocol) == (f"{A}.1" if mode == "isolated" else f"{B}.2")
    assert sibling.ask(UPLINK, 8080, protocol) == f"{A}.1"
    # Nothing else is reachable.
    testbed.outside.run("ip", "route", "add", f"{A}.0/24", "via", UPLINK)
    assert testbed.outside.ask(f"{A}.2", 8000, protocol) == (OUTSIDE if mode in ("routed", "open") else "")
    assert testbed.outside.ask(UPLINK, 8081, protocol) == ""


def test_a_new_forward_takes_effect_for_a_client_that_sends_already(testbed: NamespaceTestbed) -> None:
    testbed.task("nft", [network("a", A)])
    plug(testbed, "a", A)
    with in_namespace(testbed.outside), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((UPLINK, 8080))
        client.settimeout(0.2)

        def answer() -> str:
            try:
                client.send(b"?")
                return client.recv(100).decode()
            except OSError:
                return ""

        assert answer() == ""
        testbed.task("nft", [network("a", A, "nat", *WEB)])
        wait_until(lambda: answer().startswith(OUTSIDE), 5)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("value", ["0", "1"])
def test_hairpin_with_and_without_br_netfilter(testbed: NamespaceTestbed, value: str, version: int) -> None:
    testbed.host.run("ip", "address", "add", f"{UPLINK6}/64", "dev", "eth0", "nodad")
    subnet, uplink, name = (A, UPLINK, "iptables") if version == 4 else (A6, UPLINK6, "ip6tables")
    testbed.host.run("sysctl", "-q", "-w", f"net.bridge.bridge-nf-call-{name}={value}")
    forward = {"port": 8080, "to": address_of(subnet, 2), "to_port": 8000}
    testbed.task("nft", [network("a", subnet, "nat", forward)])
    guest, sibling = plug(testbed, "a", subnet), plug(testbed, "a", subnet, 3)
    assert sibling.ask(uplink, 8080) == address_of(subnet, 1)
    # With 1 the frame is translated while it is bridged, and a bridge sends no frame back to its ingress port.
    assert guest.ask(uplink, 8080) == ("" if value == "1" else address_of(subnet, 1))
    # It does so in hairpin mode.
    gateway = f"{address_of(subnet, 1)}/{64 if version == 6 else 24}"
    desired = {"name": "br-a", "addresses": [gateway], "mac": testbed.link("br-a")["address"]}
    for hairpin, without in ((True, address_of(subnet, 1)), (False, ""), (True, address_of(subnet, 1))):
        testbed.task("bridge", [{**desired, "hairpin": hairpin}])
        assert not testbed.task("bridge", [{**desired, "hairpin": hairpin}])["changed"]
        assert guest.ask(uplink, 8080) == (without if value == "1" else address_of(subnet, 1))
        assert sibling.ask(uplink, 8080) == address_of(subnet, 1)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("mode", ["nat", "routed", "isolated", "open"])
def test_hairpin_of_a_guest_that_is_kept_from_the_others(testbed: NamespaceTestbed, mode: str, version: int) -> None:
    testbed.host.run(
        "sysctl", "-q", "-w", "net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-ip6tables=0"
    )
    testbed.host.run("ip", "address", "add", f"{UPLINK6}/64", "dev", "eth0", "nodad")
    subnet, uplink = (A, UPLINK) if version == 4 else (A6, UPLINK6)
    forward = {"port": 8080, "to": address_of(subnet, 2), "to_port": 8000}
    desired = [network("a", subnet, mode, forward, isolate_guests=True)]
    testbed.task("nft", desired)
    assert not testbed.task("nft", desired)["changed"]
    guest, sibling = plug(testbed, "a", subnet), plug(testbed, "a", subnet, 3)
    assert guest.ask(uplink, 8080) == address_of(subnet, 1)
    assert sibling.ask(uplink, 8080) == ""


@pytest.mark.parametrize("version", [4, 6])
def test_no_hairpin_with_br_netfilter_where_guests_are_isolated(testbed: NamespaceTestbed, version: int) -> None:
    """The bridge passes frames to the rules whatever the sysctls are, and none from an isolated port to itself."""
    testbed.host.run(
        "sysctl", "-q", "-w", "net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-ip6tables=0"
    )
    testbed.host.run("ip", "address", "add", f"{UPLINK6}/64", "dev", "eth0", "nodad")
    subnet, uplink = (A, UPLINK) if version == 4 else (A6, UPLINK6)
    guest = plug(testbed, "a", subnet)
    gateway = f"{address_of(subnet, 1)}/{64 if version == 6 else 24}"
    forward = {"port": 8080, "to": address_of(subnet, 2), "to_port": 8000}
    for isolate, answer in ((False, address_of(subnet, 1)), (True, "")):
        testbed.task("nft", [network("a", subnet, "nat", forward, isolate_guests=isolate)])
        testbed.task("bridge", [{"name": "br-a", "addresses": [gateway], "isolate_guests": isolate}])
        assert guest.ask(uplink, 8080) == answer
    for port in testbed.host.json("ip", "-j", "link", "show", "master", "br-a"):
        testbed.host.run("bridge", "link", "set", "dev", port["ifname"], "hairpin", "on")
    assert guest.ask(uplink, 8080) == ""
    # The way that the guide has: its own address.
    assert guest.ask(address_of(subnet, 2)) == address_of(subnet, 2)


def test_hairpin_mode_lets_a_guest_take_its_ipv6_addresses_for_duplicates(testbed: NamespaceTestbed) -> None:
    guest = plug(testbed, "a", A)
    for port in testbed.host.json("ip", "-j", "link", "show", "master", "br-a"):
        testbed.host.run("bridge", "link", "set", "dev", port["ifname"], "hairpin", "on")
    for value, is_duplicate in (("1", False), ("0", True)):
        for interface in ("all", "eth0"):
            guest.run("sysctl", "-qw", f"net.ipv6.conf.{interface}.enhanced_dad={value}")
        address = f"fd00:99::{value}5"
        guest.run("ip", "address", "add", f"{address}/64", "dev", "eth0")

        def flags(address: str = address) -> list[str]:
            (link,) = guest.json("ip", "-j", "address", "show", "dev", "eth0", "to", address)
            return [flag for flag in ("tentative", "dadfailed") if link["addr_info"][0].get(flag)]

        wait_until(lambda: flags() == [] or "dadfailed" in flags())  # noqa: B023
        assert ("dadfailed" in flags()) == is_duplicate


def test_a_guest_of_an_isolated_network_does_not_use_forwards(testbed: NamespaceTestbed) -> None:
    testbed.task("nft", [network("a", A, "nat", *WEB), network("b", B, "isolated")])
    plug(testbed, "a", A)
    assert plug(testbed, "b", B).ask(UPLINK, 8080) == ""


def test_uplink_restricts_forwards(testbed: NamespaceTestbed) -> None:
    testbed.task("nft", [network("a", A, "nat", *WEB, uplink="eth1"), network("b", B)])
    plug(testbed, "a", A)
    sibling, other = plug(testbed, "a", A, 3), plug(testbed, "b", B)
    assert (testbed.outside.ask(UPLINK, 8080), other.ask(UPLINK, 8080)) == ("", "")
    assert sibling.ask(UPLINK, 8080) == f"{A}.1"


def test_ranges_and_addresses_of_the_host(testbed: NamespaceTestbed) -> None:
    testbed.host.run("ip", "address", "add", "203.0.113.3/24", "dev", "eth0")
    forwards = [
        {"port_range": {"start": 7990, "end": 8010}, "to": f"{A}.2"},
        {"port": 81, "to": f"{A}.2", "to_port": 8000, "address": "203.0.113.3"},
    ]
    desired = [network("a", A, "nat", *forwards)]
    testbed.task("nft", desired)
    assert not testbed.task("nft", desired)["changed"]
    plug(testbed, "a", A)
    assert testbed.outside.ask(UPLINK, 8000) == OUTSIDE
    assert (testbed.outside.ask("203.0.113.3", 81), testbed.outside.ask(UPLINK, 81)) == (OUTSIDE, "")


def test_ipv6(testbed: NamespaceTestbed) -> None:
    for namespace, address in ((testbed.outside, OUTSIDE6), (testbed.host, UPLINK6)):
        namespace.run("ip", "address", "add", f"{address}/64", "dev", "eth0", "nodad")
    testbed.host.run("ip", "-6", "route", "add", "default", "via", OUTSIDE6)
    forwards = [{"protocol": p, "port": 8080, "to": f"{A6}::2", "to_port": 8000} for p in ("tcp", "udp")]
    testbed.task("nft", [network("a", A, "nat", *forwards, subnets=[f"{A6}::/64"])])
    testbed.task("bridge", [{"name": "br-a", "addresses": [f"{A6}::1/64"]}])
    guests = [testbed.add_guest("br-a", f"{A6}::{n}/64", gateway=f"{A6}::1") for n in (2, 3)]
    guests[0].serve()
    wait_for_addresses(testbed.host, *guests)
    for protocol in ("tcp", "udp"):
        assert testbed.outside.ask(UPLINK6, 8080, protocol) == OUTSIDE6
        assert testbed.host.ask(UPLINK6, 8080, protocol) == UPLINK6
        assert guests[1].ask(UPLINK6, 8080, protocol) == f"{A6}::1"


def answers(flow: Any) -> tuple[int, int]:
    """Stop a flow; how many packets it sent, and how many were answered."""
    sent, answered = flow.communicate("", timeout=60)[0].split()
    return int(sent), int(answered)


def answered_flow(testbed: NamespaceTestbed, port: int) -> bool:
    """Whether conntrack has a connection to a forwarded port that has had an answer."""
    flows = testbed.host.run("conntrack", "-L", "-p", "udp", "--orig-port-dst", str(port), check=False).splitlines()
    return any("UNREPLIED" not in flow for flow in flows)


def received(testbed: NamespaceTestbed) -> int:
    """Packets that have arrived at the host from the outside."""
    (link,) = testbed.host.json("ip", "-s", "-j", "link", "show", "eth0")
    return int(link["stats64"]["rx"]["packets"])


@pytest.mark.parametrize("removed", ["forward", "network"])
def test_removing_ends_only_connections_of_what_is_removed(testbed: NamespaceTestbed, removed: str) -> None:
    both = [
        network("a", A, "nat", *WEB),
        network("b", B, "nat", {"protocol": "udp", "port": 99, "to": f"{B}.2", "to_port": 8000}),
    ]
    testbed.task("nft", both)
    plug(testbed, "a", A)
    plug(testbed, "b", B)
    command = (sys.executable, str(PROBE), "flow", UPLINK)
    ended, kept = testbed.outside.start(*command, "8080", "0"), testbed.outside.start(*command, "99", "0")
    wait_until(lambda: answered_flow(testbed, 8080) and answered_flow(testbed, 99))
    desired = {"forward": network("a", A, "nat", WEB[0]), "network": {"name": "a", "state": "absent"}}[removed]
    testbed.task("nft", [desired])
    before = received(testbed)
    wait_until(lambda: received(testbed) > before + 2000)
    sent, answered = answers(ended)
    # Half of those packets belong to this flow.
    assert 0 < answered < sent - 500
    sent, answered = answers(kept)
    assert sent == answered > 500


def test_a_thousand_forwards_are_one_change_and_a_second_run_changes_nothing(testbed: NamespaceTestbed) -> None:
    forwards = [{"port": 10000 + i, "to": f"{A}.2", "to_port": 8000} for i in range(1000)]
    desired = [network("a", A, "nat", *forwards)]
    assert testbed.task("nft", desired)["changed"]
    assert not testbed.task("nft", desired)["changed"]
    plug(testbed, "a", A)
    assert testbed.outside.ask(UPLINK, 10999) == OUTSIDE
    assert len(testbed.task("nft", [network("a", A, "nat", *forwards[1:])])["changes"]) == 1
    assert testbed.outside.ask(UPLINK, 10000) == ""


def test_one_port_claimed_twice_names_both(testbed: NamespaceTestbed) -> None:
    claim = {"port": 8080, "to": f"{B}.2"}
    message = testbed.task("nft", [network("a", A, "nat", *WEB), network("b", B, "nat", claim)])["msg"]
    assert "networks[1].port_forwards[0].port" in message
    assert f"tcp *:8080 -> {B}.2:8080" in message and f"network 'a' already has: tcp *:8080 -> {A}.2:8000" in message
