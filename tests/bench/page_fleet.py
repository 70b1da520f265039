# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fleet, as text, with an estimate for a thousand hosts."""

from __future__ import annotations

from bench.cells import short, table
from bench.store import Data

FAR = 1000
KINDS = {"containers": "systemd containers", "light": "light hosts"}


def text(data: Data) -> str:
    rows = [_row(row) for row in data["rows"]]
    head = ["hosts", "run", "forks", "seconds", "tasks a host", "CPU s a host: controller", "the host's own"]
    return f"""\
## A fleet

`site.yml` with two networks a host; controller and hosts share the machine, and so its cores. Light hosts are network
namespaces with an overlay of one root, without systemd: services are processes that a stand-in for systemctl starts and
stops, among them the guard and dnsmasq. What runs on a host counts as the host's own; starting Ansible counts for the
controller. No time is spent on ssh. Where the kernel has not enough instances of inotify for so many light hosts, they
have no guard.

{table(head, rows)}
{far(data)}"""


def _row(row: Data) -> list[str]:
    who = f"{row['hosts']} {KINDS[row['kind']]}{'' if row['guard'] else ', no guard'}"
    each = [short(row[key] / row["hosts"]) for key in ("controller", "remote")]
    return [who, row["run"], str(row["forks"]), short(row["seconds"]), str(row["tasks"]), *each]


def far(data: Data) -> str:
    """The estimate for many hosts, from the two largest fleets of light hosts that ran with the same forks."""
    lines = []
    for which in ("first", "second"):
        rows = [row for row in data["rows"] if row["kind"] == "light" and row["run"] == which and row["guard"]]
        usual = rows[0]["forks"] if rows else 0
        rows = sorted((row for row in rows if row["forks"] == usual), key=lambda row: row["hosts"])
        if len(rows) > 1:
            lines.append(_line(which, rows[-2], rows[-1]))
    return f"### {FAR} hosts\n\n" + "\n".join(lines) + "\n" if lines else ""


def _line(which: str, less: Data, more: Data) -> str:
    slope = (more["seconds"] - less["seconds"]) / (more["hosts"] - less["hosts"])
    total = more["seconds"] + slope * (FAR - more["hosts"])
    busy = (more["controller"] - less["controller"]) / (more["hosts"] - less["hosts"])
    controller = more["controller"] + busy * (FAR - more["hosts"])
    seconds = {name: short(row["seconds"]) for name, row in (("less", less), ("more", more))}
    return (
        f"- The {which} run, {more['forks']} forks, all on this machine: each further host costs "
        f"({seconds['more']} - {seconds['less']}) / ({more['hosts']} - {less['hosts']}) = {short(slope)} s; "
        f"{seconds['more']} + {FAR - more['hosts']} × {short(slope)} = {short(total)} s. The controller's own CPU: "
        f"{short(more['controller'])} + {FAR - more['hosts']} × {short(busy)} = {short(controller)} s, to be "
        f"divided by its cores; that is what remains where the hosts work for themselves."
    )
