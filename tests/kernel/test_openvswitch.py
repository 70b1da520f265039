# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bridges of a real Open vSwitch, in its userspace datapath."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.matrix import measure
from kernel.ovs_testbed import OpenvswitchTestbed
from kernel.polling import eventually

LAB: dict[str, Any] = {"name": "br-lab", "type": "openvswitch", "addresses": ["192.168.30.1/24"]}
FULL: dict[str, Any] = {
    **LAB,
    "mac": "52:54:00:aa:bb:cc",
    "mtu": 1400,
    "rstp": True,
    "forward_delay": 5,
    "fail_mode": "standalone",
    "isolate_guests": True,
    "addresses": ["192.168.30.1/24", "fd00:30::1/64"],
    "vlans": [{"port": "br-lab", "tag": 7}, {"port": "tap3", "trunks": [7, 8], "tag": 7, "mode": "native-untagged"}],
}
STACK_SETTINGS = ("ipv4/conf/tap3/arp_ignore", "ipv4/conf/tap3/forwarding", "ipv6/conf/tap3/disable_ipv6")


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[OpenvswitchTestbed]:
    testbed = OpenvswitchTestbed(tmp_path)
    yield testbed
    testbed.close()


def stack_settings(testbed: OpenvswitchTestbed) -> list[str]:
    """How the host's own network stack treats a guest's port."""
    return testbed.host.run("cat", *(f"/proc/sys/net/{name}" for name in STACK_SETTINGS)).split()


def test_check_mode_predicts_the_real_run_and_the_second_run_changes_nothing(testbed: OpenvswitchTestbed) -> None:
    guest = ""
    for desired in ([LAB], [FULL], [{**FULL, "mac": "52:54:00:aa:bb:dd"}], [LAB], [{**LAB, "state": "absent"}], [FULL]):
        predicted = testbed.task("bridge", desired, check=True)
        assert testbed.task("bridge", desired) == predicted
        assert predicted["changed"]
        assert not testbed.task("bridge", desired)["changed"]
        if not guest:
            guest = testbed.add_guest("br-lab", "192.168.30.2/24").name
            assert testbed.task("bridge", desired)["changes"] == ["bridge br-lab: ip_stack_disabled [] -> ['tap3']"]


def test_options_become_rows_and_a_link(testbed: OpenvswitchTestbed) -> None:
    testbed.task("bridge", [LAB])
    testbed.add_guest("br-lab", "192.168.30.2/24")
    result = testbed.task("bridge", [FULL])
    assert "mtu 1500 -> 1400" in result["changes"][0]
    link = testbed.link("br-lab")
    assert (link["address"], link["mtu"], link["ifalias"]) == ("52:54:00:aa:bb:cc", 1400, "virtnet.linux")
    assert {"192.168.30.1", "fd00:30::1"} <= {address["local"] for address in link["addr_info"]}
    assert testbed.host.vsctl("get", "bridge", "br-lab", "rstp_enable", "stp_enable").split() == ["true", "false"]
    assert testbed.host.vsctl("get", "bridge", "br-lab", "other_config:rstp-forward-delay") == '"5"'
    assert testbed.port("br-lab")["tag"] == "7"
    assert testbed.port("tap3") == {"tag": "7", "trunks": "[7, 8]", "vlan_mode": "native-untagged", "protected": "true"}
    testbed.task("bridge", [{**LAB, "fail_mode": "secure"}])
    assert testbed.host.vsctl("get-fail-mode", "br-lab") == "secure"
    assert testbed.port("br-lab")["tag"] == "[]"
    assert testbed.port("tap3")["protected"] == "false"


