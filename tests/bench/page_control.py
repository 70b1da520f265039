# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The comparison with other tools, as text."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.cells import short, spread, table, times
from bench.store import Data

OURS, OURS_BY_PLAYBOOK, VIRT_NET = "ours, engine", "ours, playbook", "community.libvirt.virt_net, playbook"
STEPS = {
    "first": "Define and start",
    "no-op": "Again, with nothing to do",
    "change one": "Change one (the end of its DHCP range)",
    "restart": "Restart of the service, with all of it in place",
    "restore": "Restore, with bridges, rules and processes gone",
    "remove one": "Remove one",
    "remove all": "Remove all the others",
}
NOTES = {
    "change one": "libvirt has to stop and start the network, which cuts its guests off. virt_net ignores the change:"
    " its figure is that of doing nothing. NetworkManager activates the connection again.",
    "restart": "Ours: virtnet.service, dnsmasq. libvirt: until the daemon answers, which removes and adds its rules.",
    "restore": "What a boot does, without the boot. Ours: virtnet.service, then dnsmasq.",
}
SERVING = """\
Before each of these runs there was no network. At first, with the fewest networks, a guest got a lease by DHCP from
each tool. systemd-networkd starts its DHCP server for a network only once a guest is plugged in, so its figures have no
DHCP in them; it also has no DNS server for guests, and no rule that keeps networks apart.
"""


def seconds_of(data: Data, tool: str, count: int, step: str) -> list[float]:
    """Seconds of a step, in all rounds."""
    return [
        row["steps"][step]
        for row in data["rows"]
        if row["tool"] == tool and row["count"] == count and step in row["steps"]
    ]


def names(data: Data) -> list[str]:
    return list(dict.fromkeys([*(row["tool"] for row in data["rows"]), *(stop["tool"] for stop in data["stops"])]))


def counterpart(tool: str) -> str:
    """The variant of ours with which a tool is compared."""
    return OURS_BY_PLAYBOOK if tool.endswith("playbook") else OURS


def cell(data: Data, tool: str, count: int, step: str) -> str:
    values = seconds_of(data, tool, count, step)
    if not values:
        return ""
    ratio = times(values, seconds_of(data, counterpart(tool), count, step)) if tool != counterpart(tool) else ""
    return f"{spread(values)} {ratio}".strip()


def steps(data: Data) -> str:
    """A table for each step."""
    text = ""
    head = ["seconds", *(f"{count} networks" if count > 1 else "1 network" for count in data["counts"])]
    for step, title in STEPS.items():
        rows = [
            [tool, *(cell(data, tool, count, step) for count in data["counts"])]
            for tool in names(data)
            if any(seconds_of(data, tool, count, step) for count in data["counts"])
        ]
        if rows:
            text += f"\n### {title}\n\n{table(head, rows)}"
            text += f"\n{NOTES[step]}\n" if step in NOTES else ""
    return text


def stops(data: Data) -> str:
    if not data["stops"]:
        return "All got as far as they were asked to.\n"
    lines = [
        f"- {stop['tool']}: at {stop['count']} network{'s' * (stop['count'] > 1)}: {stop['why']}"
        for stop in data["stops"]
    ]
    return "\n".join(lines) + "\n"


def megabytes(row: Data, program: str) -> float:
    """PSS of a program in MB; the results are in MiB."""
    return float(row["memory"].get(program, {}).get("MiB", 0.0)) * 1.048576


def programs(data: Data, tool: str) -> list[str]:
    return sorted(
        {name for row in data["rows"] if row["tool"] == tool for name in row["memory"]},
        key=lambda name: name != "dnsmasq",
    )


def memory(data: Data) -> str:
    """PSS and number of processes of each program, for each tool that is not just another client of one."""
    rows = []
    for tool in (
        OURS,
        "libvirt, virsh, nftables",
        "libvirt, virsh, iptables",
        "NetworkManager, shared",
        "systemd-networkd",
    ):
        for program in programs(data, tool):
            rows.append([f"{tool.replace(', engine', '')}: {program}"])
            for count in data["counts"]:
                of_it = [row for row in data["rows"] if row["tool"] == tool and row["count"] == count]
                values = [megabytes(row, program) for row in of_it]
                processes = [row["memory"].get(program, {}).get("processes", 0) for row in of_it]
                rows[-1].append(f"{short(statistics.median(values))} in {max(processes):.0f}" if values else "")
    return table(["MB in processes", *(str(count) for count in data["counts"])], rows)


def rules(data: Data) -> str:
    rows = []
    for tool in names(data):
        counts = {row["count"]: row["rules"] for row in data["rows"] if row["tool"] == tool}
        if not tool.endswith("playbook") and counts:
            rows.append([tool, *(str(counts.get(count, "")) for count in data["counts"])])
    return table(["rules", *(str(count) for count in data["counts"])], rows)


def given(data: Data) -> str:
    """The time of each tool."""
    times_of = sorted(set(data["given"].values()))
    longest = [name for name, share in data["given"].items() if share == times_of[-1]]
    minutes = f"{times_of[0]:.1f} minutes each"
    return minutes if len(times_of) == 1 else f"{minutes}, {', '.join(longest)} {times_of[-1]:.1f}"


def text(data: Data) -> str:
    return f"""\
## The same work by others

Seconds: the median of the rounds, the least and the most, and how many times that of ours it is (the engine beside
clients of daemons, playbook beside playbook). The engine, and each client, is timed in its own process on the host.
In each round the tools take turns. They had {given(data)}. Where a kernel has no action csum (tc-csum(8)), libvirt's
nftables backend starts no network; there the call of tc that asks for it is answered with yes, and nothing is done.

{SERVING}{steps(data)}
### Where they stop

{stops(data)}
### Memory

PSS (a page that n processes share counts as 1/n for each), in MB. libvirt's figures go up and down by some 6 MB
with what other containers happen to share.

{memory(data)}
Rules of nft that the host has then:

{rules(data)}"""


def counts_of(data: Data, tool: str) -> Sequence[int]:
    return sorted({row["count"] for row in data["rows"] if row["tool"] == tool})
