# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rules cost: ours, one masquerade rule, and libvirt's layout, at 1, 100 and 1000 networks, in one run.

A packet goes from a guest over the bridge and the rules into a drop behind the uplink, all in the time of the process
that sends it; so its CPU time, less that of plain forwarding, is that of the rules. Layouts take turns; medians.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / ".build" / "collections")]

from kernel.bed import OUTSIDE, Bed, Space  # noqa: E402

COUNTS = (1, 100, 1000)
ROUNDS = 5
PACKETS = 20000

_SEND = """
import socket, sys, time
kind, address, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("", 40000))
data = bytes(22)
sock.sendto(data, (address, 8000))
if kind == "established":
    sock.settimeout(2)
    sock.recv(100)
    sys.stdin.readline()
    sock.connect((address, 8000))
    began = time.process_time()
    for _ in range(count):
        sock.send(data)
else:
    sys.stdin.readline()
    targets = [(address, 10000 + i) for i in range(count)]
    began = time.process_time()
    for target in targets:
        sock.sendto(data, target)
print((time.process_time() - began) / count * 1e9)
"""

_TIMES = """
import json, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from importlib import import_module
M = lambda name: import_module("ansible_collections.virtnet.linux.plugins.module_utils." + name)
nft, part, options, paths = M("nft"), M("part"), M("options"), M("paths").Paths(sys.argv[2])
def spec(i):
    return {"name": f"n{i}", "bridge": f"vn-n{i}", "subnets": [f"10.{i // 250}.{i % 250}.0/24"]}
def run(specs):
    read = [nft.RulesSpec.from_options(o) for o in options.Options({"networks": specs}).each("networks")]
    began = time.perf_counter()
    changes = part.converge(nft.NatRules(read, False, paths), paths, check=False).changes
    return (time.perf_counter() - began) * 1000, len(changes)
count = int(sys.argv[3])
many = [spec(i) for i in range(count)]
first, _ = run(many)
noop, changed = run(many)
assert not changed
one, _ = run([spec(count)])
table = nft.read_table()
script = M("nft_rules").render(table.elements)
began = time.perf_counter()
subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)
replaced = (time.perf_counter() - began) * 1000
began = time.perf_counter()
subprocess.run(["nft", "-j", "list", "table", "inet", "virtnet"], stdout=subprocess.DEVNULL, check=True)
listed = (time.perf_counter() - began) * 1000
print(json.dumps([first, one, noop, replaced, listed]))
"""


def libvirt(count: int) -> str:
    """The rules of libvirt 11.3 for so many networks, the newest first; of the first, the bridge exists."""
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

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        bed.host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        bed.task("bridge", [{"name": "br-a", "addresses": ["192.168.30.1/24"]}])
        self.guest: Space = bed.guest("br-a", "192.168.30.2/24", gateway="192.168.30.1")
        bed.outside.run("ip", "route", "add", "192.168.30.0/24", "via", "203.0.113.2")
        bed.outside.serve()

    def ours(self, count: int) -> None:
        more = [
            {"name": f"n{i}", "bridge": f"vn-n{i}", "subnets": [f"10.{i // 250}.{i % 250}.0/24"]}
            for i in range(1, count)
        ]
        self.bed.task("nft", [{"name": "a", "bridge": "br-a", "subnets": ["192.168.30.0/24"]}, *more])

    def load(self, text: str) -> None:
        self.bed.host.run("nft", "-f", "-", stdin=text)

    def cost(self, kind: str) -> float:
        """Nanoseconds of CPU for a packet."""
        self.bed.host.run("conntrack", "-F")
        self.bed.outside.run("nft", "flush", "ruleset")
        sender = self.guest.start(sys.executable, "-c", _SEND, kind, OUTSIDE, str(PACKETS))
        time.sleep(0.5)
        self.bed.outside.run("nft", "-f", "-", stdin=DROP)
        assert sender.stdin is not None and sender.stdout is not None
        sender.stdin.write("go\n")
        sender.stdin.flush()
        return float(sender.stdout.readline())


DROP = "table netdev bench {\nchain in { type filter hook ingress device eth0 priority 0; ip protocol udp drop; }\n}\n"


def packets(bench: Bench) -> None:
    layouts: dict[str, Callable[[], None]] = {
        "plain forwarding": lambda: None,
        "one masquerade rule": lambda: bench.load(MASQUERADE),
    }
    for count in COUNTS:
        layouts[f"libvirt, {count}"] = lambda count=count: bench.load(libvirt(count))  # type: ignore[misc]
        layouts[f"ours, {count}"] = lambda count=count: bench.ours(count)  # type: ignore[misc]
    found: dict[tuple[str, str], list[float]] = {}
    for _round in range(ROUNDS):
        for name, load in layouts.items():
            bench.bed.host.run("nft", "flush", "ruleset")
            load()
            for kind in ("established", "new"):
                found.setdefault((name, kind), []).append(bench.cost(kind))
    base = {kind: statistics.median(found["one masquerade rule", kind]) for kind in ("established", "new")}
    print(f"{'ns of CPU per packet (64 bytes, UDP)':38} established  ratio     new  ratio")
    for name in layouts:
        one, new = (statistics.median(found[name, kind]) for kind in ("established", "new"))
        print(f"  {name:36} {one:11.0f}  {one / base['established']:5.2f} {new:7.0f}  {new / base['new']:5.2f}")


def times(bed: Bed) -> None:
    print(
        f"\n{'milliseconds, rules of the engine':38} "
        f"{'first':>7} {'add one':>8} {'no-op':>7} {'nft -f all':>11} {'nft list':>9}"
    )
    for count in (*COUNTS[:2], 300, COUNTS[2]):
        rows = []
        for _round in range(3):
            bed.host.run("nft", "flush", "ruleset")
            with tempfile.TemporaryDirectory() as root:
                command = (sys.executable, "-c", _TIMES, str(ROOT / ".build" / "collections"), root, str(count))
                rows.append(bed.host.json(*command))
        first, one, noop, replaced, listed = (statistics.median(column) for column in zip(*rows, strict=True))
        print(
            f"  {count:5} networks {'':21} {first:7.0f} {one:8.0f} {noop:7.0f} {replaced:11.0f} {listed:9.0f}",
            flush=True,
        )


def main() -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory() as folder:
        bed = Bed(Path(folder))
        try:
            times(bed)
            packets(Bench(bed))
        finally:
            bed.close()


if __name__ == "__main__":
    main()
