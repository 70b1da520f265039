# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The changes of stored definitions: what differs, and the files that it takes. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.files import File
from ..core.paths import Paths
from ..core.reconcile import CHANGE, CREATE, DELETE, Change, Plan, describe, difference
from ..ipam.allocator import AllocationSettings
from ..network.model import Network
from ..network.runtime import SETTINGS, STARTED, STOPPED
from ..network.store import Unreadable, file_of, text_of
from .desired_state import Specs


@dataclass(frozen=True)
class DefinitionChange(Change):
    """The files of one network, or of SETTINGS."""

    network: str = ""
    files: Sequence[File] = ()


@dataclass(frozen=True)
class NetworksPlan(Plan[DefinitionChange]):
    """All definitions as they will be.

    ``networks``: all of this host; ``specs``: what the parts then have to do, which is also what the module returns;
    ``history_files``: what networks had before; ``record_files``: which were started or stopped by hand.
    """

    networks: Sequence[Network] = ()
    specs: Specs = field(default_factory=dict)
    history_files: Sequence[File] = ()
    record_files: Sequence[File] = ()

    @property
    def changed_networks(self) -> set[str]:
        """The names of the networks whose definitions change, and SETTINGS."""
        return {change.network for change in self.changes}

    @property
    def definition_files(self) -> dict[str, list[str]]:
        """By network, the files of its definition that change."""
        files: dict[str, list[str]] = {name: [] for name in self.changed_networks}
        for change in self.changes:
            files[change.network] += [file.path for file in change.files]
        return files


def changed_definitions(
    before: Mapping[str, Network],
    after: Mapping[str, Network],
    records_before: Mapping[str, str],
    records_after: Mapping[str, str],
    paths: Paths,
) -> list[DefinitionChange]:
    """A change for each network whose definition, or whose start or stop by hand, differs."""
    changes = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old != new:
            changes.append(_changed_definition(name, old, new, paths))
        elif new is not None and records_before.get(name) != records_after.get(name):
            changes.append(_changed_record(new, records_before.get(name), records_after.get(name)))
    return changes


def _changed_definition(name: str, old: Network | None, new: Network | None, paths: Paths) -> DefinitionChange:
    files = [] if new is None else [File(file_of(new, paths), text_of(new))]
    if old is not None and (new is None or file_of(old, paths) != file_of(new, paths)):
        files.append(File(file_of(old, paths), None))
    if old is None or new is None:
        action, detail = (CREATE, "defined") if old is None else (DELETE, "undefined")
    else:
        action, detail = CHANGE, difference(_flat(old.as_options()), _flat(new.as_options()))
    return DefinitionChange(
        action=action,
        name=f"network {name}",
        before="" if old is None else text_of(old),
        after="" if new is None else text_of(new),
        detail=detail,
        network=name,
        files=files,
    )


def _changed_record(network: Network, before: str | None, after: str | None) -> DefinitionChange:
    """A network that was started or stopped by hand gets the state of its definition."""
    descriptions = {STARTED: "started by hand", STOPPED: "stopped by hand", None: "as defined"}
    done = {"active": STARTED, "inactive": STOPPED}[network.state]
    return DefinitionChange(
        action=CHANGE,
        name=f"network {network.name}",
        before=f"{descriptions[before]}\n",
        after=f"{done if after else descriptions[None]}\n",
        detail=done,
        network=network.name,
    )


def removed_unreadable(unreadable: Mapping[str, Unreadable]) -> list[DefinitionChange]:
    """A change for each file that cannot be read, of networks that are defined again or removed."""
    return [
        DefinitionChange(
            action=DELETE,
            name=f"network {name}",
            before=f"{definition.problem}\n",
            detail="its definition, which could not be read, removed",
            network=name,
            files=[File(definition.path, None)],
        )
        for name, definition in sorted(unreadable.items())
    ]


def changed_settings(before: AllocationSettings, after: AllocationSettings, paths: Paths) -> list[DefinitionChange]:
    """The change of the allocation settings, which are stored for the guard."""
    old, new = before.as_options(), after.as_options()
    if old == new:
        return []
    return [
        DefinitionChange(
            action=CHANGE,
            name=SETTINGS,
            before=describe(old),
            after=describe(new),
            detail=difference(old, new),
            network=SETTINGS,
            files=[File(paths.allocation_settings, json.dumps(new, indent=2) + "\n")],
        )
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
