# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attacks with packets of no connection: no inside address leaves, and no other network answers.

docs/docsite/rst/security.rst has a row for each test.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.frames import FrameCapture, Nic, capture_frames, in_namespace, ip, on_one_processor, udp
from kernel.nft_testbed import wait_for_addresses
from kernel.polling import wait_until
from kernel.testbed import OUTSIDE, UPLINK, Namespace, NamespaceTestbed, script
from kernel.untracked_packets import ICMP as ICMP4
from kernel.untracked_packets import ICMPV6 as ICMP6
from kernel.untracked_packets import SCAN, TCP, embedded_udp, icmp, tcp, unreachable, untracked_payloads

OUTSIDES = {4: OUTSIDE, 6: "2001:db8::1"}
MODES = {"a": "nat", "b": "nat", "r": "routed", "i": "isolated"}
NETS = {name: {4: f"192.168.{30 + at}.", 6: f"fd00:{name if name in 'ab' else at}::"} for at, name in enumerate(MODES)}
FAMILIES = (4, 6)
PING = {4: (ICMP4, 8), 6: (ICMP6, 128)}


def subnets(name: str) -> list[str]:
    return [f"{NETS[name][4]}0/24", f"{NETS[name][6]}/64"]


class PacketTestbed(NamespaceTestbed):
    """A guest .2 in each network, and one on a bridge where the host has no address."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.rules()
        self.host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.task("bridge", [
            *({"name": f"br-{n}", "addresses": [f"{net[4]}1/24", f"{net[6]}1/64"]} for n, net in NETS.items()),
            {"name": "br-bare"},
        ])  # fmt: skip
        for namespace, address in ((self.host, "2001:db8::2"), (self.outside, OUTSIDES[6])):
            namespace.run("ip", "address", "add", f"{address}/64", "dev", "eth0", "nodad")
        self.host.run("ip", "-6", "route", "add", "default", "via", OUTSIDES[6])
        for net in NETS.values():
            self.outside.run("ip", "route", "add", f"{net[4]}0/24", "via", UPLINK)
            self.outside.run("ip", "route", "add", f"{net[6]}/64", "via", "2001:db8::2")
        self.guests = {name: self._add_member(name) for name in NETS}
        self.bare = Nic.of(self.add_guest("br-bare", "192.168.50.2/24"))
        self.outside.serve()
        self.host.serve()
        wait_for_addresses(*self.namespaces)

    def rules(self, **options: Any) -> None:
        self.task("nft", [
            *({"name": n, "bridge": f"br-{n}", "mode": mode, "subnets": subnets(n), **options.get(n, {})}
              for n, mode in MODES.items()),
            {"name": "bare", "bridge": "br-bare", "mode": "isolated"},
        ])  # fmt: skip

    def _add_member(self, name: str) -> Nic:
        net = NETS[name]
        guest = self.add_guest(f"br-{name}", f"{net[4]}2/24", gateway=f"{net[4]}1")
        guest.run("ip", "address", "add", f"{net[6]}2/64", "dev", "eth0", "nodad")
        guest.run("ip", "-6", "route", "add", "default", "via", f"{net[6]}1")
        guest.serve()
        return Nic.of(guest)

    def gateway(self, name: str) -> str:
        return str(self.link(f"br-{name}")["address"])

    def wait_until_passed(self, nic: Nic, name: str) -> None:
        """Wait until all packets that this guest sent before have arrived."""
        assert nic.namespace.pings(f"{NETS[name][4]}1")


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PacketTestbed]:
    with on_one_processor():
        testbed = PacketTestbed(tmp_path_factory.mktemp("packets"))
        try:
            yield testbed
        finally:
            testbed.close()


def packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def sources(capture: FrameCapture) -> set[str]:
    """The source addresses of the IP packets that a tap captured."""
    addresses = set()
    for frame in capture.read_frames():
        kind = frame[12:14]
        if kind == b"\x08\x00":
            addresses.add(socket.inet_ntop(socket.AF_INET, frame[26:30]))
        elif kind == b"\x86\xdd":
            addresses.add(socket.inet_ntop(socket.AF_INET6, frame[22:38]))
    return addresses


@pytest.mark.parametrize("family", FAMILIES)
def test_packets_without_a_connection_do_not_reach_the_outside(testbed: PacketTestbed, family: int) -> None:
    """Stopped in mode nat: NAT does not apply to such packets, so they would leave with the guest's own address."""
    attacker, own, gateway = testbed.guests["a"], f"{NETS['a'][family]}2", testbed.gateway("a")
    target = OUTSIDES[family]
    assert attacker.namespace.ask(target) in (UPLINK, "2001:db8::2")
    passed = {}
    for name, (protocol, payload) in untracked_payloads(own, target).items():
        with capture_frames(testbed.outside) as capture:
            attacker.send(ip(attacker, gateway, own, target, protocol, payload))
            testbed.wait_until_passed(attacker, "a")
            passed[name] = own in sources(capture)
    assert not [name for name, reached in passed.items() if reached]
    for protocol in ("tcp", "udp"):
        assert attacker.namespace.ask(target, protocol=protocol) in (UPLINK, "2001:db8::2")
    assert attacker.namespace.pings(target)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["a", "r", "i"])
