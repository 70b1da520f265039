# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cost of rules: ours, one masquerade rule, and libvirt's layout, for 1, 100 and 1000 networks, in one run.

A packet passes from a guest through the bridge and the rules to a drop behind the uplink, all in the CPU time of the
process that sends it; so its CPU time, minus that of plain forwarding, is that of the rules, on a busy machine too.
Packets a second, throughput and connections a second are wall-clock figures: compare them within one run only.
Layouts alternate; figures are medians.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / ".build" / "collections")]

from kernel.testbed import OUTSIDE, UPLINK, Namespace, NamespaceTestbed  # noqa: E402

PROGRAMS = Path(__file__).with_name("programs")
UDP_COST = (sys.executable, str(PROGRAMS / "udp_cost.py"))
COUNTS = (1, 100, 1000)
ROUNDS = 5
PACKETS = 20000
SECONDS = 0.4
TIMEOUT = 300.0
Row = dict[str, Any]


def libvirt(count: int) -> str:
    """The rules of libvirt 11.3 for so many networks, the newest first; the bridge of the first exists."""
    cross, to_guest, from_guest, nat = [], [], [], []
    for i in reversed(range(count)):
        link, net = ('"br-a"', "192.168.30.0/24") if i == 0 else (f"{100000 + i}", f"10.{i // 250}.{i % 250}.0/24")
        cross.append(f"iif {link} oif {link} counter accept")
        to_guest += [
            f"oif {link} ip daddr {net} ct state established,related counter accept",
            f"oif {link} counter reject",
        ]
        from_guest += [f"ip saddr {net} iif {link} counter accept", f"iif {link} counter reject"]
        nat += [
            f"ip saddr {net} ip daddr 224.0.0.0/24 counter return",
            f"ip saddr {net} ip daddr 255.255.255.255/32 counter return",
            f"meta l4proto tcp ip saddr {net} ip daddr != {net} counter masquerade to :1024-65535",
            f"meta l4proto udp ip saddr {net} ip daddr != {net} counter masquerade to :1024-65535",
            f"ip saddr {net} ip daddr != {net} counter masquerade",
        ]  # fmt: skip
    chains = {"guest_cross": cross, "guest_input": to_guest, "guest_output": from_guest}
    text = "".join(f"chain {name} {{\n" + "\n".join(rules) + "\n}\n" for name, rules in chains.items())
    jumps = "\n".join(f"counter jump {name}" for name in chains)
    text += f"chain forward {{\ntype filter hook forward priority filter; policy accept;\n{jumps}\n}}\n"
    text += "chain guest_nat {\ntype nat hook postrouting priority srcnat; policy accept;\n" + "\n".join(nat) + "\n}\n"
    return f"table ip libvirt_network {{\n{text}}}\n"


MASQUERADE = """\
table ip nat {
chain post {
type nat hook postrouting priority srcnat; policy accept;
ip saddr 192.168.30.0/24 oifname "eth0" masquerade
}
}
"""


