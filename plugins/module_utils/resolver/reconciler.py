# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reconciler of the host's resolver: the host queries the networks' name servers for the networks' names.

It adds entries at the provider that owns resolv.conf. The texts of a provider follow from the entries of all networks,
also of those that a run does not name. So all entries are stored under /run, where the providers store theirs.
Everything else that the resolver knows stays, in its order.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..core.duplicates import refuse_duplicates
from ..core.errors import InvalidOption, MissingTool, VirtnetError
from ..core.files import File, list_folder, read_text, write_files
from ..core.identity import MARK
from ..core.notes import read_note
from ..core.options import Options
from ..core.paths import Paths
from ..core.reconcile import CHANGE, CREATE, DELETE, Change, Plan, describe, text_change
from ..core.untrusted import UnusableFile
from .local_server import DNSMASQ
from .networkmanager import NetworkManager
from .override import DISABLED, check_choice, choice_file, read_choice
from .owner import read_resolver_state
from .plain_file import Plain
from .provider import (
    AUTO,
    DEBIAN,
    NETWORK_MANAGER,
    OPENRESOLV,
    PLAIN,
    RESOLVED,
    Provider,
    ProviderTexts,
    ResolverState,
    first_servers,
    is_loopback,
    sequential_servers,
)
from .resolvconf import Resolvconf
from .resolved import Resolved
from .spec import EntrySpec

PROVIDERS: Mapping[str, Provider] = {
    provider.name: provider
    for provider in (Resolvconf(OPENRESOLV), Resolvconf(DEBIAN), Resolved(), NetworkManager(), Plain())
}


# What stands around addresses in the texts of the providers.
_SEPARATORS = re.compile(r"[\s=;/]+")


@dataclass(frozen=True)
class EntriesState:
    """The current state.

    ``texts``: by provider, what it stores for us. ``entries``: the stored entries by interface.
    ``choice``: the owner of resolv.conf that the administrator named last.
    """

    resolver: ResolverState = field(default_factory=ResolverState)
    texts: Mapping[str, ProviderTexts] = field(default_factory=dict)
    entries: Mapping[str, EntrySpec] = field(default_factory=dict)
    choice: str = AUTO


@dataclass(frozen=True)
class ResolverPlan(Plan[Change]):
    """The plan of the resolver.

    ``choice``: the new choice of the administrator. ``entries``: all entries to store. None: both stay as they are.
    ``texts``: by provider, in the order in which they are changed, the texts to set (None: to delete).
    """

    choice: str | None = None
    entries: Mapping[str, EntrySpec] | None = None
    texts: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class TextChange(Change):
    """A change of one text at a provider."""

    provider: str = ""
    key: str = ""
    text: str | None = None


def _entries_path(paths: Paths) -> str:
    return os.path.join(paths.runtime, "resolver-entries")


def read_entries(paths: Paths) -> dict[str, EntrySpec]:
    """The stored entries by interface."""
    try:
        stored = read_note(_entries_path(paths)) or []
        specs = [EntrySpec.from_options(Options(options)) for options in stored]
    except (ValueError, TypeError, VirtnetError):
        # From another version, or incomplete: the next run of all networks writes them again.
        return {}
    return {spec.interface: spec for spec in specs}


def read_own_servers(root: str) -> set[str]:
    """The name servers that the providers store for us, also as an interrupted run left them, among other words."""
    bridges = _bridges_of_ours()
    servers: set[str] = set()
    for provider in PROVIDERS.values():
        read = provider.read_servers if isinstance(provider, Resolved) else provider.read
        # Without a file that can be read there is nothing of ours in it.
        with contextlib.suppress(UnusableFile):
            servers.update(word for text in read(root, bridges).values() for word in _SEPARATORS.split(text))
    return servers


