# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the rulesets of this host: nftables, iptables-nft and iptables-legacy, whatever program made them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from ..core.command import find, run
from ..core.errors import CommandFailed
from ..core.files import read_text
from . import iptables, nft_json
from .model import Chain, Rule, Table

_IPTABLES = {"ip": "iptables", "ip6": "ip6tables"}
_LEGACY_TABLES = {"ip": "/proc/net/ip_tables_names", "ip6": "/proc/net/ip6_tables_names"}


def read() -> list[Table]:
    """All tables with the elements of their sets; raises CommandFailed."""
    tables = [] if find("nft") is None else _parse(run(["nft", "-j", "list", "ruleset"]).stdout, terse=False)
    return [*map(_with_iptables_rules, tables), *read_legacy()]


def read_tables(names: Collection[tuple[str, str]]) -> list[Table]:
    """These tables of nft, by family and name, without the elements of their sets; and all of iptables-legacy.

    A table that no longer exists is left out. Raises CommandFailed.
    """
    tables: list[Table] = []
    for family, name in sorted(names):
        done = run(["nft", "-j", "-t", "list", "table", family, name], check=False)
        if done.code == 0:
            tables += _parse(done.stdout, terse=True)
    return [*map(_with_iptables_rules, tables), *read_legacy()]


def _parse(text: str, *, terse: bool) -> list[Table]:
    try:
        return nft_json.parse(text, terse=terse)
    except (ValueError, KeyError, TypeError) as error:
        raise CommandFailed(f"the rules that nft listed cannot be parsed: {error!r}") from error


def _with_iptables_rules(table: Table) -> Table:
    """A table of iptables-nft as iptables-nft-save lists it: nft does not list the arguments of extensions."""
    base = _IPTABLES.get(table.family, "")
    tool = f"{base}-nft"
    if not base or not any(chain.name.isupper() for chain in table.chains.values() if chain.hook):
        return table
    done = run([f"{tool}-save", "-t", table.name], check=False) if find(f"{tool}-save") else None
    saved = iptables.parse(done.stdout, table.family, tool) if done is not None and done.code == 0 else []
    if len(saved) != 1:
        return table
    (saved_table,) = saved
    # iptables also lists base chains that are not loaded.
    saved_table.chains = {
        name: replace(chain, hook=table.chains[name].hook, priority=table.chains[name].priority)
        for name, chain in saved_table.chains.items()
        if name in table.chains
    }
    return saved_table


def read_legacy() -> list[Table]:
    """The tables of iptables-legacy; loads no kernel module where there are none."""
    tables = []
    for family, names_file in _LEGACY_TABLES.items():
        tool = f"{_IPTABLES[family]}-legacy"
        for name in (read_text(names_file) or "").split():
            if find(f"{tool}-save"):
                done = run([f"{tool}-save", "-t", name], check=False)
                tables += iptables.parse(done.stdout, family, tool)
    return tables


def rule_texts(rules: Iterable[tuple[Chain, Rule]]) -> dict[tuple[str, str, str, int], str]:
    """Rules in the syntax of nft, by family, table, chain and handle; rules of iptables already have their text."""
    texts: dict[tuple[str, str, str, int], str] = {}
    for chain in {(chain.family, chain.table, chain.name) for chain, rule in rules if not rule.text}:
        for line in run(["nft", "-a", "list", "chain", *chain], check=False).stdout.splitlines():
            text, _separator, handle = line.strip().rpartition(" # handle ")
            if text and handle.isdecimal():
                texts[(*chain, int(handle))] = text
    return texts