def test_the_mac_table_size_can_be_set_changed_and_left_to_open_vswitch(
    testbed: OpenvswitchTestbed,
) -> None:
    testbed.task("bridge", [LAB])

    def columns() -> tuple[str, str]:
        first, second = (
            testbed.host.vsctl("get", "bridge", "br-lab", name) for name in ("other_config", "external_ids")
        )
        return first, second

    initial = columns()
    for size in (50, 60):
        desired = [{**LAB, "fdb_max_learned": size}]
        predicted = testbed.task("bridge", desired, check=True)
        assert testbed.task("bridge", desired) == predicted
        assert f'mac-table-size="{size}"' in columns()[0]
        assert not testbed.task("bridge", desired)["changed"]
    assert testbed.task("bridge", [LAB])["changes"] == ["bridge br-lab: fdb_max_learned 60 -> 0"]
    assert columns() == initial
    # A value that another program has set stays, until ours is changed.
    testbed.host.vsctl("set", "bridge", "br-lab", "other_config:mac-table-size=4000")
    assert not testbed.task("bridge", [LAB])["changed"]
    assert testbed.task("bridge", [{**LAB, "fdb_max_learned": 4000}])["changed"]
    assert not testbed.task("bridge", [{**LAB, "fdb_max_learned": 4000}])["changed"]


def test_guests_reach_only_guests_of_the_same_vlan(testbed: OpenvswitchTestbed) -> None:
    testbed.task("bridge", [{**LAB, "vlans": [{"port": "br-lab", "tag": 7}, {"port": "tap3", "tag": 7}]}])
    inside = testbed.add_guest("br-lab", "192.168.30.2/24")
    outside = testbed.add_guest("br-lab", "192.168.30.3/24")
    testbed.task("bridge", [{**LAB, "vlans": [{"port": "br-lab", "tag": 7}, {"port": "tap3", "tag": 7}]}])
    assert inside.pings("192.168.30.1")
    assert not outside.pings("192.168.30.1")
    assert not outside.pings("192.168.30.2")


def test_isolated_guests_reach_only_the_host(testbed: OpenvswitchTestbed) -> None:
    testbed.task("bridge", [LAB])
    guest = testbed.add_guest("br-lab", "192.168.30.2/24")
    testbed.add_guest("br-lab", "192.168.30.3/24")
    testbed.task("bridge", [{**LAB, "isolate_guests": True}])
    assert guest.pings("192.168.30.1")
    assert not guest.pings("192.168.30.3")
    testbed.task("bridge", [LAB])
    assert guest.pings("192.168.30.3")


def test_the_ip_stack_is_disabled_on_ports_and_restored(testbed: OpenvswitchTestbed) -> None:
    testbed.task("bridge", [LAB])
    testbed.add_guest("br-lab", "192.168.30.2/24")
    before = stack_settings(testbed)
    testbed.task("bridge", [LAB])
    assert stack_settings(testbed) == ["8", "0", "1"]
    testbed.task("bridge", [{**LAB, "state": "absent"}])
    assert stack_settings(testbed) == before != ["8", "0", "1"]
    assert testbed.host.vsctl("list-br") == ""


@pytest.mark.parametrize("fault", [["ip", "link", "delete", "br-lab"], ["stopped"]])
def test_ports_and_settings_return_with_a_recreated_bridge(testbed: OpenvswitchTestbed, fault: list[str]) -> None:
    bridge = {**LAB, "vlans": [{"port": "tap4", "tag": 0}]}
    testbed.task("bridge", [bridge])
    guest = testbed.add_guest("br-lab", "192.168.30.2/24")
    other = testbed.add_guest("br-lab", "192.168.30.3/24")
    testbed.host.vsctl("set", "interface", "tap3", 'external_ids:note="a \\"quoted\\" {text}, of others"')
    testbed.task("bridge", [bridge])
    if fault == ["stopped"]:
        removal = testbed.task("bridge", [{**LAB, "state": "absent"}])
        assert removal["changes"] == ["bridge br-lab: deleted, which detaches tap3, tap4"]
    else:
        testbed.host.run(*fault)
    assert "tap3, tap4" in testbed.task("bridge", [bridge])["changes"][0]
    assert not testbed.task("bridge", [bridge])["changed"]
    assert guest.pings("192.168.30.1") and guest.pings("192.168.30.3") and other.pings("192.168.30.1")
    assert 'a \\"quoted\\" {text}, of others' in testbed.host.vsctl("get", "interface", "tap3", "external_ids:note")
    assert testbed.port("tap4")["tag"] == "0"


