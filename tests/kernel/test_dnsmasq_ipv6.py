# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""IPv6 from a real dnsmasq: advertisements seen by the kernel and by rdisc6, DHCPv6 by dhclient; nothing elsewhere."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.lease_file import parse
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import Network, read_network
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.leases import leases_of
from kernel.dhcp_client import dhcp6, take_leases
from kernel.dnsmasq_testbed import (
    BRIDGE_ADDRESS,
    NAMED_ADDRESS,
    DnsmasqTestbed,
    NamedNamespace,
    get_lease,
    new_testbed,
    resolve,
    serving,
)
from kernel.dnsmasq_testbed import (
    LAB_FRAGMENT as LAB,
)
from kernel.polling import eventually
from kernel.test_dnsmasq_private import DaemonWithoutService

ADDRESS6 = "fd00:100::1"
MAC, INTERFACE_ID = "52:54:00:00:00:01", "5054:ff:fe00:1"
ONLY6: dict[str, Any] = {"name": "lab", "interface": "virt0", "domain": "virt.test"}
RANGE = {"start": "fd00:100::100", "end": "fd00:100::1ff", "lease_time": "15m"}


@pytest.fixture(scope="module")
def shared_testbed() -> Iterator[DnsmasqTestbed]:
    with new_testbed() as testbed:
        for namespace in (testbed.guest, testbed.host):
            namespace.run("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
        # As in the rules of every network that is not isolated.
        testbed.host.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        testbed.lan.run("ip", "address", "add", "fd00:1::5/64", "dev", "eth0", "nodad")
        testbed.host.run("ip", "address", "add", "fd00:1::1/64", "dev", "eth0", "nodad")
        yield testbed


@pytest.fixture
def testbed(shared_testbed: DnsmasqTestbed) -> Iterator[DnsmasqTestbed]:
    shared_testbed.bridge()
    shared_testbed.host.run("ip", "address", "add", f"{ADDRESS6}/64", "dev", "virt0", "nodad")
    shared_testbed.plug()
    yield shared_testbed
    shared_testbed.delete_bridges()


def lab(service: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {**LAB, "ipv6": {"address": f"{ADDRESS6}/64", **service}, **options}


def only6(service: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {**ONLY6, "ipv6": {"address": f"{ADDRESS6}/64", **service}, **options}


def has_own_address(namespace: NamedNamespace) -> bool:
    output = namespace.run("ip", "-j", "-6", "address", "show", "dev", "eth0", "scope", "global").stdout
    return any(
        address.get("local") == f"fd00:100::{INTERFACE_ID}" and "tentative" not in address
        for link in json.loads(output)
        for address in link.get("addr_info", [])
    )


def router_advertisement(namespace: NamedNamespace) -> str:
    """The answer of a router to a solicitation; '' if there is none."""
    result = namespace.run("rdisc6", "-1", "-r", "3", "-w", "1000", "eth0", check=False)
    return "" if result.returncode else result.stdout


@contextlib.contextmanager
def capture_on_lan(testbed: DnsmasqTestbed) -> Iterator[list[str]]:
    """The IPv6 packets that the host sends on its LAN meanwhile."""
    packets: list[str] = []
    expression = "icmp6 and ip6[40] == 134 or udp port 546"
    listener = testbed.lan.start("tcpdump", "-l", "-n", "-i", "eth0", "-Q", "in", expression)
    assert listener.stdout is not None
    assert "listening on" in next(line for line in listener.stdout if "listening" in line)
    try:
        yield packets
    finally:
        listener.terminate()
        out, _ = listener.communicate(timeout=10)
        packets += [line for line in out.splitlines() if "IP6" in line]


def test_guests_configure_addresses_and_no_other_link_gets_advertisements(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    # The system serves DHCPv6 on the LAN, so that a global enable-ra of ours would be visible there.
    system = "dhcp-range=fd00:1::100,fd00:1::1ff,64,1h\n"
    with serving(testbed, tmp_path, system) as daemon, capture_on_lan(testbed) as packets:
        daemon.converge(lab({}))
        assert eventually(lambda: has_own_address(testbed.guest))
        advertisement = router_advertisement(testbed.guest)
        assert not router_advertisement(testbed.lan)
        assert dhcp6(testbed.lan, tmp_path)["new_ip6_address"].startswith("fd00:1::1")
        assert resolve(testbed.guest, ADDRESS6) == NAMED_ADDRESS
        route = testbed.guest.run("ip", "-6", "route").stdout
    assert re.search("^default via fe80::.* proto ra", route, re.MULTILINE), route
    assert re.search(r"Stateful address conf.\s*:\s+No", advertisement)
    assert re.search(r"Recursive DNS server\s*:\s*" + ADDRESS6, advertisement)
    assert "virt.test" in advertisement
    # Only the LAN's own DHCPv6 is visible there.
    assert packets
    assert all("dhcp6" in line for line in packets), packets


def test_a_second_prefix_of_the_bridge_is_advertised_too(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    testbed.host.run("ip", "address", "add", "fd00:102::1/64", "dev", "virt0", "nodad")
    try:
        with serving(testbed, tmp_path) as daemon:
            daemon.converge(lab({}))
            assert eventually(lambda: "fd00:102::/64" in router_advertisement(testbed.guest))
            assert "fd00:100::/64" in router_advertisement(testbed.guest)
            assert eventually(lambda: "fd00:102::" in testbed.guest.run("ip", "-6", "address", "show", "eth0").stdout)
    finally:
        testbed.host.run("ip", "address", "del", "fd00:102::1/64", "dev", "virt0")


def test_guests_stop_using_a_deprecated_prefix(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    """The network is renumbered to fd00:100::/64: its old addresses go on, and none is used for new connections."""
    old, new = "fd00:102::/64", "fd00:100::/64"

    def prefixes(*, deprecated: bool) -> set[str]:
        (link,) = json.loads(testbed.guest.run("ip", "-6", "-j", "address", "show", "eth0").stdout)
        addresses = [one for one in link["addr_info"] if one.get("scope") == "global"]
        # A guest counts no lifetime of less than two hours (RFC 4862 section 5.5.3).
        assert all(3600 < one["valid_life_time"] <= 7200 for one in addresses if one.get("deprecated"))
        chosen = (one["local"] for one in addresses if bool(one.get("deprecated")) == deprecated)
        return {str(ipaddress.ip_interface(f"{address}/64").network) for address in chosen}

    def source() -> str:
        (route,) = json.loads(testbed.guest.run("ip", "-6", "-j", "route", "get", "2001:db8::1").stdout)
        return str(ipaddress.ip_interface(f"{route['prefsrc']}/64").network)

    testbed.host.run("ip", "address", "add", "fd00:102::1/64", "dev", "virt0", "nodad")
    try:
        with serving(testbed, tmp_path) as daemon:
            daemon.converge(lab({}))
            assert eventually(lambda: prefixes(deprecated=False) == {old, new})
            options = lab({"deprecated": [old]})
            daemon.converge(options)
            assert not daemon.converge(options).changes
            assert eventually(lambda: prefixes(deprecated=True) == {old})
            assert prefixes(deprecated=False) == {source()} == {new}
            daemon.converge(lab({}))
            assert eventually(lambda: prefixes(deprecated=False) == {old, new})
    finally:
        testbed.host.run("ip", "address", "del", "fd00:102::1/64", "dev", "virt0")


def test_a_lan_without_dhcp_gets_no_advertisement(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon, capture_on_lan(testbed) as packets:
        daemon.converge(lab({"ranges": [RANGE]}))
        assert not router_advertisement(testbed.lan)
        assert not dhcp6(testbed.lan, tmp_path, timeout=3)
        assert not dhcp6(testbed.lan, tmp_path, "-S", timeout=3)
    assert not packets


def test_names_of_guests_resolve_to_their_autoconfigured_addresses(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab({}))
        assert eventually(lambda: has_own_address(testbed.guest))
        get_lease(testbed.guest, tmp_path, "vmone")
        own = f"fd00:100::{INTERFACE_ID}"
        assert eventually(lambda: resolve(testbed.host, "127.0.0.1", "vmone.virt.test", "AAAA") == own)


def test_nothing_is_advertised_that_was_switched_off(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab({"ra": False}))
        assert not router_advertisement(testbed.guest)
        assert not dhcp6(testbed.guest, tmp_path, timeout=3)
        assert resolve(testbed.host, BRIDGE_ADDRESS) == NAMED_ADDRESS


def test_closed_network_offers_neither_router_nor_dns(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path, f"dhcp-option=option6:dns-server,[{ADDRESS6}]\n") as daemon:
        daemon.converge(lab({}, router=False, dns=False))
        assert eventually(lambda: has_own_address(testbed.guest))
        advertisement = router_advertisement(testbed.guest)
    assert re.search(r"Router lifetime\s*:\s+0 ", advertisement)
    assert "fd00:100::/64" in advertisement
    assert "DNS" not in advertisement
    assert "default" not in testbed.guest.run("ip", "-6", "route").stdout


def test_advertisements_say_what_is_given_on_this_bridge_alone(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    def lines() -> dict[str, str]:
        rows = (line.partition(":") for line in router_advertisement(testbed.guest).splitlines())
        return {name.strip(): value.split("(")[0].strip() for name, _colon, value in rows}

    param = {"preference": "high", "interval": 60, "lifetime": 1200, "mtu": 1400}
    other = {"name": "other", "interface": "virt1", "domain": "other.test", "ipv6": {"address": "fd00:101::1/64"}}
    testbed.host.run("ip", "link", "add", "virt1", "type", "bridge")
    testbed.host.run("ip", "address", "add", "fd00:101::1/64", "dev", "virt1", "nodad")
    testbed.host.run("ip", "link", "set", "virt1", "up")
    with serving(testbed, tmp_path) as daemon:
        networks = (lab({"ra_param": param}), other)
        daemon.converge(*networks)
        assert not daemon.converge(*networks).changes
        said = lines()
        assert said["Router preference"] == "high"
        assert said["Router lifetime"] == "1200"
        assert said["MTU"].startswith("1400")
        assert said["DNS search list"].startswith("virt.test")
        daemon.converge(lab({"ra_param": {"lifetime": 0}}), other)
        assert lines()["Router lifetime"] == "0"
        daemon.converge(lab({}), other)
        plain = lines()
        assert (plain["Router preference"], plain["Router lifetime"], plain["MTU"][:4]) == ("medium", "1800", "1500")
        testbed.unplug()
        daemon.converge(*networks)
        testbed.plug("virt1")
        assert eventually(lambda: lines().get("Router preference") == "medium")


def test_stateless_guests_get_options_alone(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab({"stateless": True, "options": {"sntp-server": "fd00:100::9"}}))
        assert eventually(lambda: has_own_address(testbed.guest))
        advertisement = router_advertisement(testbed.guest)
        assert re.search(r"Stateful address conf.\s*:\s+No", advertisement)
        assert re.search(r"Stateful other conf.\s*:\s+Yes", advertisement)
        options = dhcp6(testbed.guest, tmp_path, "-S")
        assert not dhcp6(testbed.guest, tmp_path, timeout=3)
    assert options["new_dhcp6_name_servers"] == ADDRESS6
    assert options["new_dhcp6_sntp_servers"] == "fd00:100::9"
    assert options["new_dhcp6_domain_search"].rstrip(".") == "virt.test"
    assert "new_ip6_address" not in options


@pytest.mark.parametrize("ra", [True, False])
def test_network_with_ipv6_alone_hands_out_addresses(testbed: DnsmasqTestbed, tmp_path: Path, ra: bool) -> None:
    with serving(testbed, tmp_path) as daemon:
        plan = daemon.converge(only6({"ranges": [RANGE], "ra": ra}))
        assert not daemon.converge(only6({"ranges": [RANGE], "ra": ra})).changes
        assert str(plan.changes[0]) == "lab: virtnet-lab.conf created"
        lease = dhcp6(testbed.guest, tmp_path)
        assert 0x100 <= int(lease["new_ip6_address"].rpartition(":")[2], 16) <= 0x1FF
        assert lease["new_max_life"] == "900"
        assert lease["new_dhcp6_name_servers"] == ADDRESS6
        assert ("Stateful address conf.    :          Yes" in router_advertisement(testbed.guest)) is ra
        assert resolve(testbed.guest if ra else testbed.host, ADDRESS6) == NAMED_ADDRESS
        assert not get_lease(testbed.guest, tmp_path)


@pytest.mark.parametrize(
    ("ranges", "hosts"),
    [([RANGE], []), ([], [{"mac": MAC, "ip": "fd00:100::77"}])],
    ids=["range", "static"],
)
def test_a_subnet_longer_than_a_64_is_served_without_advertisements(
    testbed: DnsmasqTestbed, tmp_path: Path, ranges: list[dict[str, str]], hosts: list[dict[str, str]]
) -> None:
    testbed.host.run("ip", "address", "delete", f"{ADDRESS6}/64", "dev", "virt0")
    testbed.host.run("ip", "address", "add", f"{ADDRESS6}/112", "dev", "virt0", "nodad")
    service = {"address": f"{ADDRESS6}/112", "ra": False, "ranges": ranges, "hosts": hosts}
    with serving(testbed, tmp_path) as daemon:
        daemon.converge({**ONLY6, "ipv6": service})
        address = dhcp6(testbed.guest, tmp_path)["new_ip6_address"]
    assert address == "fd00:100::77" if hosts else 0x100 <= int(address.rpartition(":")[2], 16) <= 0x1FF


@pytest.mark.parametrize("known_by", [{"mac": MAC}, {"id": f"00:03:00:01:{MAC}"}], ids=["mac", "duid"])
@pytest.mark.parametrize("ranges", [[RANGE], []], ids=["beside-range", "alone"])
def test_static_host_gets_its_address_and_name(
    testbed: DnsmasqTestbed, tmp_path: Path, known_by: dict[str, str], ranges: list[dict[str, str]]
) -> None:
    host = {**known_by, "name": "web", "ip": "fd00:100::77", "lease_time": "20m"}
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab({"ranges": ranges, "hosts": [host]}))
        lease = dhcp6(testbed.guest, tmp_path)
        assert resolve(testbed.host, "127.0.0.1", "web.virt.test", "AAAA") == "fd00:100::77"
    assert (lease["new_ip6_address"], lease["new_max_life"]) == ("fd00:100::77", "1200")


def network() -> Network:
    subnets = {"ipv4": {"address": "192.168.100.1/24"}, "ipv6": {"address": f"{ADDRESS6}/64"}}
    return read_network(Options({"name": "lab", **subnets}), "host")


def test_one_guest_has_a_fixed_address_of_each_family(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    hosts = [{"mac": MAC, "name": "web", "ip": "192.168.100.77"}]
    hosts6 = [{"mac": MAC, "name": "web", "ip": "fd00:100::77"}]
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab({"ranges": [RANGE], "hosts": hosts6}, hosts=hosts))
        assert get_lease(testbed.guest, tmp_path)["ip"] == "192.168.100.77"
        assert dhcp6(testbed.guest, tmp_path)["new_ip6_address"] == "fd00:100::77"
        assert resolve(testbed.host, "127.0.0.1", "web.virt.test") == "192.168.100.77"
        # The SLAAC address may have the name too.
        assert "fd00:100::77" in resolve(testbed.host, "127.0.0.1", "web.virt.test", "AAAA").split()
        leases = leases_of([network()], parse((tmp_path / "leases").read_text()))
        shown = [lease.as_options(time.time()) for lease in leases]
        assert [(lease["ip"], lease["hostname"]) for lease in shown] == [
            ("192.168.100.77", "web"),
            ("fd00:100::77", "web"),
        ]
        assert (shown[0]["mac"], shown[1]["duid"]) == (MAC, f"00:03:00:01:{MAC}")
        assert 42000 < shown[0]["remaining"] <= 43200 and 600 < shown[1]["remaining"] <= 900
        reverse = "7.7" + ".0" * 22 + ".0.0.1.0.0.0.d.f.ip6.arpa"
        assert resolve(testbed.host, "127.0.0.1", reverse, "PTR") == "web.virt.test."


def test_a_range_may_contain_the_address_of_the_host_which_no_client_gets(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(only6({"ranges": [{"start": ADDRESS6, "end": "fd00:100::3"}]}))
        given = {dhcp6(testbed.guest, tmp_path, duid=f"client {i}")["new_ip6_address"] for i in range(2)}
        assert given == {"fd00:100::2", "fd00:100::3"}
        # That of the host alone is left.
        assert dhcp6(testbed.guest, tmp_path, duid="client 3", timeout=5) == {}


def test_default_range_of_a_whole_subnet_works(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(only6({"ranges": [{"start": "fd00:100::2", "end": "fd00:100::ffff:ffff:ffff:ffff"}]}))
        assert dhcp6(testbed.guest, tmp_path)["new_ip6_address"].startswith("fd00:100::")


@pytest.mark.parametrize("binding", ["bind-interfaces", "bind-dynamic"])
def test_guests_are_served_where_interfaces_are_listed(testbed: DnsmasqTestbed, tmp_path: Path, binding: str) -> None:
    with serving(testbed, tmp_path, f"{binding}\ninterface=eth0\n") as daemon:
        daemon.converge(only6({"ranges": [RANGE]}))
        assert dhcp6(testbed.guest, tmp_path)
        assert resolve(testbed.guest, ADDRESS6) == NAMED_ADDRESS
        assert not daemon.converge(only6({"ranges": [RANGE]})).changes


def test_range_holds_for_its_own_bridge_alone(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    """Nothing is sent on a second bridge with an address of the same prefix."""
    testbed.delete_bridges()
    testbed.bridge("other0", "192.168.90.1/24")
    testbed.host.run("ip", "address", "add", f"{ADDRESS6}/64", "dev", "other0", "nodad")
    testbed.plug("other0")
    with serving(testbed, tmp_path) as daemon:
        daemon.converge(lab({"ranges": [RANGE]}))
        assert not router_advertisement(testbed.guest)
        assert not dhcp6(testbed.guest, tmp_path, timeout=3)


def test_a_guest_with_one_duid_and_client_id_is_a_static_host_of_two_networks(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    duid = f"00:03:00:01:{MAC}"
    testbed.bridge("virt1", "192.168.101.1/24")
    testbed.host.run("ip", "address", "add", "fd00:101::1/64", "dev", "virt1", "nodad")

    def network(name: str, interface: str, ipv4: str, ipv6: str) -> dict[str, Any]:
        return {
            "name": name,
            "interface": interface,
            "address": f"{ipv4}.1/24",
            "ranges": [{"start": f"{ipv4}.20", "end": f"{ipv4}.30"}],
            "hosts": [{"id": "01:aa:bb", "ip": f"{ipv4}.77"}],
            "ipv6": {"address": f"{ipv6}::1/64", "hosts": [{"id": duid, "name": "web", "ip": f"{ipv6}::77"}]},
            "domain": f"{name}.test",
        }

    with serving(testbed, tmp_path) as daemon:
        daemon.converge(
            network("lab", "virt0", "192.168.100", "fd00:100"), network("dmz", "virt1", "192.168.101", "fd00:101")
        )
        for bridge, ipv4, ipv6 in (
            ("virt0", "192.168.100.77", "fd00:100::77"),
            ("virt1", "192.168.101.77", "fd00:101::77"),
        ):
            testbed.unplug()
            testbed.plug(bridge)
            (leased,) = take_leases(testbed.guest, 1, options=bytes.fromhex("3d0301aabb")).values()
            assert (leased, dhcp6(testbed.guest, tmp_path)["new_ip6_address"]) == (ipv4, ipv6)


@pytest.mark.parametrize("prefix", [64, 96])
def test_without_slaac_guests_have_the_address_of_dhcpv6_alone(
    testbed: DnsmasqTestbed, tmp_path: Path, prefix: int
) -> None:
    """As in libvirt's networks with DHCPv6; the system's dnsmasq and another private network are not concerned."""
    testbed.host.run("ip", "address", "delete", f"{ADDRESS6}/64", "dev", "virt0")
    testbed.host.run("ip", "address", "add", f"{ADDRESS6}/{prefix}", "dev", "virt0", "nodad")
    testbed.bridge("virt1", "192.168.101.1/24")
    testbed.host.run("ip", "address", "add", "fd00:101::1/64", "dev", "virt1", "nodad")
    ranges6 = [{"start": "fd00:101::100", "end": "fd00:101::1ff"}]
    quiet = {
        "name": "quiet",
        "interface": "virt1",
        "ipv6": {"address": "fd00:101::1/64", "ra": False, "ranges": ranges6},
        "instance": "private",
    }
    daemon = DaemonWithoutService(testbed.host, tmp_path)
    try:
        service = {"address": f"{ADDRESS6}/{prefix}", "ranges": [RANGE]}
        managed = {**ONLY6, "ipv6": {**service, "slaac": False}}
        daemon.converge(managed, quiet)
        assert sorted(daemon.private.starts) == ["_shared", "lab"]
        advertised = router_advertisement(testbed.guest)
        assert re.search(r"Stateful address conf\. *: *Yes", advertised)
        assert re.search(r"Autonomous address conf\. *: *No", advertised)
        assert eventually(lambda: "default via fe80" in testbed.guest.run("ip", "-6", "route").stdout)
        assert not own_addresses(testbed.guest)
        assert dhcp6(testbed.guest, tmp_path)["new_ip6_address"].startswith("fd00:100::1")
        assert not daemon.converge(managed, quiet).changes
        if prefix == 64:
            daemon.converge({**ONLY6, "ipv6": service}, quiet)
            assert re.search(r"Autonomous address conf\. *: *Yes", router_advertisement(testbed.guest))
            assert eventually(lambda: bool(own_addresses(testbed.guest)))
        testbed.unplug()
        testbed.plug("virt1")
        assert not router_advertisement(testbed.guest)
    finally:
        daemon.private.close()


def own_addresses(namespace: NamedNamespace) -> list[str]:
    """The global addresses that the kernel of a guest made of advertisements."""
    addresses = json.loads(namespace.run("ip", "-j", "-6", "address", "show", "dev", "eth0", "scope", "global").stdout)
    return [one["local"] for link in addresses for one in link.get("addr_info", ()) if one.get("dynamic")]
