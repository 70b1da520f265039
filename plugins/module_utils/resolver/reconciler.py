# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's resolver: it asks the networks' name servers for the networks' names, by way of whoever owns resolv.conf.

What each network wants is noted under /run, as it is kept by the owners themselves: what a provider holds is a function
of all networks, also of those that a run does not name. Everything else that the resolver knows stays, in its order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..core.errors import InvalidOption, MissingTool, VirtnetError
from ..core.files import File, put, read_note, read_text
from ..core.identity import MARK
from ..core.options import Options
from ..core.paths import Paths
from ..core.reconcile import CHANGE, CREATE, DELETE, Change, Plan, describe
from .networkmanager import NetworkManager
from .override import NOBODY, check_choice, choice_file, read_choice
from .owner import read_surroundings
from .plain_file import Plain
from .provider import (
    AUTO,
    DEBIAN,
    NETWORK_MANAGER,
    OPENRESOLV,
    PLAIN,
    RESOLVED,
    Entry,
    Held,
    Provider,
    Surroundings,
    first_servers,
    in_turn,
)
from .resolvconf import Resolvconf
from .resolved import Resolved
from .spec import EntrySpec

PROVIDERS: Mapping[str, Provider] = {
    provider.name: provider
    for provider in (Resolvconf(OPENRESOLV), Resolvconf(DEBIAN), Resolved(), NetworkManager(), Plain())
}


@dataclass(frozen=True)
class State:
    """The resolver as it is: ``held`` is what of ours each provider holds, ``noted`` what each interface wants.

    ``choice``: what this host was told last of who owns resolv.conf.
    """

    around: Surroundings = field(default_factory=Surroundings)
    held: Mapping[str, Held] = field(default_factory=dict)
    noted: Mapping[str, EntrySpec] = field(default_factory=dict)
    choice: str = AUTO


@dataclass(frozen=True)
class EntryChange(Change):
    """A change at a provider (``thing``: its new text, or None), or, without a provider, of the notes."""

    provider: str = ""
    thing: str = ""
    text: str | None = None
    noted: EntrySpec | None = None


@dataclass(frozen=True)
class ChoiceChange(EntryChange):
    """What the host is told of who owns resolv.conf."""

    file: File | None = None


class Entries:
    """The part that manages entries of the host's resolver.

    ``choice``: a provider for all entries that name none, or ``none`` for no entries; None: as this host was told last.
    """

    def __init__(self, wanted: Sequence[EntrySpec], purge: bool, paths: Paths, choice: str | None = None) -> None:
        self.wanted = list(wanted)
        self.choice = check_choice(choice, PROVIDERS)
        self.purge = purge
        self.paths = paths
        self.notes = os.path.join(paths.runtime, "resolver-entries")
        _refuse_duplicates(self.wanted)

    def read(self) -> State:
        """Who manages the resolver, which servers it asks, and what of ours all providers hold."""
        noted = self._read_notes()
        ours = sorted({*noted, *(spec.interface for spec in self.wanted), *_bridges_of_ours()})
        return State(
            read_surroundings(self.paths.root),
            {name: provider.read(self.paths.root, ours) for name, provider in PROVIDERS.items()},
            noted,
            read_choice(self.paths),
        )

    def _read_notes(self) -> dict[str, EntrySpec]:
        try:
            stored = read_note(self.notes) or []
            specs = [EntrySpec.from_options(Options(one)) for one in stored]
        except (ValueError, TypeError, VirtnetError):
            # Of another version, or cut off: what networks want comes with the next run of all of them.
            return {}
        return {spec.interface: spec for spec in specs}

    def plan(self, current: State) -> Plan[EntryChange]:
        """What leaves another owner of the file first; then the notes; then what the owner holds."""
        around = current.around
        choice = current.choice if self.choice is None else self.choice
        kept = {} if self.purge else current.noted
        noted = {name: spec for name, spec in kept.items() if choice != NOBODY or spec.provider != AUTO}
        notes: dict[str, list[str]] = {}
        for spec in self.wanted:
            noted.pop(spec.interface, None)
            if spec.state == "present" and not (choice == NOBODY and spec.provider == AUTO):
                if spec.asked:
                    _check_provider(spec, choice, around)
                reason = _needless(spec, around) if spec.asked else None
                if reason is None:
                    noted[spec.interface] = spec
                elif reason:
                    notes.setdefault(reason, []).append(spec.interface)
        entries = [noted[name].as_entry() for name in sorted(noted)]
        split = around.told or around.owner == RESOLVED
        asked = [one for one in entries if one.asked] if split else in_turn(entries)
        changes: list[EntryChange] = []
        for name, provider in PROVIDERS.items():
            target = provider.target(asked, around) if name == around.owner else {}
            changes += _compare(name, current.held.get(name, {}), target)
        changes.sort(key=lambda change: (change.provider == around.owner, change.action != DELETE))
        changes += _compare_notes(current.noted, noted)
        changes += self._compare_choice(current.choice, choice)
        asking = [spec for spec in self.wanted if spec.asked and spec.interface in noted]
        holds = [{**spec.as_options(), "provider": around.owner} for spec in asking]
        said = [f"{reason}, so the host does not resolve the names of guests on {', '.join(names)}"
                for reason, names in notes.items()]  # fmt: skip
        return Plan(changes, holds, [*said, *_order_notes(entries, current)])

    def _compare_choice(self, before: str, after: str) -> Iterable[EntryChange]:
        if before != after:
            words = (f"{before}\n", f"{after}\n", after)
            yield ChoiceChange(CHANGE, "owner of the host's resolver", *words, file=choice_file(after, self.paths))

    def apply(self, plan: Plan[EntryChange]) -> None:
        """Hand each owner what it holds for us; notes first, so that a run that is cut off is caught up with."""
        put(change.file for change in plan.changes if isinstance(change, ChoiceChange) and change.file)
        changes = [change for change in plan.changes if not isinstance(change, ChoiceChange)]
        noted = self._read_notes()
        for change in changes:
            if not change.provider and change.noted is not None:
                noted[change.noted.interface] = change.noted
            elif not change.provider:
                noted.pop(change.thing, None)
        if any(not change.provider for change in changes):
            content = json.dumps([noted[name].as_options() for name in sorted(noted)], indent=1)
            put([File(self.notes, content + "\n" if noted else None)])
        for name in dict.fromkeys(change.provider for change in changes if change.provider):
            texts = {change.thing: change.text for change in changes if change.provider == name}
            PROVIDERS[name].apply(self.paths.root, texts)


