# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Peace with the firewalls of others: each is asked, by its own hook, to let our networks' packets pass.

An accept in our table does not outweigh a drop in theirs. What may pass is for our table to say; theirs are only asked
not to say otherwise: Docker by one rule in DOCKER-USER that lets our mark pass, firewalld by a zone for our bridges and
policies to and from it, ufw by rules for our bridges. What no hook reaches is named, with the line that would help.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from ..core.command import run
from ..core.files import File, put, read_note
from ..core.paths import Paths
from ..core.reconcile import CHANGE, CREATE, DELETE, Change
from ..nft.chains import MARK
from ..nft.elements import Rules
from ..ruleset.evaluate import Table
from .flows import Guests
from .integrations_read import COMMENT, ZONE, Firewalls, owner_of, zone_files
from .reachability import foreign

_HEADER = '<?xml version="1.0" encoding="utf-8"?>\n<!-- Made by virtnet.linux; changes are lost. -->\n'
_POLICY = (
    _HEADER
    + """\
<policy target="ACCEPT">
  <short>{short}</short>
  <description>What may pass is decided by the table inet virtnet.</description>
  <ingress-zone name="{ingress}"/>
  <egress-zone name="{egress}"/>
</policy>
"""
)

# As much as ufw can take a while with many rules.
_PATIENCE = 60.0

# So many networks a run looks at for what others drop.
_ENOUGH = 20

# ACTION PORT DIRECTION of the rules that ufw gets for each bridge.
_UFW = (
    ("allow", "53", "in"),
    ("allow", "67", "in"),
    ("allow", "547", "in"),
    ("route:allow", "any", "in"),
    ("route:allow", "any", "out"),
)


@dataclass(frozen=True)
class FirewallChange(Change):
    """The files to write, then the commands to run."""

    files: Sequence[File] = ()
    commands: Sequence[Sequence[str]] = ()

    def make(self) -> None:
        """Do it; raises CommandFailed."""
        put(self.files)
        for command in self.commands:
            run(command, timeout=_PATIENCE)


def _switch(paths: Paths) -> str:
    return os.path.join(paths.state, "firewalls.json")


def read_switch(paths: Paths) -> bool:
    """Whether other firewalls are asked; they are, unless this host was told otherwise."""
    try:
        return bool((read_note(_switch(paths)) or {}).get("integrate", True))
    except (ValueError, AttributeError):
        return True


def plan_switch(wanted: bool, paths: Paths, current: bool) -> list[FirewallChange]:
    """What the host was told, kept for the runs that nobody tells."""
    if wanted == current:
        return []
    content = None if wanted else json.dumps({"integrate": False}) + "\n"
    words = {True: "asked to let networks pass", False: "left alone"}
    return [
        FirewallChange(
            CHANGE, "other firewalls", words[current] + "\n", words[wanted] + "\n", words[wanted],
            files=[File(_switch(paths), content)],
        )
    ]  # fmt: skip


def plan(bridges: Collection[str], current: Firewalls, paths: Paths) -> list[FirewallChange]:
    """What makes the others let these bridges pass, and no others of ours; pure. No bridges: all of it is undone."""
    return [
        *_plan_docker(bool(bridges), current),
        *_plan_firewalld(bridges, current, paths),
        *_plan_ufw(bridges, current),
    ]


def _plan_docker(needed: bool, current: Firewalls) -> list[FirewallChange]:
    changes = []
    match = [
        "-m",
        "connmark",
        "--mark",
        f"0x{MARK:x}/0x{MARK:x}",
        "-m",
        "comment",
        "--comment",
        COMMENT,
        "-j",
        "ACCEPT",
    ]
    for tool, there in sorted(current.docker.items()):
        if needed != there:
            command = [tool, "-w", "-I" if needed else "-D", "DOCKER-USER", *match]
            rule = " ".join(["DOCKER-USER", *match]) + "\n"
            name = f"rule in DOCKER-USER ({tool})"
            sides = ("", rule) if needed else (rule, "")
            changes.append(FirewallChange(CREATE if needed else DELETE, name, *sides, commands=[command]))
    return changes


