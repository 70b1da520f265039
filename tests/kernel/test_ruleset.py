# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is told of a packet is what the kernel does with it: rulesets made at random, the judge is the kernel."""

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
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset import evaluate as ruleset
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset import iptables as iptables_save
from ansible_collections.virtnet.linux.plugins.module_utils.ruleset.packet import Packet

from .bed import OUTSIDE, UPLINK, Bed
from .packets import LAST, PATIENCE, PORTS

HELPER = str(Path(__file__).with_name("packets.py"))
NET = {4: "192.168.30.", 6: "fd00:a::"}
AWAY = {4: OUTSIDE, 6: "2001:db8::1"}
HERE = {4: UPLINK, 6: "2001:db8::2"}
SOURCES = (1000, 2000, 40000)
RULESETS = 9
HOOKS = ("prerouting", "input", "forward", "output", "postrouting")


class Scene:
    """A guest and the outside, each with something that listens, and the host between them."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        host, outside = bed.host, bed.outside
        bed.task("bridge", [{"name": "br-a", "addresses": [f"{NET[4]}1/24", f"{NET[6]}1/64"]}])
        self.guest = bed.guest("br-a", f"{NET[4]}2/24", gateway=f"{NET[4]}1")
        host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.guest.run("ip", "address", "add", f"{NET[6]}2/64", "dev", "eth0", "nodad")
        for space, address in ((host, HERE[6]), (outside, AWAY[6])):
            space.run("ip", "address", "add", f"{address}/64", "dev", "eth0", "nodad")
        outside.run("ip", "route", "add", f"{NET[4]}0/24", "via", HERE[4])
        outside.run("ip", "route", "add", f"{NET[6]}/64", "via", HERE[6])
        self.guest.run("ip", "-6", "route", "add", "default", "via", f"{NET[6]}1")
        self._neighbours(host, "br-a", self.guest, "eth0", 1, 2, NET)
        for family in (4, 6):
            self._know(host, "eth0", AWAY[family], outside, "eth0")
            self._know(outside, "eth0", HERE[family], host, "eth0")
        self.sinks = [
            self._sink(host, f"{NET[4]}1", f"{NET[6]}1"),
            self._sink(outside, AWAY[4], AWAY[6]),
        ]
        self.source = self.guest.start(sys.executable, HELPER, "source")

    def _neighbours(self, host: Any, bridge: str, guest: Any, link: str, one: int, two: int, net: Any) -> None:
        # Neighbour discovery is no part of this: rules may drop it.
        for family in (4, 6):
            self._know(host, bridge, f"{net[family]}{two}", guest, link)
            self._know(guest, link, f"{net[family]}{one}", host, bridge)

    def _know(self, space: Any, link: str, address: str, other: Any, at: str) -> None:
        (mac,) = [item["address"] for item in other.json("ip", "-j", "link", "show", at)]
        space.run("ip", "neighbour", "replace", address, "lladdr", mac, "dev", link, "nud", "permanent")

    def _sink(self, space: Any, *addresses: str) -> subprocess.Popen[str]:
        process: subprocess.Popen[str] = space.start(sys.executable, HELPER, "sink", *addresses)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def send(self, packets: Sequence[Sequence[Any]], sink: int) -> tuple[set[int], set[int]]:
        """Which of these arrive, and which of the answers."""
        self.bed.host.run("conntrack", "-F", check=False)
        source, arrives = self.source, self.sinks[sink]
        assert source.stdin is not None
        assert source.stdout is not None
        assert arrives.stdout is not None
        source.stdin.write(json.dumps(packets) + "\n")
        source.stdin.flush()
        for process in (arrives, source):
            assert select.select([process.stdout], [], [], PATIENCE)[0], "the last packet did not come"
        return set(json.loads(arrives.stdout.readline())), set(json.loads(source.stdout.readline()))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    bed = Bed(tmp_path_factory.mktemp("bed"))
    try:
        yield Scene(bed)
    finally:
        bed.close()


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
DEEDS = ("meta mark set 0x1", "meta mark set meta mark | 0x2", "meta mark set ct mark", "ct mark set 0x4",
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


def some_rule(chance: random.Random, deeper: Sequence[str]) -> str:
    def verdict() -> str:
        plain = ["accept", "accept", "drop", "return", "continue"]
        return chance.choice([*plain, *(f"{way} {to}" for way in ("jump", "goto") for to in deeper)])

    if chance.random() < 0.15:
        text = chance.choice(MAPS)
        return text % (verdict(), verdict()) if "%" in text else text if "c3" in deeper else "counter"
    words = chance.sample(MATCHES, chance.choice((0, 1, 1, 1, 2, 2)))
    if chance.random() < 0.25:
        return " ".join([*words, chance.choice(DEEDS)])
    return " ".join([*words, verdict()])


def some_ruleset(chance: random.Random, family: str) -> str:
    lines = [f"table {family} t {{", SETS]
    names = ["c1", "c2", "c3"]
    for i, name in reversed(list(enumerate(names))):
        rules = [some_rule(chance, names[i + 1 :]) for _ in range(chance.randint(1, 4))]
        lines += [f"chain {name} {{", *rules, "}"]
    for i in range(chance.randint(1, 4)):
        hook = chance.choice([*HOOKS, "forward", "input"])
        # The first is before conntrack.
        priority = (
            chance.choice((-300, -10, 0, 10)) if hook in ("prerouting", "output") else chance.choice((-10, 0, 10))
        )
        policy = chance.choice(("accept", "drop"))
        rules = [some_rule(chance, names) for _ in range(chance.randint(1, 5))]
        first = [f"udp dport {LAST} accept", f"udp sport {LAST} accept"]
        lines += [
            f"chain b{i} {{",
            f"type filter hook {hook} priority {priority}; policy {policy};",
            *first,
            *rules,
            "}",
        ]
    return "\n".join([*lines, "}", ""])


IPTABLES = (
    "-i br-a", "-i br+", "! -i eth0", "-o eth0", "-s 192.168.30.0/24", "! -d 203.0.113.1", "-d 203.0.113.0/24",
    "-p udp --dport 53", "-p udp --dport 1000:2000", "-p udp ! --sport 1000", "-p tcp --dport 53", "-p udp",
    "-p udp -m multiport --dports 53,67,2000:3000", "-m conntrack --ctstate NEW", "-m conntrack --ctstate ESTABLISHED",
    "-m conntrack ! --ctstate NEW,INVALID", "-m conntrack --ctstate ESTABLISHED,DNAT", "-m state --state NEW",
    "-m mark --mark 1", "-m mark --mark 0x2/0x2", "-m connmark --mark 0x8/0x8", "-m connmark ! --mark 4",
    "-m addrtype --dst-type LOCAL", "-m addrtype ! --dst-type LOCAL", "-m pkttype --pkt-type unicast",
    "-m comment --comment \"a -j DROP\"", "-m limit --limit 1/day --limit-burst 1", "-m length --length 0:60",
    "-p icmp --icmp-type echo-request", "-m conntrack --ctstate RELATED,ESTABLISHED",
)  # fmt: skip
IPTABLES_DEEDS = ("MARK --set-mark 1", "MARK --or-mark 2", "CONNMARK --set-mark 4", "CONNMARK --or-mark 8",
                  "CONNMARK --save-mark", "CONNMARK --restore-mark", "LOG")  # fmt: skip

TABLES = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "FORWARD"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}
NO_TABLES = "".join(
    f"*{table}\n" + "".join(f":{chain} ACCEPT\n" for chain in chains) + "COMMIT\n" for table, chains in TABLES.items()
)


def some_tables(chance: random.Random) -> str:
    lines = []
    for table, chains in TABLES.items():
        lines += [
            f"*{table}",
            *(f":{c} {'DROP' if chance.random() < 0.15 else 'ACCEPT'}" for c in chains),
            *(f":c{i} -" for i in (1, 2)),
        ]
        lines += [f"-A {chain} -p udp --{way}port {LAST} -j ACCEPT" for chain in chains for way in "sd"]
        for chain in (*chains, "c1", "c2"):
            deeper = {"c1": ["c2"], "c2": []}.get(chain, ["c1", "c2"])
            for _ in range(chance.randint(1, 4)):
                # iptables refuses an interface that there cannot be.
                never = {"PREROUTING": "-o", "INPUT": "-o", "OUTPUT": "-i"}.get(chain, "-x")
                usable = [one for one in IPTABLES if never not in one.split()]
                found = chance.sample(usable, chance.choice((0, 1, 1, 1, 2)))
                # Nor does it take an option twice.
                words = " ".join(found if len({one.lstrip("! ")[:2] for one in found}) == len(found) else found[:1])
                ends = [
                    "-j ACCEPT",
                    "-j ACCEPT",
                    "-j DROP",
                    "-j RETURN",
                    *(f"-{way} {to}" for way in "jg" for to in deeper),
                ]
                deeds = [f"-j {deed}" for deed in IPTABLES_DEEDS if table == "mangle" or deed == "LOG"]
                lines.append(f"-A {chain} {words} {chance.choice(deeds if chance.random() < 0.25 else ends)}")
        lines.append("COMMIT")
    return "\n".join([*lines, ""])


def told(
    rules: ruleset.Ruleset, stages: Sequence[tuple[str, Packet]], ct_mark: int | None
) -> tuple[bool | None, int | None]:
    """Whether a packet passes all these hooks; None where it cannot be told; and its connection's mark."""
    mark: int | None = 0
    passes: bool | None = True
    for hook, packet in stages:
        left, walks = ruleset.through(rules, hook, replace(packet, mark=mark, ct_mark=ct_mark))
        mark, ct_mark = left.mark, left.ct_mark
        if any(not walk.may_pass for walk in walks):
            return False, ct_mark
        if any(walk.drops for walk in walks):
            passes = None
    return passes, ct_mark


