# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The figures of README.md, between two marks, taken from the page."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping

from bench import page_control
from bench.cells import short, table, times
from bench.store import Data

BEGIN, END = "<!-- figures of docs/benchmarks.md, written by make bench -->", "<!-- end of the figures -->"
VIRSH = "libvirt, virsh, nftables"
# Ours, the other tool, the step, and its name for readers.
PAIRS = (
    (page_control.OURS, VIRSH, "first", "make them: our engine, virsh in a loop"),
    (page_control.OURS, VIRSH, "restore", "bring them back after a boot"),
    (
        page_control.OURS_BY_PLAYBOOK,
        page_control.VIRT_NET,
        "first",
        "make them by a playbook: ours, virt_net in a loop",
    ),
    (page_control.OURS_BY_PLAYBOOK, page_control.VIRT_NET, "no-op", "the same playbook again"),
)


def update(readme: str, known: Mapping[str, Data]) -> str:
    """README.md with the available figures; unchanged if there are none."""
    if "control" not in known:
        return readme
    rows = [row for pair in PAIRS if (row := _row(known["control"], *pair))]
    rows += _memory(known["control"])
    figures = table(["", "networks", "ours", "libvirt", ""], rows)
    return re.sub(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: f"{BEGIN}\n\n{figures}\n{END}", readme, flags=re.DOTALL
    )


def _row(data: Data, ours: str, theirs: str, step: str, title: str) -> list[str]:
    """The ratio for the largest number of networks that both tools reached."""
    for count in sorted(data["counts"], reverse=True):
        our_seconds, their_seconds = (page_control.seconds_of(data, tool, count, step) for tool in (ours, theirs))
        if our_seconds and their_seconds:
            cells = [f"{short(statistics.median(values))} s" for values in (our_seconds, their_seconds)]
            return [title, str(count), *cells, times(their_seconds, our_seconds)]
    return []


def _memory(data: Data) -> list[list[str]]:
    for count in sorted(data["counts"], reverse=True):
        values = [
            [
                page_control.megabytes(row, "dnsmasq")
                for row in data["rows"]
                if (row["tool"], row["count"]) == (tool, count)
            ]
            for tool in (page_control.OURS, VIRSH)
        ]
        if all(values):
            cells = [f"{short(statistics.median(column))} MB" for column in values]
            return [["memory of DHCP and DNS", str(count), *cells, times(values[1], values[0])]]
    return []
