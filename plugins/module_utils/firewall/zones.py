# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Zones of firewalld that the user chose for bridges, as ``<bridge zone=...>`` of libvirt.

As libvirt does, a bridge is bound to its zone at run time alone: the file of the zone is the user's. A reload of
firewalld (FlushAllOnReload in firewalld.conf(5)) ends that until the guard or a run repairs it; a restart starts the
service that restores rules. So that a bridge can leave its zone after its definition is gone, the zones are part of
this host's setting of integrations.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..core.command import find, run
from ..nft.spec import RulesSpec


@dataclass(frozen=True)
class RunningZones:
    """The zones of the running firewalld, the zone of each interface that has one, and what firewall-cmd tells of each.

    ``texts``: by zone, the lines of ``firewall-cmd --info-zone``.
    """

    names: Collection[str] = ()
    of_interfaces: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict, compare=False)


def read_zones() -> RunningZones | None:
    """The zones; None where firewalld does not run."""
    if find("firewall-cmd") is None:
        return None
    # One call: each takes firewall-cmd a third of a second.
    done = run(["firewall-cmd", "--list-all-zones"], check=False)
    return parse_zones(done.stdout) if done.code == 0 else None


def parse_zones(text: str) -> RunningZones:
    """The output of ``firewall-cmd --list-all-zones``: a block of indented lines for each zone."""
    names, of_interfaces = [], {}
    texts: dict[str, str] = {}
    for line in text.splitlines():
        key, _colon, values = line.partition(":")
        if line.strip() and not line.startswith((" ", "\t")):
            # The name may be followed by "(default, active)".
            names.append(line.split()[0])
        elif key == "  interfaces":
            of_interfaces.update(dict.fromkeys(values.split(), names[-1]))
        if names:
            texts[names[-1]] = f"{texts.get(names[-1], '')}{line}\n"
    return RunningZones(names, of_interfaces, texts)


def desired_zones(
    present: Iterable[RulesSpec], recorded: Mapping[str, str], bridges: Collection[str]
) -> dict[str, str]:
    """The zone of each bridge that has one; a bridge of ``bridges`` that no spec names keeps the recorded one."""
    specs = {spec.rules.bridge: spec.zone for spec in present}
    kept = {bridge: zone for bridge, zone in recorded.items() if bridge in bridges and bridge not in specs}
    return {**kept, **{bridge: zone for bridge, zone in specs.items() if zone}}


def bindings(desired: Mapping[str, str], running: RunningZones | None, *, reloads: bool) -> list[tuple[str, str]]:
    """Bridges to bind, with their zones; ``reloads``: firewalld is reloaded before, which may end all bindings."""
    if running is None:
        return []
    return [
        (bridge, zone)
        for bridge, zone in sorted(desired.items())
        if zone in running.names and (reloads or running.of_interfaces.get(bridge) != zone)
    ]


def former_bindings(
    desired: Mapping[str, str], recorded: Mapping[str, str], running: RunningZones | None
) -> list[tuple[str, str]]:
    """Bridges to remove from the zones that they had."""
    if running is None:
        return []
    return [
        (bridge, zone)
        for bridge, zone in sorted(recorded.items())
        if bridge not in desired and running.of_interfaces.get(bridge) == zone
    ]


def unbound_notes(present: Iterable[RulesSpec], running: RunningZones | None, *, integrate: bool) -> Iterator[str]:
    """A sentence for each bridge that cannot be in its zone."""
    for spec in present:
        if not spec.zone or (integrate and running is not None and spec.zone in running.names):
            continue
        cause = "firewalld does not run; start it"
        if not integrate:
            cause = "other firewalls are left alone; let firewalld be asked (virtnet_firewall_integration: true)"
        elif running is not None:
            cause = f"firewalld has no such zone; make it: firewall-cmd --permanent --new-zone={spec.zone}"
        yield f"network {spec.rules.name!r}: {spec.rules.bridge} is not in the zone {spec.zone!r}, since {cause}"
