# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``virtnet check`` follows the packets of guests where the routes and rules of the host (ip-rule(8)) really lead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel.guard_testbed import GuardTestbed, network_without_services
from kernel.polling import wait_until
from kernel.testbed import OUTSIDE, Namespace

LAB = network_without_services(
    "lab", ipv4={"address": "192.168.30.1/24"}, ipv6={"address": "fd00:a::1/64", "ra": False}
)
DMZ = network_without_services(
    "dmz", ipv4={"address": "192.168.31.1/24"}, ipv6={"address": "fd00:b::1/64", "ra": False}
)
# The other end of the VPN, and an address behind it.
TUNNEL = {4: "10.99.0.1", 6: "fd99::1"}
TUNNEL_HOST = {4: "10.99.0.2/24", 6: "fd99::2/64"}
BEHIND = {4: "9.9.9.9", 6: "2620:fe::9"}
UPLINK6, OUTSIDE6 = "2001:db8::2/64", "2001:db8::1/64"
KILL_SWITCH = """
table inet kill {
    chain out {
        type filter hook forward priority filter; policy drop;
        oifname "tun0" accept
        iifname "tun0" ct state established accept
    }
}
"""


class VpnTestbed(GuardTestbed):
    """A host with two ways out: the uplink, and a tunnel that its main routing table does not name."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        for namespace, address in ((self.outside, OUTSIDE6), (self.host, UPLINK6)):
            namespace.run("ip", "address", "add", address, "dev", "eth0", "nodad")
        self.host.run("ip", "-6", "route", "add", "default", "via", OUTSIDE6.partition("/")[0])
        # With br_netfilter the kill switch would stop frames between guests too.
        self.host.run("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0", check=False)
        self.vpn = Namespace("vpn")
        self.namespaces.append(self.vpn)
        self.add_veth(self.vpn, "eth0", f"{TUNNEL[4]}/24", "tun0")
        self.vpn.run("ip", "address", "add", f"{TUNNEL[6]}/64", "dev", "eth0", "nodad")
        for version in (4, 6):
            self.vpn.run("ip", "address", "add", BEHIND[version], "dev", "lo", *(["nodad"] if version == 6 else []))
            nodad = ["nodad"] if version == 6 else []
            self.host.run("ip", "address", "add", TUNNEL_HOST[version], "dev", "tun0", *nodad)
            self.host.run("ip", f"-{version}", "route", "add", "default", "via", TUNNEL[version], "table", "100")

    def rule(self, *rule: str, versions: tuple[int, ...] = (4, 6)) -> None:
        for version in versions:
            self.host.run("ip", f"-{version}", "rule", "add", *rule)

    def add_connected_guest(self) -> Namespace:
        """A guest that reaches what is behind the tunnel in both families."""
        guest = self.add_guest("vn-lab", "192.168.30.50/24", "192.168.30.1")
        guest.run("ip", "address", "add", "fd00:a::50/64", "dev", "eth0", "nodad")
        guest.run("ip", "-6", "route", "add", "default", "via", "fd00:a::1")
        for address in BEHIND.values():
            wait_until(lambda: guest.pings(address))  # noqa: B023
        return guest

    def check(self) -> str:
        return self.command("check", check=False)


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[VpnTestbed]:
    testbed = VpnTestbed(tmp_path)
    try:
        testbed.run_playbook(LAB)
        yield testbed
    finally:
        testbed.close()


@pytest.mark.parametrize("rule", ["iif vn-lab lookup 100", "fwmark 2 lookup 100", "ipproto tcp dport 443 lookup 100"])
def test_a_kill_switch_is_no_problem_where_policy_routing_leads_guests_into_the_tunnel(
    testbed: VpnTestbed, rule: str
) -> None:
    testbed.host.run("nft", "-f", "-", stdin=KILL_SWITCH)
    if "fwmark" in rule:
        mark = "add chain inet kill set_mark { type filter hook prerouting priority mangle; }\n"
        testbed.host.run("nft", "-f", "-", stdin=f'{mark}add rule inet kill set_mark iifname "vn-lab" meta mark set 2')
    testbed.rule(*rule.split())
    if "dport" not in rule:
        testbed.add_connected_guest()
    assert testbed.check() == "All is well: 1 of 1 networks run.\n"


def test_of_several_uplinks_the_one_that_routes_lead_to_is_checked(testbed: VpnTestbed) -> None:
    testbed.run_playbook({**LAB, "uplink": ["eth0", "tun0"]})
    assert "by eth0, tun0" in testbed.command("show", "lab")
    testbed.host.run("nft", "-f", "-", stdin=KILL_SWITCH)
    assert "guest to outside (IPv6) are dropped by the policy of chain out" in testbed.check()
    testbed.rule("iif", "vn-lab", "lookup", "100")
    testbed.add_connected_guest()
    assert testbed.check() == "All is well: 1 of 1 networks run.\n"


@pytest.mark.parametrize("version", [4, 6])
def test_a_kill_switch_is_named_where_guests_are_led_past_the_tunnel(testbed: VpnTestbed, version: int) -> None:
    testbed.host.run("nft", "-f", "-", stdin=KILL_SWITCH)
    testbed.rule("iif", "vn-lab", "lookup", "100", versions=(10 - version,))
    assert f"packets guest to outside (IPv{version}) are dropped by the policy of chain out" in testbed.check()


@pytest.mark.parametrize("refusal", ["prohibit", "unreachable", "blackhole"])
def test_a_rule_that_refuses_packets_of_guests_is_named_with_the_command_that_shows_it(
    testbed: VpnTestbed, refusal: str
) -> None:
    testbed.rule("iif", "vn-lab", refusal)
    notes = testbed.check()
    for version, address, guest in ((4, "9.9.9.9", "192.168.30.2"), (6, "2620:fe::9", "fd00:a::2")):
        assert f"a route or a rule of this host (ip-rule(8)) refuses packets guest to outside (IPv{version})" in notes
        assert f"ip route get {address} from {guest} iif vn-lab" in notes
    assert "All is well" in notes and "dropped" not in notes


def test_a_host_without_a_route_says_so_once_for_all_networks(testbed: VpnTestbed) -> None:
    isolated = network_without_services("alone", mode="isolated", ipv6={"address": "fd00:c::1/64", "ra": False})
    testbed.run_playbook(LAB, DMZ, isolated)
    testbed.host.run("ip", "-6", "route", "delete", "default")
    assert testbed.check() == (
        "note: this host has no IPv6 route to the outside, so guests of networks 'dmz', 'lab' do not reach it by IPv6\n"
        "All is well: 3 of 3 networks run.\n"
    )
    testbed.host.run("ip", "route", "delete", "default")
    assert "note: this host has no IPv4 route to the outside, so guests of" in testbed.check()


def test_a_port_forward_of_a_host_without_a_route_is_checked_all_the_same(testbed: VpnTestbed) -> None:
    forward = {"protocol": "tcp", "port": 8080, "to": "192.168.30.50", "to_port": 80}
    testbed.run_playbook({**LAB, "port_forwards": [forward]})
    for version in (4, 6):
        testbed.host.run("ip", f"-{version}", "route", "delete", "default")
    assert "dropped" not in testbed.check()
    testbed.host.run("nft", "-f", "-", stdin=KILL_SWITCH)
    assert "outside to guest (tcp *:8080 -> 192.168.30.50:80) (IPv4) " in testbed.check()


def test_a_route_back_that_leads_elsewhere_is_named(testbed: VpnTestbed) -> None:
    """A VPN that takes all routes, those to guests too: the host drops what guests send (rp_filter)."""
    testbed.host.run("sysctl", "-qw", "net.ipv4.conf.vn-lab.rp_filter=1")
    testbed.rule("not", "iif", "lo", "lookup", "100", versions=(4,))
    testbed.rule("to", "192.168.30.0/24", "lookup", "100", versions=(4,))
    assert (
        "network 'lab': packets guest to outside (IPv4) are dropped, since the route of this host to 192.168.30.2 does "
        "not lead to vn-lab (rp_filter); let one lead there: ip rule add to 192.168.30.0/24 lookup main pref 1"
    ) in testbed.check()
    testbed.host.run("ip", "rule", "add", "to", "192.168.30.0/24", "lookup", "main", "pref", "1")
    assert "All is well" in testbed.check()


def forwarding(testbed: VpnTestbed, interface: str) -> str:
    return testbed.host.run("cat", f"/proc/sys/net/ipv4/conf/{interface}/forwarding").strip()


def test_guests_are_not_cut_where_new_interfaces_do_not_forward(tmp_path: Path) -> None:
    testbed = VpnTestbed(tmp_path)
    try:
        alone = network_without_services("alone", mode="isolated")
        testbed.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.default.forwarding=0")
        testbed.run_playbook(LAB, alone)
        assert (forwarding(testbed, "vn-lab"), forwarding(testbed, "vn-alone")) == ("1", "0")
        guest = testbed.add_guest("vn-lab", "192.168.30.50/24", "192.168.30.1")
        wait_until(lambda: guest.pings(OUTSIDE))
        assert testbed.run_playbook(LAB, alone)["changes"] == []
        testbed.task("bridge", [], purge=True)
        assert forwarding(testbed, "default") == "0"
    finally:
        testbed.close()


def test_a_bridge_that_does_not_forward_any_more_is_put_right_by_a_run_and_by_the_guard(testbed: VpnTestbed) -> None:
    guest = testbed.add_guest("vn-lab", "192.168.30.50/24", "192.168.30.1")
    wait_until(lambda: guest.pings(OUTSIDE))
    testbed.host.run("sysctl", "-qw", "net.ipv4.conf.vn-lab.forwarding=0")
    assert testbed.check() == "not as defined: bridge vn-lab: forwarding 0 -> 1 is due\n"
    testbed.run_playbook(LAB)
    assert forwarding(testbed, "vn-lab") == "1"
    testbed.start_guard()
    testbed.host.run("sysctl", "-qw", "net.ipv4.conf.vn-lab.forwarding=0")
    wait_until(lambda: "Repaired: bridge vn-lab: forwarding 0 -> 1." in testbed.journal)
    assert guest.pings(OUTSIDE)


def test_an_uplink_that_does_not_forward_is_left_to_its_owner_and_named(testbed: VpnTestbed) -> None:
    testbed.start_guard()
    testbed.host.run("sysctl", "-qw", "net.ipv4.conf.eth0.forwarding=0")
    message = "this host does not forward IPv4 packets that arrive on eth0, so guests of network 'lab' get no replies"
    wait_until(lambda: message in testbed.journal)
    assert message in testbed.check()
    assert any(message in line for line in testbed.task("nft", testbed.define(LAB, check=True)["rules"])["warnings"])
    assert forwarding(testbed, "eth0") == "0"
    (command,) = re.findall(r"let it: (sysctl -w \S+)", testbed.check())
    testbed.host.run(*command.split())
    assert testbed.check() == "All is well: 1 of 1 networks run.\n"


def test_ipv6_is_forwarded_whatever_one_interface_says(testbed: VpnTestbed) -> None:
    """So there is nothing to put right: the kernel asks one switch for all interfaces."""
    testbed.rule("iif", "vn-lab", "lookup", "100")
    for interface in ("vn-lab", "tun0"):
        testbed.host.run("sysctl", "-qw", f"net.ipv6.conf.{interface}.forwarding=0")
    testbed.add_connected_guest()
    assert testbed.check() == "All is well: 1 of 1 networks run.\n"
