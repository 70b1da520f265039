# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compares us with other tools: networks are created, changed, removed, and restored after a boot; and their memory.

For each number of networks there are rounds of all tools in turn, so that load of the machine affects all. A second
and a third round run only for tools that are fast compared with their remaining time. The time to enable and disable
a tool does not count.
"""

from __future__ import annotations

import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.machine import versions
from bench.store import FOLDER, Data
from bench.tools import IMAGES, LAB, Stopped, Tool, host, install, tools

from lab.guest import Guest
from lab.lab import Lab
from lab.progress import print_progress, step
from lab.run import Failed, attempt

ROUNDS = 3
# The share of the remaining time that another round may take.
MAX_EXTRA_SHARE = 0.15
# The version in Debian 13's Ansible; the module has not changed since.
BUNDLE = "ansible==12.3.0"
MEMBER = "ansible_collections/community/libvirt/"


def community() -> tuple[Path | None, str]:
    """A folder with the collection community.libvirt, from PyPI's bundle, and its version; or why there is none."""
    folder = FOLDER / "community"
    if not (folder / MEMBER).is_dir():
        with step(f"fetch community.libvirt (out of {BUNDLE}, 54 MB)"):
            result = attempt(
                [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), BUNDLE], 600
            )
            if not result.ok:
                return None, f"{BUNDLE} could not be downloaded: {result.err.strip()[-200:]}"
            (wheel,) = folder.glob("ansible-*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder, [name for name in archive.namelist() if name.startswith(MEMBER)])
            wheel.unlink()
    return folder, BUNDLE


def lease_from(tool: Tool, count: int) -> str:
    """The lease of a guest in the last network."""
    guest = Guest(host(tool.host), "prober")
    guest.plug(f"vn-net{count - 1}")
    try:
        return guest.lease()
    except Failed as error:
        raise Stopped(f"a guest in network {count - 1} got no lease by DHCP") from error
    finally:
        guest.unplug()


def cycle(tool: Tool, count: int, bound: float, check_lease: bool, row: dict[str, Any]) -> None:
    """One round of one tool, written into a row; raises Stopped with the row so far. Always cleans up."""
    tool.on()
    try:
        row["before"] = tool.memory()
        for name in tool.steps:
            if name == "remove all" and count == 1:
                continue
            row["steps"][name] = tool.do(name, count, max(1.0, bound - sum(row["steps"].values())))
            if name == "first":
                row["memory"], row["rules"] = tool.memory(), tool.rules()
                if check_lease:
                    row["lease"] = lease_from(tool, count)
    except (Stopped, Failed) as error:
        tool.clear(count)
        raise Stopped(str(error)) from error
    finally:
        tool.off()


class TimeBudget:
    """The time limit of a tool, and the time it has used."""

    def __init__(self, seconds: float) -> None:
        self.remaining = seconds
        self._first_step_seconds: dict[int, float] = {}
        self._seconds: dict[int, float] = {}

    def expected_seconds(self, count: int) -> float:
        """Expected seconds of a round: as in the last one of this count; else those of its first step, extrapolated."""
        if count in self._seconds:
            return self._seconds[count]
        known = sorted(self._first_step_seconds)
        if len(known) < 2:
            return sum(self._first_step_seconds.values())
        below, last = known[-2:]
        slope = max(0.0, self._first_step_seconds[last] - self._first_step_seconds[below]) / (last - below)
        return self._first_step_seconds[last] + slope * (count - last)

    def spend(self, count: int, seconds: float, first: float | None) -> None:
        self.remaining -= seconds
        self._seconds[count] = seconds
        if first is not None:
            self._first_step_seconds[count] = first


def measure(counts: Sequence[int], minutes: float) -> Data:
    collections, source = community()
    data: Data = {"counts": list(counts), "rows": [], "stops": [], "virt_net": source}
    lab = Lab(LAB)
    # Remove what a killed run may have left.
    lab.down()
    try:
        lab.up(IMAGES)
        for name in IMAGES:
            install(host(name))
        all_tools = tools(collections)
        total_share = sum(tool.share for tool in all_tools)
        data["given"] = {tool.name: minutes * tool.share / total_share for tool in all_tools}
        budgets = {name: TimeBudget(60 * own) for name, own in data["given"].items()}
        with step("the engine on its host"):
            all_tools[-2 if collections else -1].do("remove all", 0, 300)
        data["versions"] = {name: versions(host(name)) for name in IMAGES}
        for count in counts:
            for number in range(ROUNDS):
                for tool in all_tools:
                    _run_round(tool, count, number, budgets[tool.name], data)
    finally:
        lab.down()
    return data


def _run_round(tool: Tool, count: int, number: int, budget: TimeBudget, data: Data) -> None:
    if any(stop["tool"] == tool.name and stop["count"] <= count for stop in data["stops"]):
        return
    expected = budget.expected_seconds(count)
    if number and expected > MAX_EXTRA_SHARE * budget.remaining:
        return
    if expected > budget.remaining:
        error = f"defining and starting them would take some {expected:.0f} s, and {budget.remaining:.0f} s are left"
        data["stops"].append({"tool": tool.name, "count": count, "round": number, "why": error})
        return
    began = time.monotonic()
    row: dict[str, Any] = {"tool": tool.name, "count": count, "round": number, "steps": {}}
    try:
        cycle(tool, count, budget.remaining, number == 0 and count == data["counts"][0], row)
    except Stopped as error:
        data["stops"].append({"tool": tool.name, "count": count, "round": number, "why": str(error).partition("\n")[0]})
        print_progress(f"{tool.name} stops at {count}: {error}")
    if row["steps"]:
        data["rows"].append(row)
    elapsed = time.monotonic() - began
    # The duration of an interrupted step is unknown, but all remaining time was used.
    stopped = data["stops"] and data["stops"][-1]["tool"] == tool.name and "were left" in data["stops"][-1]["why"]
    budget.spend(count, budget.remaining if stopped else sum(row["steps"].values()), row["steps"].get("first"))
    print_progress(f"round {number + 1}, {count} networks, {tool.name}: {elapsed:.1f} s, {budget.remaining:.0f} s left")
