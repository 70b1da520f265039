# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Integration with other firewalls: each is configured, by the interface it offers, to let packets of networks pass.

A drop in the table of another firewall overrides an accept in ours. Our table decides what passes; the others must not
drop it: Docker gets one rule in DOCKER-USER that accepts our mark, firewalld a zone of our bridges and policies to and
from it, ufw rules for our bridges. A chain that none of these reaches is named in a warning, with the command that
helps.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from ..core.command import run
from ..core.errors import VirtnetError
from ..core.files import File, write_files
from ..core.notes import read_object
from ..core.paths import Paths
from ..core.ports import REDIRECTED_DHCP, REDIRECTED_DNS
from ..core.reconcile import CHANGE, CREATE, DELETE, Change
from ..nft.chains import MARK
from ..nft.elements import Rules
from ..ruleset.model import Table
from .flows import GuestNetwork
from .integrations_read import (
    COMMENT,
    DOCKER_USER,
    PORT,
    PROTOCOL,
    SERVICE,
    ZONE,
    Firewalls,
    owner_of,
    zone_files,
)
from .reachability import foreign_drops
from .zones import bindings, former_bindings

_HEADER = '<?xml version="1.0" encoding="utf-8"?>\n<!-- Made by virtnet.linux; changes are lost. -->\n'
_POLICY = f"""{_HEADER}\
<policy target="ACCEPT">
  <short>{{short}}</short>
  <description>What may pass is decided by the table inet virtnet.</description>
  <ingress-zone name="{{ingress}}"/>
  <egress-zone name="{{egress}}"/>
</policy>
"""

# Seconds: ufw is slow with many rules.
_TIMEOUT = 60.0

# A run checks so many networks for drops by other firewalls.
_MAX_CHECKED_NETWORKS = 20

# Action, port and direction of the rules of ufw for each bridge.
_UFW_RULES = (
    ("allow", "53", "in"),
    ("allow", "67", "in"),
    ("allow", "547", "in"),
    ("route:allow", "any", "in"),
    ("route:allow", "any", "out"),
)
# Those of bridges whose dnsmasq has ports of its own: other firewalls see the packets when our rules have changed them.
_UFW_REDIRECTED = (("allow", str(REDIRECTED_DNS), "in"), ("allow", str(REDIRECTED_DHCP), "in"))
_UDP_PORTS = ("67", "547", str(REDIRECTED_DHCP))
_RELOAD = ["firewall-cmd", "--reload"]
# What our zone of firewalld lets in, and the ports of bridges that are redirected.
_SERVICES = ("dhcp", "dhcpv6", "dns", "tftp")
_PROTOCOLS = ("icmp", "ipv6-icmp")
_PORTS = ((REDIRECTED_DNS, "tcp"), (REDIRECTED_DNS, "udp"), (REDIRECTED_DHCP, "udp"))
_FIREWALLD_REDIRECTED = "".join(f'  <port port="{port}" protocol="{protocol}"/>\n' for port, protocol in _PORTS)


@dataclass(frozen=True)
class FirewallChange(Change):
    """Files to write, and commands to run afterwards."""

    files: Sequence[File] = ()
    commands: Sequence[Sequence[str]] = ()

    def make(self) -> None:
        """Make the change; raises CommandFailed."""
        write_files(self.files)
        for command in self.commands:
            run(command, timeout=_TIMEOUT)


def _change(
    name: str,
    before: str,
    after: str,
    *,
    detail: str = "",
    files: Sequence[File] = (),
    commands: Sequence[Sequence[str]] = (),
) -> FirewallChange:
    action = CHANGE if before and after else CREATE if after else DELETE
    return FirewallChange(
        action=action, name=name, before=before, after=after, detail=detail, files=files, commands=commands
    )


def _setting_file(paths: Paths) -> str:
    return os.path.join(paths.state, "firewalls.json")


@dataclass(frozen=True)
class Setting:
    """Whether other firewalls are asked on this host; the zones of firewalld that bridges have in place of ours."""

    integrate: bool = True
    zones: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """For the diff."""
        zones = "".join(f"{bridge} in zone {zone} of firewalld\n" for bridge, zone in sorted(self.zones.items()))
        return ("configured to let networks pass\n" if self.integrate else "not configured\n") + zones


def read_setting(paths: Paths) -> Setting:
    """The setting of this host; the integration is enabled by default."""
    try:
        stored = read_object(_setting_file(paths))
    except ValueError:
        return Setting()
    zones = stored.get("zones")
    return Setting(bool(stored.get("integrate", True)), dict(zones) if isinstance(zones, Mapping) else {})


