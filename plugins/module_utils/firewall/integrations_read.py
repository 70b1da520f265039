# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The firewalls of others on this host: which there are, and what of ours they hold."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..core.command import find, run
from ..core.files import read_text
from ..core.paths import Paths
from ..nft.chains import FAMILY, TABLE
from ..ruleset import read as ruleset_read
from ..ruleset.evaluate import Ruleset, Table

# What every rule and zone of ours in the firewalls of others is called.
COMMENT = "virtnet.linux"
ZONE = "virtnet"
DOCKER_USER = "DOCKER-USER"

_FAMILIES = ("ip", "ip6", "inet", "bridge")

# Of ufw's user.rules: "### tuple ### ACTION PROTOCOL PORT ... DIRECTION_INTERFACE comment=HEX" (ufw's src/parser.py).
_TUPLE = re.compile(r"^### tuple ### (\S+) (\S+) (\S+) \S+ \S+ \S+ .*?((?:in|out)_\S+)(?: comment=([0-9a-f]+))?$", re.M)


@dataclass(frozen=True)
class Firewalls:
    """``docker``: by tool, whether DOCKER-USER has our rule. ``ufw``: rules of ours, and whether it is enabled.

    ``firewalld``: whether it runs; ``zone``: its files of ours by path; ``bound``: bridges in our zone now, None where
    the running firewalld has no such zone. ``tables``: those of others that filter, without what their sets hold.
    """

    docker: Mapping[str, bool] = field(default_factory=dict)
    ufw: frozenset[tuple[str, str, str]] = frozenset()
    ufw_enabled: bool = False
    firewalld: bool = False
    zone: Mapping[str, str] = field(default_factory=dict)
    bound: frozenset[str] | None = None
    tables: Ruleset = ()


def zone_files(paths: Paths) -> tuple[str, str, str]:
    """The files of our zone and of the policies to and from it (firewalld.zone(5), firewalld.policy(5))."""
    folder = os.path.join(paths.root, "etc/firewalld")
    return (
        os.path.join(folder, "zones", f"{ZONE}.xml"),
        os.path.join(folder, "policies", f"{ZONE}-in.xml"),
        os.path.join(folder, "policies", f"{ZONE}-out.xml"),
    )


def is_ours(table: Table) -> bool:
    """Whether a table is ours."""
    return (table.family, table.name) == (FAMILY, TABLE)


def owner_of(table: Table) -> str:
    """Who made a table, of those who have a hook for others, or ""."""
    names = table.chains
    # firewalld names its table, or with its other backend the chains to which it sends all (core/ipXtables.py).
    if table.name == "firewalld" or (table.tool and "FORWARD_direct" in names):
        return "firewalld"
    if table.tool and any(name.startswith(("ufw-", "ufw6-")) for name in names):
        return "ufw"
    return "docker" if table.tool and DOCKER_USER in names else ""


def read(paths: Paths) -> Firewalls:
    """The present state; nothing is asked of a firewall that is not there."""
    if find("nft") is None:
        return Firewalls()
    tables = _read_tables()
    firewalld = any(owner_of(table) == "firewalld" for table in tables)
    texts = {path: read_text(path) for path in zone_files(paths)}
    return Firewalls(
        docker={table.tool: _has_ours(table) for table in tables if DOCKER_USER in table.chains and table.tool},
        ufw=frozenset(parse_ufw(read_text(os.path.join(paths.root, "etc/ufw/user.rules")) or "")),
        ufw_enabled=_is_ufw_enabled(paths),
        firewalld=firewalld,
        zone={path: text for path, text in texts.items() if text is not None},
        bound=_read_bound() if firewalld and find("firewall-cmd") else None,
        tables=tables,
    )


def _read_tables() -> list[Table]:
    """Tables of others with a chain that filters; most hosts have none, and then no rule is read."""
    chains = [item["chain"] for item in json.loads(run(["nft", "-j", "list", "chains"]).stdout)["nftables"][1:]]
    names = {
        (chain["family"], chain["table"])
        for chain in chains
        if chain.get("type") == "filter" and chain["family"] in _FAMILIES
    }
    return ruleset_read.read_tables(names - {(FAMILY, TABLE)})


def _has_ours(table: Table) -> bool:
    return any(COMMENT in rule.text for rule in table.chains[DOCKER_USER].rules)


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
