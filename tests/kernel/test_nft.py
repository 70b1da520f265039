# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules in the kernel, tested with real packets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel.nft_testbed import network, plug
from kernel.testbed import OUTSIDE, UPLINK, Namespace, NamespaceTestbed

A, B = "192.168.30", "192.168.31"


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[NamespaceTestbed]:
    testbed = NamespaceTestbed(tmp_path)
    testbed.host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=0")
    yield testbed
    testbed.close()


def forwarding(testbed: NamespaceTestbed) -> str:
    return testbed.host.run("cat", "/proc/sys/net/ipv4/ip_forward").strip()


def table(testbed: NamespaceTestbed) -> str:
    return testbed.host.run("nft", "-s", "list", "ruleset")


# The guest's source address as seen outside; whether the outside reaches the guest.
@pytest.mark.parametrize(
    ("mode", "seen_outside", "from_outside"),
    [("nat", UPLINK, False), ("routed", f"{A}.2", True), ("isolated", "", False), ("open", f"{A}.2", True)],
)
def test_mode_decides_which_traffic_passes(
    testbed: NamespaceTestbed, mode: str, seen_outside: str, from_outside: bool
) -> None:
    testbed.task("nft", [network("other", B, "nat"), network("a", A, mode)])
    guest, sibling = plug(testbed, "a", A), plug(testbed, "a", A, 3)
    testbed.outside.serve()
    testbed.outside.run("ip", "route", "add", f"{A}.0/24", "via", UPLINK)
    for protocol in ("tcp", "udp"):
        assert guest.ask(OUTSIDE, protocol=protocol) == seen_outside
        assert testbed.outside.ask(f"{A}.2", protocol=protocol) == (OUTSIDE if from_outside else "")
        assert sibling.ask(f"{A}.2", protocol=protocol) == f"{A}.3"
    assert guest.pings(OUTSIDE) == bool(seen_outside)
    assert testbed.outside.pings(f"{A}.2") == from_outside
    assert guest.pings(f"{A}.1")
    assert testbed.host.ask(f"{A}.2") == f"{A}.1"


MODES = ("nat", "routed", "isolated", "open")


@pytest.mark.parametrize("second", MODES)
@pytest.mark.parametrize("first", MODES)
def test_networks_reach_each_other_only_if_both_are_routed_or_open(
    testbed: NamespaceTestbed, first: str, second: str
) -> None:
    testbed.task("nft", [network("a", A, first), network("b", B, second)])
    guest, other = plug(testbed, "a", A), plug(testbed, "b", B)
    testbed.host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    both = first in ("routed", "open") and second in ("routed", "open")
    assert guest.ask(f"{B}.2") == (f"{A}.2" if both else "")
    assert other.ask(f"{A}.2") == (f"{B}.2" if both else "")


def test_bridged_frames_pass_within_a_network_with_and_without_br_netfilter(testbed: NamespaceTestbed) -> None:
    for mode in MODES:
        testbed.task("nft", [network("a", A, mode)])
        if testbed.link("br-a") is None:
            guest, sibling = plug(testbed, "a", A), plug(testbed, "a", A, 3)
        for value in ("1", "0"):
            testbed.host.run("sysctl", "-q", "-w", f"net.bridge.bridge-nf-call-iptables={value}")
            assert guest.ask(f"{A}.3") == f"{A}.2"
            assert sibling.ask(f"{A}.2") == f"{A}.3"


def test_uplink_restricts_forwarding_to_it(testbed: NamespaceTestbed) -> None:
    remote = Namespace("remote")
    testbed.namespaces.append(remote)
    testbed.add_veth(remote, "eth0", "198.51.100.1/24", "eth1")
    testbed.host.run("ip", "address", "add", "198.51.100.2/24", "dev", "eth1")
    remote.serve()
    testbed.outside.serve()
    testbed.task("nft", [network("a", A, "nat", uplink="eth1")])
    guest = plug(testbed, "a", A)
    assert guest.ask("198.51.100.1") == "198.51.100.2"
    assert guest.ask(OUTSIDE) == ""
    testbed.task("nft", [network("a", A, "routed", uplink="eth1")])
    for namespace, gateway in ((remote, "198.51.100.2"), (testbed.outside, UPLINK)):
        namespace.run("ip", "route", "add", f"{A}.0/24", "via", gateway)
    assert remote.ask(f"{A}.2") == "198.51.100.1"
    assert testbed.outside.ask(f"{A}.2") == ""