def plan_setting(desired: Setting, paths: Paths, current: Setting) -> list[FirewallChange]:
    """Store the setting for later runs, which may not be given one."""
    if desired == current:
        return []
    values = {
        **({} if desired.integrate else {"integrate": False}),
        **({"zones": dict(desired.zones)} if desired.zones else {}),
    }
    files = [File(_setting_file(paths), json.dumps(values) + "\n" if values else None)]
    detail = ", ".join(desired.text.splitlines())
    return [_change("other firewalls", current.text, desired.text, detail=detail, files=files)]


def plan(
    bridges: Collection[str],
    current: Firewalls,
    paths: Paths,
    *,
    redirected: Collection[str] = (),
    zones: Mapping[str, str] | None = None,
    recorded: Mapping[str, str] | None = None,
) -> list[FirewallChange]:
    """Make other firewalls let packets of exactly these bridges pass; without bridges, undo everything. Pure.

    ``redirected``: those of the bridges whose dnsmasq has ports of its own. ``zones``: those of the bridges that are in
    another zone of firewalld than ours; ``recorded``: those that were.
    """
    zones = zones or {}
    ours = [bridge for bridge in bridges if bridge not in zones]
    own_zone = _plan_firewalld(ours, current, paths, [bridge for bridge in redirected if bridge in ours], zones)
    reloads = any(_RELOAD in change.commands for change in own_zone)
    return [
        *_plan_docker(bool(bridges), current),
        *(_binding(*one, bind=False) for one in former_bindings(zones, recorded or {}, current.zones)),
        *own_zone,
        *(_binding(*one, bind=True) for one in bindings(zones, current.zones, reloads=reloads)),
        *_plan_ufw(bridges, current, redirected),
    ]


def refuse_panic(changes: Iterable[Change]) -> None:
    """Raise VirtnetError if firewalld would refuse one of the changes, or nothing that they add would be reached."""
    concerned = any(
        command[0] == _RELOAD[0] and (command != _RELOAD or change.action != DELETE)
        for change in changes
        if isinstance(change, FirewallChange)
        for command in change.commands
    )
    if concerned and run(["firewall-cmd", "--query-panic"], check=False).code == 0:
        raise VirtnetError(
            "firewalld is in panic mode: it drops all packets, and refuses changes of its zones; "
            "run 'firewall-cmd --panic-off', and run again"
        )


def _binding(bridge: str, zone: str, *, bind: bool) -> FirewallChange:
    """Bind a bridge to a zone that the user chose, or end that."""
    before, after = ("", f"{bridge}\n") if bind else (f"{bridge}\n", "")
    command = ["firewall-cmd", f"--zone={zone}", f"--{'change' if bind else 'remove'}-interface={bridge}"]
    return _change(f"{bridge} in zone {zone} of firewalld", before, after, commands=[command])


def _plan_docker(needed: bool, current: Firewalls) -> list[FirewallChange]:
    match = f"-m connmark --mark 0x{MARK:x}/0x{MARK:x} -m comment --comment {COMMENT} -j ACCEPT".split()
    rule = " ".join([DOCKER_USER, *match]) + "\n"
    return [
        _change(
            f"rule in {DOCKER_USER} ({tool})",
            before="" if needed else rule,
            after=rule if needed else "",
            commands=[[tool, "-w", "-I" if needed else "-D", DOCKER_USER, *match]],
        )
        for tool, has_rule in sorted(current.docker.items())
        if needed != has_rule
    ]


def _zone(bridges: Iterable[str], redirected: Collection[str]) -> str:
    interfaces = "".join(f'  <interface name="{escape(bridge)}"/>\n' for bridge in sorted(bridges))
    return (
        f"{_HEADER}<zone>\n  <short>{ZONE}</short>\n"
        "  <description>Bridges of virtual networks.</description>\n"
        f"{interfaces}"
        + "".join(f'  <service name="{service}"/>\n' for service in _SERVICES)
        + (_FIREWALLD_REDIRECTED if redirected else "")
        + "".join(f'  <protocol value="{protocol}"/>\n' for protocol in _PROTOCOLS)
        + "</zone>\n"
    )


def _let_in(redirected: Collection[str]) -> set[str]:
    """What our zone lets in, as Firewalls.opened has it."""
    ports = {f"{PORT}={port}/{protocol}" for port, protocol in _PORTS} if redirected else set()
    return {f"{SERVICE}={one}" for one in _SERVICES} | {f"{PROTOCOL}={one}" for one in _PROTOCOLS} | ports