class Bench:
    """One guest behind the rules."""

    def __init__(self, testbed: NamespaceTestbed) -> None:
        self.testbed = testbed
        testbed.host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        testbed.task("bridge", [{"name": "br-a", "addresses": ["192.168.30.1/24"]}])
        self.guest: Namespace = testbed.add_guest("br-a", "192.168.30.2/24", gateway="192.168.30.1")
        testbed.outside.run("ip", "route", "add", "192.168.30.0/24", "via", "203.0.113.2")
        testbed.outside.serve()
        self.guest.serve()

    def ours(self, count: int) -> None:
        other_networks = [
            {"name": f"n{i}", "bridge": f"vn-n{i}", "subnets": [f"10.{i // 250}.{i % 250}.0/24"]}
            for i in range(1, count)
        ]
        # The limit is evaluated for each new flow, and drops none of them.
        network = {"name": "a", "bridge": "br-a", "subnets": ["192.168.30.0/24"], "connection_rate": 1_000_000}
        self.testbed.task("nft", [network, *other_networks])

    def policies(self, count: int) -> None:
        """So many networks with a policy each, and as many rules in that of the guest: the last lets it pass."""
        others = [{"to": f"198.51.{i // 250}.{i % 250}", "protocol": "udp", "port": 9000 + i} for i in range(1, count)]
        network = {
            "name": "a",
            "bridge": "br-a",
            "subnets": ["192.168.30.0/24"],
            "policy": {"default": "deny", "allow": [*others, {"to": OUTSIDE}]},
        }
        other_networks = [
            {
                "name": f"n{i}",
                "bridge": f"vn-n{i}",
                "subnets": [f"10.{i // 250}.{i % 250}.0/24"],
                "policy": {"default": "deny", "allow": [{"network": "a", "protocol": "tcp", "port": 443}]},
            }
            for i in range(1, count)
        ]
        self.testbed.task("nft", [network, *other_networks])

    def secure(self, level: str) -> None:
        """Port security of the guest's bridge."""
        bridge = {"name": "br-a", "addresses": ["192.168.30.1/24"], "port_security": {"level": level}}
        self.testbed.task("bridge", [bridge])

    def port_security(self) -> None:
        """The rules of one network, and port security."""
        self.ours(1)
        self.secure("gateway")

    def reset(self) -> None:
        """Plain forwarding."""
        self.secure("off")
        self.testbed.host.run("nft", "flush", "ruleset")

    def load(self, text: str) -> None:
        self.testbed.host.run("nft", "-f", "-", stdin=text)

    def forwards(self, count: int) -> None:
        """So many port forwards; all but the last have other targets."""
        last = {"protocol": "udp", "port": 9000 + count, "to": "192.168.30.2", "to_port": 8000}
        other_forwards = [{**last, "port": 9000 + i, "to": "192.168.30.9"} for i in range(1, count)]
        network = {
            "name": "a",
            "bridge": "br-a",
            "subnets": ["192.168.30.0/24"],
            "port_forwards": [*other_forwards, last],
        }
        self.testbed.task("nft", [network])

    def rate(self, kind: str) -> float:
        """Packets, bytes or connections a second from the guest to the outside."""
        self.testbed.host.run("conntrack", "-F")
        self.testbed.outside.run("nft", "flush", "ruleset")
        if kind == "udp":
            self.testbed.outside.run("nft", "-f", "-", stdin=DROP)
        port = {"udp": "8000", "tcp": "8001", "connections": "8000"}[kind]
        return float(
            self.guest.run(
                sys.executable, str(PROGRAMS / "throughput.py"), kind, OUTSIDE, port, str(SECONDS), timeout=120
            )
        )

    def cost_in(self, kind: str, port: int) -> float:
        """CPU time in nanoseconds for a packet from the outside to a forwarded port of the host."""
        self.testbed.host.run("conntrack", "-F")
        self.guest.run("nft", "flush", "ruleset")
        argv = (*UDP_COST, kind, UPLINK, str(PACKETS if kind == "established" else 1), str(port))
        return self._measured(self.testbed.outside, self.guest, argv)

    def cost(self, kind: str) -> float:
        """CPU time in nanoseconds for a packet."""
        self.testbed.host.run("conntrack", "-F")
        self.testbed.outside.run("nft", "flush", "ruleset")
        argv = (*UDP_COST, kind, OUTSIDE, str(PACKETS), "8000")
        return self._measured(self.guest, self.testbed.outside, argv)

    def _measured(self, sending: Namespace, receiving: Namespace, argv: tuple[str, ...]) -> float:
        sender = sending.start(*argv)
        assert sender.stdin is not None and sender.stdout is not None
        assert sender.stdout.readline() == "ready\n"
        receiving.run("nft", "-f", "-", stdin=DROP)
        sender.stdin.write("go\n")
        sender.stdin.flush()
        return float(sender.stdout.readline())


DROP = "table netdev bench {\nchain in { type filter hook ingress device eth0 priority 0; ip protocol udp drop; }\n}\n"


KINDS = ("established", "new", "udp", "tcp", "connections")