def _zone(bridges: Iterable[str]) -> str:
    interfaces = "".join(f'  <interface name="{escape(bridge)}"/>\n' for bridge in sorted(bridges))
    return (
        f"{_HEADER}<zone>\n  <short>{ZONE}</short>\n"
        "  <description>Bridges of virtual networks.</description>\n"
        f"{interfaces}"
        '  <service name="dhcp"/>\n  <service name="dhcpv6"/>\n  <service name="dns"/>\n  <service name="tftp"/>\n'
        '  <protocol value="icmp"/>\n  <protocol value="ipv6-icmp"/>\n'
        "</zone>\n"
    )


def _plan_firewalld(bridges: Collection[str], current: Firewalls, paths: Paths) -> list[FirewallChange]:
    zone, to_guests, from_guests = zone_files(paths)
    wanted: dict[str, str] = {}
    if bridges and (current.firewalld or current.zone):
        wanted = {
            zone: _zone(bridges),
            to_guests: _POLICY.format(short=f"{ZONE}-in", ingress="ANY", egress=ZONE),
            from_guests: _POLICY.format(short=f"{ZONE}-out", ingress=ZONE, egress="ANY"),
        }
    paths_of_both = sorted({*wanted, *current.zone})
    files = [File(path, wanted.get(path)) for path in paths_of_both if wanted.get(path) != current.zone.get(path)]
    commands: list[list[str]] = []
    if current.firewalld and bool(wanted) != (current.bound is not None):
        # Zones and policies come and go with a reload only; it keeps connections.
        commands = [["firewall-cmd", "--reload"]]
    elif current.firewalld and wanted and current.bound is not None:
        commands = [["firewall-cmd", f"--zone={ZONE}", f"--change-interface={b}"] for b in sorted(bridges)
                    if b not in current.bound]  # fmt: skip
        commands += [["firewall-cmd", f"--zone={ZONE}", f"--remove-interface={b}"]
                     for b in sorted(current.bound - set(bridges))]  # fmt: skip
    if not files and not commands:
        return []
    before = "".join(current.zone.get(path, "") for path in paths_of_both)
    after = "".join(wanted.get(path, "") for path in paths_of_both)
    action = CHANGE if before and after else CREATE if after else DELETE
    detail = "its bridges are bound" if before == after else ""
    return [FirewallChange(action, f"zone {ZONE} of firewalld", before, after, detail, files=files, commands=commands)]


def _plan_ufw(bridges: Collection[str], current: Firewalls) -> list[FirewallChange]:
    wanted = {(action, port, f"{way}_{bridge}") for bridge in bridges for action, port, way in _UFW}
    if not current.ufw_enabled:
        # It gets no more while it is switched off, but what it holds for bridges that are gone goes.
        wanted &= current.ufw
    commands = [_ufw("delete", *rule) for rule in sorted(current.ufw - wanted)]
    commands += [_ufw("", *rule) for rule in sorted(wanted - current.ufw)]
    if not commands:
        return []
    before, after = ("".join(f"{' '.join(rule)}\n" for rule in sorted(rules)) for rules in (current.ufw, wanted))
    action = CHANGE if before and after else CREATE if after else DELETE
    return [FirewallChange(action, "rules of ufw", before, after, commands=commands)]


def _ufw(delete: str, action: str, port: str, where: str) -> list[str]:
    way, _underscore, bridge = where.partition("_")
    route = ["route"] if action.startswith("route:") else []
    protocol = {"67": ["proto", "udp"], "547": ["proto", "udp"]}.get(port, [])
    to = [] if port == "any" else ["to", "any", "port", port, *protocol]
    words = ["ufw", *route, *([delete] if delete else []), "allow", way, "on", bridge, *to]
    return words if delete else [*words, "comment", COMMENT]


def warnings(current: Firewalls, networks: Sequence[Rules], *, asked: bool) -> list[str]:
    """What drops our packets and is reached by no hook; a sentence ends with the way out. Pure.

    Of many networks some are looked at: what others drop seldom depends on which of our bridges it is.
    """
    tables = [table for table in current.tables if not (asked and _is_asked(table, current))]
    if not tables:
        return []
    return foreign(tables, map(Guests.of_rules, networks[:_ENOUGH]))


def _is_asked(table: Table, current: Firewalls) -> bool:
    owner = owner_of(table)
    return owner in ("firewalld", "docker") or (owner == "ufw" and current.ufw_enabled)
