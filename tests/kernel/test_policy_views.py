# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is told of policies on a host with definitions, compared with real packets."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kernel.frames import in_namespace
from kernel.guard_testbed import GuardTestbed, network_without_services
from kernel.nft_testbed import wait_for_addresses
from kernel.testbed import OUTSIDE, UPLINK

A, B = "192.168.30", "192.168.31"
# Seconds after which a packet counts as dropped.
TIMEOUT = 5.0


def lab(**policy: Any) -> dict[str, Any]:
    return network_without_services("lab", ipv4={"address": f"{A}.1/24"}, policy=policy)


DMZ = network_without_services("dmz", ipv4={"address": f"{B}.1/24"})


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[GuardTestbed]:
    testbed = GuardTestbed(tmp_path)
    try:
        testbed.outside.serve()
        yield testbed
    finally:
        testbed.close()


def test_info_returns_the_entries_of_each_policy_and_what_they_have_matched(testbed: GuardTestbed) -> None:
    testbed.run_playbook(lab(allow=[{"network": "dmz", "protocol": "tcp", "port": 8000}], deny=[{"to": OUTSIDE}]), DMZ)
    guest = testbed.add_guest("vn-lab", f"{A}.2/24", f"{A}.1")
    testbed.add_guest("vn-dmz", f"{B}.2/24", f"{B}.1").serve()
    assert guest.ask(f"{B}.2") == f"{A}.2"
    assert guest.ask(f"{B}.2") == f"{A}.2"
    assert guest.ask(OUTSIDE) == ""
    assert testbed.host.ask(OUTSIDE) == UPLINK
    described = json.loads(testbed.host.run_engine("describe_networks", str(testbed.root)))
    policies = {network["name"]: network["policy"] for network in described["networks"]}
    allowed, denied = policies["lab"]
    assert policies["dmz"] == []
    assert allowed == {"entry": "allow -> dmz tcp 8000", "packets": 2}
    assert denied["entry"] == f"deny -> {OUTSIDE}"
    assert denied["packets"] > 0


def test_the_check_names_no_network_as_cut_off_whose_policy_refuses_the_outside(testbed: GuardTestbed) -> None:
    # Without the policy it is a fault that the host forwards nothing that arrives from the outside.
    closed = "does not forward IPv4 packets that arrive on eth0"
    testbed.run_playbook(lab())
    testbed.host.run("sysctl", "-qw", "net.ipv4.conf.eth0.forwarding=0")
    assert closed in testbed.command("check", check=False)
    testbed.run_playbook(lab(default="deny"))
    testbed.host.run("sysctl", "-qw", "net.ipv4.conf.eth0.forwarding=0")
    told = testbed.command("check", check=False)
    assert closed not in told
    assert "dropped" not in told
    assert "note: network 'lab': packets guest to outside (IPv4) are refused by its policy" in told


class Traced(NamedTuple):
    """A flow and its words in ``virtnet trace``; ``by``: a part of the reason that is told."""

    source: str
    to: str
    protocol: str
    port: int
    by: str


# Addresses end with the family's: see address().
FLOWS = (
    Traced("lab.2", "dmz.2", "tcp", 8000, "network 'lab': policy.allow[0]"),
    Traced("lab.2", "dmz.2", "udp", 8000, "mode nat: nobody reaches guests"),
    Traced("lab.2", "dmz.2", "tcp", 8001, "network 'lab': policy.deny[2]"),
    Traced("lab.2", "dmz.2", "icmp", 0, "network 'lab': policy.allow[1]"),
    Traced("lab.3", "dmz.2", "tcp", 8000, "network 'lab': policy.deny["),
    Traced("lab.2", "lab.3", "tcp", 8000, "its guests reach each other"),
    Traced("lab.2", "lab.1", "tcp", 8000, "network 'lab': policy.to_host"),
    Traced("lab.2", "lab.1", "udp", 8000, "network 'lab': policy.to_host"),
    Traced("lab.2", "lab.1", "icmp", 0, "network 'lab': policy.to_host"),
    Traced("lab.2", "dmz.1", "udp", 8000, "no address of the host on closed networks"),
    Traced("lab.2", "outside", "tcp", 8000, "network 'lab': mode nat"),
    Traced("lab.2", "outside", "tcp", 8001, "network 'lab': policy.deny[2]"),
    Traced("lab.2", "outside", "udp", 8000, "chain after of table inet other"),
    Traced("dmz.2", "lab.2", "tcp", 8000, "network 'dmz': policy.default"),
    Traced("dmz.2", "outside", "tcp", 8000, "network 'dmz': policy.default"),
    Traced("dmz.2", "iso.2", "tcp", 8000, "network 'dmz': policy.allow[0]"),
    Traced("iso.2", "dmz.2", "tcp", 8000, "isolated"),
    Traced("iso.2", "outside", "tcp", 8000, "isolated"),
    Traced("iso.2", "iso.1", "tcp", 8000, "network 'iso': mode isolated"),
    Traced("outside", "lab.2", "tcp", 8000, "mode nat: nobody reaches guests"),
    Traced("outside", "host", "tcp", 8080, "network 'dmz': port_forwards"),
    Traced("outside", "host", "tcp", 8000, "no rule refuses it"),
    Traced("lab.2", "host.outside", "tcp", 8080, "network 'lab': policy.allow[0]; network 'dmz': port_forwards"),
    Traced("lab.3", "host.outside", "tcp", 8080, "network 'lab': policy.deny["),
    Traced("dmz.2", "host.outside", "tcp", 8000, "network 'dmz': mode nat"),
    Traced("host", "dmz.2", "tcp", 8000, "no rule refuses packets of the host"),
    Traced("host", "outside", "udp", 8000, "no rule refuses packets of the host"),
)
# Another firewall, which comes after our rules.
OTHER = """
table inet other {
    chain after {
        type filter hook forward priority 10; policy accept;
        oifname "eth0" udp dport 8000 drop
    }
}
"""
SUBNETS = {
    4: {"lab": f"{A}.", "dmz": f"{B}.", "iso": "192.168.32."},
    6: {"lab": "fd00:a::", "dmz": "fd00:b::", "iso": "fd00:c::"},
}
OUTSIDES, UPLINKS = {4: OUTSIDE, 6: "2001:db8::1"}, {4: UPLINK, 6: "2001:db8::2"}