def test_other_addresses_of_the_host_do_not_answer_to_unusual_tcp_flags(
    testbed: PacketTestbed, name: str, family: int
) -> None:
    """Stopped: a port of another network's address, open or closed, does not answer NULL, FIN or XMAS scans."""
    attacker, own, gateway = testbed.guests[name], f"{NETS[name][family]}2", testbed.gateway(name)
    other = f"{NETS['b'][family]}1"
    with capture_frames(attacker.namespace) as capture:
        for flags in SCAN.values():
            for port in (8000, 9):
                attacker.send(ip(attacker, gateway, own, other, TCP, tcp(own, other, port, flags)))
        testbed.wait_until_passed(attacker, name)
        # A rejection reveals nothing: it is the same for each address and port.
        answers = [frame for frame in capture.read_frames() if packed(other) in frame[22:42] and _is_tcp(frame)]
    assert not answers


def _is_tcp(frame: bytes) -> bool:
    return frame[20 if frame[12:14] == b"\x86\xdd" else 23] == TCP


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["a", "r", "i"])
def test_packets_without_a_connection_do_not_reach_guests_of_other_networks(
    testbed: PacketTestbed, name: str, family: int
) -> None:
    """Stopped, whatever the protocol."""
    attacker, own, gateway = testbed.guests[name], f"{NETS[name][family]}2", testbed.gateway(name)
    other, victim = f"{NETS['b'][family]}2", testbed.guests["b"]
    with capture_frames(victim.namespace) as capture:
        for protocol, payload in untracked_payloads(own, other).values():
            attacker.send(ip(attacker, gateway, own, other, protocol, payload))
        testbed.wait_until_passed(attacker, name)
        testbed.wait_until_passed(victim, "b")
        assert own not in sources(capture)


@pytest.mark.parametrize("name", ["a", "r", "i"])
def test_an_icmp_error_about_a_connection_of_another_guest_is_dropped(testbed: PacketTestbed, name: str) -> None:
    """Stopped: the error refers to a connection in conntrack to which this guest does not belong.

    With NAT no guest can guess the outer addresses of a connection; so there is no NAT here.
    """
    attacker, own, gateway = testbed.guests[name], f"{NETS[name][6]}2", testbed.gateway(name)
    other, victim, target = f"{NETS['b'][6]}2", testbed.guests["b"], OUTSIDES[6]
    testbed.rules(b={"nat": {"ipv6": False}})
    try:
        # From a port that the attacker has guessed.
        assert victim.namespace.run(*script("udp_ask"), target, "8000", "40404").strip() == other
        error = unreachable(own, other, embedded_udp(other, target, 8000, 40404))
        with capture_frames(victim.namespace) as capture:
            attacker.send(ip(attacker, gateway, own, other, ICMP6, error))
            testbed.wait_until_passed(attacker, name)
            testbed.wait_until_passed(victim, "b")
            assert own not in sources(capture)
    finally:
        testbed.rules()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["a", "r"])
def test_an_icmp_error_with_a_spoofed_source_is_dropped(testbed: PacketTestbed, name: str, family: int) -> None:
    """Stopped: errors too must have a source of the network, even for the guest's own connection."""
    attacker, own, gateway = testbed.guests[name], f"{NETS[name][family]}2", testbed.gateway(name)
    target, foreign = OUTSIDES[family], {4: "198.51.100.77", 6: "2001:db8:bad::77"}[family]
    with in_namespace(testbed.outside):
        outside = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_DGRAM)
    with outside, capture_frames(testbed.outside) as capture:
        outside.bind(("", 40405))
        # In mode nat the guest must open the connection.
        attacker.send(udp(attacker, gateway, own, target, 40405, b"first"))
        outside.settimeout(20)
        _data, peer = outside.recvfrom(100)
        outside.sendto(b"answer", peer)
        wait_until(lambda: attacker.namespace.pings(f"{NETS[name][family]}1"))
        error = unreachable(foreign, target, embedded_udp(target, own, 40405, 40405))
        attacker.send(ip(attacker, gateway, foreign, target, ICMP6 if family == 6 else ICMP4, error))
        testbed.wait_until_passed(attacker, name)
        assert foreign not in sources(capture)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_icmp_error_of_a_guest_reaches_the_outside(testbed: PacketTestbed, family: int) -> None:
    """The kernel of a guest reports a closed port: through NAT, and to the sender."""
    guest, own = testbed.guests["a"], f"{NETS['a'][family]}2"
    forward = {"protocol": "udp", "port": 7777, "to": own, "to_port": 7777}
    testbed.rules(a={"port_forwards": [forward]})
    host = {4: UPLINK, 6: "2001:db8::2"}[family]
    try:
        with capture_frames(testbed.outside) as capture:
            refused = testbed.outside.run(*script("udp_ask"), host, "7777").strip()
            addresses = sources(capture)
    finally:
        testbed.rules()
    assert refused == "refused"
    assert own not in addresses
    assert guest.namespace.pings(OUTSIDES[family])


