# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The aims of the project, with the measured figures."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench import page_control
from bench.cells import short, table
from bench.store import Data

NETWORKS = 100
# The names of the parts in the engine.
PARTS = {
    "imports": "imports",
    "definitions": "definitions",
    "RulesReconciler": "rules",
    "ManagedBridgeReconciler": "bridges",
    "Fragments": "DHCP and DNS",
    "ResolverEntries": "resolver",
}


WHY_PACKET = {
    "established": "a masquerade rule alone is asked at the first packet of a flow only, ours has one rule for each",
    "new": "of it, the lookup that refuses spoofed sources",
}


@dataclass(frozen=True)
class Figure:
    """A figure, and how it was computed if that needs an explanation."""

    value: float
    unit: str
    why: str = ""


@dataclass(frozen=True)
class Aim:
    text: str
    bound: float
    find: Callable[[Mapping[str, Data]], Figure | None]
    # Whether a higher figure is better.
    least: bool = False

    def row(self, known: Mapping[str, Data]) -> list[str]:
        try:
            figure = self.find(known)
        except KeyError:
            figure = None
        if figure is None:
            return [self.text, "", "not measured yet"]
        is_met = figure.value >= self.bound if self.least else figure.value <= self.bound
        reason = f"; {figure.why}" if figure.why and not is_met else ""
        return [self.text, f"{short(figure.value)} {figure.unit}".strip(), "met" if is_met else f"missed{reason}"]


def _engine(which: str) -> Callable[[Mapping[str, Data]], Figure | None]:
    def find(known: Mapping[str, Data]) -> Figure | None:
        for row in known["engine"]["engine"]:
            if row["count"] == NETWORKS and row["run"] == which:
                rounds = row["rounds"]
                parts = {
                    name: statistics.median(round_.get(key, 0.0) for round_ in rounds) for key, name in PARTS.items()
                }
                shares = ", ".join(
                    f"{name} {short(value)} s" for name, value in sorted(parts.items(), key=lambda p: -p[1])
                )
                return Figure(statistics.median(round_["total"] for round_ in rounds), "s", f"of it: {shares}")
        return None

    return find


def _pings(known: Mapping[str, Data]) -> Figure | None:
    for row in known["engine"]["playbook"]:
        if row["count"] == NETWORKS:
            ratio = statistics.median(row["no-op"]) / statistics.median(row["pings"])
            return Figure(
                ratio, "×", f"{row['tasks']} tasks, of which the two of ours do the work of {NETWORKS} networks"
            )
    return None


def _virt_net(step: str) -> Callable[[Mapping[str, Data]], Figure | None]:
    def find(known: Mapping[str, Data]) -> Figure | None:
        data = known["control"]
        for count in sorted(data["counts"], reverse=True):
            virt_net_seconds = page_control.seconds_of(data, page_control.VIRT_NET, count, step)
            our_seconds = page_control.seconds_of(data, page_control.OURS_BY_PLAYBOOK, count, step)
            if virt_net_seconds and our_seconds:
                ratio = statistics.median(virt_net_seconds) / statistics.median(our_seconds)
                networks = f"{count} network{'s' * (count > 1)}"
                why = (
                    f"both are playbooks, whose start outweighs the work for {networks}; it got no further in its time"
                )
                one_network = page_control.seconds_of(data, page_control.OURS_BY_PLAYBOOK, min(data["counts"]), step)
                if count >= NETWORKS:
                    start = f"{short(statistics.median(one_network))} s" if one_network else "much"
                    why = f"of our {short(statistics.median(our_seconds))} s, {start} go by with one network already"
                return Figure(ratio, f"× with {networks}", why)
        return None

    return find


def _memory(known: Mapping[str, Data]) -> Figure | None:
    rows = [row for row in known["control"]["rows"] if (row["tool"], row["count"]) == (page_control.OURS, NETWORKS)]
    return Figure(statistics.median(page_control.megabytes(row, "dnsmasq") for row in rows), "MB") if rows else None


def _restore(known: Mapping[str, Data]) -> Figure | None:
    values = page_control.seconds_of(known["control"], page_control.OURS, NETWORKS, "restore")
    why = "of it, the service as far as rules and bridges, then the start of dnsmasq by systemd"
    return Figure(statistics.median(values), "s", why) if values else None


def _packet(kind: str, layout: str = "ours, 1000") -> Callable[[Mapping[str, Data]], Figure | None]:
    def find(known: Mapping[str, Data]) -> Figure | None:
        rows = {row["layout"]: statistics.median(row[kind]) for row in known["rules"]["packets"]}
        if layout not in rows:
            return None
        ratio = rows[layout] / rows["one masquerade rule"]
        return Figure(ratio, "×", WHY_PACKET[kind])

    return find


_POLICIES = "ours with policies, 1000"

AIMS = (
    Aim(f"{NETWORKS} networks, first run of the engine: 0.6 s", 0.6, _engine("first")),
    Aim(f"{NETWORKS} networks, run of the engine with nothing to do: 0.35 s", 0.35, _engine("no-op")),
    Aim(f"{NETWORKS} networks, playbook with nothing to do: 1.2 times as many pings", 1.2, _pings),
    Aim("20 times faster than virt_net, first run", 20, _virt_net("first"), least=True),
    Aim("20 times faster than virt_net, nothing to do", 20, _virt_net("no-op"), least=True),
    Aim(f"{NETWORKS} networks, memory for DHCP and DNS: 1.5 MB", 1.5, _memory),
    Aim(f"{NETWORKS} networks, restore: 1 s", 1.0, _restore),
    Aim("1000 networks, packet of an established flow: 1.05 times one masquerade rule", 1.05, _packet("established")),
    Aim("1000 networks, first packet of a flow: 1.15 times one masquerade rule", 1.15, _packet("new")),
    Aim(
        "1000 policies, one of 1000 rules, packet of an established flow: 1.05 times",
        1.05,
        _packet("established", _POLICIES),
    ),
    Aim("1000 policies, one of 1000 rules, first packet of a flow: 1.15 times", 1.15, _packet("new", _POLICIES)),
)


def text(known: Mapping[str, Data]) -> str:
    rows = (aim.row(known) for aim in AIMS)
    return f"## Aims\n\n{table(['aim, at most (20 times: at least)', 'measured', ''], rows)}"
