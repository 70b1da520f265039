# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The history of networks: what is stored of them beyond their definitions."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import VirtnetError
from .files import File
from .notes import as_object, as_record, read_object
from .paths import Paths

# Fields that have another name in the file.
_KEYS = {"rejected_subnets": "met"}


@dataclass(frozen=True)
class NetworkHistory:
    """What outlives the definition of a network.

    ``bridges`` (name to MAC address): all bridges that we ever made for the network, so that a later run can complete
    an interrupted removal. ``types``: the types of those that are not Linux bridges. ``ipv4``, ``ipv6``: its last
    addresses, which are tried first when it is defined again. ``rejected_subnets``: subnets that it had
    before a conflict moved it, so that it does not move back and forth between them.
    """

    bridges: Mapping[str, str] = field(default_factory=dict)
    ipv4: str = ""
    rejected_subnets: Sequence[str] = ()
    ipv6: str = ""
    types: Mapping[str, str] = field(default_factory=dict)


def _path(paths: Paths) -> str:
    return os.path.join(paths.state, "networks.json")


def load_history(paths: Paths) -> dict[str, NetworkHistory]:
    """The histories by network name; raises VirtnetError naming the file if it cannot be read."""
    try:
        return {name: _from_note(note) for name, note in read_object(_path(paths)).items()}
    except ValueError:
        raise VirtnetError(
            f"{_path(paths)} cannot be read; move it away and run again: subnets chosen before may then be chosen anew"
        ) from None


def history_file(histories: Mapping[str, NetworkHistory], paths: Paths) -> File:
    """The file with the histories."""
    notes = {name: _to_note(history) for name, history in sorted(histories.items())}
    return File(_path(paths), json.dumps(notes, indent=2) + "\n")


def _to_note(history: NetworkHistory) -> dict[str, Any]:
    return {_KEYS.get(name, name): value for name, value in vars(history).items()}


def _from_note(note: Any) -> NetworkHistory:
    names = {key: name for name, key in _KEYS.items()}
    return as_record(NetworkHistory, {names.get(key, key): value for key, value in as_object(note).items()})
