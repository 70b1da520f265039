# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command that lets a dropped packet pass, for the program that owns the chain: nft, iptables, ufw, firewalld."""

from __future__ import annotations

from typing import Any

from ..nft.chains import MARK
from ..nft.sets import FAMILY, TABLE
from ..ruleset.model import Verdict
from ..ruleset.packet import Packet
from .integrations_read import DOCKER_USER, owner_of

# firewalld's table in panic mode (src/firewall/core/nftables.py, build_set_policy_rules()). With its other backend the
# policies of all built-in chains drop.
_PANIC_TABLE, _PANIC_CHAINS = "firewalld_policy_drop", "raw_"
_PANIC_OFF = "firewall-cmd --panic-off"

# Tests that a rule of a kill switch has: on the way out, and beside that.
_OUTPUT_KEYS = frozenset(("meta oifname", "meta oif"))
_OF_ANYBODY = frozenset(("meta mark", "meta nfproto", "ct state", "ct mark", "fib type"))

# The hooks where a packet has an interface of arrival, and one by which it leaves. iptables refuses -i in POSTROUTING.
_WITH_INPUT = {"nft": ("prerouting", "input", "forward", "postrouting"), "iptables": ("prerouting", "input", "forward")}
_WITH_OUTPUT = ("forward", "output", "postrouting")


def remedy(drop: Verdict) -> str:
    """The command that lets the packet pass the base chain that drops it.

    "" for our own table, and where no rule of the chain can tell the packet from others.
    """
    base, table, packet = drop.base, drop.table, drop.packet
    if (table.family, table.name) == (FAMILY, TABLE):
        return ""
    if _is_panic(drop):
        return _PANIC_OFF
    if _closes_way_out(drop):
        return (
            f"bring up the VPN whose kill switch this is, or change the rule, which closes {packet.oif} for everybody"
        )
    owner = owner_of(table)
    if owner == "firewalld":
        return "let the playbook ask firewalld (virtnet_firewall_integration: true, without bridge.zone)"
    if owner == "ufw":
        return _ufw_command(base.hook, packet)
    has_mark = _has_mark(packet)
    if table.tool:
        match = f"-m connmark --mark 0x{MARK:x}/0x{MARK:x}" if has_mark else _iptables_match(packet, base.hook)
        in_table = "" if table.name == "filter" else f" -t {table.name}"
        chain = DOCKER_USER if owner == "docker" and base.hook == "forward" else base.name
        return f"{table.tool}{in_table} -I {chain} {match} -j ACCEPT" if match else ""
    match = f"ct mark & 0x{MARK:08x} != 0" if has_mark else _nft_match(packet, base.hook)
    if base.family == "bridge":
        match = f'meta {"ibrname" if base.hook in ("prerouting", "input") else "obrname"} "{packet.bridge}"'
    return f"nft insert rule {base.family} {base.table} {base.name} '{match} accept'" if match else ""


def _has_mark(packet: Packet) -> bool:
    return packet.ct_state in ("new", "established") and bool((packet.ct_mark or 0) & MARK)


def _is_panic(drop: Verdict) -> bool:
    if drop.rule is not None:
        return False
    if drop.table.name == _PANIC_TABLE:
        return drop.base.name.startswith(_PANIC_CHAINS)
    return bool(drop.table.tool) and f"{drop.base.name}_direct" in drop.table.chains


def _closes_way_out(drop: Verdict) -> bool:
    """Whether a rule drops all that leaves by an interface, or by others than one, whoever sends it.

    So does the kill switch of a VPN while its tunnel is down. A command that lets guests pass would open it.
    """
    packet = drop.packet
    if drop.rule is None or packet.iif != packet.bridge or packet.oif in ("", packet.bridge):
        return False
    keys = [_key_of(statement) for statement in drop.rule.statements if not _acts(statement)]
    return any(key in _OUTPUT_KEYS for key in keys) and all(key in _OUTPUT_KEYS | _OF_ANYBODY for key in keys)


def _acts(statement: Any) -> bool:
    """Whether a statement is no test of the packet."""
    return isinstance(statement, dict) and not {"match", "any", "unknown", "vmap"} & statement.keys()


def _key_of(statement: Any) -> str:
    """What a test compares, as nft calls it; "" for what is none of the simple ones."""
    left = statement.get("match", {}).get("left", {}) if isinstance(statement, dict) else {}
    if not isinstance(left, dict) or len(left) != 1:
        return ""
    ((kind, value),) = left.items()
    return f"{kind} {value.get('key', 'type')}" if isinstance(value, dict) else ""


def _nft_match(packet: Packet, hook: str) -> str:
    if packet.iif == packet.bridge and hook in _WITH_INPUT["nft"]:
        return f'iifname "{packet.bridge}"'
    if packet.oif == packet.bridge and hook in _WITH_OUTPUT:
        return f'oifname "{packet.bridge}"'
    if packet.daddr_type == "local" and packet.dport and not packet.is_reply:
        return f"{packet.protocol} dport {packet.dport} fib daddr type local"
    if packet.guests:
        return f"{'ip6' if packet.ipv6 else 'ip'} daddr {packet.guests}"
    return "ct state established,related" if packet.ct_state == "established" else ""


def _iptables_match(packet: Packet, hook: str) -> str:
    if packet.iif == packet.bridge and hook in _WITH_INPUT["iptables"]:
        return f"-i {packet.bridge}"
    if packet.oif == packet.bridge and hook in _WITH_OUTPUT:
        return f"-o {packet.bridge}"
    if packet.iif == packet.bridge:
        return f"-s {packet.guests}" if packet.guests else ""
    if packet.daddr_type == "local" and packet.dport and not packet.is_reply:
        return f"-p {packet.protocol} --dport {packet.dport} -m addrtype --dst-type LOCAL"
    if packet.guests:
        return f"-d {packet.guests}"
    return "-m conntrack --ctstate ESTABLISHED,RELATED" if packet.ct_state == "established" else ""


def _ufw_command(hook: str, packet: Packet) -> str:
    direction = "in" if packet.iif == packet.bridge else "out"
    if hook == "forward":
        return f"ufw route allow {direction} on {packet.bridge}"
    if hook == "input" and packet.dport:
        protocol = "" if packet.dport == 53 else f" proto {packet.protocol}"
        return f"ufw allow in on {packet.bridge} to any port {packet.dport}{protocol}"
    return f"ufw allow {direction} on {packet.bridge}"
