# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the other firewalls of this host: which exist, and which rules and zones of ours they have."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..core.command import find, run
from ..core.files import read_text
from ..core.paths import Paths
from ..nft.sets import FAMILY, TABLE
from ..ruleset import read as ruleset_read
from ..ruleset.model import Ruleset, Table
from .zones import RunningZones, read_zones

# The names of our rules and of our zone in other firewalls.
COMMENT = "virtnet.linux"
ZONE = "virtnet"
DOCKER_USER = "DOCKER-USER"
# What a zone of firewalld lets in, as the options of firewall-cmd name it.
SERVICE, PROTOCOL, PORT = "service", "protocol", "port"

_FAMILIES = ("ip", "ip6", "inet", "bridge")

# In ufw's user.rules: "### tuple ### ACTION PROTOCOL PORT ... DIRECTION_INTERFACE comment=HEX" (ufw's src/parser.py).
_UFW_TUPLE = re.compile(
    r"^### tuple ### (\S+) (\S+) (\S+) \S+ \S+ \S+ .*?((?:in|out)_\S+)(?: comment=([0-9a-f]+))?$", re.M
)


@dataclass(frozen=True)
class Firewalls:
    """The other firewalls of this host.

    ``docker``: whether DOCKER-USER has our rule, by tool. ``ufw``: our rules. ``firewalld``: whether it runs; ``zone``:
    our files of firewalld by path; ``bound``: bridges in our zone, None where the running firewalld has no such zone;
    ``opened``: what that zone lets in, as SERVICE, PROTOCOL and PORT name it; ``zones``: all zones, if they are needed.
    ``tables``: all others that filter, without the elements of their sets.
    """

    docker: Mapping[str, bool] = field(default_factory=dict)
    ufw: frozenset[tuple[str, str, str]] = frozenset()
    ufw_enabled: bool = False
    firewalld: bool = False
    zone: Mapping[str, str] = field(default_factory=dict)
    bound: frozenset[str] | None = None
    opened: frozenset[str] = frozenset()
    zones: RunningZones | None = None
    tables: Ruleset = ()


def zone_files(paths: Paths) -> tuple[str, str, str]:
    """The files of our zone and of the policies to and from it (firewalld.zone(5), firewalld.policy(5))."""
    zone = os.path.join(paths.root, f"etc/firewalld/zones/{ZONE}.xml")
    policies = os.path.join(paths.root, "etc/firewalld/policies")
    return zone, f"{policies}/{ZONE}-in.xml", f"{policies}/{ZONE}-out.xml"


def owner_of(table: Table) -> str:
    """The program that made a table, of those that can be configured to let packets pass, or ""."""
    names = table.chains
    # The table is firewalld's own, or with FirewallBackend=iptables the chains are (firewalld's core/ipXtables.py).
    if table.name == "firewalld" or (table.tool and "FORWARD_direct" in names):
        return "firewalld"
    if table.tool and any(name.startswith(("ufw-", "ufw6-")) for name in names):
        return "ufw"
    return "docker" if table.tool and DOCKER_USER in names else ""


def read(paths: Paths, *, zones: bool = False) -> Firewalls:
    """The current state, of firewalld with all ``zones``; runs no command of a firewall that is not installed."""
    tables = _read_tables() if find("nft") is not None else []
    firewalld = any(owner_of(table) == "firewalld" for table in tables)
    texts = {path: read_text(path) for path in zone_files(paths)}
    all_zones = read_zones() if zones and firewalld else None
    bound, opened = _read_running_zone(all_zones) if firewalld and find("firewall-cmd") else (None, frozenset())
    return Firewalls(
        docker=_read_docker(tables),
        ufw=frozenset(parse_ufw(read_text(os.path.join(paths.root, "etc/ufw/user.rules")) or "")),
        ufw_enabled=_is_ufw_enabled(paths),
        firewalld=firewalld,
        zone={path: text for path, text in texts.items() if text is not None},
        bound=bound,
        opened=opened,
        zones=all_zones,
        tables=tables,
    )


def _read_tables() -> list[Table]:
    """Tables of others with a chain of type filter. Rules are read of these tables only: most hosts have none."""
    chains = [item["chain"] for item in json.loads(run(["nft", "-j", "list", "chains"]).stdout)["nftables"][1:]]
    filters = [chain for chain in chains if chain.get("type") == "filter" and chain["family"] in _FAMILIES]
    names = {(chain["family"], chain["table"]) for chain in filters}
    return ruleset_read.read_tables(names - {(FAMILY, TABLE)})


def _read_docker(tables: Ruleset) -> dict[str, bool]:
    """By tool, whether DOCKER-USER has our rule."""
    if find("nft") is not None:
        return {table.tool: _has_our_rule(table) for table in tables if DOCKER_USER in table.chains and table.tool}
    # Check mode foretells what the run does once it has installed nft.
    tools = [tool for tool in ("iptables", "ip6tables") if find(tool) is not None]
    return {tool: False for tool in tools if run([tool, "--wait", "--list-rules", DOCKER_USER], check=False).code == 0}


def _has_our_rule(table: Table) -> bool:
    return any(COMMENT in rule.text for rule in table.chains[DOCKER_USER].rules)


def _is_ufw_enabled(paths: Paths) -> bool:
    settings = read_text(os.path.join(paths.root, "etc/ufw/ufw.conf")) or ""
    return bool(re.search(r"^\s*ENABLED\s*=\s*[\"']?yes", settings, re.M | re.I)) and find("ufw") is not None


def parse_ufw(rules: str) -> list[tuple[str, str, str]]:
    """Our rules in ufw's user.rules as (action, port, direction_interface)."""
    our_comment = COMMENT.encode().hex()
    return [
        (action, port, interface)
        for action, _protocol, port, interface, comment in _UFW_TUPLE.findall(rules)
        if comment == our_comment
    ]


def _read_running_zone(zones: RunningZones | None) -> tuple[frozenset[str] | None, frozenset[str]]:
    """The bridges of our zone in the running firewalld, None without the zone, and what the zone lets in."""
    if zones is not None:
        return parse_zone(zones.texts[ZONE]) if ZONE in zones.texts else (None, frozenset())
    done = run(["firewall-cmd", f"--info-zone={ZONE}"], check=False)
    return parse_zone(done.stdout) if done.code == 0 else (None, frozenset())


def parse_zone(info: str) -> tuple[frozenset[str], frozenset[str]]:
    """The interfaces of a zone, and what it lets in, from the output of ``firewall-cmd --info-zone``."""
    lines = (line.partition(":") for line in info.splitlines())
    values = {key.strip(): value.split() for key, _colon, value in lines}
    opened = {f"{kind}={one}" for kind in (SERVICE, PROTOCOL, PORT) for one in values.get(f"{kind}s", ())}
    return frozenset(values.get("interfaces", ())), frozenset(opened)
