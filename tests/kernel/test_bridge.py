# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bridges on the real kernel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.testbed import OUTSIDE, UPLINK, NamespaceTestbed

LAB: dict[str, Any] = {"name": "br-lab", "addresses": ["192.168.30.1/24"]}


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[NamespaceTestbed]:
    testbed = NamespaceTestbed(tmp_path)
    yield testbed
    testbed.close()


def addresses(link: Any) -> list[str]:
    return [
        f"{address['local']}/{address['prefixlen']}" for address in link["addr_info"] if address["scope"] == "global"
    ]


def test_create_makes_a_bridge_that_is_up_and_carries_traffic_at_once(testbed: NamespaceTestbed) -> None:
    result = testbed.task("bridge", [LAB])
    assert result["changes"] == ["bridge br-lab: created"]
    link = testbed.link("br-lab")
    assert "UP" in link["flags"]
    assert link["linkinfo"]["info_data"]["forward_delay"] == 0
    assert link["linkinfo"]["info_data"]["stp_state"] == 0
    assert addresses(link) == ["192.168.30.1/24"]
    guest = testbed.add_guest("br-lab", "192.168.30.2/24")
    assert guest.pings("192.168.30.1")


def test_second_run_changes_nothing(testbed: NamespaceTestbed) -> None:
    full = {**LAB, "mtu": 1400, "stp": True, "forward_delay": 3, "mac": "52:54:00:aa:bb:cc"}
    for bridge in (LAB, full, {**LAB, "stp": True}, {**LAB, "addresses": ["192.168.30.1/24", "fd00:30::1/64"]}):
        assert testbed.task("bridge", [bridge])["changed"]
        assert not testbed.task("bridge", [bridge])["changed"]


@pytest.mark.parametrize(
    "options", [{"isolate_guests": True}, {"hairpin": True}, {"port_security": {"level": "gateway"}}]
)
def test_a_guest_that_is_plugged_in_while_changes_are_verified_is_left_to_the_next_run(
    testbed: NamespaceTestbed, options: dict[str, Any]
) -> None:
    testbed.host.run("ip", "link", "add", "late", "type", "veth", "peer", "name", "peer")
    desired = {**LAB, **options}
    run = testbed.host.run_engine("plug_while_verifying", str(testbed.root), json.dumps(desired), "late")
    assert run == "bridge br-lab: created\n"
    assert testbed.link("late")["master"] == "br-lab"
    (change,) = testbed.task("bridge", [desired])["changes"]
    assert "late" in change
    assert not testbed.task("bridge", [desired])["changed"]


def test_multicast_snooping_is_on_as_by_default_of_the_kernel_unless_it_is_given(testbed: NamespaceTestbed) -> None:
    def snooping() -> int:
        return int(testbed.link("br-lab")["linkinfo"]["info_data"]["mcast_snooping"])

    testbed.task("bridge", [LAB])
    assert snooping() == 1
    for value in (False, True, False):
        desired = [{**LAB, "multicast_snooping": value}]
        change = f"multicast_snooping {not value} -> {value}".lower()
        assert testbed.task("bridge", desired)["changes"] == [f"bridge br-lab: {change}"]
        assert snooping() == value
        assert not testbed.task("bridge", desired)["changed"]
    assert testbed.task("bridge", [LAB])["changes"] == ["bridge br-lab: multicast_snooping false -> true"]
    assert snooping() == 1
    testbed.task("bridge", [{**LAB, "state": "absent"}])
    testbed.task("bridge", [{**LAB, "multicast_snooping": False}])
    assert snooping() == 0


def hairpin_ports(testbed: NamespaceTestbed) -> set[str]:
    return {port["ifname"] for port in testbed.host.json("bridge", "-d", "-j", "link", "show") if port["hairpin"]}


