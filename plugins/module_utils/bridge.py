# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bridges: links and addresses.

A bridge is never deleted and made again to change it, and a port that is there stays. What a stopped bridge sets free
is noted under /run/virtnet/ports, so that the next start takes it back; for a bridge that somebody else deletes, the
guard keeps the same note while all is well.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

from . import bridge_plan
from .bridge_plan import MARK, BridgeChange, State
from .bridge_spec import BridgeSpec, refuse_duplicates
from .files import File, put, read_text
from .identity import bridge_mac, host_identity
from .links import has_ipv6, read_links, read_sysctls
from .links_apply import take
from .part import CREATE, DELETE, Plan
from .paths import Paths
from .run import find, run


class Bridges:
    """The part that manages bridges."""

    def __init__(self, wanted: Sequence[BridgeSpec], purge: bool, paths: Paths) -> None:
        identity = host_identity(paths.root)
        self.wanted = [spec if spec.mac else replace(spec, mac=bridge_mac(identity, spec.name)) for spec in wanted]
        self.purge = purge
        self.paths = paths
        refuse_duplicates(self.wanted)

    def read(self) -> State:
        """The host's links; the settings of the bridges that are asked for."""
        if find("ip") is None:
            return State({})
        links = read_links()
        for spec in self.wanted:
            link = links.get(spec.name)
            if link is not None and link.kind == "bridge":
                links[spec.name] = replace(link, sysctls=read_sysctls(self.paths.proc_sys, spec.name))
        return State(
            links=links,
            default_routes=_default_routes() if any(spec.ports for spec in self.wanted) else frozenset(),
            freed=self._read_freed(),
            stray_sysctls={
                link.name: read_sysctls(self.paths.proc_sys, link.name)
                for link in links.values()
                if link.alias == MARK and link.name not in {spec.name for spec in self.wanted}
            },
            ipv6=has_ipv6(self.paths.proc_sys),
        )

    def _freed_file(self, bridge: str) -> str:
        return ports_file(bridge, self.paths)

    def _read_freed(self) -> dict[str, list[tuple[str, int]]]:
        found = {}
        for spec in self.wanted:
            text = read_text(self._freed_file(spec.name))
            if text is not None:
                try:
                    found[spec.name] = [(str(name), int(index)) for name, index in json.loads(text)]
                except (ValueError, TypeError):
                    # A note about guests' links that cannot be read is worth less than the run.
                    found[spec.name] = []
        return found

    def plan(self, current: State) -> Plan[BridgeChange]:
        """Deletions first: they may free names and ports that others need."""
        named = {spec.name for spec in self.wanted}
        notes: list[str] = []
        present = [spec for spec in self.wanted if spec.state == "present"]
        renamed, current = bridge_plan.rename_back(present, current)
        gone = [(spec.name, spec.mac) for spec in self.wanted if spec.state == "absent"]
        if self.purge:
            gone += [(name, "") for name, link in current.links.items() if link.alias == MARK and name not in named]
        changes = [
            *renamed,
            *(change for name, mac in gone for change in bridge_plan.delete(name, mac, current, notes)),
        ]
        for spec in present:
            bridge_plan.check(spec, current)
            changes += (
                bridge_plan.create(spec, current)
                if spec.name not in current.links
                else bridge_plan.change(spec, current)
            )
        return Plan(changes, [spec.as_options() for spec in present], notes)

    def apply(self, changes: Sequence[BridgeChange]) -> None:
        """Take the steps; note the links that a deletion sets free before it does."""
        put(
            File(self._freed_file(change.bridge), json.dumps(change.freed))
            for change in changes
            if change.action == DELETE and change.freed is not None
        )
        take(step for change in changes for step in change.steps)
        put(
            File(self._freed_file(change.bridge), None)
            for change in changes
            if change.action == CREATE and os.path.exists(self._freed_file(change.bridge))
        )


def ports_file(bridge: str, paths: Paths) -> str:
    """Where the ports of a bridge are noted."""
    return os.path.join(paths.runtime, "ports", f"{bridge}.json")


def ports_note(bridge: str, ports: Iterable[tuple[str, int]], paths: Paths) -> File:
    """The note of a bridge's ports: name and index of each."""
    return File(ports_file(bridge, paths), json.dumps(sorted(ports)))


def _default_routes() -> frozenset[str]:
    found = set()
    for family in ("-4", "-6"):
        for route in json.loads(run(["ip", family, "-j", "route", "show", "default"]).stdout or "[]"):
            found.update([route["dev"]] if "dev" in route else [])
            found.update(hop["dev"] for hop in route.get("nexthops", ()) if "dev" in hop)
    return frozenset(found)
