# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest as an attacker, with real packets: attacks stopped by default, stopped by an option, or not stopped.

docs/docsite/rst/security.rst has a row for each test.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterable, Iterator

import pytest
from kernel.attack_testbed import (
    MAX_LEASES,
    OUTSIDE6,
    PUBLIC_ADDRESS,
    PUBLIC_NAME,
    REBINDING,
    SILENT_DOMAIN,
    STATIC_HOST_MACS,
    SUBNETS,
    SUBNETS6,
    AttackTestbed,
)
from kernel.dhcp_client import offers, take_leases
from kernel.dnsmasq_testbed import NAME, NAMED_ADDRESS, NamedNamespace, open_folder, resolve
from kernel.frames import (
    Nic,
    capture_frames,
    gratuitous_arp,
    in_namespace,
    neighbour_advertisement,
    on_one_processor,
    router_advertisement,
    udp,
)
from kernel.polling import wait_until
from kernel.testbed import OUTSIDE, UPLINK, Namespace, script

OWN_ADDRESS, FOREIGN_ADDRESS = "192.168.30.2", "203.0.113.77"


@pytest.fixture(scope="module")
def testbed() -> Iterator[AttackTestbed]:
    with open_folder() as folder, on_one_processor():
        testbed = AttackTestbed(folder)
        try:
            testbed.start()
            yield testbed
        finally:
            testbed.close()


def wait_until_delivered(*nics: Nic) -> None:
    """Wait until all packets sent before have arrived: on one processor, frames keep their order."""
    for nic in nics:
        address = next(iter(nic.namespace.json("ip", "-4", "-j", "address", "show", "eth0")))["addr_info"][0]["local"]
        assert nic.namespace.pings(address.rpartition(".")[0] + ".1")


def neighbour(namespace: Namespace, address: str, interface: str = "eth0") -> str:
    """The MAC of an address in the neighbour table of a namespace."""
    entries = namespace.json("ip", "-j", "neighbour", "show", "to", address, "dev", interface)
    return str(entries[0].get("lladdr", "")) if entries else ""


def repeat_until(attack: Callable[[], None], succeeded: Callable[[], bool]) -> None:
    """Repeats an attack until it succeeds."""

    def attempt() -> bool:
        attack()
        return succeeded()

    wait_until(attempt)


@pytest.mark.parametrize("name", ["lab", "apart"])
def test_isolation_stops_a_guest_that_acts_as_dhcp_server(testbed: AttackTestbed, name: str) -> None:
    """Default: not stopped. `isolate_guests`: stopped."""
    attacker, victim = testbed.guests[name]
    rogue, log = testbed.start_rogue_dhcp(name)
    wait_until(lambda: log.exists() and "DHCP, IP range" in log.read_text())
    gateway = f"{SUBNETS[name]}.1"
    servers_seen: set[str] = set()
    # The server knows the victim's address, so it always answers.
    expected = {gateway} if name == "apart" else {gateway, f"{SUBNETS[name]}.2"}
    with capture_frames(victim.namespace) as capture:

        def all_servers_offer() -> bool:
            servers_seen.update(offers(NamedNamespace(victim.namespace.name), STATIC_HOST_MACS[name], 0.2))
            return servers_seen >= expected

        wait_until(all_servers_offer)
        forged = udp(attacker, "ff:ff:ff:ff:ff:ff", gateway, "255.255.255.255", 68, b"forged offer")
        attacker.send(forged)
        wait_until_delivered(attacker, victim)
        assert capture.contains(b"forged offer") == (name == "lab")
    rogue.terminate()
    rogue.wait()
    assert servers_seen == expected
    assert ("DHCPDISCOVER" in log.read_text()) == (name == "lab")


