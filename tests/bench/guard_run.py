# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a host: causes each kind of fault in the network ``lab`` and measures the time until it is repaired.

python3 guard_run.py repair ROUNDS    prints {kind: [seconds, ...]} as JSON; the system's dnsmasq serves the network
python3 guard_run.py private ROUNDS   the same for faults that exist only with a private dnsmasq
python3 guard_run.py flood N          N unrelated addresses are added and deleted: seconds, CPU and memory of the guard
python3 guard_run.py restore N        N networks lost, then the service restarted: seconds, CPU, memory, as JSON
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, "/usr/local/lib/virtnet")

from engine.core.identity import host_identity  # noqa: E402
from engine.core.options import Options  # noqa: E402
from engine.core.paths import Paths  # noqa: E402
from engine.core.reconcile import converge  # noqa: E402
from engine.network.model import read_network  # noqa: E402
from engine.orchestration.parts import reconcilers_for  # noqa: E402
from engine.orchestration.reconciler import Networks  # noqa: E402

TIMEOUT = 60.0
FRAGMENT = Path("/etc/dnsmasq.d/virtnet-lab.conf")
PRIVATE_FRAGMENT = Path("/etc/virtnet/dnsmasq.d/lab.conf")
INSTANCE = "virtnet-dnsmasq@_shared.service"
ENTRIES = Path("/run/resolvconf/interfaces")
# A query for www.internet.test (RFC 1035 section 4).
QUESTION = b"\x12\x34\1\0\0\1\0\0\0\0\0\0\3www\x08internet\4test\0\0\1\0\1"
# After more repairs of the same fault the guard would delay the next one.
FRESH_AFTER = 3
# Seconds in which the CPU time of an idle guard is measured.
IDLE_SECONDS = 10


def call(command: str) -> str:
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False).stdout


def address() -> str:
    definition = json.loads(Path("/etc/virtnet/networks/lab.json").read_text())
    return str(definition["ipv4"]["address"])


def bridge_is_repaired() -> bool:
    shown = json.loads(call("ip -j address show dev vn-lab") or "[]")
    port = Path("/sys/class/net/tap-lab/master").exists()
    return bool(shown) and port and "UP" in shown[0]["flags"] and address().split("/")[0] in str(shown[0]["addr_info"])


def rules_are_repaired() -> bool:
    return "vn-lab" in call("nft list map inet virtnet vn_bridges || nft list table inet virtnet")