def _plan_firewalld(
    bridges: Collection[str],
    current: Firewalls,
    paths: Paths,
    redirected: Collection[str],
    elsewhere: Collection[str],
) -> list[FirewallChange]:
    zone, to_guests, from_guests = zone_files(paths)
    desired: dict[str, str] = {}
    if bridges and (current.firewalld or current.zone):
        desired = {
            zone: _zone(bridges, redirected),
            to_guests: _POLICY.format(short=f"{ZONE}-in", ingress="ANY", egress=ZONE),
            from_guests: _POLICY.format(short=f"{ZONE}-out", ingress=ZONE, egress="ANY"),
        }
    names = sorted({*desired, *current.zone})
    files = [File(path, desired.get(path)) for path in names if desired.get(path) != current.zone.get(path)]
    closes_ports = _FIREWALLD_REDIRECTED in current.zone.get(zone, "") and not redirected
    commands = _firewalld_commands(
        bridges if desired else (), current, _let_in(redirected), elsewhere, reload=closes_ports
    )
    if not files and not commands:
        return []
    before = "".join(current.zone.get(path, "") for path in names)
    after = "".join(desired.get(path, "") for path in names)
    detail = "the running zone is as its file" if before == after else ""
    return [_change(f"zone {ZONE} of firewalld", before, after, detail=detail, files=files, commands=commands)]


def _firewalld_commands(
    bridges: Collection[str], current: Firewalls, let_in: Collection[str], elsewhere: Collection[str], *, reload: bool
) -> list[Sequence[str]]:
    """What makes the running firewalld have our zone with these bridges, or without bridges not have it.

    ``let_in``: what the zone lets in at least. ``elsewhere``: bridges that go to other zones. ``reload``: its file lets
    in less than before.
    """
    if not current.firewalld:
        return []
    if reload or bool(bridges) != (current.bound is not None):
        # Only a reload adds and removes zones and policies; it keeps connections.
        return [_RELOAD]
    if not bridges:
        return []
    bound = current.bound or frozenset()
    options = [f"--change-interface={bridge}" for bridge in sorted(set(bridges) - bound)]
    options += [f"--remove-interface={bridge}" for bridge in sorted(bound - {*bridges, *elsewhere})]
    # A reload would end what else an administrator changed at run time.
    options += [f"--add-{one}" for one in sorted(set(let_in) - current.opened)]
    return [["firewall-cmd", f"--zone={ZONE}", option] for option in options]


def _plan_ufw(bridges: Collection[str], current: Firewalls, redirected: Collection[str]) -> list[FirewallChange]:
    desired = {
        (action, port, f"{direction}_{bridge}")
        for bridge in bridges
        for action, port, direction in (*_UFW_RULES, *(_UFW_REDIRECTED if bridge in redirected else ()))
    }
    if not current.ufw_enabled:
        # A disabled ufw gets no new rules, but rules of removed bridges are deleted.
        desired &= current.ufw
    commands = [_ufw("delete", *rule) for rule in sorted(current.ufw - desired)]
    commands += [_ufw("", *rule) for rule in sorted(desired - current.ufw)]
    if not commands:
        return []
    before, after = ("".join(f"{' '.join(rule)}\n" for rule in sorted(rules)) for rules in (current.ufw, desired))
    return [_change("rules of ufw", before, after, commands=commands)]


def _ufw(delete: str, action: str, port: str, direction_interface: str) -> list[str]:
    direction, _underscore, bridge = direction_interface.partition("_")
    route = ["route"] if action.startswith("route:") else []
    protocol = ["proto", "udp"] if port in _UDP_PORTS else []
    to = [] if port == "any" else ["to", "any", "port", port, *protocol]
    words = ["ufw", *route, *([delete] if delete else []), "allow", direction, "on", bridge, *to]
    return words if delete else [*words, "comment", COMMENT]


def remaining_drops(
    current: Firewalls, networks: Sequence[Rules], *, integrate: bool, marks: bool, zones: Collection[str] = ()
) -> list[str]:
    """Chains of other firewalls that drop packets of networks, each with the command that helps. Pure.

    ``integrate``: firewalls that plan() configures are left out. ``marks``: connections have our mark. ``zones``:
    bridges that are in a zone of firewalld in which plan() configures nothing. Of many networks only some are checked:
    the drops of other firewalls rarely depend on the bridge.
    """
    drops = []
    checked = networks[:_MAX_CHECKED_NETWORKS]
    for is_elsewhere in (False, True):
        tables = [
            table
            for table in current.tables
            if not (integrate and _is_integrated(table, current)) or (is_elsewhere and owner_of(table) == "firewalld")
        ]
        chosen = [network for network in checked if (network.bridge in zones) == is_elsewhere]
        if tables and chosen:
            drops += foreign_drops(tables, map(GuestNetwork.from_rules, chosen), marks=marks)
    return drops


def _is_integrated(table: Table, current: Firewalls) -> bool:
    owner = owner_of(table)
    return owner in ("firewalld", "docker") or (owner == "ufw" and current.ufw_enabled)
