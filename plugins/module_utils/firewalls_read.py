# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The firewalls of others on this host: which there are, what of ours they hold, and which chains drop."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .files import read_text
from .nft_chains import FAMILY, MARK, TABLE
from .paths import Paths
from .run import find, run

# What every rule and zone of ours in the firewalls of others is called.
COMMENT = "virtnet.linux"
ZONE = "virtnet"

# Of ufw's user.rules: "### tuple ### ACTION PROTOCOL PORT ... DIRECTION_INTERFACE comment=HEX" (ufw's src/parser.py).
_TUPLE = re.compile(r"^### tuple ### (\S+) (\S+) (\S+) \S+ \S+ \S+ .*?((?:in|out)_\S+)(?: comment=([0-9a-f]+))?$", re.M)


@dataclass(frozen=True)
class Dropper:
    """A base chain whose policy is to drop, with the hook and whether it already lets our mark pass."""

    family: str
    table: str
    chain: str
    hook: str
    passes: bool = False
    tool: str = ""

    @property
    def cure(self) -> str:
        """The command that lets our connections pass."""
        if self.tool:
            return f"{self.tool} -I {self.chain} -m connmark --mark 0x{MARK:x}/0x{MARK:x} -j ACCEPT"
        return f"nft insert rule {self.family} {self.table} {self.chain} 'ct mark & 0x{MARK:08x} != 0 accept'"

    def __str__(self) -> str:
        return f"chain {self.chain} of table {self.family} {self.table}{f' ({self.tool})' if self.tool else ''}"


@dataclass(frozen=True)
class Firewalls:
    """``docker``: by tool, whether DOCKER-USER has our rule. ``ufw``: rules of ours, and whether it is enabled.

    ``firewalld``: whether it runs; ``zone``: its files of ours by path; ``bound``: bridges in our zone now, None where
    the running firewalld has no such zone.
    """

    docker: Mapping[str, bool] = field(default_factory=dict)
    ufw: frozenset[tuple[str, str, str]] = frozenset()
    ufw_enabled: bool = False
    firewalld: bool = False
    zone: Mapping[str, str] = field(default_factory=dict)
    bound: frozenset[str] | None = None
    droppers: Sequence[Dropper] = ()


def zone_files(paths: Paths) -> tuple[str, str, str]:
    """The files of our zone and of the policies to and from it (firewalld.zone(5), firewalld.policy(5))."""
    folder = os.path.join(paths.root, "etc/firewalld")
    return (
        os.path.join(folder, "zones", f"{ZONE}.xml"),
        os.path.join(folder, "policies", f"{ZONE}-in.xml"),
        os.path.join(folder, "policies", f"{ZONE}-out.xml"),
    )


def read(paths: Paths) -> Firewalls:
    """The present state; nothing is asked of a firewall that is not there."""
    if find("nft") is None:
        return Firewalls()
    chains = [item["chain"] for item in json.loads(run(["nft", "-j", "list", "chains"]).stdout)["nftables"][1:]]
    names = {(chain["family"], chain["table"], chain["name"]) for chain in chains}
    firewalld = any(table == "firewalld" for _family, table, _name in names)
    texts = {path: read_text(path) for path in zone_files(paths)}
    legacy = _legacy_chains()
    return Firewalls(
        docker=_read_docker(names, legacy),
        ufw=frozenset(parse_ufw(read_text(os.path.join(paths.root, "etc/ufw/user.rules")) or "")),
        ufw_enabled=_is_ufw_enabled(paths),
        firewalld=firewalld,
        zone={path: text for path, text in texts.items() if text is not None},
        bound=_read_bound() if firewalld and find("firewall-cmd") else None,
        droppers=[*_read_droppers(chains), *_legacy_droppers(legacy)],
    )


def _legacy_chains() -> dict[str, str]:
    """What iptables-legacy lists of its filter tables, by tool; loads no module where there are none."""
    found = {}
    for tool, names in (("iptables-legacy", "ip_tables_names"), ("ip6tables-legacy", "ip6_tables_names")):
        if "filter" in (read_text(f"/proc/net/{names}") or "").split() and find(tool):
            found[tool] = run([tool, "-w", "-S"], check=False).stdout
    return found


def _read_docker(names: set[tuple[str, str, str]], legacy: Mapping[str, str]) -> dict[str, bool]:
    found = {tool: COMMENT in text for tool, text in legacy.items() if "-N DOCKER-USER" in text}
    for family, tool in (("ip", "iptables-nft"), ("ip6", "ip6tables-nft")):
        if (family, "filter", "DOCKER-USER") in names and find(tool):
            found[tool] = COMMENT in run([tool, "-w", "-S", "DOCKER-USER"], check=False).stdout
    return found


def _is_ufw_enabled(paths: Paths) -> bool:
    settings = read_text(os.path.join(paths.root, "etc/ufw/ufw.conf")) or ""
    return bool(re.search(r"^\s*ENABLED\s*=\s*[\"']?yes", settings, re.M | re.I)) and find("ufw") is not None


def parse_ufw(rules: str) -> list[tuple[str, str, str]]:
    """Rules of ours in ufw's user.rules as (action, port, direction_interface)."""
    ours = COMMENT.encode().hex()
    return [
        (action, port, interface)
        for action, _protocol, port, interface, comment in _TUPLE.findall(rules)
        if comment == ours
    ]


def _read_bound() -> frozenset[str] | None:
    done = run(["firewall-cmd", f"--zone={ZONE}", "--list-interfaces"], check=False)
    return frozenset(done.stdout.split()) if done.code == 0 else None


def _read_droppers(chains: Sequence[Mapping[str, Any]]) -> list[Dropper]:
    found = []
    for chain in chains:
        family, table, name = chain["family"], chain["table"], chain["name"]
        hook = chain.get("hook", "")
        if chain.get("policy") != "drop" or hook not in ("forward", "input") or (family, table) == (FAMILY, TABLE):
            continue
        if family not in ("ip", "ip6", "inet"):
            continue
        tool = {"ip": "iptables-nft", "ip6": "ip6tables-nft"}.get(family, "") if table == "filter" else ""
        if tool and name == hook.upper() and find(tool):
            passes = _has_mark(run([tool, "-w", "-S", name], check=False).stdout)
            found.append(Dropper(family, table, name, hook, passes, tool))
        else:
            text = run(["nft", "list", "chain", family, table, name], check=False).stdout
            found.append(Dropper(family, table, name, hook, _has_mark(text)))
    return found


def _legacy_droppers(legacy: Mapping[str, str]) -> list[Dropper]:
    found = []
    for tool, text in legacy.items():
        for chain in ("FORWARD", "INPUT"):
            if f"-P {chain} DROP" in text:
                rules = "\n".join(line for line in text.splitlines() if line.startswith(f"-A {chain} "))
                family = "ip6" if tool.startswith("ip6") else "ip"
                found.append(Dropper(family, "filter", chain, chain.lower(), _has_mark(rules), tool))
    return found


def _has_mark(text: str) -> bool:
    return f"0x{MARK:08x}" in text or f"0x{MARK:x}/0x{MARK:x}" in text