def answers() -> bool:
    """Whether a dnsmasq answers on the network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        channel.settimeout(0.1)
        try:
            channel.connect((address().partition("/")[0], 53))
            channel.send(QUESTION)
            return channel.recv(512)[:2] == QUESTION[:2]
        except OSError:
            return False


def altered() -> bool:
    return "dport 4711" in call("nft list chain inet virtnet vn_forward")


KINDS: dict[str, tuple[str, Callable[[], bool]]] = {
    "table flushed": ("nft flush ruleset", rules_are_repaired),
    "table deleted": ("nft delete table inet virtnet", rules_are_repaired),
    "table altered": (
        "nft insert rule inet virtnet vn_forward tcp dport 4711 drop",
        lambda: rules_are_repaired() and not altered(),
    ),
    "bridge deleted, with a port": ("ip link delete vn-lab", bridge_is_repaired),
    "bridge down": ("ip link set vn-lab down", bridge_is_repaired),
    "bridge renamed": ("ip link set vn-lab name vn-other", bridge_is_repaired),
    "address removed": ("ip address flush dev vn-lab", bridge_is_repaired),
    "forwarding off": (
        "echo 0 >/proc/sys/net/ipv4/ip_forward",
        lambda: Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1",
    ),
    "fragment removed": (f"rm {FRAGMENT}", lambda: FRAGMENT.exists() and answers()),
}
PRIVATE: dict[str, tuple[str, Callable[[], bool]]] = {
    "private dnsmasq killed": (f"systemctl kill --signal=KILL {INSTANCE}", answers),
    "private dnsmasq stopped": (f"systemctl stop {INSTANCE}", answers),
    "private fragment removed": (f"rm {PRIVATE_FRAGMENT}", lambda: PRIVATE_FRAGMENT.exists() and answers()),
    "resolver entry removed": (
        f"for entry in $(ls {ENTRIES} | grep virtnet); do resolvconf -f -d $entry; done",
        lambda: any("virtnet" in entry.name for entry in ENTRIES.iterdir()),
    ),
}


def wait_until_idle() -> None:
    """Wait until the guard is idle."""
    pid = _main_pid()
    idle_samples = 0
    deadline = time.monotonic() + 20
    while idle_samples < 6 and time.monotonic() < deadline:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        idle_samples = 0 if children else idle_samples + 1
        time.sleep(0.05)


def repair_seconds(fault: str, is_repaired: Callable[[], bool]) -> float:
    call(fault)
    start = time.monotonic()
    while not is_repaired():
        if time.monotonic() - start > TIMEOUT:
            raise SystemExit(f"not repaired within {TIMEOUT} s: {fault}")
        time.sleep(0.005)
    return time.monotonic() - start


def measure_all(kinds: dict[str, tuple[str, Callable[[], bool]]], rounds: int) -> dict[str, list[float]]:
    """Each kind of fault, this many times."""
    seconds: dict[str, list[float]] = {}
    for kind, (fault, is_repaired) in kinds.items():
        seconds[kind] = []
        for i in range(rounds):
            if i % FRESH_AFTER == 0:
                # This resets systemd's start limit too (StartLimitBurst= in systemd.unit(5)).
                call(f"systemctl restart virtnet; systemctl reset-failed {INSTANCE}")
            wait_until_idle()
            seconds[kind].append(repair_seconds(fault, is_repaired))
    return seconds


def private(rounds: int) -> dict[str, list[float]]:
    return measure_all(PRIVATE, rounds)


def repair(rounds: int) -> dict[str, list[float]]:
    call("ip link add tap-lab type veth peer name tap-peer; ip link set tap-lab master vn-lab up")
    seconds = measure_all(KINDS, rounds)
    seconds["conflict: moved, DHCP and all"] = []
    for _ in range(rounds):
        call("systemctl restart virtnet")
        wait_until_idle()
        net = address().rpartition(".")[0]

        def moved(net: str = net) -> bool:
            new = address()
            if new.startswith(f"{net}.") or not bridge_is_repaired():
                return False
            return new.partition("/")[0] in FRAGMENT.read_text() and answers()

        seconds["conflict: moved, DHCP and all"].append(repair_seconds(f"ip address add {net}.77/24 dev eth0", moved))
        wait_until_idle()
        call(f"ip address delete {net}.77/24 dev eth0")
    call("ip link delete tap-lab")
    return seconds


def _main_pid() -> str:
    return call("systemctl show -P MainPID virtnet").strip()


def _spent(pid: str) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _resident() -> float:
    status = Path(f"/proc/{_main_pid()}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def flood(count: int) -> dict[str, float]:
    wait_until_idle()
    pid = _main_pid()
    before, start = _spent(pid), time.monotonic()
    for batch in range(count // 50):
        addresses = [f"10.{batch // 250}.{batch % 250}.{i + 1}/32 dev eth0" for i in range(50)]
        lines = [f"address {verb} {address}" for address in addresses for verb in ("add", "delete")]
        subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)
        time.sleep(max(0.0, start + (batch + 1) * 0.1 - time.monotonic()))
    seconds = time.monotonic() - start
    wait_until_idle()
    cpu = _spent(pid) - before
    time.sleep(IDLE_SECONDS)
    return {"seconds": seconds, "cpu": cpu, "idle": _spent(pid) - before - cpu, "MiB": _resident()}


def restore(count: int) -> dict[str, float]:
    paths = Paths()
    items = [{"name": f"net{i}", "ipv4": {"address": f"10.{i // 250}.{i % 250}.1/24"}} for i in range(count)]
    networks = [read_network(options, host_identity()) for options in Options({"networks": items}).each("networks")]
    plan = converge(Networks(networks, True, paths), paths, check=False)
    for reconciler in reconcilers_for(plan.return_values, paths).values():  # type: ignore[arg-type]
        converge(reconciler, paths, check=False)
    call("systemctl stop virtnet; rm -f /run/virtnet/pending.json")
    lines = [f"link delete vn-net{i}" for i in range(count)]
    subprocess.run(["ip", "-force", "-batch", "-"], input="\n".join(lines), text=True, check=False)
    call("nft flush ruleset")
    start = time.monotonic()
    call("systemctl start virtnet")
    seconds = time.monotonic() - start
    bridges = len(json.loads(call("ip -j link show type bridge") or "[]"))
    wait_until_idle()
    # CPU time of the service and its children; load of the machine hardly changes it.
    cpu = int(call("systemctl show virtnet -P CPUUsageNSec")) / 1e9
    return {"seconds": seconds, "cpu": cpu, "bridges": bridges, "MiB": _resident()}


if __name__ == "__main__":
    verb, number = sys.argv[1:]
    work = {"repair": repair, "private": private, "flood": flood, "restore": restore}[verb]
    print(json.dumps(work(int(number))))