def test_hairpin_mode_is_for_guests_and_only_what_we_set_ends_with_the_option(
    testbed: NamespaceTestbed, tmp_path: Path
) -> None:
    testbed.host.run("ip", "link", "add", "eth9", "type", "veth", "peer", "name", "peer9")
    lab = {**LAB, "ports": ["eth9"]}
    testbed.task("bridge", [lab])
    for host in (2, 3):
        testbed.add_guest("br-lab", f"192.168.30.{host}/24")
    guests = sorted({link["ifname"] for link in testbed.host.json("ip", "-j", "link", "show", "master", "br-lab")})
    own, foreign = (name for name in guests if name != "eth9")
    testbed.host.run("bridge", "link", "set", "dev", foreign, "hairpin", "on")
    changes = testbed.task("bridge", [{**lab, "hairpin": True}])["changes"]
    assert changes == [f"bridge br-lab: hairpin {[foreign]} -> {[own, foreign]}"]
    assert hairpin_ports(testbed) == {own, foreign}
    # A port that leaves the bridge and returns has lost its mode in the kernel; a new one has none.
    testbed.host.run("ip", "link", "set", own, "nomaster")
    testbed.host.run("ip", "link", "set", own, "master", "br-lab")
    testbed.add_guest("br-lab", "192.168.30.4/24")
    assert testbed.task("bridge", [{**lab, "hairpin": True}])["changed"]
    assert not testbed.task("bridge", [{**lab, "hairpin": True}])["changed"]
    assert len(hairpin_ports(testbed)) == 3
    assert list(tmp_path.rglob("hairpin-ports/br-lab.json"))
    # A guest's port that the options name is a port of the host.
    assert testbed.task("bridge", [{**lab, "ports": ["eth9", own], "hairpin": True}])["changed"]
    assert own not in hairpin_ports(testbed)
    assert testbed.task("bridge", [{**lab, "ports": ["eth9", own]}])["changed"]
    assert hairpin_ports(testbed) == {foreign}
    assert not testbed.task("bridge", [{**lab, "ports": ["eth9", own]}])["changed"]
    testbed.task("bridge", [{**lab, "state": "absent"}])
    assert not list(tmp_path.rglob("hairpin-ports/*"))


def test_a_port_that_gets_another_name_loses_hairpin_mode_with_the_option(testbed: NamespaceTestbed) -> None:
    testbed.task("bridge", [LAB])
    testbed.add_guest("br-lab", "192.168.30.2/24")
    testbed.task("bridge", [{**LAB, "hairpin": True}])
    for command in (["down"], ["name", "vnet0"], ["up"]):
        testbed.host.run("ip", "link", "set", "vnet0" if command == ["up"] else "tap3", *command)
    assert hairpin_ports(testbed) == {"vnet0"}
    assert testbed.task("bridge", [LAB])["changes"] == ["bridge br-lab: hairpin ['vnet0'] -> []"]
    assert hairpin_ports(testbed) == set()


def test_check_mode_predicts_the_real_run_and_touches_nothing(testbed: NamespaceTestbed) -> None:
    for desired in ([LAB], [{**LAB, "mtu": 1400, "addresses": ["192.168.31.1/24"]}], [{**LAB, "state": "absent"}]):
        before = testbed.link("br-lab")
        predicted = testbed.task("bridge", desired, check=True)
        assert testbed.link("br-lab") == before
        assert testbed.task("bridge", desired) == predicted


def test_mac_is_never_that_of_the_first_port(testbed: NamespaceTestbed) -> None:
    mac = testbed.task("bridge", [LAB])["bridges"][0]["mac"]
    testbed.add_guest("br-lab", "192.168.30.2/24")
    assert testbed.link("br-lab")["address"] == mac


def test_change_keeps_the_bridge_and_its_ports(testbed: NamespaceTestbed) -> None:
    testbed.task("bridge", [LAB])
    guest = testbed.add_guest("br-lab", "192.168.30.2/24")
    index = testbed.link("br-lab")["ifindex"]
    changed = {**LAB, "mtu": 1400, "stp": True, "addresses": ["192.168.30.1/24", "10.9.9.1/24"]}
    result = testbed.task("bridge", [changed])
    assert "mtu 1500 -> 1400" in result["changes"][0]
    assert testbed.link("br-lab")["ifindex"] == index
    assert testbed.link("tap3")["master"] == "br-lab"
    testbed.task("bridge", [{**LAB, "mtu": 1500}])
    assert guest.pings("192.168.30.1")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["192.168.30.1/24"], ["192.168.30.254/24"]),
        (["192.168.30.1/24", "192.168.30.2/24"], ["192.168.30.2/24"]),
        (["192.168.30.1/24", "192.168.30.2/24"], ["192.168.30.2/24", "192.168.30.3/24"]),
        (["192.168.30.1/24"], ["192.168.30.1/25"]),
        (["192.168.30.1/24", "10.0.0.1/8"], ["10.0.0.1/8"]),
        (["192.168.30.1/24"], []),
        (["fd00:30::1/64"], ["fd00:30::2/64", "192.168.30.1/24"]),
        (["192.168.30.1/24", "fd00:30::1/64"], ["192.168.30.1/24"]),
    ],
)
def test_addresses_become_exactly_the_desired_ones(
    testbed: NamespaceTestbed, before: list[str], after: list[str]
) -> None:
    testbed.task("bridge", [{**LAB, "addresses": before}])
    testbed.task("bridge", [{**LAB, "addresses": after}])
    assert sorted(addresses(testbed.link("br-lab"))) == sorted(after)