def ways(sent: Sequence[Any], out: bool) -> tuple[list[tuple[str, Packet]], list[tuple[str, Packet]]]:
    """The hooks that a packet meets, and those of its answer."""
    source, sport, target, dport = sent
    one, other = ipaddress.ip_address(source), ipaddress.ip_address(target)
    there = Packet(one, other, "udp", "br-a", sport=sport, dport=dport, ipv6=one.version == 6)
    back = replace(there, source=other, target=one, sport=dport, dport=sport, state="established", reply=True)
    if out:
        onward, home = replace(there, oif="eth0"), replace(back, iif="eth0", oif="br-a")
        return (
            [("prerouting", there), ("forward", onward), ("postrouting", replace(onward, iif="br-a"))],
            [("prerouting", replace(home, oif="")), ("forward", home), ("postrouting", home)],
        )
    local, answer = replace(there, to="local"), replace(back, iif="", oif="br-a")
    return [("prerouting", local), ("input", local)], [("output", answer), ("postrouting", answer)]


def judge(scene: Scene, rules: ruleset.Ruleset, family: int, text: str) -> Counter[str]:
    """Compare for many packets; returns how often what was told."""
    counted: Counter[str] = Counter()
    for sink, target in ((0, f"{NET[family]}1"), (1, AWAY[family])):
        packets = [(f"{NET[family]}2", sport, target, dport) for sport in SOURCES for dport in PORTS]
        arrived, answered = scene.send(packets, sink)
        for number, sent in enumerate(packets):
            there, back = ways(sent, out=bool(sink))
            expected, mark = told(rules, there, 0)
            counted[str(expected)] += 1
            assert expected in (None, number in arrived), (sent, "there", text)
            if number not in arrived or expected is None:
                continue
            expected, _mark = told(rules, back, mark)
            counted[f"back {expected}"] += 1
            assert expected in (None, number in answered), (sent, "back", text)
    return counted


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("family", ["inet", "ip", "ip6"])
def test_the_kernel_does_with_packets_what_is_told(scene: Scene, family: str, seed: int) -> None:
    chance = random.Random(f"{family} {seed}")
    counted: Counter[str] = Counter()
    made = 0
    while made < RULESETS:
        text = some_ruleset(chance, family)
        try:
            scene.bed.host.run("nft", "-f", "-", stdin="flush ruleset\n" + text)
        except AssertionError as error:
            # A match of the other family, which nft refuses.
            assert "conflicting" in str(error) or "Error" in str(error)
            continue
        made += 1
        rules = ruleset.parse(scene.bed.host.run("nft", "-j", "list", "ruleset"))
        counted += judge(scene, rules, {"ip": 4, "ip6": 6}.get(family) or chance.choice((4, 6)), text)
    scene.bed.host.run("nft", "flush", "ruleset")
    print(dict(counted))
    # A teller who never knew would never be wrong.
    known = sum(counted[word] for word in ("True", "False"))
    assert known > 5 * counted["None"]
    assert counted["back True"] and counted["True"] and counted["False"]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy"])
def test_so_it_is_with_rules_of_iptables(scene: Scene, tool: str, seed: int) -> None:
    chance = random.Random(f"{tool} {seed}")
    counted: Counter[str] = Counter()
    host = scene.bed.host
    for _ in range(RULESETS):
        text = some_tables(chance)
        host.run(f"{tool}-restore", stdin=text)
        rules = iptables_save.parse(host.run(f"{tool}-save"), "ip", tool)
        counted += judge(scene, rules, 4, text)
    host.run(f"{tool}-restore", stdin=NO_TABLES)
    host.run("nft", "flush", "ruleset")
    print(dict(counted))
    assert counted["True"] + counted["False"] > 3 * counted["None"]
    assert counted["True"] and counted["False"]
