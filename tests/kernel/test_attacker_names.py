# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests that claim names of others by DHCP, with the system's dnsmasq and with private instances.

docs/docsite/rst/security.rst names these tests.

    lab    virt.test   192.168.100.0/24, fd00:100::/64   static hosts web (with address) and db (without)
    other  other.test  192.168.101.0/24                  no static hosts
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.system_service import NoUsableDnsmasq
from kernel.dhcp_client import dhcp6, forge_decline, forge_release, take_leases
from kernel.dnsmasq_testbed import (
    BRIDGE_ADDRESS,
    LAB_FRAGMENT,
    LAN_ADDRESS,
    SILENT,
    Daemon,
    DnsmasqTestbed,
    get_lease,
    open_folder,
    resolve,
    running,
)
from kernel.polling import eventually
from kernel.test_dnsmasq_private import DaemonWithoutService

WEB_MAC, DB_MAC = bytes([0x52, 0x54, 0, 0, 0, 0xAA]), bytes([0x52, 0x54, 0, 0, 0, 0xBB])
WEB, ATTACKER = "192.168.100.50", bytes([0x52, 0x54, 0, 6, 6, 6])
HOSTS = [
    {"mac": WEB_MAC.hex(":"), "name": "web", "ip": WEB},
    {"mac": DB_MAC.hex(":"), "name": "db"},
]
LAB: dict[str, Any] = {**LAB_FRAGMENT, "hosts": HOSTS}
OTHER_ADDRESS, OTHER_IP = "192.168.101.1", "192.168.101.50"
OTHER: dict[str, Any] = {
    "name": "other",
    "interface": "virt1",
    "address": f"{OTHER_ADDRESS}/24",
    "ranges": [{"start": "192.168.101.2", "end": "192.168.101.200"}],
    "domain": "other.test",
}
NO_ANSWER = "empty"


@contextlib.contextmanager
def serve_both_networks(testbed: DnsmasqTestbed, folder: Path, instance: str) -> Iterator[Daemon]:
    """Both networks, served by the system's dnsmasq of a stock Debian or by private instances on a host without it."""
    testbed.bridge("virt1", f"{OTHER_ADDRESS}/24")
    with contextlib.ExitStack() as stack:
        if instance == "system":
            daemon = stack.enter_context(running(Daemon(testbed.host, folder)))
        else:
            daemon = DaemonWithoutService(testbed.host, folder)
            stack.callback(daemon.private.close)
        yield daemon


