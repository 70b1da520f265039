# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The evaluator predicts how the kernel treats packets: random rulesets, compared with the kernel itself."""

from __future__ import annotations

import ipaddress
import json
import random
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset import iptables, nft_json
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset.evaluate import traverse_hook
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset.model import Ruleset
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset.packet import Packet

from .packets import LAST_PORT, PORTS, TIMEOUT
from .testbed import OUTSIDE, UPLINK, NamespaceTestbed

PACKETS_PROGRAM = str(Path(__file__).with_name("packets.py"))
NET = {4: "192.168.30.", 6: "fd00:a::"}
OUTSIDE_ADDRESSES = {4: OUTSIDE, 6: "2001:db8::1"}
UPLINK_ADDRESSES = {4: UPLINK, 6: "2001:db8::2"}
SOURCES = (1000, 2000, 40000)
RULESETS = 9
HOOKS = ("prerouting", "input", "forward", "output", "postrouting")


class Topology:
    """A guest and the outside with the host between them; host and outside record the packets that arrive."""

    def __init__(self, testbed: NamespaceTestbed) -> None:
        self.testbed = testbed
        host, outside = testbed.host, testbed.outside
        testbed.task("bridge", [{"name": "br-a", "addresses": [f"{NET[4]}1/24", f"{NET[6]}1/64"]}])
        self.guest = testbed.add_guest("br-a", f"{NET[4]}2/24", gateway=f"{NET[4]}1")
        host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.guest.run("ip", "address", "add", f"{NET[6]}2/64", "dev", "eth0", "nodad")
        for namespace, address in ((host, UPLINK_ADDRESSES[6]), (outside, OUTSIDE_ADDRESSES[6])):
            namespace.run("ip", "address", "add", f"{address}/64", "dev", "eth0", "nodad")
        outside.run("ip", "route", "add", f"{NET[4]}0/24", "via", UPLINK_ADDRESSES[4])
        outside.run("ip", "route", "add", f"{NET[6]}/64", "via", UPLINK_ADDRESSES[6])
        self.guest.run("ip", "-6", "route", "add", "default", "via", f"{NET[6]}1")
        # Permanent entries: random rules may drop neighbour discovery.
        for family in (4, 6):
            self._add_neighbour(host, "br-a", f"{NET[family]}2", self.guest, "eth0")
            self._add_neighbour(self.guest, "eth0", f"{NET[family]}1", host, "br-a")
            self._add_neighbour(host, "eth0", OUTSIDE_ADDRESSES[family], outside, "eth0")
            self._add_neighbour(outside, "eth0", UPLINK_ADDRESSES[family], host, "eth0")
        self.sinks = [
            self._sink(host, f"{NET[4]}1", f"{NET[6]}1"),
            self._sink(outside, OUTSIDE_ADDRESSES[4], OUTSIDE_ADDRESSES[6]),
        ]
        self.source = self.guest.start(sys.executable, PACKETS_PROGRAM, "source")

    def _add_neighbour(self, namespace: Any, link: str, address: str, other: Any, at: str) -> None:
        (mac,) = [item["address"] for item in other.json("ip", "-j", "link", "show", at)]
        namespace.run("ip", "neighbour", "replace", address, "lladdr", mac, "dev", link, "nud", "permanent")

    def _sink(self, namespace: Any, *addresses: str) -> subprocess.Popen[str]:
        process: subprocess.Popen[str] = namespace.start(sys.executable, PACKETS_PROGRAM, "sink", *addresses)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def send(self, packets: Sequence[Sequence[Any]], sink: int) -> tuple[set[int], set[int]]:
        """The numbers of the packets that arrive, and of those whose replies arrive."""
        self.testbed.host.run("conntrack", "-F", check=False)
        source, receiver = self.source, self.sinks[sink]
        assert source.stdin is not None
        assert source.stdout is not None
        assert receiver.stdout is not None
        source.stdin.write(json.dumps(packets) + "\n")
        source.stdin.flush()
        for process in (receiver, source):
            assert select.select([process.stdout], [], [], TIMEOUT)[0], "the last packet did not come"
        return set(json.loads(receiver.stdout.readline())), set(json.loads(source.stdout.readline()))


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topology]:
    testbed = NamespaceTestbed(tmp_path_factory.mktemp("testbed"))
    try:
        yield Topology(testbed)
    finally:
        testbed.close()