def address(end: str, version: int) -> str:
    """The address in one family of a guest, of the host on a network (1) or towards the outside, or of the outside."""
    network, _dot, number = end.partition(".")
    if end == "outside":
        return OUTSIDES[version]
    return UPLINKS[version] if network == "host" else f"{SUBNETS[version][network]}{number}"


class TracedHost:
    """A host with three networks and their guests, in both families."""

    def __init__(self, testbed: GuardTestbed) -> None:
        self.testbed = testbed
        host = testbed.host
        for namespace, own in ((testbed.outside, OUTSIDES[6]), (host, UPLINKS[6])):
            namespace.run("ip", "address", "add", f"{own}/64", "dev", "eth0", "nodad")
        host.run("ip", "-6", "route", "add", "default", "via", OUTSIDES[6])
        for version in (4, 6):
            for subnet in SUBNETS[version].values():
                block = f"{subnet}/64" if version == 6 else f"{subnet}0/24"
                testbed.outside.run("ip", "route", "add", block, "via", UPLINKS[version])
        testbed.run_playbook(*self.networks())
        self.ends = {"outside": testbed.outside, "host": host}
        for name, number in (("lab", 2), ("lab", 3), ("dmz", 2), ("iso", 2)):
            end = f"{name}.{number}"
            guest = testbed.add_guest(f"vn-{name}", f"{address(end, 4)}/24", address(f"{name}.1", 4))
            guest.run("ip", "address", "add", f"{address(end, 6)}/64", "dev", "eth0", "nodad")
            guest.run("ip", "-6", "route", "add", "default", "via", address(f"{name}.1", 6))
            self.ends[end] = guest
        for namespace in testbed.namespaces:
            if namespace is not testbed.outside:
                namespace.serve()
        wait_for_addresses(*testbed.namespaces)
        host.run("nft", "-f", "-", stdin=OTHER)

    @staticmethod
    def networks() -> list[dict[str, Any]]:
        policies: dict[str, Any] = {
            "lab": {
                "to_host": [{"protocol": "udp", "port": 8000}],
                "allow": [{"network": "dmz", "protocol": "tcp", "port": 8000}, {"network": "dmz", "protocol": "icmp"}],
                "deny": [
                    *({"from": address("lab.3", version), "network": "dmz"} for version in (4, 6)),
                    {"protocol": "tcp", "port": 8001},
                ],
            },
            "dmz": {"default": "deny", "allow": [{"network": "iso"}]},
            "iso": {},
        }
        forwards = [
            {"protocol": "tcp", "port": 8080, "to": address("dmz.2", version), "to_port": 8000} for version in (4, 6)
        ]
        return [
            network_without_services(
                name,
                mode="isolated" if name == "iso" else "nat",
                ipv4={"address": f"{address(f'{name}.1', 4)}/24"},
                ipv6={"address": f"{address(f'{name}.1', 6)}/64", "ra": False},
                policy=policy,
                port_forwards=forwards if name == "dmz" else [],
            )
            for name, policy in policies.items()
        ]

    def reaches(self, flow: Traced, version: int) -> bool:
        """Whether a real packet is answered."""
        sender, to = self.ends[flow.source], address(flow.to, version)
        if flow.protocol == "icmp":
            return sender.pings(to)
        kind = socket.SOCK_STREAM if flow.protocol == "tcp" else socket.SOCK_DGRAM
        family = socket.AF_INET6 if version == 6 else socket.AF_INET
        with in_namespace(sender), socket.socket(family, kind) as client, contextlib.suppress(OSError):
            client.settimeout(TIMEOUT)
            client.connect((to, flow.port))
            if flow.protocol == "tcp":
                return True
            client.send(b"?")
            return bool(client.recv(100))
        return False

    def traces(self, cases: Sequence[tuple[Traced, int]]) -> list[dict[str, Any]]:
        """What the command answers."""
        words = [
            (
                "host" if flow.source == "host" else address(flow.source, version),
                address(flow.to, version),
                flow.protocol,
                flow.port,
            )
            for flow, version in cases
        ]
        answers = json.loads(
            self.testbed.host.run_engine("trace_packets", str(self.testbed.root), stdin=json.dumps(words))
        )
        return [answer for (answer,) in answers]


def test_a_trace_says_of_each_packet_what_happens_to_it(testbed: GuardTestbed) -> None:
    host = TracedHost(testbed)
    cases = [(flow, version) for flow in FLOWS for version in (4, 6)]
    with ThreadPoolExecutor(16) as pool:
        real = list(pool.map(lambda case: host.reaches(*case), cases))
    told = host.traces(cases)
    wrong = [
        f"{case}: really {passes}, told {answer['verdict']} by {answer['by']}"
        for case, passes, answer in zip(cases, real, told, strict=True)
        if (answer["verdict"] == "passes") != passes or case[0].by not in answer["by"]
    ]
    assert not wrong, "\n".join(wrong)
    line = testbed.command("trace", address("lab.2", 4), address("dmz.2", 4), "tcp", "8000")
    assert line == f"passes: {A}.2 (network lab) -> {B}.2 (network dmz) tcp 8000: network 'lab': policy.allow[0]\n"