@pytest.fixture(params=["system", "private"])
def instance(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def lookup(testbed: DnsmasqTestbed, name: str, server: str = BRIDGE_ADDRESS, kind: str = "A") -> str:
    """The answer of the name server to the host, at its address on the bridge, as for a guest."""
    return resolve(testbed.host, server, name, kind)


def replug(testbed: DnsmasqTestbed, bridge: str) -> None:
    testbed.unplug()
    testbed.plug(bridge)
    assert eventually(lambda: "state forwarding" in testbed.host.run("bridge", "link", "show", "dev", "tap0").stdout)


@pytest.mark.parametrize("claimed", ["{}", "{}.virt.test", "{}.x"])
@pytest.mark.parametrize("host", ["web", "WEB", "db"])
def test_the_name_of_a_static_host_without_a_lease_is_not_given_to_another_guest(
    testbed: DnsmasqTestbed, tmp_path: Path, instance: str, host: str, claimed: str
) -> None:
    with serve_both_networks(testbed, tmp_path, instance) as daemon:
        daemon.converge(LAB, OTHER)
        leases = take_leases(testbed.guest, 1, ATTACKER, claimed.format(host))
        assert leases
        expected = {"web": WEB, "db": NO_ANSWER}[host.lower()]
        assert lookup(testbed, f"{host.lower()}.virt.test") == expected
        if instance == "system" or expected == WEB:
            assert lookup(testbed, host.lower()) == expected
        # A name that is free is given.
        honest = take_leases(testbed.guest, 1, bytes([0x52, 0x54, 0, 7, 7, 7]), "vm")
        assert lookup(testbed, "vm.virt.test") == next(iter(honest.values()))


def test_a_static_host_has_its_name_with_its_lease(testbed: DnsmasqTestbed, tmp_path: Path, instance: str) -> None:
    with serve_both_networks(testbed, tmp_path, instance) as daemon:
        daemon.converge(LAB, OTHER)
        take_leases(testbed.guest, 1, ATTACKER, "db")
        leases = take_leases(testbed.guest, 1, DB_MAC, "db")
        assert lookup(testbed, "db.virt.test") == leases[DB_MAC]
        assert take_leases(testbed.guest, 1, WEB_MAC, "something") == {WEB_MAC: WEB}
        assert lookup(testbed, "web.virt.test") == WEB
        assert lookup(testbed, "50.100.168.192.in-addr.arpa", kind="PTR") == "web.virt.test."
        assert lookup(testbed, "something.virt.test") == NO_ANSWER


def test_guests_of_other_networks_of_the_same_dnsmasq_do_not_get_the_name(
    testbed: DnsmasqTestbed, tmp_path: Path, instance: str
) -> None:
    with serve_both_networks(testbed, tmp_path, instance) as daemon:
        daemon.converge(LAB, OTHER)
        replug(testbed, "virt1")
        leases = take_leases(testbed.guest, 1, ATTACKER, "web")
        assert leases
        take_leases(testbed.guest, 1, bytes([0x52, 0x54, 0, 8, 8, 8]), "db")
        assert lookup(testbed, "web.virt.test") == lookup(testbed, "web") == WEB
        assert lookup(testbed, "db.virt.test") == lookup(testbed, "db") == NO_ANSWER


def test_two_guests_of_one_name_on_two_networks_of_a_private_dnsmasq_both_get_it(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    with serve_both_networks(testbed, tmp_path, "private") as daemon:
        daemon.converge(LAB, OTHER)
        assert daemon.private.starts == ["_shared"]
        first = take_leases(testbed.guest, 1, ATTACKER, "vm")
        replug(testbed, "virt1")
        second = take_leases(testbed.guest, 1, bytes([0x52, 0x54, 0, 9, 9, 9]), "vm")
        assert lookup(testbed, "vm.virt.test") == next(iter(first.values()))
        assert lookup(testbed, "vm.other.test", OTHER_ADDRESS) == next(iter(second.values()))


def test_networks_without_a_domain_keep_plain_names_and_share_none_with_those_that_have_one(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    plain = {**OTHER, "domain": None}
    with serve_both_networks(testbed, tmp_path, "private") as daemon:
        daemon.converge(plain)
        assert daemon.private.starts == ["_shared"]
        replug(testbed, "virt1")
        guest = take_leases(testbed.guest, 1, ATTACKER, "vm")
        daemon.converge(plain, LAB)
        assert lookup(testbed, "vm", OTHER_ADDRESS) == next(iter(guest.values()))
        replug(testbed, "virt0")
        take_leases(testbed.guest, 1, bytes([0x52, 0x54, 0, 9, 9, 9]), "vm")
        assert lookup(testbed, "vm", OTHER_ADDRESS) == next(iter(guest.values()))
        assert not daemon.converge(plain, LAB).changes


@pytest.mark.parametrize("name", ["wpad", "WPAD", "isatap", "localhost", "wpad.virt.test", "localhost.localdomain"])
def test_a_guest_does_not_get_a_name_that_has_a_meaning_of_its_own(
    testbed: DnsmasqTestbed, tmp_path: Path, instance: str, name: str
) -> None:
    with serve_both_networks(testbed, tmp_path, instance) as daemon:
        daemon.converge(LAB, OTHER)
        (address,) = take_leases(testbed.guest, 1, ATTACKER, name).values()
        label = name.lower().partition(".")[0]
        for queried in (label, f"{label}.virt.test"):
            assert address not in lookup(testbed, queried)
        assert lookup(testbed, f"{'.'.join(reversed(address.split('.')))}.in-addr.arpa", kind="PTR") == NO_ANSWER


def test_ipv6_addresses_of_another_guest_are_not_given_to_the_name_of_a_static_host(
    testbed: DnsmasqTestbed, tmp_path: Path, instance: str
) -> None:
    testbed.delete_bridges()
    for namespace in (testbed.guest, testbed.host):
        namespace.run("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
    testbed.bridge()
    testbed.host.run("ip", "address", "add", "fd00:100::1/64", "dev", "virt0", "nodad")
    testbed.plug()
    ipv6 = {"address": "fd00:100::1/64", "ranges": [{"start": "fd00:100::100", "end": "fd00:100::1ff"}]}
    with serve_both_networks(testbed, tmp_path, instance) as daemon:
        daemon.converge({**LAB, "ipv6": ipv6}, OTHER)
        lease = dhcp6(testbed.guest, tmp_path, name="web.virt.test")
        assert lease["new_ip6_address"].startswith("fd00:100::1")
        for name in ("web.virt.test", "web"):
            assert lookup(testbed, name, kind="AAAA") == NO_ANSWER
        assert lookup(testbed, "web.virt.test") == WEB


@pytest.mark.parametrize("form", ["nul", "dot", "dots", "dns-encoded", "ascii", "partial", "both"])
@pytest.mark.parametrize("host", ["web", "db"])
def test_no_form_of_a_name_claims_it(
    testbed: DnsmasqTestbed, tmp_path: Path, instance: str, host: str, form: str
) -> None:
    """Host name (RFC 2132 section 3.14) and client FQDN (RFC 4702), also by a guest that had another name before."""
    label = host.encode()
    encoded = bytes([len(label)]) + label
    options = {
        "nul": _option(12, label + b"\0"),
        "dot": _option(12, label.upper() + b"."),
        "dots": _option(12, label + b"..x"),
        "dns-encoded": _option(81, b"\x05\0\0" + encoded + b"\x04virt\x04test\0"),
        "ascii": _option(81, b"\0\0\0" + label),
        "partial": _option(81, b"\x04\0\0" + encoded),
        "both": _option(81, b"\0\0\0-") + _option(12, label),
    }[form]
    with serve_both_networks(testbed, tmp_path, instance) as daemon:
        daemon.converge(LAB, OTHER)
        for before in (b"", _option(12, b"vm")):
            if before:
                take_leases(testbed.guest, 1, ATTACKER, options=before)
            assert take_leases(testbed.guest, 1, ATTACKER, options=options)
            for name in (host, f"{host}.virt.test"):
                assert lookup(testbed, name) in (WEB, NO_ANSWER)


def _option(number: int, content: bytes) -> bytes:
    return bytes([number, len(content)]) + content


RECORDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "other-family": ({"hosts": [{"ip": "fd00:100::5", "names": ["web"]}]}, "web", WEB),
    "alias": ({"cname": [{"name": "www", "target": "web"}]}, "www", f"web.virt.test.\n{WEB}"),
}


@pytest.mark.parametrize("case", RECORDS)
def test_a_record_of_the_same_name_leaves_no_gap(
    testbed: DnsmasqTestbed, tmp_path: Path, instance: str, case: str
) -> None:
    names, claimed, expected = RECORDS[case]
    with serve_both_networks(testbed, tmp_path, instance) as daemon:
        daemon.converge({**LAB, "names": names}, OTHER)
        (address,) = take_leases(testbed.guest, 1, ATTACKER, claimed).values()
        assert lookup(testbed, f"{claimed}.virt.test") == expected
        assert lookup(testbed, claimed) != address


def test_a_network_without_a_name_server_keeps_the_names_of_its_static_hosts(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    """The system's dnsmasq resolves the names of its guests for others too."""
    with serve_both_networks(testbed, tmp_path, "system") as daemon:
        daemon.converge({**LAB, "dns": False}, OTHER)
        assert take_leases(testbed.guest, 1, ATTACKER, "web")
        assert lookup(testbed, "web.virt.test", OTHER_ADDRESS) == lookup(testbed, "web", OTHER_ADDRESS) == NO_ANSWER
        take_leases(testbed.guest, 1, WEB_MAC, "web")
        assert lookup(testbed, "web.virt.test", OTHER_ADDRESS) == WEB


@pytest.mark.parametrize("host", ["web", "db"])
def test_a_network_with_the_same_domain_gives_the_name_to_none_of_its_guests(
    testbed: DnsmasqTestbed, tmp_path: Path, instance: str, host: str
) -> None:
    with serve_both_networks(testbed, tmp_path, instance) as daemon:
        daemon.converge(LAB, {**OTHER, "domain": LAB["domain"]})
        replug(testbed, "virt1")
        (address,) = take_leases(testbed.guest, 1, ATTACKER, host).values()
        for server in (BRIDGE_ADDRESS, OTHER_ADDRESS):
            assert lookup(testbed, f"{host}.virt.test", server) != address
            assert lookup(testbed, host, server) != address


def test_a_run_that_does_not_name_a_network_knows_that_its_guests_have_ipv6(
    testbed: DnsmasqTestbed, tmp_path: Path, instance: str
) -> None:
    testbed.host.run("ip", "address", "add", "fd00:101::1/64", "dev", "virt0", "nodad")
    ipv6 = {"address": "fd00:101::1/64", "ranges": [{"start": "fd00:101::100", "end": "fd00:101::1ff"}]}
    lab = {**LAB, "domain": None, "ipv6": ipv6}
    host = {"mac": "52:54:00:00:00:cc", "name": "mail", "ip": OTHER_IP}
    other = {**OTHER, "domain": None, "hosts": [host]}
    with serve_both_networks(testbed, tmp_path, instance) as daemon:
        daemon.converge(lab, other)
        for networks in ((lab, other), (other,), (lab,)):
            assert not daemon.converge(*networks).changes


@pytest.mark.parametrize("own", ["host-record=web,10.1.0.80", "addn-hosts={0}/names", "address=/web/10.1.0.80"])
def test_a_name_that_the_administrator_gave_to_another_host_stays_its_own(testbed: DnsmasqTestbed, own: str) -> None:
    with open_folder() as folder:
        (folder / "names").write_text("10.1.0.80 Web # the old one\n")
        testbed.bridge("virt1", f"{OTHER_ADDRESS}/24")
        with running(Daemon(testbed.host, folder, own.format(folder) + "\n")) as daemon:
            assert resolve(testbed.lan, LAN_ADDRESS, "web") == "10.1.0.80"
            daemon.converge(LAB, OTHER)
            take_leases(testbed.guest, 1, ATTACKER, "web")
            assert resolve(testbed.lan, LAN_ADDRESS, "web") == "10.1.0.80"
            assert lookup(testbed, "web.virt.test") == WEB
            assert not daemon.converge(LAB, OTHER).changes


def test_a_name_that_a_guest_had_before_is_the_static_hosts_with_its_lease_or_address(
    testbed: DnsmasqTestbed, tmp_path: Path, instance: str
) -> None:
    """Not stopped before: dnsmasq removes no name from a lease, not at its renewal and not when it reads the file."""
    with serve_both_networks(testbed, tmp_path, instance) as daemon:
        daemon.converge({**LAB, "hosts": []}, OTHER)
        (first,) = take_leases(testbed.guest, 1, ATTACKER, "db").values()
        take_leases(testbed.guest, 1, bytes([0x52, 0x54, 0, 7, 7, 7]), "web")
        daemon.converge(LAB, OTHER)
        assert lookup(testbed, "web.virt.test") == WEB
        take_leases(testbed.guest, 1, ATTACKER, "db")
        assert lookup(testbed, "db.virt.test") == first
        leases = take_leases(testbed.guest, 1, DB_MAC, "db")
        take_leases(testbed.guest, 1, ATTACKER, "db")
        assert lookup(testbed, "db.virt.test") == leases[DB_MAC]


def test_a_forged_release_frees_neither_the_address_nor_the_name_of_a_static_host(
    testbed: DnsmasqTestbed, tmp_path: Path, instance: str
) -> None:
    with serve_both_networks(testbed, tmp_path, instance) as daemon:
        daemon.converge(LAB, OTHER)
        assert take_leases(testbed.guest, 1, WEB_MAC, "web") == {WEB_MAC: WEB}
        testbed.guest.run("ip", "address", "replace", "192.168.100.250/24", "dev", "eth0")
        forge_release(testbed.guest, WEB_MAC, WEB, BRIDGE_ADDRESS)
        assert WEB not in take_leases(testbed.guest, 3, ATTACKER, "web").values()
        assert lookup(testbed, "web.virt.test") == WEB
        assert take_leases(testbed.guest, 1, WEB_MAC, "web") == {WEB_MAC: WEB}


def test_a_forged_decline_takes_the_address_of_a_static_host_for_a_while_but_not_its_name(
    testbed: DnsmasqTestbed, tmp_path: Path, instance: str
) -> None:
    """Not stopped here: dnsmasq cannot tell who sent the message."""
    with serve_both_networks(testbed, tmp_path, instance) as daemon:
        daemon.converge(LAB, OTHER)
        assert take_leases(testbed.guest, 1, WEB_MAC, "web") == {WEB_MAC: WEB}
        forge_decline(testbed.guest, WEB_MAC, WEB, BRIDGE_ADDRESS)
        (other_address,) = take_leases(testbed.guest, 1, WEB_MAC, "web").values()
        assert other_address != WEB
        assert WEB not in take_leases(testbed.guest, 3, ATTACKER, "web").values()
        assert lookup(testbed, "web.virt.test") == WEB


def test_a_private_dnsmasq_does_not_identify_itself(testbed: DnsmasqTestbed, tmp_path: Path) -> None:
    """Queries of class CHAOS (RFC 4892)."""
    with serve_both_networks(testbed, tmp_path, "private") as daemon:
        daemon.converge(LAB)
        for name in ("version.bind", "authors.bind", "servers.bind", "cachesize.bind"):
            result = testbed.host.run(
                "dig", "+time=1", "+tries=1", f"@{BRIDGE_ADDRESS}", "CHAOS", "TXT", name, check=False
            )
            assert "dnsmasq" not in result.stdout and "ANSWER: 0" in result.stdout


ISOLATED = {**LAB, "upstream": False, "router": False}


@pytest.mark.parametrize("before", [(), (OTHER,), (LAB,)], ids=["fresh", "beside-nat", "was-nat"])
def test_an_isolated_network_is_not_served_by_a_name_server_that_knows_others(
    testbed: DnsmasqTestbed, tmp_path: Path, before: tuple[dict[str, Any], ...]
) -> None:
    """A stock dnsmasq holds port 53 of every address: refused, nothing changed; without DNS the network is served."""
    with serve_both_networks(testbed, tmp_path, "system") as daemon:
        if before:
            daemon.converge(*before)
        fragments = daemon.fragments
        with pytest.raises(NoUsableDnsmasq, match=r"(?s)'lab'.*isolated.*bind-dynamic.*dns.enabled: false"):
            daemon.converge(ISOLATED, OTHER)
        assert daemon.fragments == fragments
        daemon.converge({**ISOLATED, "dns": False}, OTHER)
        lease = get_lease(testbed.guest, tmp_path, "vmone")
        assert lease["ip"] and "dns" not in lease


def test_an_isolated_network_gets_a_private_dnsmasq_if_the_system_dnsmasq_leaves_the_ports_free(
    testbed: DnsmasqTestbed, tmp_path: Path
) -> None:
    config = "bind-dynamic\nexcept-interface=virt0\n"
    testbed.bridge("virt1", f"{OTHER_ADDRESS}/24")
    with running(Daemon(testbed.host, tmp_path, config)) as daemon:
        plan = daemon.converge(ISOLATED, OTHER)
        assert {network["name"]: network["instance"] for network in plan.result} == {
            "lab": "private",
            "other": "system",
        }
        lease = get_lease(testbed.guest, tmp_path, "vmone")
        assert eventually(lambda: resolve(testbed.guest, BRIDGE_ADDRESS, "vmone.virt.test") == lease["ip"])
        assert resolve(testbed.guest, BRIDGE_ADDRESS) in (NO_ANSWER, SILENT, "refused", "")


NAMED_AS_IN_LIBVIRT = [
    {"mac": WEB_MAC.hex(":"), "name": "web.virt.test", "ip": WEB},
    {"mac": DB_MAC.hex(":"), "name": "Container_1.other.example"},
]


def test_a_static_host_with_a_domain_or_an_underscore_has_its_first_label_and_nobody_else_gets_it(
    testbed: DnsmasqTestbed, tmp_path: Path, instance: str
) -> None:
    with serve_both_networks(testbed, tmp_path, instance) as daemon:
        daemon.converge({**LAB, "hosts": NAMED_AS_IN_LIBVIRT}, OTHER)
        for claimed in ("web", "web.virt.test", "container_1", "Container_1.other.example"):
            assert take_leases(testbed.guest, 1, ATTACKER, claimed)
            assert lookup(testbed, "web.virt.test") == WEB
            assert lookup(testbed, "container_1.virt.test") == NO_ANSWER
        assert take_leases(testbed.guest, 1, WEB_MAC, "something") == {WEB_MAC: WEB}
        (address,) = take_leases(testbed.guest, 1, DB_MAC, "something").values()
        assert lookup(testbed, "container_1.virt.test") == lookup(testbed, "Container_1.virt.test") == address
        assert lookup(testbed, "50.100.168.192.in-addr.arpa", kind="PTR") == "web.virt.test."
        assert address not in lookup(testbed, "container_1.other.example")
        if instance == "system":
            assert (lookup(testbed, "web"), lookup(testbed, "container_1")) == (WEB, address)