def _bridges_of_ours() -> list[str]:
    """Links with our mark: their settings at systemd-resolved are ours also where the notes were lost."""
    folder = "/sys/class/net"
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return [name for name in names if (read_text(f"{folder}/{name}/ifalias") or "").strip() == MARK]


def _refuse_duplicates(wanted: Sequence[EntrySpec]) -> None:
    seen: dict[str, EntrySpec] = {}
    for spec in wanted:
        if spec.interface in seen:
            raise InvalidOption(
                f"{spec.path}.interface" if spec.path else "interface",
                f"{spec.interface!r} is named twice, also by {seen[spec.interface].path}; name each interface once",
            )
        seen[spec.interface] = spec


def _check_provider(spec: EntrySpec, choice: str, around: Surroundings) -> None:
    """Refuse a provider that does not own resolv.conf: what it would be told, no program would ask for."""
    asked = choice if spec.provider == AUTO else spec.provider
    if asked in (AUTO, around.owner):
        return
    if asked in (OPENRESOLV, DEBIAN) and asked not in around.installed:
        raise MissingTool(asked, asked)
    inside = f"{spec.path}.provider" if spec.path else "provider"
    raise InvalidOption(
        "resolver" if spec.provider == AUTO else inside,
        f"{asked!r} does not own /etc/resolv.conf, which is {around.words}; hand that file over to {asked} first, "
        "or leave it to 'auto' (in the roles: virtnet_resolver)",
        f"resolver entry of {spec.interface!r}",
    )


def _needless(spec: EntrySpec, around: Surroundings) -> str | None:
    """None where an entry is needed; else why there is none, empty where all is well without."""
    if around.hindrance:
        return f"/etc/resolv.conf is {around.words}, and {around.hindrance}"
    if not around.owner:
        return f"/etc/resolv.conf is {around.words}"
    beside = not around.asks_loopback or around.owner == RESOLVED or (around.owner == NETWORK_MANAGER and around.told)
    if beside:
        return None
    if spec.loopback_serves:
        return ""
    if around.told:
        return None
    # A server of ours before it would be asked by it, and ask it, in a circle; behind it, it would never be asked.
    return f"the host asks a resolver of its own at {around.servers[0]}, which nobody tells where these names are"


def _compare(provider: str, held: Held, target: Held) -> list[EntryChange]:
    changes = []
    for thing in sorted({*held, *target}):
        before, after = held.get(thing), target.get(thing)
        if before == after:
            continue
        action = DELETE if after is None else CREATE if before is None else CHANGE
        name = f"{provider} {thing}"
        changes.append(EntryChange(action, name, before or "", after or "", "", provider, thing, after))
    return changes


def _compare_notes(before: Mapping[str, EntrySpec], after: Mapping[str, EntrySpec]) -> Iterable[EntryChange]:
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old != new:
            before_text, after_text = (describe(one.as_options()) if one else "" for one in (old, new))
            action = DELETE if new is None else CREATE if old is None else CHANGE
            yield EntryChange(action, f"resolver entry {name}", before_text, after_text, "", "", name, None, new)


def _order_notes(entries: Sequence[Entry], current: State) -> list[str]:
    """A libc takes the first server's word: say where that is another one than ours."""
    around = current.around
    if around.told or around.owner in (RESOLVED, "") or not any(one.asked for one in entries):
        return []
    notes = []
    first = first_servers(entries)
    if first and not current.held.get(around.owner):
        return []
    if first and around.servers and around.servers[0] not in first and around.owner != PLAIN:
        notes.append(
            f"the host's resolver asks {around.servers[0]} before {first[0]}, so it resolves the names of guests only "
            "where that server knows them or does not answer"
        )
    if first and "rotate" in around.options:
        notes.append(
            "/etc/resolv.conf has the option rotate, so programs ask the networks' server only every other time"
        )
    refusing = (one for one in entries if one.asked and not one.forwards)
    closed = [one.interface for one in refusing if one.addresses[0] not in first]
    if closed:
        reason = (
            "asks one server after another, as does the dnsmasq of its networks, and that of an isolated network "
            "refuses all names but its own"
        )
        why = reason if any(one.forwards for one in entries) else "asks no more than three servers"
        notes.append(
            f"the host's resolver {why}, so it does not resolve the names of guests on {', '.join(closed)}; a local "
            "resolver that is told about domains would help"
        )
    return notes