MATCHES = (
    'iifname "br-a"', 'iifname "eth0"', 'iifname "br*"', 'iifname != "eth0"', 'iif "br-a"', 'oifname "eth0"',
    'oifname != "br-a"', 'oifname { "br-a", "lo" }', "ip saddr 192.168.30.0/24", "ip saddr 192.168.30.2",
    "ip daddr != 192.168.0.0/16", "ip daddr 203.0.113.0-203.0.113.9", "ip6 saddr fd00:a::/64", "ip6 daddr 2001:db8::1",
    "ip6 daddr != fd00::/8", "udp dport 53", "udp dport 1000-2000", "udp dport != { 53, 67 }", "udp dport { 53, 3000 }",
    "udp sport 1000", "udp dport >= 2000", "tcp dport 53", "tcp dport != 53", "th dport 1000", "meta l4proto udp",
    "meta l4proto { tcp, icmp }", "ip protocol udp", "ip6 nexthdr != tcp", "meta nfproto ipv4", "meta nfproto ipv6",
    "meta protocol ip6", "ct state new", "ct state established,related", "ct state != new", "ct state { new, invalid }",
    "ct state ! established", "ct direction reply", "meta mark 0x1", "meta mark & 0x2 == 0x2", "meta mark != 0x0",
    "ct mark 0x4", "ct mark & 0x8 != 0x0", "ct mark 0x1-0x9", "fib daddr type local",
    "fib daddr type { unicast, local }",
    "fib daddr type != local", "fib saddr . iif oif missing", "fib saddr . iif oif exists", "meta pkttype host",
    "meta pkttype { broadcast, multicast }", "icmp type echo-request", "icmpv6 type nd-neighbor-solicit",
    "ip saddr @some4", "ip daddr != @some4", "ip6 daddr @some6", "iifname . udp dport @pairs",
    "ip saddr . udp dport { 192.168.30.0/24 . 53, 203.0.113.1 . 1000-3000 }", "ct status dnat", "ct status ! dnat",
    "limit rate 1/day burst 1 packets", "meta length > 60", "ether type ip",
)  # fmt: skip
STATEMENTS = ("meta mark set 0x1", "meta mark set meta mark | 0x2", "meta mark set ct mark", "ct mark set 0x4",
         "ct mark set ct mark | 0x8", "meta mark set ip saddr map { 192.168.30.2 : 0x1 }", "counter",
         "counter")  # fmt: skip
MAPS = ('iifname vmap { "br-a" : %s, "eth*" : %s }', "udp dport vmap { 53 : %s, 1000-2000 : %s }",
        "ct state vmap { new : %s, established : %s }", "ip daddr vmap { 203.0.113.0/24 : %s, 192.168.30.1 : %s }",
        "iifname . meta l4proto vmap { br-a . udp : %s, eth0 . udp : %s }", "udp dport vmap @known")  # fmt: skip
SETS = """
set some4 { type ipv4_addr; flags interval; elements = { 192.168.30.2-192.168.30.9, 10.0.0.0/8 } }
set some6 { type ipv6_addr; elements = { 2001:db8::1 } }
set pairs { type ifname . inet_service; elements = { "br-a" . 53, "eth0" . 1000 } }
map known { type inet_service : verdict; elements = { 67 : drop, 1000 : accept, 3000 : jump c3 } }
"""


def random_rule(rng: random.Random, later_chains: Sequence[str]) -> str:
    def verdict() -> str:
        plain = ["accept", "accept", "drop", "return", "continue"]
        return rng.choice([*plain, *(f"{verb} {chain}" for verb in ("jump", "goto") for chain in later_chains)])

    if rng.random() < 0.15:
        text = rng.choice(MAPS)
        return text % (verdict(), verdict()) if "%" in text else text if "c3" in later_chains else "counter"
    words = rng.sample(MATCHES, rng.choice((0, 1, 1, 1, 2, 2)))
    if rng.random() < 0.25:
        return " ".join([*words, rng.choice(STATEMENTS)])
    return " ".join([*words, verdict()])


