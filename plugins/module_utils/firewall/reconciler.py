# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules: forwarding and NAT in the table ``inet virtnet``, and the forwarding of the host that they need."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Union

from ..core.command import find, run
from ..core.errors import CommandFailed
from ..core.files import File, put, read_note
from ..core.paths import Paths
from ..core.reconcile import CHANGE, CREATE, DELETE, Change, Plan, describe, difference
from ..kernel import conntrack
from ..nft import elements as nft_rules
from ..nft.chains import FAMILY, SETS, TABLE, Elements
from ..nft.elements import Rules
from ..nft.listing import Table, parse
from ..nft.port_forwards import Forward
from ..nft.spec import RulesSpec, refuse_conflicts
from . import integrations as firewalls
from . import integrations_read as firewalls_read
from . import ip_forward as forwarding
from .integrations import FirewallChange
from .integrations_read import Firewalls
from .ip_forward import Forwarding, ForwardingChange, Needs


@dataclass(frozen=True)
class Ended:
    """Connections by forwards that are gone, and all of subnets that are gone."""

    forwards: Sequence[Forward] = ()
    subnets: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.forwards or self.subnets)

    def meets(self, connection: conntrack.Connection) -> bool:
        """Whether a connection is one of these."""
        if any(
            connection.protocol == forward.protocol
            and forward.first <= connection.port <= forward.last
            and str(connection.reply_source) == forward.to
            for forward in self.forwards
        ):
            return True
        both = (connection.source, connection.reply_source)
        return any(address in subnet for subnet in map(ipaddress.ip_network, self.subnets) for address in both)


@dataclass(frozen=True)
class RulesChange(Change):
    """A change of the table; the scripts of one plan run as one transaction.

    ``ended``: connections that nothing allows any more.
    """

    script: str = ""
    ended: Ended = field(default_factory=Ended)


@dataclass(frozen=True)
class State:
    """``table`` None: there is none. ``seen``: by version, the digest of the rules as once loaded."""

    table: Table | None = None
    seen: Mapping[str, str] = field(default_factory=dict)
    forwarding: Forwarding = field(default_factory=Forwarding)
    firewalls: Firewalls = field(default_factory=Firewalls)
    integrated: bool = True


NatChange = Union[RulesChange, ForwardingChange, FirewallChange]


class NatRules:
    """The part that manages the table."""

    def __init__(
        self, wanted: Sequence[RulesSpec], purge: bool, paths: Paths, *, integrate: bool | None = None
    ) -> None:
        """``integrate``: whether other firewalls are asked to let networks pass; None: as this host was told last."""
        self.wanted = wanted
        self.integrate = integrate
        self.purge = purge
        self.paths = paths
        refuse_conflicts([spec for spec in wanted if spec.state == "present"])

    @property
    def _seen_file(self) -> str:
        return os.path.join(self.paths.runtime, "rules.json")

    def read(self) -> State:
        """The table as the kernel lists it, and the host's forwarding."""
        table = None if find("nft") is None else read_table()
        try:
            seen = dict(read_note(self._seen_file) or {})
        except (ValueError, TypeError):
            seen = {}
        ipv6 = any(spec.rules.ipv6 for spec in self.wanted) or (table and table.elements.get("vn_subnets6"))
        read_forwarding = forwarding.read_with_advised if ipv6 else forwarding.read
        return State(
            table,
            seen,
            read_forwarding(self.paths),
            firewalls_read.read(self.paths),
            firewalls.read_switch(self.paths),
        )

    def plan(self, current: State) -> Plan[NatChange]:
        """One script for all networks, split over their changes; the chains are put right where they differ."""
        elements = {} if current.table is None else current.table.elements
        after = self._after(elements)
        old, new = nft_rules.by_bridge(elements), nft_rules.by_bridge(after)
        changes = [
            change
            for bridge in sorted({*old, *new})
            for change in _difference(bridge, old.get(bridge, {}), new.get(bridge, {}))
        ]
        rules = _with_scripts(changes, current, after)
        networks = [nft_rules.rules_of(mine, bridge) for bridge, mine in new.items()]
        needs = Needs(
            ipv4=any(network.forwarded for network in networks),
            ipv6=any(network.forwarded and network.ipv6 for network in networks),
        )
        switch = forwarding.plan(needs, current.forwarding, self.paths)
        # Forwarding goes on before the rules serve anybody, and off after they are gone.
        ordered: list[NatChange] = [*switch, *rules] if needs.ipv4 else [*rules, *switch]
        asked = current.integrated if self.integrate is None else self.integrate
        bridges = [key[0] for key in after["vn_bridges"]]
        ordered += firewalls.plan_switch(asked, self.paths, current.integrated)
        ordered += firewalls.plan(bridges if asked else (), current.firewalls, self.paths)
        notes = firewalls.warnings(current.firewalls, networks, asked=asked)
        return Plan(ordered, [spec.as_options() for spec in self.wanted if spec.state == "present"], notes)

    def _after(self, elements: Elements) -> dict[str, dict[tuple[str, ...], str]]:
        present = [spec.rules for spec in self.wanted if spec.state == "present"]
        names = {spec.rules.name for spec in self.wanted}
        claimed = {rules.bridge for rules in present}
        parts: list[Elements] = [nft_rules.elements_of(rules) for rules in present]
        if not self.purge:
            for bridge, mine in nft_rules.by_bridge(elements).items():
                name = mine.get("vn_bridges", {}).get((bridge,))
                if name is not None and name not in names and bridge not in claimed:
                    parts.append(mine)
        return nft_rules.merged(parts)

    def apply(self, plan: Plan[NatChange]) -> None:
        """Load the script; a script that nft refuses has changed nothing."""
        for change in plan.changes:
            if isinstance(change, (ForwardingChange, FirewallChange)):
                change.make()
            elif change.script:
                run(["nft", "-f", "-"], stdin=change.script)
                table = read_table()
                digests = {nft_rules.version(table.elements): table.digest} if table else {}
                put([File(self._seen_file, json.dumps(digests) if table else None)])
        ended = [change.ended for change in plan.changes if isinstance(change, RulesChange) and change.ended]
        if ended:
            conntrack.delete_entries(lambda connection: any(one.meets(connection) for one in ended))