def test_a_run_after_a_restart_of_open_vswitch_converges(testbed: OpenvswitchTestbed) -> None:
    testbed.task("bridge", [FULL])
    guest = testbed.add_guest("br-lab", "192.168.30.2/24")
    testbed.task("bridge", [{**FULL, "vlans": []}])
    testbed.host.stop_switch()
    failed = testbed.task("bridge", [{**FULL, "vlans": []}])["msg"]
    assert failed.startswith("bridge 'br-lab': Open vSwitch's ovsdb-server does not run")
    assert failed.endswith("start it: systemctl start openvswitch-switch")
    testbed.host.start_switch()
    testbed.task("bridge", [{**FULL, "vlans": []}])
    assert not testbed.task("bridge", [{**FULL, "vlans": []}])["changed"]
    assert eventually(lambda: guest.pings("192.168.30.1"))


def test_a_stopped_vswitchd_is_reported(testbed: OpenvswitchTestbed) -> None:
    testbed.task("bridge", [LAB])
    testbed.host.stop("ovs-vswitchd")
    expected = "bridge 'br-lab': Open vSwitch's ovs-vswitchd does not run; start it: systemctl start openvswitch-switch"
    assert testbed.task("bridge", [{**LAB, "mtu": 1400}])["msg"] == expected


def test_foreign_bridges_and_other_types_are_refused(testbed: OpenvswitchTestbed) -> None:
    testbed.host.vsctl("add-br", "br-lab", "--", "set", "bridge", "br-lab", "datapath_type=netdev")
    expected = "'br-lab' is already a bridge of Open vSwitch that virtnet.linux did not create"
    assert expected in testbed.task("bridge", [LAB])["msg"]
    removal = testbed.task("bridge", [{**LAB, "state": "absent"}])
    assert removal["warnings"] == ["br-lab was not created by virtnet.linux and is not deleted"]
    assert not testbed.task("bridge", [], purge=True)["changed"]
    testbed.host.vsctl("del-br", "br-lab")
    linux = {"name": "br-lab", "addresses": ["192.168.30.1/24"]}
    for first, second, first_type in ((linux, LAB, "a Linux bridge"), (LAB, linux, "a bridge of Open vSwitch")):
        testbed.task("bridge", [first])
        refused = testbed.task("bridge", [second])["msg"]
        assert first_type in refused and "remove it first" in refused
        assert testbed.task("bridge", [], purge=True)["changes"] == ["bridge br-lab: deleted"]
        assert testbed.link("br-lab") is None


def test_an_interface_of_the_host_becomes_a_port_and_belongs_to_one_bridge(testbed: OpenvswitchTestbed) -> None:
    testbed.host.run("ip", "link", "add", "eth9", "type", "veth", "peer", "name", "eth9p")
    testbed.host.run("ip", "link", "set", "eth9", "up")
    result = testbed.task("bridge", [{**LAB, "ports": ["eth9"], "vlans": [{"port": "eth9", "trunks": [5]}]}])
    assert result["changed"]
    assert testbed.host.vsctl("port-to-br", "eth9") == "br-lab"
    assert testbed.port("eth9")["trunks"] == "[5]"
    other = testbed.task("bridge", [{"name": "br-b", "ports": ["eth9"]}])
    assert "is a port of br-lab; remove it from there first" in other["msg"]
    assert "default route" in testbed.task("bridge", [{**LAB, "ports": ["eth0"]}])["msg"]


def test_without_open_vswitch_the_error_names_the_package(tmp_path: Path) -> None:
    from kernel.testbed import NamespaceTestbed

    testbed = NamespaceTestbed(tmp_path)
    try:
        failed = testbed.task("bridge", [LAB])["msg"]
    finally:
        testbed.close()
    assert failed == (
        "bridge 'br-lab': bridges[0].type: 'openvswitch' needs Open vSwitch, which is not installed on this host; "
        "install the package openvswitch-switch, or use linux"
    )


@pytest.mark.parametrize("mode", ["nat", "isolated"])
def test_packets_pass_as_on_a_linux_bridge(mode: str) -> None:
    assert measure(mode, OpenvswitchTestbed) == measure(mode)