def test_a_guest_without_addresses_cannot_reach_the_host(testbed: PacketTestbed) -> None:
    """Stopped: the host's addresses on other networks, although conntrack does not track such a bridge's frames."""
    attacker = testbed.bare
    with in_namespace(testbed.host):
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with listener:
        listener.bind(("0.0.0.0", 4444))
        listener.setblocking(False)
        for name in ("b", "r"):
            address = f"{NETS[name][4]}1"
            attacker.send(udp(attacker, testbed.gateway("bare"), f"{NETS['a'][4]}9", address, 4444, b"from bare"))
        testbed.wait_until_passed(testbed.guests["a"], "a")
        with pytest.raises(BlockingIOError):
            listener.recvfrom(100)


@pytest.mark.parametrize("mode", ["routed", "open"])
def test_asymmetric_routes_work_in_modes_routed_and_open(tmp_path: Path, mode: str) -> None:
    """It works in the modes routed and open, where conntrack sees one direction only and marks it invalid."""
    testbed = NamespaceTestbed(tmp_path)
    try:
        subnet = "192.168.60"
        testbed.task("nft", [{"name": "x", "bridge": "br-x", "mode": mode, "subnets": [f"{subnet}.0/24"]}])
        testbed.task("bridge", [{"name": "br-x", "addresses": [f"{subnet}.1/24"]}])
        testbed.host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        guest = testbed.add_guest("br-x", f"{subnet}.2/24", gateway=f"{subnet}.1")
        _add_second_path(testbed, guest, f"{subnet}.2")
        guest.serve()
        testbed.outside.serve()
        # From the outside directly to the guest, and back through the host; then the other way round.
        assert testbed.outside.ask(f"{subnet}.2") == OUTSIDE
        assert guest.ask(OUTSIDE, source=f"{subnet}.2") == f"{subnet}.2"
        assert float(testbed.outside.run("python3", "-S", str(PROBE), "send", f"{subnet}.2", "8001", "300")) > 0
        assert float(guest.run("python3", "-S", str(PROBE), "send", OUTSIDE, "8001", "300")) > 0
        count = testbed.host.run("conntrack", "-S")
        assert "invalid=" in count
    finally:
        testbed.close()


PROBE = Path(__file__).with_name("probe.py")


def _add_second_path(testbed: NamespaceTestbed, guest: Namespace, address: str) -> None:
    """A direct link from the outside to the guest, unknown to the host, for packets to the guest."""
    testbed.outside.run("ip", "link", "add", "direct", "type", "veth", "peer", "name", "direct", "netns", guest.name)
    for namespace, own in ((testbed.outside, "198.51.100.1/30"), (guest, "198.51.100.2/30")):
        namespace.run("ip", "address", "add", own, "dev", "direct")
        namespace.run("ip", "link", "set", "direct", "up")
        namespace.run("sysctl", "-q", "-w", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.direct.rp_filter=0")
    testbed.outside.run("ip", "route", "add", f"{address}/32", "via", "198.51.100.2", "src", OUTSIDE)


@pytest.mark.parametrize("family", FAMILIES)
def test_frames_with_partial_checksums_are_accepted(testbed: PacketTestbed, family: int) -> None:
    """A veth or virtio device leaves checksums to the host; such packets are not treated as corrupt."""
    guest = testbed.guests["a"].namespace
    testbed.host.run("sysctl", "-q", "-w", "net.netfilter.nf_conntrack_checksum=1")
    assert float(guest.run("python3", "-S", str(PROBE), "send", OUTSIDES[family], "8001", "300")) > 0
    for protocol in ("tcp", "udp"):
        assert guest.ask(OUTSIDES[family], protocol=protocol)
        assert guest.ask(f"{NETS['a'][family]}1", protocol=protocol)


def test_a_connection_continues_after_conntrack_is_flushed(testbed: PacketTestbed) -> None:
    """It continues: packets in the middle of a connection start a new entry (nf_conntrack_tcp_loose)."""
    guest = testbed.guests["a"].namespace
    sender = guest.start(*script("tcp_pause"), OUTSIDE)
    assert sender.stdout is not None and sender.stdin is not None
    assert sender.stdout.readline() == "ready\n"
    testbed.host.run("conntrack", "-F")
    sender.stdin.write("\n")
    sender.stdin.flush()
    assert sender.stdout.readline() == "done\n"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_host_answers_an_unusual_ping_at_the_gateways_address(testbed: PacketTestbed, family: int) -> None:
    """The host still answers honest packets at its address on the guest's own network."""
    attacker, own, gateway = testbed.guests["i"], f"{NETS['i'][family]}2", testbed.gateway("i")
    protocol, kind = PING[family]
    with capture_frames(attacker.namespace) as capture:
        target = f"{NETS['i'][family]}1"
        attacker.send(ip(attacker, gateway, own, target, protocol, icmp(own, target, kind, 0, b"\0\7\0\7")))
        testbed.wait_until_passed(attacker, "i")
        assert target in sources(capture)
