# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""All rules that filter on this host, whoever made them with whatever program."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from ..core.command import find, run
from ..core.errors import CommandFailed
from ..core.files import read_text
from . import iptables as iptables_save
from .evaluate import Chain, Rule, Table, parse

_FAMILIES = {"ip": "iptables", "ip6": "ip6tables"}
_LEGACY = {"ip": "/proc/net/ip_tables_names", "ip6": "/proc/net/ip6_tables_names"}


def read() -> list[Table]:
    """Every table with all that its sets hold; raises CommandFailed."""
    found = [] if find("nft") is None else _parsed(run(["nft", "-j", "list", "ruleset"]).stdout, terse=False)
    return [*map(_as_its_owner_lists_it, found), *read_legacy()]


def read_tables(names: Collection[tuple[str, str]]) -> list[Table]:
    """Only these tables of nft, by family and name, without what their sets hold; and all of iptables-legacy.

    One that went meanwhile is none. Raises CommandFailed.
    """
    found: list[Table] = []
    for family, name in sorted(names):
        done = run(["nft", "-j", "-t", "list", "table", family, name], check=False)
        if done.code == 0:
            found += _parsed(done.stdout, terse=True)
    return [*map(_as_its_owner_lists_it, found), *read_legacy()]


def _parsed(text: str, *, terse: bool) -> list[Table]:
    try:
        return parse(text, terse=terse)
    except (ValueError, KeyError, TypeError) as error:
        raise CommandFailed(f"nft listed rules in a way that is not known: {error!r}") from error


def _as_its_owner_lists_it(table: Table) -> Table:
    """nft does not tell what the rules of iptables-nft ask for."""
    base = _FAMILIES.get(table.family, "")
    tool = f"{base}-nft"
    if not base or not any(chain.name.isupper() for chain in table.chains.values() if chain.hook):
        return table
    done = run([f"{tool}-save", "-t", table.name], check=False) if find(f"{tool}-save") else None
    listed = iptables_save.parse(done.stdout, table.family, tool) if done is not None and done.code == 0 else []
    if len(listed) != 1:
        return table
    (made,) = listed
    # What iptables lists as a chain of its own may not be in the kernel.
    made.chains = {
        name: replace(chain, hook=table.chains[name].hook, priority=table.chains[name].priority)
        for name, chain in made.chains.items()
        if name in table.chains
    }
    return made


def read_legacy() -> list[Table]:
    """The tables of iptables-legacy; loads no module where there are none."""
    found = []
    for family, names in _LEGACY.items():
        tool = f"{_FAMILIES[family]}-legacy"
        for name in (read_text(names) or "").split():
            if find(f"{tool}-save"):
                done = run([f"{tool}-save", "-t", name], check=False)
                found += iptables_save.parse(done.stdout, family, tool)
    return found


def texts(rules: Iterable[tuple[Chain, Rule]]) -> dict[tuple[str, str, str, int], str]:
    """Rules in nft's own words, by family, table, chain and handle; those of iptables bring theirs."""
    found: dict[tuple[str, str, str, int], str] = {}
    for chain in {(one.family, one.table, one.name) for one, rule in rules if not rule.text}:
        for line in run(["nft", "-a", "list", "chain", *chain], check=False).stdout.splitlines():
            text, _mark, handle = line.strip().rpartition(" # handle ")
            if text and handle.isdecimal():
                found[(*chain, int(handle))] = text
    return found