def test_guests_leave_by_any_of_several_uplinks_as_the_routes_of_the_host_say(testbed: NamespaceTestbed) -> None:
    forward = {"port": 8080, "to": f"{A}.2", "to_port": 8000}
    others = {}
    for number, name in ((1, "wan"), (2, "vpn")):
        others[name] = remote = Namespace(name)
        testbed.namespaces.append(remote)
        testbed.add_veth(remote, "eth0", f"198.51.{number}.1/24", name)
        testbed.host.run("ip", "address", "add", f"198.51.{number}.2/24", "dev", name)
    testbed.host.run("ip", "link", "property", "add", "dev", "wan", "altname", "enx525400000001")
    for remote in (testbed.outside, *others.values()):
        remote.run("ip", "address", "add", "192.0.2.9/32", "dev", "lo")
        remote.serve()
    desired = network("a", A, "nat", uplink=["enx525400000001", "eth0"], port_forwards=[forward])
    testbed.task("nft", [desired])
    guest = plug(testbed, "a", A)
    assert guest.ask("192.0.2.9") == UPLINK
    for gateway, expected in (("198.51.1.1", "198.51.1.2"), ("198.51.2.1", ""), (OUTSIDE, UPLINK)):
        testbed.host.run("ip", "route", "replace", "default", "via", gateway)
        assert guest.ask("192.0.2.9") == expected
    assert testbed.outside.ask(UPLINK, 8080) == OUTSIDE
    assert others["wan"].ask("198.51.1.2", 8080) == "198.51.1.1"
    assert others["vpn"].ask("198.51.2.2", 8080) == ""
    assert not testbed.task("nft", [desired])["changed"]
    change = "rules of a: uplink eth0, wan -> eth0"
    assert testbed.task("nft", [{**desired, "uplink": "eth0"}])["changes"] == [change]
    assert others["wan"].ask("198.51.1.2", 8080) == ""