def random_ruleset(rng: random.Random, family: str) -> str:
    lines = [f"table {family} t {{", SETS]
    names = ["c1", "c2", "c3"]
    for i, name in reversed(list(enumerate(names))):
        rules = [random_rule(rng, names[i + 1 :]) for _ in range(rng.randint(1, 4))]
        lines += [f"chain {name} {{", *rules, "}"]
    for i in range(rng.randint(1, 4)):
        hook = rng.choice([*HOOKS, "forward", "input"])
        # The first priority is before conntrack.
        priority = rng.choice((-300, -10, 0, 10)) if hook in ("prerouting", "output") else rng.choice((-10, 0, 10))
        policy = rng.choice(("accept", "drop"))
        rules = [random_rule(rng, names) for _ in range(rng.randint(1, 5))]
        first = [f"udp dport {LAST_PORT} accept", f"udp sport {LAST_PORT} accept"]
        lines += [
            f"chain b{i} {{",
            f"type filter hook {hook} priority {priority}; policy {policy};",
            *first,
            *rules,
            "}",
        ]
    return "\n".join([*lines, "}", ""])


IPTABLES_MATCHES = (
    "-i br-a", "-i br+", "! -i eth0", "-o eth0", "-s 192.168.30.0/24", "! -d 203.0.113.1", "-d 203.0.113.0/24",
    "-p udp --dport 53", "-p udp --dport 1000:2000", "-p udp ! --sport 1000", "-p tcp --dport 53", "-p udp",
    "-p udp -m multiport --dports 53,67,2000:3000", "-m conntrack --ctstate NEW", "-m conntrack --ctstate ESTABLISHED",
    "-m conntrack ! --ctstate NEW,INVALID", "-m conntrack --ctstate ESTABLISHED,DNAT", "-m state --state NEW",
    "-m mark --mark 1", "-m mark --mark 0x2/0x2", "-m connmark --mark 0x8/0x8", "-m connmark ! --mark 4",
    "-m addrtype --dst-type LOCAL", "-m addrtype ! --dst-type LOCAL", "-m pkttype --pkt-type unicast",
    "-m comment --comment \"a -j DROP\"", "-m limit --limit 1/day --limit-burst 1", "-m length --length 0:60",
    "-p icmp --icmp-type echo-request", "-m conntrack --ctstate RELATED,ESTABLISHED",
)  # fmt: skip
IPTABLES_TARGETS = ("MARK --set-mark 1", "MARK --or-mark 2", "CONNMARK --set-mark 4", "CONNMARK --or-mark 8",
                  "CONNMARK --save-mark", "CONNMARK --restore-mark", "LOG")  # fmt: skip

TABLES = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "FORWARD"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}
NO_TABLES = "".join(
    f"*{table}\n" + "".join(f":{chain} ACCEPT\n" for chain in chains) + "COMMIT\n" for table, chains in TABLES.items()
)


def random_tables(rng: random.Random) -> str:
    lines = []
    for table, chains in TABLES.items():
        lines += [
            f"*{table}",
            *(f":{c} {'DROP' if rng.random() < 0.15 else 'ACCEPT'}" for c in chains),
            *(f":c{i} -" for i in (1, 2)),
        ]
        lines += [
            f"-A {chain} -p udp --{direction}port {LAST_PORT} -j ACCEPT" for chain in chains for direction in "sd"
        ]
        for chain in (*chains, "c1", "c2"):
            later_chains = {"c1": ["c2"], "c2": []}.get(chain, ["c1", "c2"])
            for _ in range(rng.randint(1, 4)):
                # iptables refuses an interface that does not fit the chain.
                refused = {"PREROUTING": "-o", "INPUT": "-o", "OUTPUT": "-i"}.get(chain, "-x")
                usable = [match for match in IPTABLES_MATCHES if refused not in match.split()]
                matches = rng.sample(usable, rng.choice((0, 1, 1, 1, 2)))
                # iptables refuses an option that is given twice.
                is_unique = len({match.lstrip("! ")[:2] for match in matches}) == len(matches)
                words = " ".join(matches if is_unique else matches[:1])
                verdicts = [
                    "-j ACCEPT",
                    "-j ACCEPT",
                    "-j DROP",
                    "-j RETURN",
                    *(f"-{direction} {to}" for direction in "jg" for to in later_chains),
                ]
                targets = [f"-j {name}" for name in IPTABLES_TARGETS if table == "mangle" or name == "LOG"]
                lines.append(f"-A {chain} {words} {rng.choice(targets if rng.random() < 0.25 else verdicts)}")
        lines.append("COMMIT")
    return "\n".join([*lines, ""])


def predict(rules: Ruleset, path: Sequence[tuple[str, Packet]], ct_mark: int | None) -> tuple[bool | None, int | None]:
    """Whether a packet passes all these hooks (None: unknown), and the mark of its connection afterwards."""
    mark: int | None = 0
    passes: bool | None = True
    for hook, packet in path:
        after, traversals = traverse_hook(rules, hook, replace(packet, mark=mark, ct_mark=ct_mark))
        mark, ct_mark = after.mark, after.ct_mark
        if any(not traversal.may_pass for traversal in traversals):
            return False, ct_mark
        if any(traversal.drops for traversal in traversals):
            passes = None
    return passes, ct_mark


