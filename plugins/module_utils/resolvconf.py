# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's resolver: entries that openresolv or Debian's resolvconf keeps under /run.

An entry is ``INTERFACE.virtnet``: the name servers of one network and its search domain. Everything else that the
resolver knows stays as it is, in its order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import InvalidOption, MissingTool
from .options import Options
from .part import CHANGE, CREATE, DELETE, Change, Plan, describe, difference
from .paths import Paths
from .resolvconf_read import DEBIAN, KEY_ENDING, LAST_METRIC, OPENRESOLV, Entry, State, read_state
from .run import run

AUTO = "auto"


@dataclass(frozen=True)
class EntrySpec:
    """An entry as it shall be."""

    interface: str
    addresses: Sequence[str] = ()
    domain: str = ""
    provider: str = AUTO
    state: str = "present"
    loopback_serves: bool = False
    path: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """The name under which resolvconf keeps the entry."""
        return f"{self.interface}{KEY_ENDING}"

    @staticmethod
    def from_options(options: Options) -> EntrySpec:
        """Validate the options of one entry; raises InvalidOption."""
        interface = options.interface("interface")
        options.owner = f"resolver entry of {interface!r}"
        if interface.startswith("."):
            options.error("interface", f"{interface!r} starts with a dot, which resolvconf takes for no name")
        state = options.choice("state", ("present", "absent"), "present")
        addresses = options.addresses("addresses")
        for i, address in enumerate(addresses):
            if address.is_unspecified or address.is_multicast:
                options.error(f"addresses[{i}]", f"{str(address)!r} is not the address of a name server")
        if state == "present" and not addresses:
            options.error("addresses", "is required; name the address at which the network's name server answers")
        spec = EntrySpec(
            interface=interface,
            addresses=tuple(str(address) for address in addresses),
            domain=options.domain("domain", ""),
            provider=options.choice("provider", (AUTO, OPENRESOLV, DEBIAN), AUTO),
            state=state,
            loopback_serves=options.boolean("loopback_serves", False),
            path=options.path,
        )
        options.close()
        return spec

    def as_options(self) -> dict[str, Any]:
        """The way back to the module's options."""
        if self.state == "absent":
            return {"interface": self.interface, "state": "absent"}
        return {
            "interface": self.interface,
            "addresses": list(self.addresses),
            "domain": self.domain or None,
            "provider": self.provider,
            "state": self.state,
            "loopback_serves": self.loopback_serves,
        }


@dataclass(frozen=True)
class EntryChange(Change):
    """A change of one entry; ``entry`` None removes it."""

    key: str = ""
    entry: Entry | None = None
    provider: str = ""


class Entries:
    """The part that manages entries of the host's resolver."""

    def __init__(self, wanted: Sequence[EntrySpec], purge: bool, paths: Paths) -> None:
        self.wanted = list(wanted)
        self.purge = purge
        self.paths = paths
        _refuse_duplicates(self.wanted)

    def read(self) -> State:
        """Who manages the resolver, which servers it asks, and our entries."""
        return read_state(self.paths.root)

    def plan(self, current: State) -> Plan[EntryChange]:
        """Removals first, so that an address that moves between entries is never named twice."""
        goals: dict[str, Entry | None] = {}
        holds = []
        unmanaged = []
        untold = []
        for spec in self.wanted:
            if spec.state == "absent" or (spec.loopback_serves and current.asks_loopback):
                goals[spec.key] = None
            elif spec.provider == AUTO and current.asks_loopback and not current.local_resolver:
                # It would take the entry for one more server of all names, and ask it, and be asked by it, in a circle.
                goals[spec.key] = None
                untold.append(spec.interface)
            elif spec.provider == AUTO and not current.managed:
                unmanaged.append(spec.interface)
            else:
                _check_provider(spec, current)
                goals[spec.key] = _goal(spec, current)
                holds.append({**spec.as_options(), "provider": current.provider})
        if self.purge:
            named = {spec.key for spec in self.wanted}
            goals.update({key: None for key in current.entries if key not in named})
        changes = [change for key, goal in goals.items() for change in _compare(key, goal, current)]
        changes.sort(key=lambda change: change.action != DELETE)
        return Plan(
            changes,
            holds,
            [*_unmanaged_note(unmanaged, current), *_untold_note(untold, current), *_order_notes(goals, current)],
        )

    def apply(self, changes: Sequence[EntryChange]) -> None:
        """Hand each entry to resolvconf, which writes resolv.conf and tells local resolvers."""
        gone = [change.key for change in changes if change.entry is None]
        if changes and changes[0].provider == OPENRESOLV:
            # openresolv removes many at once, and rewrites resolv.conf once for them all.
            _remove_from_openresolv(gone)
        else:
            for key in gone:
                run(["resolvconf", "-d", key])
        for change in changes:
            if change.entry is not None:
                flags = _flags(change.entry) if change.provider == OPENRESOLV else []
                run(["resolvconf", *flags, "-a", change.key], stdin=change.entry.text())


