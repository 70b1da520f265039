# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""DNS queries and DHCP leases a second, through ours with 1 and 100 networks and through libvirt's, in turns."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping

from bench import light
from bench.store import Data
from bench.tools import LAB, ON_HOST, Tool, host, install, tools

from lab.guest import Guest
from lab.internet import WEB_NAME
from lab.lab import Lab
from lab.progress import step
from lab.run import Failed, run

IMAGES = {"bench-ours": "trixie-bench", "bench-libvirt": "trixie-libvirt"}
COUNTS = (1, 100)
ROUNDS = 2
SECONDS = 2
CLIENTS = 200
# So many leases are slow: dnsmasq pings each address for three seconds before it offers it; then it considers itself
# too busy for that (do_icmp_ping in its dhcp.c).
PINGED = 10
AGAIN = 5
NAMES = {"a guest": "prober.net0.test", "outside, cached": WEB_NAME}


def inside(guest: Guest) -> list[str]:
    """Runs a program of the machine in a guest's network namespace."""
    return ["nsenter", f"--net=/proc/{guest.host.pid}/root/run/netns/{guest.name}"]


def queries(guest: Guest, name: str) -> float:
    """Answered queries a second, measured by dnsperf."""
    root = light.root()
    (root / "tmp" / "names").write_text(f"{name} A\n")
    words = ["-d", "/tmp/names", "-s", "10.0.0.1", "-l", str(SECONDS), "-c", "4", "-q", "100"]
    output = run([*inside(guest), "chroot", str(root), "dnsperf", *words], SECONDS + 60)
    rate = re.search(r"Queries per second:\s*([\d.]+)", output)
    good = re.search(r"Response codes:\s*NOERROR .*\(100.00%\)", output)
    if not rate or not good:
        raise Failed(f"dnsperf for {name}:\n{output}")
    return float(rate[1])


def leases(guest: Guest) -> dict[str, float]:
    """New leases a second after dnsmasq stops to ping, and renewed leases a second."""
    script = str(ON_HOST / "dhcp_clients.py")
    words = [sys.executable, script, "eth0", str(CLIENTS), str(AGAIN)]
    result = json.loads(run([*inside(guest), *words], 900))
    new = result["new"]
    return {"new": (CLIENTS - PINGED) / (new[-1] - new[PINGED - 1]), "again": result["again"]}


def cycle(tool: Tool, count: int) -> dict[str, float]:
    """All rates of one tool."""
    tool.on()
    guest = Guest(host(tool.host), "prober")
    try:
        tool.do("first", count, 300)
        guest.plug("vn-net0")
        guest.lease()
        return {**{f"DNS, {what}": queries(guest, name) for what, name in NAMES.items()},
                **{f"DHCP, {what}": rate for what, rate in leases(guest).items()}}  # fmt: skip
    finally:
        guest.unplug()
        tool.clear(count)
        tool.off()


def measure() -> Data:
    tools_by_name = {tool.name: tool for tool in tools(None)}
    ours, theirs = tools_by_name["ours, engine"], tools_by_name["libvirt, virsh, nftables"]
    work: Mapping[str, Callable[[], dict[str, float]]] = {
        **{f"ours, {count} network{'s' * (count > 1)}": (lambda count=count: cycle(ours, count)) for count in COUNTS},  # type: ignore[misc]
        "libvirt, 1 network": lambda: cycle(theirs, 1),
    }
    rates: dict[str, list[dict[str, float]]] = {name: [] for name in work}
    lab = Lab(LAB)
    # Remove what a killed run may have left.
    lab.down()
    try:
        lab.up(IMAGES)
        for name in IMAGES:
            install(host(name))
        with step("the engine on its host"):
            tools_by_name["ours, playbook"].do("remove all", 0, 300)
        for number in range(ROUNDS):
            for name, do in work.items():
                with step(f"rates, round {number + 1}, {name}"):
                    rates[name].append(do())
    finally:
        lab.down()
    rows = {name: {what: [row[what] for row in rounds] for what in rounds[0]} for name, rounds in rates.items()}
    return {"rows": rows, "clients": CLIENTS, "seconds": SECONDS}