def paths(packet: Sequence[Any], *, to_outside: bool) -> tuple[list[tuple[str, Packet]], list[tuple[str, Packet]]]:
    """The hooks that a packet passes, and those that its reply passes."""
    source_text, sport, destination_text, dport = packet
    source, destination = ipaddress.ip_address(source_text), ipaddress.ip_address(destination_text)
    sent = Packet(source, destination, "udp", "br-a", sport=sport, dport=dport, ipv6=source.version == 6)
    reply = replace(
        sent,
        source=destination,
        destination=source,
        sport=dport,
        dport=sport,
        ct_state="established",
        is_reply=True,
    )
    if to_outside:
        routed, routed_reply = replace(sent, oif="eth0"), replace(reply, iif="eth0", oif="br-a")
        return (
            [("prerouting", sent), ("forward", routed), ("postrouting", replace(routed, iif="br-a"))],
            [("prerouting", replace(routed_reply, oif="")), ("forward", routed_reply), ("postrouting", routed_reply)],
        )
    local, local_reply = replace(sent, daddr_type="local"), replace(reply, iif="", oif="br-a")
    return [("prerouting", local), ("input", local)], [("output", local_reply), ("postrouting", local_reply)]


def compare(topology: Topology, rules: Ruleset, family: int, text: str) -> Counter[str]:
    """Compare prediction and kernel for many packets; returns how often there was each prediction."""
    counts: Counter[str] = Counter()
    for sink, destination in ((0, f"{NET[family]}1"), (1, OUTSIDE_ADDRESSES[family])):
        packets = [(f"{NET[family]}2", sport, destination, dport) for sport in SOURCES for dport in PORTS]
        arrived, replied = topology.send(packets, sink)
        for number, packet in enumerate(packets):
            forward_path, reply_path = paths(packet, to_outside=bool(sink))
            expected, mark = predict(rules, forward_path, 0)
            counts[str(expected)] += 1
            assert expected in (None, number in arrived), (packet, "packet", text)
            if number not in arrived or expected is None:
                continue
            expected, _mark = predict(rules, reply_path, mark)
            counts[f"reply {expected}"] += 1
            assert expected in (None, number in replied), (packet, "reply", text)
    return counts


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("family", ["inet", "ip", "ip6"])
def test_the_kernel_does_what_is_predicted_for_nftables(topology: Topology, family: str, seed: int) -> None:
    rng = random.Random(f"{family} {seed}")
    counts: Counter[str] = Counter()
    loaded = 0
    while loaded < RULESETS:
        text = random_ruleset(rng, family)
        try:
            topology.testbed.host.run("nft", "-f", "-", stdin="flush ruleset\n" + text)
        except AssertionError as error:
            # nft refuses a match of the other family.
            assert "conflicting" in str(error) or "Error" in str(error)
            continue
        loaded += 1
        rules = nft_json.parse(topology.testbed.host.run("nft", "-j", "list", "ruleset"))
        counts += compare(topology, rules, {"ip": 4, "ip6": 6}.get(family) or rng.choice((4, 6)), text)
    topology.testbed.host.run("nft", "flush", "ruleset")
    print(dict(counts))
    # Predictions that are always unknown would never be wrong.
    predicted = sum(counts[word] for word in ("True", "False"))
    assert predicted > 5 * counts["None"]
    assert counts["reply True"] and counts["True"] and counts["False"]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy"])
def test_the_kernel_does_what_is_predicted_for_iptables(topology: Topology, tool: str, seed: int) -> None:
    rng = random.Random(f"{tool} {seed}")
    counts: Counter[str] = Counter()
    host = topology.testbed.host
    for _ in range(RULESETS):
        text = random_tables(rng)
        host.run(f"{tool}-restore", stdin=text)
        rules = iptables.parse(host.run(f"{tool}-save"), "ip", tool)
        counts += compare(topology, rules, 4, text)
    host.run(f"{tool}-restore", stdin=NO_TABLES)
    host.run("nft", "flush", "ruleset")
    print(dict(counts))
    assert counts["True"] + counts["False"] > 3 * counts["None"]
    assert counts["True"] and counts["False"]
