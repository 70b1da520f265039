# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/benchmarks.md, made from the results. Pure: the same data make the same page."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from bench import page_aims, page_control, page_fleet
from bench.cells import short, spread, table
from bench.store import Data

PARTS = {**page_aims.PARTS, "total": "total"}


def render(machine: Mapping[str, str], known: Mapping[str, Data], command: str) -> str:
    """The page. ``known`` has the data of each part that was ever measured."""
    sections = {
        "control": page_control.text,
        "engine": engine,
        "rules": rules,
        "rates": rates,
        "outage": outage,
        "fleet": page_fleet.text,
    }
    missing = [name for name in sections if name not in known]
    parts = [
        "# Benchmarks\n\nWritten by `make bench`, which measures all of this again in containers and network "
        "namespaces; figures are of one machine at one time, so compare within a table.\n",
        about(machine, known, command),
        page_aims.text(known),
        *(section(known[name]) for name, section in sections.items() if name in known),
    ]
    if missing:
        parts.append(f"Not measured yet: {', '.join(missing)}.\n")
    return "\n".join(parts)


def about(machine: Mapping[str, str], known: Mapping[str, Data], command: str) -> str:
    """The machine, when each part ran, and the versions."""
    rows = [[name, data["date"], f"{data['minutes']:.1f}", f"{data['load']:.1f}"] for name, data in known.items()]
    text = "## What was measured, and on what\n\n" + table(["", ""], machine.items())
    text += "\n" + table(["part", "when", "minutes", "load average at its end"], rows)
    text += (
        f'\nThe page\'s last run was `{command}`. `make bench PARTS="fleet rates"` measures parts anew, '
        '`make bench N="1 10" MINUTES=3` fewer networks in less time, `make bench PARTS=page` writes the page alone.\n'
    )
    versions = known.get("control", {}).get("versions", {})
    if versions:
        listed = sorted({(name, version) for host in versions.values() for name, version in host.items()})
        text += "\nDebian 13's packages on the hosts: " + ", ".join(f"{name} {version}" for name, version in listed)
        text += f". community.libvirt is that of {known['control']['virt_net']}.\n"
    return text


def engine(data: Data) -> str:
    """How long each part of the engine takes, and the playbook compared with pings."""
    of_engine = [
        [str(row["count"]), row["run"],
         *(short(statistics.median(round_.get(part, 0.0) for round_ in row["rounds"])) for part in PARTS)]
        for row in data["engine"]
    ]  # fmt: skip
    of_playbook = [
        [str(row["count"]), str(row["tasks"]), short(row["first"]), spread(row["no-op"]), spread(row["pings"]),
         f"{statistics.median(row['no-op']) / statistics.median(row['pings']):.2f}"]
        for row in data["playbook"]
    ]  # fmt: skip
    return f"""\
## The engine and the playbook

Seconds, medians, on {data["image"]}, with subnets that the engine chooses; the engine runs in one process on the
host, one with nothing to do once the guard has looked at what the one before it changed.

{table(["networks", "run", *PARTS.values()], of_engine)}
The playbook, beside one of as many pings as it has tasks when there is nothing to do, in turns:

{table(["networks", "tasks", "first", "nothing to do", "pings", "ratio"], of_playbook)}"""


def rules(data: Data) -> str:
    """The cost of a packet, of port forwards, and of changes of the rules."""
    middle = [{key: _middle(value) for key, value in row.items()} for row in data["packets"]]
    base = next(row for row in middle if row["layout"] == "one masquerade rule")
    packets = [
        [row["layout"],
         *(cell for kind in ("established", "new") for cell in (short(row[kind]), f"×{row[kind] / base[kind]:.2f}")),
         short(row["udp"]), short(row["tcp"] * 8 / 1e9), short(row["connections"])]
        for row in middle
    ]  # fmt: skip
    forwards = [[row["layout"], spread(row["established"]), spread(row["new in"])] for row in data["forwards"]]
    keys = [key for key in data["times"][0] if key != "count"]
    changes = [[str(row["count"]), *(short(_middle(row[key])) for key in keys)] for row in data["times"]]
    head = ["rules", "established", "", "new flow", "", "UDP packets/s", "TCP Gbit/s", "connections/s"]
    return f"""\
## What rules cost a packet

Nanoseconds of CPU for a packet of 64 bytes from a guest to the outside, beside one masquerade rule; the rates by the
clock vary more. libvirt's are the rules that it writes, the guest in the network that was made first.

{table(head, packets)}
Port forwards, packets from outside, nanoseconds:

{table(["port forwards", "established", "new flow"], forwards)}
Milliseconds for the rules alone:

{table(["networks", *keys], changes)}"""


def _middle(value: Any) -> Any:
    return statistics.median(value) if isinstance(value, list) else value


def rates(data: Data) -> str:
    columns = list(next(iter(data["rows"].values())))
    names = {"DHCP, new": "DHCP, new leases", "DHCP, again": "DHCP, the same leases again"}
    rows = [
        [name, *(spread(rates_of_column[column]) for column in columns)]
        for name, rates_of_column in data["rows"].items()
    ]
    return f"""\
## DNS and DHCP through it

From one guest, a second: dnsperf with 4 clients for {data["seconds"]} s, and {data["clients"]} DHCP clients, 16 at a
time. The first leases of a fresh network come slower, since dnsmasq looks by ping for three seconds whether an address
is in use, until it has much to do; they are left out. A lease takes four messages, the same again takes two.
dnsmasq writes its file of leases for each of them, and waits until it is on the disk (lease.c, fsync(2)); libvirt
has a helper of its own keep them.

{table(["a second", *(names.get(column, column) for column in columns)], rows)}"""


def outage(data: Data) -> str:
    counts = list(data["columns"])
    rows = [
        [kind, *(cell for count in counts for cell in _silence(data["columns"][count][kind], data["runs"]))]
        for kind in data["columns"][counts[0]]
    ]
    head = ["change", *(f"{what}, {count} networks" for count in counts for what in ("ms", "lost", "restarts"))]
    return f"""\
## While a network changes

A guest asks dnsmasq every millisecond: the longest time between two answers, queries that got none, and how many of
{data["runs"]} changes restarted dnsmasq. The first line is what the machine alone makes.

{table(head, rows)}"""


def _silence(result: Data, runs: int) -> list[str]:
    return [spread(result["silence"]), f"{statistics.median(result['lost']):.0f}", f"{result['restarts']} of {runs}"]