@pytest.mark.parametrize("name", ["lab", "apart"])
def test_isolation_stops_a_guest_that_claims_the_gateways_address(testbed: AttackTestbed, name: str) -> None:
    """ARP and neighbour discovery. Default: not stopped. `isolate_guests`: stopped."""
    attacker, victim = testbed.guests[name]
    expected = testbed.bridge_mac(name)
    gateways = (f"{SUBNETS[name]}.1", f"{SUBNETS6[name]}::1")
    for gateway in gateways:
        wait_until(lambda gateway=gateway: victim.namespace.pings(gateway))

    def claim() -> None:
        attacker.send(gratuitous_arp(attacker.mac, gateways[0]), neighbour_advertisement(attacker, gateways[1]))

    def neighbours_of_victim() -> list[str]:
        return [neighbour(victim.namespace, gateway) for gateway in gateways]

    if name == "lab":
        for i in range(2):
            repeat_until(claim, lambda i=i: neighbours_of_victim()[i] == attacker.mac)
        victim.namespace.run("ip", "neighbour", "flush", "dev", "eth0")
    else:
        with capture_frames(victim.namespace) as capture:
            claim()
            wait_until_delivered(attacker, victim)
            assert not capture.contains(bytes.fromhex(attacker.mac.replace(":", "")))
        assert neighbours_of_victim() == [expected, expected]


@pytest.mark.parametrize("name", ["lab", "apart"])
def test_a_guest_can_take_what_the_host_sends_to_another_guest(testbed: AttackTestbed, name: str) -> None:
    """By the address, or by the MAC, of the other guest. Not stopped, whatever the option."""
    attacker, victim = testbed.guests[name]
    address = f"{SUBNETS[name]}.3"
    assert testbed.host.pings(address)
    claim = gratuitous_arp(attacker.mac, address)
    repeat_until(
        lambda: attacker.send(claim),
        lambda: neighbour(testbed.host, address, f"vn-{name}") == attacker.mac,
    )
    testbed.host.run("ip", "neighbour", "flush", "dev", f"vn-{name}")

    def frame_intercepted() -> bool:
        attacker.send(gratuitous_arp(victim.mac, f"{SUBNETS[name]}.2"))
        # The host has the right MAC, but the bridge has learned that MAC on another port.
        testbed.host.run("ip", "neighbour", "replace", address, "lladdr", victim.mac, "dev", f"vn-{name}")
        with in_namespace(testbed.host), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"for the victim", (address, 5555))
        return capture.contains(b"for the victim")

    with capture_frames(attacker.namespace) as capture:
        wait_until(frame_intercepted)
    testbed.host.run("ip", "neighbour", "flush", "dev", f"vn-{name}")
    assert victim.namespace.pings(f"{SUBNETS[name]}.1")
    assert testbed.host.pings(address)


@pytest.mark.parametrize("name", ["lab", "apart"])
def test_isolation_stops_router_advertisements_of_a_guest(testbed: AttackTestbed, name: str) -> None:
    """Sent to guests: not stopped by default; with `isolate_guests`: stopped. Sent to the host: always stopped."""
    attacker, victim = testbed.guests[name]
    message = router_advertisement(attacker, "2001:db8:bad::")

    def routes(namespace: Namespace) -> str:
        return namespace.run("ip", "-6", "route", "show")

    before = routes(testbed.host)
    if name == "lab":
        repeat_until(
            lambda: attacker.send(message), lambda: f"default via {attacker.link_local}" in routes(victim.namespace)
        )
    else:
        with capture_frames(victim.namespace) as capture:
            attacker.send(message)
            wait_until_delivered(attacker, victim)
            assert not capture.contains(message[14:])
        assert attacker.link_local not in routes(victim.namespace)
    assert "2001:db8:bad" not in routes(testbed.host) + testbed.host.run("ip", "-6", "address", "show")
    assert routes(testbed.host) == before


def test_the_host_ignores_advertisements_on_a_network_without_ipv6(testbed: AttackTestbed) -> None:
    """The host has no IPv6 at all on such a bridge."""
    (attacker,) = testbed.guests["other"]
    attacker.send(router_advertisement(attacker, "2001:db8:bad::"))
    wait_until_delivered(attacker)
    assert testbed.host.run("ip", "-6", "address", "show", "dev", "vn-other") == ""
    assert "2001:db8:bad" not in testbed.host.run("ip", "-6", "route", "show")