def packets(bench: Bench) -> list[Row]:
    """Nanoseconds of CPU for a packet of an established and of a new flow; packets, bytes, connections a second."""
    layouts: dict[str, Callable[[], None]] = {
        "plain forwarding": lambda: None,
        "one masquerade rule": lambda: bench.load(MASQUERADE),
    }
    for count in COUNTS:
        layouts[f"libvirt, {count}"] = lambda count=count: bench.load(libvirt(count))  # type: ignore[misc]
        layouts[f"ours, {count}"] = lambda count=count: bench.ours(count)  # type: ignore[misc]
    for count in COUNTS:
        layouts[f"ours with policies, {count}"] = lambda count=count: bench.policies(count)  # type: ignore[misc]
    layouts["ours with port security, 1"] = bench.port_security
    results: dict[tuple[str, str], list[float]] = {}
    for _round in range(ROUNDS):
        for name, load in layouts.items():
            bench.reset()
            load()
            for kind in ("established", "new"):
                results.setdefault((name, kind), []).append(bench.cost(kind))
            for kind in ("udp", "tcp", "connections"):
                results.setdefault((name, kind), []).append(bench.rate(kind))
    return [{"layout": name, **{kind: results[name, kind] for kind in KINDS}} for name in layouts]


def forwards(bench: Bench) -> list[Row]:
    """Port forwards: our map compared with a chain of as many rules."""

    def chain(count: int) -> str:
        rules = "\n".join(f"udp dport {9000 + i} dnat to 192.168.30.9:8000" for i in range(1, count))
        last = f"udp dport {9000 + count} dnat to 192.168.30.2:8000"
        hook = "type nat hook prerouting priority dstnat; policy accept;"
        return f"table ip nat {{\nchain pre {{\n{hook}\n{rules}\n{last}\n}}\n}}\n"

    layouts: dict[str, tuple[int, Callable[[], None]]] = {}
    for count in (1, 1000):
        layouts[f"a rule each, {count}"] = count, lambda count=count: bench.load(chain(count))  # type: ignore[misc]
        layouts[f"ours, {count}"] = count, lambda count=count: bench.forwards(count)  # type: ignore[misc]
    results: dict[tuple[str, str], list[float]] = {}
    for _round in range(ROUNDS):
        for name, (count, load) in layouts.items():
            bench.testbed.host.run("nft", "flush", "ruleset")
            load()
            for kind in ("established", "new in"):
                results.setdefault((name, kind), []).append(bench.cost_in(kind, 9000 + count))
    return [{"layout": name, **{kind: results[name, kind] for kind in ("established", "new in")}} for name in layouts]


STEPS = ("first", "add one", "no-op", "nft -f all", "nft list", "no-op beyond list")


def times(testbed: NamespaceTestbed) -> list[Row]:
    """Milliseconds to load the rules, by the engine and by nft."""
    results = []
    for count in (*COUNTS[:2], 300, COUNTS[2]):
        rows = []
        for _round in range(3):
            testbed.host.run("nft", "flush", "ruleset")
            with tempfile.TemporaryDirectory() as root:
                command = (sys.executable, str(PROGRAMS / "rules_times.py"), root, str(count))
                rows.append(json.loads(testbed.host.run(*command, timeout=TIMEOUT)))
        results.append({"count": count, **{name: [row[i] for row in rows] for i, name in enumerate(STEPS)}})
    return results


MEASUREMENTS = ("times", "packets", "forwards")


def measure(names: Collection[str] = MEASUREMENTS) -> dict[str, list[Row]]:
    """The measurements with the figures of each round."""
    with tempfile.TemporaryDirectory() as folder:
        testbed = NamespaceTestbed(Path(folder))
        try:
            results = {"times": times(testbed)} if "times" in names else {}
            bench = Bench(testbed)
            of_packets = {"packets": packets, "forwards": forwards}
            return {**results, **{name: run(bench) for name, run in of_packets.items() if name in names}}
        finally:
            testbed.close()


def main() -> None:
    """Print medians of all measurements, or of those that the arguments name."""
    for name, rows in measure(sys.argv[1:] or MEASUREMENTS).items():
        print(f"\n{name}")
        for row in rows:
            print("  " + ", ".join(f"{key}: {shown(value)}" for key, value in row.items()))


def shown(value: object) -> str:
    return f"{statistics.median(value):.4g}" if isinstance(value, list) else str(value)


if __name__ == "__main__":
    main()