def _refuse_duplicates(wanted: Sequence[EntrySpec]) -> None:
    seen: dict[str, EntrySpec] = {}
    for spec in wanted:
        if spec.interface in seen:
            raise InvalidOption(
                f"{spec.path}.interface" if spec.path else "interface",
                f"{spec.interface!r} is named twice, also by {seen[spec.interface].path}; name each interface once",
            )
        seen[spec.interface] = spec


def _check_provider(spec: EntrySpec, current: State) -> None:
    """Refuse a provider that is not there, or whose first entry would push out the servers of somebody else's file."""
    if spec.provider == AUTO:
        return
    if spec.provider != current.provider:
        raise MissingTool(spec.provider, spec.provider)
    if not current.managed and (current.servers or spec.provider == DEBIAN):
        raise InvalidOption(
            f"{spec.path}.provider" if spec.path else "provider",
            f"{spec.provider!r} is installed, but /etc/resolv.conf is {current.owner}; hand that file over to "
            f"{spec.provider} first, or leave the provider to 'auto'",
            f"resolver entry of {spec.interface!r}",
        )


def _goal(spec: EntrySpec, current: State) -> Entry:
    # "search" and not "domain": the latter would also become the host's own domain where no other entry names one.
    private = current.provider == OPENRESOLV and current.local_resolver
    public = current.provider == OPENRESOLV and not private
    return Entry(
        addresses=tuple(spec.addresses),
        search=(spec.domain,) if spec.domain else (),
        private=private,
        # Entries with a metric come after those without: the order of the other servers stays.
        metric=LAST_METRIC if public else "",
    )


def _compare(key: str, goal: Entry | None, current: State) -> list[EntryChange]:
    have = current.entries.get(key)
    if have == goal:
        return []
    before = have.values() if have else {}
    after = goal.values() if goal else {}
    action = DELETE if goal is None else CREATE if have is None else CHANGE
    return [
        EntryChange(
            action=action,
            name=f"resolver entry {key}",
            before=describe(before),
            after=describe(after),
            detail=difference(before, after) if action == CHANGE else "",
            key=key,
            entry=goal,
            provider=current.provider,
        )
    ]


def _unmanaged_note(interfaces: Sequence[str], current: State) -> list[str]:
    if not interfaces:
        return []
    return [
        "the host's resolver is not managed by openresolv or Debian's resolvconf "
        f"(/etc/resolv.conf is {current.owner}), so the host does not resolve the names of guests on "
        + ", ".join(interfaces)
    ]


def _untold_note(interfaces: Sequence[str], current: State) -> list[str]:
    # The system's dnsmasq is told by a fragment; whether it is that which answers there, is not for this part to know.
    if not interfaces or not current.provider:
        return []
    return [
        f"the host asks a resolver of its own at {current.servers[0]}: the host resolves the names of guests on "
        f"{', '.join(interfaces)} only if that is the system's dnsmasq, or is told to ask the network's server"
    ]


def _order_notes(goals: Mapping[str, Entry | None], current: State) -> list[str]:
    """A libc takes the first server's word: say where that is another one than ours."""
    public = {key: goal for key, goal in goals.items() if goal is not None and not goal.private}
    ours = {address for goal in public.values() for address in goal.addresses}
    if not public or not current.servers or current.servers[0] in ours:
        return []
    names = ", ".join(key[: -len(KEY_ENDING)] for key in public)
    return [
        f"the host's resolver asks {current.servers[0]} first, so it resolves the names of guests on {names} only "
        "where that server knows them or does not answer"
    ]


def _flags(entry: Entry) -> list[str]:
    return ["-p"] if entry.private else ["-m", entry.metric.lstrip("0")]


def _remove_from_openresolv(keys: Sequence[str]) -> None:
    if keys:
        # -f: an entry that went away in the meantime is no error.
        run(["resolvconf", "-f", "-d", *keys])