def test_spoofed_sources_do_not_reach_the_outside(testbed: AttackTestbed) -> None:
    """Stopped by default, in both families, whatever the source address."""
    attacker = testbed.guests["lab"][0]
    gateway = testbed.bridge_mac("lab")
    spoofed = [
        (FOREIGN_ADDRESS, OUTSIDE),
        ("192.168.32.2", OUTSIDE),
        ("2001:db8::77", OUTSIDE6),
        ("fd00:b::2", OUTSIDE6),
        (attacker.link_local, OUTSIDE6),
    ]
    honest = [(OWN_ADDRESS, OUTSIDE), ("fd00:a::2", OUTSIDE6)]
    with capture_frames(testbed.outside) as capture:
        attacker.send(*(udp(attacker, gateway, source, target, 4444, b"spoofed") for source, target in spoofed))
        for source, target in honest:
            attacker.send(udp(attacker, gateway, source, target, 4444, b"honest " + source.encode()))
        wait_until_delivered(attacker)
        frames = capture.read_frames()
    for source, _target in honest:
        assert any(b"honest " + source.encode() in frame for frame in frames)
    assert not any(b"spoofed" in frame for frame in frames)


def test_rp_filter_decides_whether_spoofed_sources_reach_the_host(testbed: AttackTestbed) -> None:
    """Not stopped by us: `rp_filter` of the kernel stops it for IPv4; the kernel never accepts loopback addresses."""
    attacker = testbed.guests["lab"][0]
    gateway = testbed.bridge_mac("lab")
    setting = "net.ipv4.conf.vn-lab.rp_filter"
    with in_namespace(testbed.host):
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with listener:
        listener.bind(("0.0.0.0", 4444))
        listener.settimeout(60)

        def sources() -> list[str]:
            """The source addresses of the packets that arrive, up to the honest packet, which is the last."""
            for source in (FOREIGN_ADDRESS, "127.0.0.1", OWN_ADDRESS):
                attacker.send(udp(attacker, gateway, source, f"{SUBNETS['lab']}.1", 4444, b"?"))
            addresses: list[str] = []
            while OWN_ADDRESS not in addresses:
                addresses.append(listener.recvfrom(100)[1][0])
            return addresses

        assert sources() == [FOREIGN_ADDRESS, OWN_ADDRESS]
        testbed.host.run("sysctl", "-q", "-w", f"{setting}=1")
        assert sources() == [OWN_ADDRESS]
        testbed.host.run("sysctl", "-q", "-w", f"{setting}=0")


def test_a_guest_reaches_the_public_ports_of_the_host_and_dhcp_and_dns_only(testbed: AttackTestbed) -> None:
    """A guest reaches the ports that a neighbour at the uplink reaches, and DHCP and DNS of its network; no more."""
    attacker = testbed.guests["lab"][0].namespace
    listeners = {"0.0.0.0": 800, "127.0.0.1": 810, UPLINK: 820, "192.168.32.1": 830}
    for address, port in listeners.items():
        testbed.host.start(*script("tcp_listener"), address, str(port))
    wait_until(lambda: all(f"{host}:{port} " in testbed.host.run("ss", "-Hltn") for host, port in listeners.items()))
    for net in SUBNETS.values():
        testbed.outside.run("ip", "route", "replace", f"{net}.0/24", "via", UPLINK)
    testbed.outside.run("ip", "route", "replace", "127.0.0.2/32", "via", UPLINK)
    attacker.run("ip", "route", "replace", "127.0.0.2/32", "via", f"{SUBNETS['lab']}.1")

    all_ports = range(1, 1024)
    assert scan(testbed.outside, UPLINK, all_ports) == {800, 820}
    assert scan(attacker, UPLINK, all_ports) == {800, 820}
    assert scan(attacker, "192.168.30.1", all_ports) == {53, 800}
    for other in ("192.168.31.1", "192.168.32.1", "127.0.0.2"):
        assert scan(attacker, other, [53, *listeners.values()]) == set()
    # The ports on which our services listen on the bridge, TCP or UDP.
    lines = testbed.host.run("ss", "-Hlntu").splitlines()
    ports = {line.split()[4].rpartition(":")[2] for line in lines if "192.168.30.1:" in line or "vn-lab:" in line}
    assert ports == {"53", "67", "547"} or ports == {"53"}


def scan(namespace: Namespace, address: str, ports: Iterable[int]) -> set[int]:
    """The TCP ports that answer."""
    request = json.dumps(list(ports))
    return set(map(int, namespace.run(*script("tcp_scanner"), address, stdin=request, timeout=120).split()))