def _with_scripts(changes: Sequence[RulesChange], current: State, after: Elements) -> Sequence[RulesChange]:
    """The changes with the script that makes them all; what differs in the chains is put right along with them."""
    if not after["vn_bridges"]:
        if current.table is None:
            return []
        return _one_transaction(changes or [RulesChange(DELETE, f"table {FAMILY} {TABLE}")], nft_rules.delete())
    if current.table is None:
        return _one_transaction(changes, nft_rules.render(after))
    broken = _broken_chains(current.table, current.seen)
    if broken:
        repair = RulesChange(
            CHANGE,
            f"table {FAMILY} {TABLE}",
            "".join(f"{line}\n" for line in broken),
            "as this version of virtnet.linux has it\n",
            f"put right ({'; '.join(broken)})",
        )
        return _one_transaction([*changes, repair], nft_rules.render(after))
    return _one_transaction(changes, nft_rules.amend(current.table.elements, after)) if changes else []


def _one_transaction(changes: Sequence[RulesChange], script: str) -> Sequence[RulesChange]:
    first, *others = changes
    return [replace(first, script=script), *others]


def read_table() -> Table | None:
    """Our table, or None; raises CommandFailed where nft is older than 1.0 or refuses."""
    done = run(["nft", "-j", "list", "table", FAMILY, TABLE], check=False)
    if done.code != 0:
        if "No such file or directory" in done.stderr:
            return None
        raise CommandFailed(f"nft cannot list the table {FAMILY} {TABLE}: {done.stderr.strip()}")
    try:
        return parse(done.stdout)
    except (ValueError, KeyError, TypeError) as error:
        raise CommandFailed(f"nft listed the table {FAMILY} {TABLE} in a way that is not known: {error!r}") from error


def _broken_chains(table: Table, seen: Mapping[str, str]) -> list[str]:
    wanted = nft_rules.static_comments(table.elements)
    found = [
        f"chain {chain}: {'other rules than ours' if chain in table.comments else 'missing'}"
        for chain, comments in wanted.items()
        if list(table.comments.get(chain, ["?"])) != list(comments)
    ]
    found += [f"chain {chain}: not ours" for chain in table.comments if chain not in wanted]
    found += [f"set {name}: missing" for name in SETS if name not in table.elements]
    noted = seen.get(nft_rules.version(table.elements))
    if not found and noted != table.digest:
        found.append(
            "of another version, or of a run that was cut short" if noted is None else "a rule was altered by hand"
        )
    return found


def _difference(bridge: str, old: Elements, new: Elements) -> list[RulesChange]:
    if old == new:
        return []
    was, becomes = nft_rules.rules_of(old, bridge), nft_rules.rules_of(new, bridge)
    name = f"rules of {becomes.name or was.name or bridge}"
    if not old:
        return [RulesChange(CREATE, name, "", _text(becomes))]
    if not new:
        return [RulesChange(DELETE, name, _text(was), "", ended=Ended(was.forwards, was.subnets))]
    detail = difference(_values(was), _values(becomes)) or "elements put right"
    gone = [forward for forward in was.forwards if forward not in becomes.forwards]
    # What was allowed before passes as long as the kernel remembers it.
    closed = becomes.mode == "isolated" and (was.mode != "isolated" or was.dns > becomes.dns)
    cut = was.subnets if closed else ()
    return [RulesChange(CHANGE, name, _text(was), _text(becomes), detail, ended=Ended(gone, cut))]


def _values(rules: Rules) -> Mapping[str, Any]:
    return {
        "bridge": rules.bridge,
        "mode": rules.mode,
        "uplink": rules.uplink or "any",
        "subnets": list(rules.subnets),
        **({"nat": rules.nat.as_options()} if rules.mode == "nat" else {}),
        **({"port_forwards": [str(forward) for forward in rules.forwards]} if rules.forwards else {}),
        "isolate_guests": rules.isolate_guests,
        **({"connection_rate": rules.connection_rate or "no limit"} if rules.mode != "open" else {}),
        **({"dns": rules.dns} if rules.mode == "isolated" else {}),
    }


def _text(rules: Rules) -> str:
    return describe(_values(rules))