class ResolverEntries:
    """The reconciler of the entries.

    ``choice``: a provider for all entries that name none, or ``none`` for no entries; None: the choice of the last run.
    """

    def __init__(self, specs: Sequence[EntrySpec], purge: bool, paths: Paths, choice: str | None = None) -> None:
        self.specs = list(specs)
        self.choice = check_choice(choice)
        self.purge = purge
        self.paths = paths
        refuse_duplicates(self.specs, lambda spec: spec.interface, option="interface", noun="interface")

    def read(self) -> EntriesState:
        """Read the state of the resolver, and what all providers store for us."""
        entries = read_entries(self.paths)
        interfaces = sorted({*entries, *(spec.interface for spec in self.specs), *_bridges_of_ours()})
        try:
            resolver = read_resolver_state(self.paths.root)
        except UnusableFile as error:
            raise InvalidOption("resolver", str(error), self._owner()) from error
        return EntriesState(
            resolver=resolver,
            texts={name: provider.read(self.paths.root, interfaces) for name, provider in PROVIDERS.items()},
            entries=entries,
            choice=read_choice(self.paths),
        )

    def plan(self, current: EntriesState) -> ResolverPlan:
        """Texts at providers that do not own the file go first; then those of the owner are set."""
        resolver = current.resolver
        choice = current.choice if self.choice is None else self.choice
        stored, notes = self._desired_entries(current, choice)
        entries = [stored[name] for name in sorted(stored)]
        split = resolver.supports_split_dns or resolver.owner == RESOLVED
        queried = [entry for entry in entries if entry.queried_by_host] if split else sequential_servers(entries)
        text_changes: list[TextChange] = []
        for name, provider in PROVIDERS.items():
            desired = provider.target(queried, resolver) if name == resolver.owner else {}
            text_changes += _text_changes(name, current.texts.get(name, {}), desired)
        plain_changes = [change for change in text_changes if change.provider == PLAIN]
        if resolver.write_fault and plain_changes:
            leave_out = ", or use 'none' (in the roles: virtnet_resolver): then the host does not resolve guests' names"
            raise InvalidOption(
                "resolver",
                f"{choice!r} needs other lines in /etc/resolv.conf, which {resolver.write_fault}; make it writable"
                + (leave_out if plain_changes[0].action == CREATE else ""),
                self._owner(),
            )
        text_changes.sort(key=lambda change: (change.provider == resolver.owner, change.action != DELETE))
        texts: dict[str, dict[str, str | None]] = {}
        for change in text_changes:
            texts.setdefault(change.provider, {})[change.key] = change.text
        entry_changes = _entry_changes(current.entries, stored)
        choice_change = Change(
            CHANGE, "owner of the host's resolver", f"{current.choice}\n", f"{choice}\n", detail=choice
        )
        used = [spec for spec in self.specs if spec.queried_by_host and spec.interface in stored]
        shown = [change for change in text_changes if not _ends_with_its_entry(change, stored, current)]
        return ResolverPlan(
            changes=[*shown, *entry_changes, *([choice_change] if choice != current.choice else [])],
            result=[{**spec.as_options(), "provider": resolver.owner} for spec in used],
            notes=[*notes, *_order_notes(entries, current)],
            choice=choice if choice != current.choice else None,
            entries=stored if entry_changes else None,
            texts=texts,
        )

    def _owner(self) -> str:
        """The first entry that the host's resolver is to have, for errors."""
        return next((spec.owner for spec in self.specs if spec.state == "present" and spec.queried_by_host), "")

    def _desired_entries(self, current: EntriesState, choice: str) -> tuple[dict[str, EntrySpec], list[str]]:
        """The entries to store, and notes on networks that get none."""
        kept = {} if self.purge else current.entries
        stored = {name: spec for name, spec in kept.items() if choice != DISABLED or spec.provider != AUTO}
        without: dict[str, list[str]] = {}
        for spec in self.specs:
            stored.pop(spec.interface, None)
            if spec.state == "present" and not (choice == DISABLED and spec.provider == AUTO):
                reason = None
                if spec.queried_by_host:
                    _check_provider(spec, choice, current.resolver)
                    reason = _reason_for_no_entry(spec, current.resolver)
                if reason is None:
                    stored[spec.interface] = spec
                elif reason:
                    without.setdefault(reason, []).append(spec.interface)
        notes = [
            f"{reason}, so the host does not resolve the names of guests on {', '.join(names)}"
            for reason, names in without.items()
        ]
        return stored, notes

    def apply(self, plan: ResolverPlan) -> None:
        """Store the entries first, so that the next run completes a run that was interrupted; then set the texts."""
        if plan.choice is not None:
            write_files([choice_file(plan.choice, self.paths)])
        if plan.entries is not None:
            options = [plan.entries[name].as_options() for name in sorted(plan.entries)]
            write_files([File(_entries_path(self.paths), json.dumps(options, indent=1) + "\n" if options else None)])
        for name, texts in plan.texts.items():
            PROVIDERS[name].apply(self.paths.root, texts)


def _bridges_of_ours() -> list[str]:
    """Links with our mark: their settings at systemd-resolved are ours even if the stored entries are lost."""
    folder = "/sys/class/net"
    return [name for name in list_folder(folder) if (read_text(f"{folder}/{name}/ifalias") or "").strip() == MARK]