def test_a_guest_cannot_reach_guests_of_other_networks(testbed: AttackTestbed) -> None:
    """Stopped by default, also by way of the host's address, and with a source of the other network."""
    attacker = testbed.guests["lab"][0]
    (other,) = testbed.guests["other"]
    other.namespace.serve()
    assert testbed.host.ask("192.168.32.2") == "192.168.32.1"
    for protocol in ("tcp", "udp"):
        assert attacker.namespace.ask("192.168.32.2", protocol=protocol) == ""
    assert not attacker.namespace.pings("192.168.32.2")
    gateway = testbed.bridge_mac("lab")
    with capture_frames(other.namespace) as capture:
        for source in (OWN_ADDRESS, "192.168.32.9", "192.168.32.1", FOREIGN_ADDRESS):
            attacker.send(udp(attacker, gateway, source, "192.168.32.2", 8000, b"from lab"))
        wait_until_delivered(attacker, other)
        assert not capture.contains(b"from lab")


def test_an_option_stops_dns_rebinding(testbed: AttackTestbed) -> None:
    """DNS rebinding. Default: not stopped. `dnsmasq.options: [stop-dns-rebind]`: stopped."""
    inside, guarded = (NamedNamespace(testbed.guests[name][0].namespace.name) for name in ("lab", "apart"))
    for namespace, name in ((inside, "lab"), (guarded, "apart")):
        server = f"{SUBNETS[name]}.1"
        assert resolve(namespace, server, PUBLIC_NAME) == PUBLIC_ADDRESS
    assert resolve(inside, f"{SUBNETS['lab']}.1", REBINDING) == f"{SUBNETS['lab']}.1"
    assert resolve(guarded, f"{SUBNETS['apart']}.1", REBINDING) == "empty"


def test_a_guest_can_take_all_dynamic_addresses_of_its_network_only(testbed: AttackTestbed) -> None:
    """Default: it gets those of its own range, and no address of a static host. Option: only known hosts get one."""
    attackers = {name: NamedNamespace(testbed.guests[name][0].namespace.name) for name in SUBNETS}
    assert len(take_leases(attackers["lab"], 9)) == 8
    assert "no address available" in (testbed.root / "log").read_text()
    for name in ("lab", "apart"):
        assert offers(attackers[name], STATIC_HOST_MACS[name], 60) == [f"{SUBNETS[name]}.1"]
    assert len(take_leases(attackers["other"], 1)) == 1
    assert take_leases(attackers["apart"], 1) == {}
    assert "no address available" not in testbed.daemon.private.log("apart")


def test_a_guest_can_exhaust_the_leases_of_the_hosts_dnsmasq(testbed: AttackTestbed) -> None:
    """Not stopped: in a range larger than dnsmasq's limit of leases, a guest takes the leases of all its networks.

    A network with a dnsmasq of its own is not affected.
    """
    wide, other = (NamedNamespace(testbed.guests[name][0].namespace.name) for name in ("wide", "other"))
    assert 0 < len(take_leases(wide, MAX_LEASES + 1)) < MAX_LEASES + 1
    fresh = bytes([0x52, 0x54, 0, 9, 9, 9])
    assert not take_leases(other, 1, fresh)
    assert "no leases left" in (testbed.root / "log").read_text()


def test_a_dns_flood_blocks_only_networks_of_the_same_dnsmasq(testbed: AttackTestbed) -> None:
    """A flood of queries without answers. Not stopped for networks of the same dnsmasq; others are not affected."""
    attacker = testbed.guests["lab"][0].namespace
    (other,) = (NamedNamespace(nic.namespace.name) for nic in testbed.guests["other"])
    apart = NamedNamespace(testbed.guests["apart"][0].namespace.name)
    flood = attacker.start(*script("dns_flood"), f"{SUBNETS['lab']}.1", SILENT_DOMAIN)
    try:
        wait_until(lambda: "Maximum number of concurrent DNS queries reached" in (testbed.root / "log").read_text())
        wait_until(lambda: resolve(other, f"{SUBNETS['other']}.1", f"new.{PUBLIC_NAME}") != PUBLIC_ADDRESS)
        # It still answers queries for its own names; guests that use another server get all answers.
        assert resolve(other, f"{SUBNETS['other']}.1", NAME) == NAMED_ADDRESS
        assert resolve(apart, f"{SUBNETS['apart']}.1", f"new.{PUBLIC_NAME}") == PUBLIC_ADDRESS
    finally:
        flood.kill()
        flood.wait()
    wait_until(lambda: resolve(other, f"{SUBNETS['other']}.1", f"new.{PUBLIC_NAME}") == PUBLIC_ADDRESS)
