# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A private dnsmasq at ports of its own, beside servers that hold the usual ones, and the rules that lead to it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.system_service import NoUsableDnsmasq
from kernel.dhcp_client import renewals, take_leases
from kernel.dnsmasq_matrix import REFUSED_CASES
from kernel.dnsmasq_move import RENEWALS
from kernel.dnsmasq_options import load_rules, options_in_force
from kernel.dnsmasq_testbed import (
    BRIDGE_ADDRESS,
    LAB_FRAGMENT,
    NAMED_ADDRESS,
    OK,
    Daemon,
    DnsmasqTestbed,
    get_lease,
    observe,
    resolve,
    serving,
)
from kernel.test_dnsmasq import SERVED_CASES

LAB: dict[str, Any] = {**LAB_FRAGMENT, "instance": "private", "redirect": True}
_BRIDGE_ADDRESS6 = "fd00:100::1"
_SECOND_ADDRESS = "192.168.150.1"
_ADDRESSES = (BRIDGE_ADDRESS, _SECOND_ADDRESS, _BRIDGE_ADDRESS6)
# Configurations of the administrator's dnsmasq, which holds ports 53 or 67 of the bridge's address.
RESIDENTS = {
    "as-packaged": "",
    "with-a-lan-range": "dhcp-range=10.1.0.100,10.1.0.150,1h\n",
    "no-dns-but-dhcp": "port=0\ndhcp-range=10.1.0.100,10.1.0.150,1h\n",
    "bind-interfaces": "bind-interfaces\n",
    "bind-dynamic-with-a-lan-range": "bind-dynamic\ndhcp-range=10.1.0.100,10.1.0.150,1h\n",
}


@pytest.fixture
def redirected(testbed: DnsmasqTestbed) -> Iterator[DnsmasqTestbed]:
    load_rules(testbed, _ADDRESSES)
    yield testbed
    testbed.host.run("nft", "delete", "table", "inet", "virtnet")


@pytest.mark.parametrize("case", RESIDENTS)
def test_guests_are_served_beside_a_dnsmasq_that_holds_the_ports(
    redirected: DnsmasqTestbed, tmp_path: Path, case: str
) -> None:
    with serving(redirected, tmp_path, RESIDENTS[case]) as daemon:
        before = observe(redirected, tmp_path)
        daemon.converge(LAB)
        after = observe(redirected, tmp_path)
        assert (after.guest_lease, after.others) == (True, before.others), daemon.log
        lease = get_lease(redirected.guest, tmp_path, "vmone")
        assert lease["serverid"] == BRIDGE_ADDRESS
        for namespace in (redirected.guest, redirected.host):
            assert resolve(namespace, BRIDGE_ADDRESS, "vmone.virt.test") == lease["ip"]
        leases = take_leases(redirected.guest, RENEWALS)
        assert renewals(redirected.guest, leases, BRIDGE_ADDRESS) == RENEWALS == len(leases)
        assert (daemon.restarts, daemon.converge(LAB).changes) == (1 if daemon.fragments else 0, [])


@pytest.mark.parametrize("protocol", ["+notcp", "+tcp"])
@pytest.mark.parametrize("server", [BRIDGE_ADDRESS, _SECOND_ADDRESS, _BRIDGE_ADDRESS6])
def test_each_address_of_the_bridge_leads_to_the_name_server_of_the_network(
    redirected: DnsmasqTestbed, tmp_path: Path, server: str, protocol: str
) -> None:
    redirected.host.run("ip", "address", "add", f"{_SECOND_ADDRESS}/24", "dev", "virt0")
    redirected.host.run("ip", "address", "add", f"{_BRIDGE_ADDRESS6}/64", "dev", "virt0", "nodad")
    for cidr in ("192.168.100.9/24", "192.168.150.9/24", "fd00:100::9/64"):
        redirected.guest.run("ip", "address", "add", cidr, "dev", "eth0", *(["nodad"] if ":" in cidr else []))
    names = {"hosts": [{"ip": "192.168.100.77", "names": ["own"]}]}
    with serving(redirected, tmp_path) as daemon:
        daemon.converge({**LAB, "names": names})
        for namespace in (redirected.guest, redirected.host):
            found = namespace.run("dig", protocol, "+time=2", "+tries=2", "+short", f"@{server}", "own.virt.test")
            assert found.stdout.strip() == "192.168.100.77"


def test_the_systems_dnsmasq_resolves_names_of_the_network_for_the_host_and_its_lan(
    redirected: DnsmasqTestbed, tmp_path: Path
) -> None:
    with serving(redirected, tmp_path) as daemon:
        daemon.converge(LAB)
        lease = get_lease(redirected.guest, tmp_path, "vmone")
        assert resolve(redirected.host, "127.0.0.1", "vmone.virt.test") == lease["ip"]
        assert resolve(redirected.host, "127.0.0.1") == NAMED_ADDRESS


@contextlib.contextmanager
def _other_server(testbed: DnsmasqTestbed, address: str) -> Iterator[None]:
    """A program that holds DNS and DHCP ports and shares them with nobody."""
    with contextlib.ExitStack() as stack:
        with testbed.host.entered():
            for port, kind in ((53, socket.SOCK_DGRAM), (53, socket.SOCK_STREAM), (67, socket.SOCK_DGRAM)):
                holder = stack.enter_context(socket.socket(socket.AF_INET, kind))
                holder.bind((address, port))
                if kind == socket.SOCK_STREAM:
                    holder.listen()
        yield