def test_ipv6_is_off_without_an_ipv6_address_and_on_with_one(testbed: NamespaceTestbed) -> None:
    setting = "/proc/sys/net/ipv6/conf/br-lab/"
    testbed.task("bridge", [LAB])
    assert testbed.host.run("cat", setting + "disable_ipv6") == "1\n"
    testbed.task("bridge", [{**LAB, "addresses": ["fd00:30::1/64"]}])
    assert testbed.host.run("cat", setting + "disable_ipv6", setting + "accept_ra", setting + "autoconf") == "0\n0\n0\n"


def test_ipv6_address_is_usable_without_a_port(testbed: NamespaceTestbed) -> None:
    testbed.task("bridge", [{**LAB, "addresses": ["fd00:30::1/64"]}])
    assert testbed.host.pings("fd00:30::1")


def test_ports_are_enslaved_and_detached_again_and_those_of_others_stay(testbed: NamespaceTestbed) -> None:
    for name in ("eth8", "eth9"):
        testbed.host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    testbed.task("bridge", [LAB])
    testbed.add_guest("br-lab", "192.168.30.2/24")
    testbed.plug("br-lab", "eth8")
    result = testbed.task("bridge", [{**LAB, "ports": ["eth8", "eth9"]}])
    assert "ports" in result["changes"][0]
    assert {testbed.link(name)["master"] for name in ("eth8", "eth9", "tap3")} == {"br-lab"}
    change = "ports ['eth8', 'eth9', 'tap3'] -> ['eth8', 'tap3'], fdb_max_learned 0 -> 8192"
    assert testbed.task("bridge", [LAB], check=True)["changes"] == [f"bridge br-lab: {change}"]
    assert testbed.task("bridge", [LAB])["changes"] == [f"bridge br-lab: {change}"]
    assert "master" not in testbed.link("eth9")
    assert not testbed.task("bridge", [LAB])["changed"]


def test_ports_move_between_bridges_in_one_run(testbed: NamespaceTestbed) -> None:
    for name in ("eth8", "eth9"):
        testbed.host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p")

    def ports_after(*bridges: dict[str, Any]) -> list[str]:
        foretold = testbed.task("bridge", list(bridges), check=True)
        assert testbed.task("bridge", list(bridges))["changes"] == foretold["changes"] != []
        assert not testbed.task("bridge", list(bridges))["changed"]
        return [testbed.link(name).get("master", "") for name in ("eth8", "eth9")]

    other = {**LAB, "name": "br-other", "addresses": []}
    assert ports_after({**LAB, "ports": ["eth8"]}, {**other, "ports": ["eth9"]}) == ["br-lab", "br-other"]
    assert ports_after({**LAB, "ports": ["eth9"]}, {**other, "ports": ["eth8"]}) == ["br-other", "br-lab"]
    assert ports_after({**LAB, "ports": ["eth8", "eth9"]}, other) == ["br-lab", "br-lab"]
    assert ports_after({**LAB, "state": "absent"}, {**other, "ports": ["eth8"]}) == ["br-other", ""]
    assert ports_after({**other, "ports": ["eth8"]}, {**LAB, "ports": ["eth9"]}) == ["br-other", "br-lab"]


def test_a_port_that_the_list_loses_while_the_bridge_is_stopped_does_not_come_back(testbed: NamespaceTestbed) -> None:
    testbed.host.run("ip", "link", "add", "eth9", "type", "veth", "peer", "name", "eth9p")
    testbed.task("bridge", [{**LAB, "ports": ["eth9"]}])
    testbed.add_guest("br-lab", "192.168.30.2/24")
    stopped = testbed.task("bridge", [{**LAB, "state": "absent"}])["changes"]
    assert stopped == ["bridge br-lab: deleted, which detaches eth9, tap3"]
    assert testbed.task("bridge", [LAB])["changes"] == ["bridge br-lab: created, with its former ports tap3"]
    assert "master" not in testbed.link("eth9")


def test_the_mtu_of_a_new_bridge_stays_when_a_guest_with_another_one_comes(testbed: NamespaceTestbed) -> None:
    for mtu in (1400, 1500):
        testbed.task("bridge", [{**LAB, "mtu": mtu}])
        testbed.host.run("ip", "link", "add", "tap9", "mtu", "1300" if mtu == 1500 else "1500", "type", "veth")
        testbed.plug("br-lab", "tap9")
        assert testbed.link("br-lab")["mtu"] == mtu
        testbed.host.run("ip", "link", "delete", "tap9")
        testbed.task("bridge", [{**LAB, "state": "absent"}])