def test_a_guest_cannot_use_the_address_of_another_subnet(testbed: NamespaceTestbed) -> None:
    testbed.outside.serve()
    testbed.outside.run("ip", "route", "add", "10.66.0.0/24", "via", UPLINK)
    for mode in ("nat", "routed"):
        testbed.task("nft", [network("a", A, mode)])
        if mode == "nat":
            guest = plug(testbed, "a", A)
            guest.run("ip", "address", "add", "10.66.0.1/32", "dev", "lo")
            testbed.host.run("ip", "route", "add", "10.66.0.0/24", "dev", "br-a")
            testbed.host.run("sysctl", "-q", "-w", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.br-a.rp_filter=0")
        assert guest.run("ping", "-c1", "-W1", "-I", "10.66.0.1", OUTSIDE, check=False).count("1 received") == 0
        assert guest.pings(OUTSIDE) == (mode == "nat")


def test_second_run_changes_nothing_and_check_predicts(testbed: NamespaceTestbed) -> None:
    steps = (
        [network("a", A, "nat")],
        [network("a", A, "routed", uplink="eth0"), network("b", B, "isolated")],
        [network("a", A, "open"), {"name": "b", "state": "absent"}],
        [{"name": "a", "state": "absent"}],
    )
    for desired in steps:
        before = table(testbed), forwarding(testbed)
        predicted = testbed.task("nft", desired, check=True)
        assert (table(testbed), forwarding(testbed)) == before
        result = testbed.task("nft", desired)
        assert result["changed"]
        assert result == predicted
        assert not testbed.task("nft", desired)["changed"]
    assert table(testbed) == ""


def test_networks_that_are_not_desired_stay_unless_purged(testbed: NamespaceTestbed) -> None:
    testbed.task("nft", [network("a", A, "nat")])
    testbed.task("nft", [network("b", B, "nat")])
    assert '"br-a"' in table(testbed)
    assert testbed.task("nft", [network("b", B, "nat")], purge=True)["changes"] == ["rules of a: deleted"]
    assert '"br-a"' not in table(testbed)


@pytest.mark.parametrize(
    "fault",
    [
        "flush table inet virtnet",
        "delete table inet virtnet",
        "flush chain inet virtnet vn_from_nat",
        "add rule inet virtnet vn_forward accept",
        "insert rule inet virtnet vn_forward accept",
        "delete element inet virtnet vn_closed { br-a }",
        "add element inet virtnet vn_subnets4 { br-a . 10.0.0.0/8 }",
        "flush ruleset",
    ],
)
def test_damage_is_found_and_repaired(testbed: NamespaceTestbed, fault: str) -> None:
    desired = [network("a", A, "nat"), network("b", B, "nat")]
    testbed.task("nft", desired)
    expected = table(testbed)
    testbed.host.run("nft", fault)
    assert testbed.task("nft", desired, check=True)["changed"]
    assert testbed.task("nft", desired)["changed"]
    assert table(testbed) == expected
    assert not testbed.task("nft", desired)["changed"]


def test_a_replaced_rule_with_the_same_comment_is_found(testbed: NamespaceTestbed) -> None:
    desired = [network("a", A, "nat")]
    testbed.task("nft", desired)
    expected = table(testbed)
    listing = testbed.host.run("nft", "-a", "list", "chain", "inet", "virtnet", "vn_from_isolated")
    handle = listing.split('comment "isolated" # handle ')[1].split()[0]
    testbed.host.run("nft", "replace", "rule", "inet", "virtnet", "vn_from_isolated", "handle", handle,
                 "accept", "comment", '"isolated"')  # fmt: skip
    assert "altered by hand" in testbed.task("nft", desired)["changes"][0]
    assert table(testbed) == expected


def test_other_tables_are_not_touched(testbed: NamespaceTestbed) -> None:
    foreign = "table inet foreign {\n\tchain c {\n\t\taccept\n\t}\n}\n"
    testbed.host.run("nft", "-f", "-", stdin=foreign)
    testbed.task("nft", [network("a", A, "nat")])
    assert foreign in table(testbed)
    testbed.task("nft", [], purge=True)
    assert table(testbed) == foreign


def test_forwarding_is_enabled_stored_and_restored(testbed: NamespaceTestbed) -> None:
    sysctl_file = testbed.root / "etc/sysctl.d/60-virtnet.conf"
    testbed.task("nft", [network("a", A, "isolated")])
    assert (forwarding(testbed), sysctl_file.exists()) == ("0", False)
    testbed.task("nft", [network("a", A, "nat")])
    assert (forwarding(testbed), "net.ipv4.ip_forward = 1\n" in sysctl_file.read_text()) == ("1", True)
    testbed.task("nft", [network("a", A, "nat")])
    testbed.task("nft", [], purge=True)
    assert (forwarding(testbed), sysctl_file.exists()) == ("0", False)


def test_forwarding_that_was_enabled_before_stays_enabled(testbed: NamespaceTestbed) -> None:
    testbed.host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    testbed.task("nft", [network("a", A, "nat")])
    testbed.task("nft", [], purge=True)
    assert forwarding(testbed) == "1"


def test_forwarding_that_somebody_disables_is_enabled_again(testbed: NamespaceTestbed) -> None:
    testbed.task("nft", [network("a", A, "nat")])
    testbed.host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=0")
    assert testbed.task("nft", [network("a", A, "nat")])["changes"] == [
        "net.ipv4.ip_forward: 0 -> 1, kept over reboots"
    ]
    testbed.task("nft", [], purge=True)
    assert forwarding(testbed) == "0"


@pytest.mark.parametrize("value", ["0", "1"])
def test_a_gateway_on_a_veth_in_the_bridge_with_and_without_br_netfilter(testbed: NamespaceTestbed, value: str) -> None:
    testbed.outside.serve()
    testbed.host.run("sysctl", "-q", "-w", f"net.bridge.bridge-nf-call-iptables={value}")
    testbed.host.run("ip", "link", "add", "gw0", "type", "veth", "peer", "name", "gw1")
    testbed.task("bridge", [{"name": "br-a", "ports": ["gw1"]}])
    for name in ("gw0", "gw1"):
        testbed.host.run("ip", "link", "set", name, "up")
    testbed.host.run("ip", "address", "add", f"{A}.1/24", "dev", "gw0")
    # Without this the bridge would reply to ARP requests for the address of the veth, an address of the host.
    testbed.host.run("sysctl", "-q", "-w", "net.ipv4.conf.br-a.arp_ignore=1")
    masquerade = {"name": "gateway", "bridge": "gw0", "mode": "nat", "subnets": [f"{A}.0/24"]}
    # Without our rule for the bridge, conntrack tracks its frames before they are routed: no NAT.
    testbed.task("nft", [masquerade])
    guest = testbed.add_guest("br-a", f"{A}.2/24", gateway=f"{A}.1")
    assert guest.ask(OUTSIDE) == ("" if value == "1" else UPLINK)
    testbed.host.run("conntrack", "-F")
    bare = {"name": "a", "bridge": "br-a", "mode": "isolated", "subnets": []}
    testbed.task("nft", [masquerade, bare])
    assert guest.ask(OUTSIDE) == UPLINK
    assert guest.pings(OUTSIDE)
    assert not testbed.task("nft", [masquerade, bare])["changed"]