@pytest.mark.parametrize("address", ["0.0.0.0", BRIDGE_ADDRESS])
def test_guests_are_served_beside_any_program_that_holds_the_ports(
    redirected: DnsmasqTestbed, tmp_path: Path, address: str
) -> None:
    daemon = Daemon(redirected.host, tmp_path, installed=False)
    with _other_server(redirected, address):
        try:
            daemon.converge(LAB)
            lease = get_lease(redirected.guest, tmp_path, "vmone")
            assert resolve(redirected.guest, BRIDGE_ADDRESS, "vmone.virt.test") == lease["ip"]
        finally:
            daemon.private.close()


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_rules_of_others_for_a_published_name_server_do_not_take_the_guests_queries(
    testbed: DnsmasqTestbed, tmp_path: Path, first: str
) -> None:
    """As Docker's for a container that publishes port 53, whichever table was loaded first."""
    chains = "; ".join(
        f"chain {hook} {{ type nat hook {hook} priority -100; fib daddr type local udp dport 53 dnat ip to 10.1.0.5; }}"
        for hook in ("prerouting", "output")
    )
    loads = {
        "ours": lambda: load_rules(testbed, _ADDRESSES),
        "theirs": lambda: testbed.host.run("nft", f"table inet docker {{ {chains}; }}"),
    }
    for name in sorted(loads, key=lambda name: name != first):
        loads[name]()
    try:
        with serving(testbed, tmp_path) as daemon:
            daemon.converge(LAB)
            lease = get_lease(testbed.guest, tmp_path, "vmone")
            for namespace in (testbed.guest, testbed.host):
                assert resolve(namespace, BRIDGE_ADDRESS, "vmone.virt.test") == lease["ip"]
    finally:
        testbed.host.run("nft", "flush", "ruleset")


def test_a_program_at_our_own_port_is_named(redirected: DnsmasqTestbed, tmp_path: Path) -> None:
    daemon = Daemon(redirected.host, tmp_path, installed=False)
    with redirected.host.entered(), socket.socket() as holder:
        holder.bind(("0.0.0.0", 23053))
        holder.listen()
        with pytest.raises(NoUsableDnsmasq, match=r"holds TCP port 23053 on every address; stop that"):
            daemon.converge(LAB)


def test_networks_share_one_redirected_instance_and_renewals_reach_it(
    redirected: DnsmasqTestbed, tmp_path: Path
) -> None:
    redirected.bridge("virt1", "192.168.101.1/24")
    ranges = [{"start": "192.168.101.2", "end": "192.168.101.99"}]
    other = {**LAB, "name": "n1", "interface": "virt1", "address": "192.168.101.1/24", "ranges": ranges}
    with serving(redirected, tmp_path, RESIDENTS["with-a-lan-range"]) as daemon:
        daemon.converge(LAB, {**other, "domain": "n1.test"})
        assert daemon.private.starts == ["_redirected"]
        leases = take_leases(redirected.guest, RENEWALS)
        assert renewals(redirected.guest, leases, BRIDGE_ADDRESS) == RENEWALS == len(leases)


def test_leases_go_along_when_a_network_gets_ports_of_its_own_and_back(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path, "bind-dynamic\n") as daemon:
        daemon.converge(LAB_FRAGMENT)
        lease = get_lease(testbed.guest, tmp_path, "vmone")
        load_rules(testbed, _ADDRESSES)
        daemon.converge(LAB)
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "vmone.virt.test") == lease["ip"]
        testbed.host.run("nft", "delete", "table", "inet", "virtnet")
        daemon.converge(LAB_FRAGMENT)
        assert resolve(testbed.guest, BRIDGE_ADDRESS, "vmone.virt.test") == lease["ip"]


def test_lan_hosts_do_not_reach_the_redirected_name_server(redirected: DnsmasqTestbed, tmp_path: Path) -> None:
    redirected.lan.run("ip", "route", "add", "192.168.100.0/24", "via", "10.1.0.1")
    with serving(redirected, tmp_path) as daemon:
        daemon.converge(LAB)
        lease = get_lease(redirected.guest, tmp_path, "vmone")
        assert resolve(redirected.guest, BRIDGE_ADDRESS, "vmone.virt.test") == lease["ip"]
        for port in ("53", "23053"):
            query = ("dig", "-p", port, "+time=1", "+tries=1", "+short", f"@{BRIDGE_ADDRESS}", "vmone.virt.test")
            assert lease["ip"] not in redirected.lan.run(*query, check=False).stdout
        assert resolve(redirected.lan, "10.1.0.1").replace(NAMED_ADDRESS, OK) == OK


@pytest.mark.parametrize("case", [*SERVED_CASES, *REFUSED_CASES])
def test_every_option_is_in_force_beside_a_dnsmasq_of_any_configuration(case: str) -> None:
    served = options_in_force(*(SERVED_CASES.get(case) or REFUSED_CASES[case])[:2])
    assert not [f"{kind}: {by}" for kind, by in served.items() if "NOT" in by]
    assert all("private" in by for kind, by in served.items() if kind != "DHCP line")