def test_removal_reports_detached_ports_and_creation_attaches_them_again(testbed: NamespaceTestbed) -> None:
    testbed.task("bridge", [LAB])
    guest = testbed.add_guest("br-lab", "192.168.30.2/24")
    assert testbed.task("bridge", [{**LAB, "state": "absent"}])["changes"] == [
        "bridge br-lab: deleted, which detaches tap3"
    ]
    assert testbed.link("br-lab") is None
    assert testbed.task("bridge", [LAB])["changes"] == ["bridge br-lab: created, with its former ports tap3"]
    assert guest.pings("192.168.30.1")


def test_a_foreign_bridge_is_neither_changed_nor_removed(testbed: NamespaceTestbed) -> None:
    testbed.host.run("ip", "link", "add", "br-lab", "type", "bridge")
    before = testbed.link("br-lab")
    assert "'br-lab' is already a bridge that virtnet.linux did not create" in testbed.task("bridge", [LAB])["msg"]
    result = testbed.task("bridge", [{**LAB, "state": "absent"}])
    assert not result["changed"]
    assert result["warnings"] == ["br-lab was not created by virtnet.linux and is not deleted"]
    assert not testbed.task("bridge", [], purge=True)["changed"]
    assert testbed.link("br-lab") == before


def test_an_unmarked_bridge_of_a_killed_run_is_completed(testbed: NamespaceTestbed) -> None:
    mac = testbed.task("bridge", [LAB], check=True)["bridges"][0]["mac"]
    testbed.host.run("ip", "link", "add", "br-lab", "address", mac, "type", "bridge")
    assert testbed.task("bridge", [LAB])["changed"]
    assert testbed.link("br-lab")["ifalias"] == "virtnet.linux"
    assert addresses(testbed.link("br-lab")) == ["192.168.30.1/24"]


def test_purge_removes_only_our_bridges_that_are_not_listed(testbed: NamespaceTestbed) -> None:
    testbed.host.run("ip", "link", "add", "br-theirs", "type", "bridge")
    testbed.task("bridge", [LAB, {"name": "br-old"}])
    assert testbed.task("bridge", [LAB], purge=True)["changes"] == ["bridge br-old: deleted"]
    assert testbed.link("br-theirs") is not None
    assert testbed.link("br-lab") is not None


def test_an_interface_that_cannot_be_a_port_is_reported_before_any_change(testbed: NamespaceTestbed) -> None:
    testbed.host.run("ip", "link", "add", "br-theirs", "type", "bridge")
    testbed.host.run("ip", "link", "add", "eth9", "type", "veth", "peer", "name", "eth9p")
    testbed.host.run("ip", "link", "set", "eth9", "master", "br-theirs")
    for port, problem in (
        ("eth7", "does not exist"),
        ("eth9", "is a port of br-theirs"),
        ("eth0", "carries a default route"),
    ):
        assert problem in testbed.task("bridge", [{**LAB, "ports": [port]}])["msg"]
        assert testbed.link("br-lab") is None


def test_the_interface_of_the_ssh_connection_is_refused_as_port(
    testbed: NamespaceTestbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    testbed.host.run("ip", "link", "add", "eth8", "type", "veth", "peer", "name", "eth8p")
    testbed.host.run("ip", "link", "set", "eth8p", "up")
    testbed.host.run("ip", "link", "set", "eth8", "up")
    testbed.host.run("ip", "address", "add", "198.51.100.1/24", "dev", "eth8")
    testbed.host.run("ip", "route", "add", "192.0.2.0/24", "via", "198.51.100.2")
    desired = [{**LAB, "ports": ["eth8"]}]
    for peer in ("198.51.100.2", "192.0.2.7"):
        monkeypatch.setenv("SSH_CONNECTION", f"{peer} 40000 198.51.100.1 22")
        for check in (True, False):
            message = testbed.task("bridge", desired, check=check)["msg"]
            assert "ports[0]: interface 'eth8' carries" in message and "the connection of this run" in message
        assert testbed.link("br-lab") is None and "master" not in testbed.link("eth8")
    # Without the default route it is a port like any other.
    monkeypatch.setenv("SSH_CONNECTION", f"{OUTSIDE} 40000 {UPLINK} 22")
    assert testbed.task("bridge", desired)["changed"]
    assert testbed.link("eth8")["master"] == "br-lab"


def test_a_hundred_bridges_are_one_run(testbed: NamespaceTestbed) -> None:
    desired = [{"name": f"br-{i}", "addresses": [f"10.9.{i}.1/24"]} for i in range(100)]
    assert len(testbed.task("bridge", desired)["changes"]) == 100
    assert not testbed.task("bridge", desired)["changed"]