def _check_provider(spec: EntrySpec, choice: str, resolver: ResolverState) -> None:
    """Refuse a provider that does not own resolv.conf: no program would use its entries."""
    provider = choice if spec.provider == AUTO else spec.provider
    if provider in (AUTO, resolver.owner):
        return
    if provider in (OPENRESOLV, DEBIAN) and provider not in resolver.installed:
        raise MissingTool(provider, provider)
    option = f"{spec.path}.provider" if spec.path else "provider"
    raise InvalidOption(
        "resolver" if spec.provider == AUTO else option,
        f"{provider!r} does not own /etc/resolv.conf, which is {resolver.owner_description}; hand that file over to "
        f"{provider} first, or leave it to 'auto' (in the roles: virtnet_resolver)",
        spec.owner,
    )


def _reason_for_no_entry(spec: EntrySpec, resolver: ResolverState) -> str | None:
    """None if an entry is needed; else why there is none, empty if the host resolves the names without it."""
    if resolver.unusable_reason:
        return f"/etc/resolv.conf is {resolver.owner_description}, and {resolver.unusable_reason}"
    if not resolver.owner:
        return f"/etc/resolv.conf is {resolver.owner_description}"
    first = resolver.servers[0] if resolver.servers else ""
    own_dnsmasq = resolver.owner == NETWORK_MANAGER and resolver.supports_split_dns
    if not is_loopback(first) or resolver.owner == RESOLVED or own_dnsmasq:
        return None
    program = resolver.loopback_program
    if spec.serves_all_networks and program in ("", DNSMASQ):
        return ""
    if resolver.supports_split_dns:
        return None
    # Before that resolver, a server of ours would query it and be queried by it, in a circle. Behind it, no program
    # would query our server.
    where = f"{first} ({program})" if program else first
    return f"the host asks a resolver of its own at {where}, which nobody tells where these names are"


def _text_changes(provider: str, current: ProviderTexts, desired: ProviderTexts) -> list[TextChange]:
    return [
        text_change(TextChange, f"{provider} {key}", before, after, provider=provider, key=key, text=after)
        for key in sorted({*current, *desired})
        if (before := current.get(key)) != (after := desired.get(key))
    ]


def _ends_with_its_entry(change: TextChange, desired: Mapping[str, EntrySpec], current: EntriesState) -> bool:
    """Whether the settings of a link are deleted together with the entry of which they follow.

    They are not shown on their own: a run finds them gone with the bridge, which check mode has not deleted before.
    """
    name = change.key
    is_deleted = change.provider == RESOLVED and change.text is None
    return is_deleted and name in current.entries and name not in desired


def _entry_changes(current: Mapping[str, EntrySpec], desired: Mapping[str, EntrySpec]) -> list[Change]:
    changes = []
    for name in sorted({*current, *desired}):
        before, after = current.get(name), desired.get(name)
        if before != after:
            texts = [describe(spec.as_options()) if spec else None for spec in (before, after)]
            changes.append(text_change(Change, f"resolver entry {name}", *texts))
    return changes


def _order_notes(entries: Sequence[EntrySpec], current: EntriesState) -> list[str]:
    """Notes on names that the host does not resolve because a libc takes the answer of the first server."""
    resolver = current.resolver
    if resolver.supports_split_dns or resolver.owner in (RESOLVED, ""):
        return []
    notes = []
    first = first_servers(entries)
    if first and not current.texts.get(resolver.owner):
        return []
    if first and resolver.servers and resolver.servers[0] not in first and resolver.owner != PLAIN:
        notes.append(
            f"the host's resolver asks {resolver.servers[0]} before {first[0]}, so it resolves the names of guests "
            "only where that server knows them or does not answer"
        )
    if first and "rotate" in resolver.options:
        notes.append(
            "/etc/resolv.conf has the option rotate, so programs ask the networks' server only every other time"
        )
    return [*notes, *_isolated_notes(entries, first)]


def _isolated_notes(entries: Sequence[EntrySpec], first: Sequence[str]) -> list[str]:
    """A note on isolated networks whose server the host does not query."""
    refusing = (entry for entry in entries if entry.queried_by_host and not entry.forwards)
    unresolved = [entry.interface for entry in refusing if entry.addresses[0] not in first]
    if not unresolved:
        return []
    if any(entry.forwards for entry in entries):
        reason = (
            "asks one server after another, as does the dnsmasq of its networks, and that of an isolated network "
            "refuses all names but its own"
        )
    else:
        reason = "asks no more than three servers"
    return [
        f"the host's resolver {reason}, so it does not resolve the names of guests on {', '.join(unresolved)}; a local "
        "resolver that is told about domains would help"
    ]
