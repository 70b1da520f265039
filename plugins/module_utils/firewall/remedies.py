# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command that lets a dropped packet pass, for the program that owns the chain: nft, iptables, ufw, firewalld."""

from __future__ import annotations

from ..nft.chains import MARK
from ..nft.sets import FAMILY, TABLE
from ..ruleset.model import Verdict
from ..ruleset.packet import Packet
from .integrations_read import DOCKER_USER, owner_of


def remedy(drop: Verdict) -> str:
    """The command that lets the packet pass the base chain that drops it; "" for our own table."""
    base, table, packet = drop.base, drop.table, drop.packet
    if (table.family, table.name) == (FAMILY, TABLE):
        return ""
    owner = owner_of(table)
    if owner == "firewalld":
        return "let the playbook ask firewalld (virtnet_firewall_integration: true)"
    if owner == "ufw":
        return _ufw_command(base.hook, packet)
    has_mark = _has_mark(packet)
    if table.tool:
        match = f"-m connmark --mark 0x{MARK:x}/0x{MARK:x}" if has_mark else _interface_match(packet, "-i {}", "-o {}")
        in_table = "" if table.name == "filter" else f" -t {table.name}"
        chain = DOCKER_USER if owner == "docker" and base.hook == "forward" else base.name
        return f"{table.tool}{in_table} -I {chain} {match} -j ACCEPT"
    match = f"ct mark & 0x{MARK:08x} != 0" if has_mark else _interface_match(packet, 'iifname "{}"', 'oifname "{}"')
    if base.family == "bridge":
        match = f'meta {"ibrname" if base.hook in ("prerouting", "input") else "obrname"} "{packet.bridge}"'
    return f"nft insert rule {base.family} {base.table} {base.name} '{match} accept'"


def matches_mark(drop: Verdict) -> bool:
    """Whether the command makes a rule that matches our mark."""
    table = drop.table
    own = (table.family, table.name) == (FAMILY, TABLE)
    asked = owner_of(table) in ("firewalld", "ufw")
    return not own and not asked and drop.base.family != "bridge" and _has_mark(drop.packet)


def _has_mark(packet: Packet) -> bool:
    return packet.ct_state in ("new", "established") and bool((packet.ct_mark or 0) & MARK)


def _interface_match(packet: Packet, incoming: str, outgoing: str) -> str:
    return (incoming if packet.iif == packet.bridge else outgoing).format(packet.bridge)


def _ufw_command(hook: str, packet: Packet) -> str:
    direction = "in" if packet.iif == packet.bridge else "out"
    if hook == "forward":
        return f"ufw route allow {direction} on {packet.bridge}"
    if hook == "input" and packet.dport:
        protocol = "" if packet.dport == 53 else f" proto {packet.protocol}"
        return f"ufw allow in on {packet.bridge} to any port {packet.dport}{protocol}"
    return f"ufw allow {direction} on {packet.bridge}"
