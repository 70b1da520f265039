# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fits what was read to the model: what is returned is valid, each network alone and all together. Pure.

A value that the model refuses is left out, with its reason in a note. A network that cannot be without it stays with
its owner.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from ..core.errors import InvalidOption, printable
from ..core.options import Options, shorten
from ..network.combinations import refuse_changed_options
from ..network.model import Network, read_network
from ..orchestration.validation import validate_together
from .model import Foreign

# Without these, a network would be another one.
_ESSENTIAL = (
    "name",
    "mode",
    "state",
    "bridge",
    "bridge.name",
    "bridge.type",
    "ipv4",
    "ipv4.address",
    "ipv4.dhcp.enabled",
)
_MOST_LEFT_OUT = 200
_MOST_NOTES = 40
_LONGEST_NOTE = 600
_PLACE = re.compile(r"networks\[(\d+)\]\.?")
_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def fitted(
    networks: Sequence[Foreign], taken: Collection[str], identity: str, ours: Sequence[Network] = ()
) -> list[Foreign]:
    """The networks, valid beside ``ours`` and with names of their own; ``taken``: names that ours have."""
    names = set(taken)
    result: list[Foreign] = []
    for network in networks:
        if network.stays:
            result.append(network)
            continue
        name = _free_name(network.name, names)
        names.add(name)
        notes = list(network.notes)
        if name != network.name:
            notes.insert(0, f"its own name is {network.name}, which another network has")
        options = {**network.options, "name": name} if network.options else {}
        result.append(_fit(replace(network, name=name, options=options, notes=notes), identity))
    return [_bounded(one) for one in _fit_together(result, ours, identity)]


def _free_name(name: str, names: Collection[str]) -> str:
    candidates = (name, *(f"{name[:46]}-{number}" for number in range(2, len(names) + 3)))
    return next(one for one in candidates if one not in names)


def _fit(network: Foreign, identity: str) -> Foreign:
    """The network without the values that the model refuses."""
    if network.stays or not network.options:
        return network
    options: dict[str, Any] = copy.deepcopy(dict(network.options))
    notes = list(network.notes)
    for _attempt in range(_MOST_LEFT_OUT):
        try:
            refuse_changed_options(read_network(Options(options), identity))
        except InvalidOption as error:
            path = _removed(options, error.path)
            if not path:
                return replace(network, options={}, stays=_reason(error), notes=notes)
            notes.append(f"left out: {error.path}: {error.problem}")
        else:
            return replace(network, options=options, notes=notes)
    return replace(network, options={}, stays=f"more than {_MOST_LEFT_OUT} of its values cannot be had", notes=notes)


def _reason(error: InvalidOption) -> str:
    return f"its {error.path or 'options'} cannot be had: {error.problem}"


def _removed(options: dict[str, Any], path: str) -> str:
    """Remove the value at a path, or the item of a list that it lies in; '' if it must stay, or is not there."""
    if path in _ESSENTIAL:
        return ""
    place: Any = options
    parts = [match[1] if match[2] is None else int(match[2]) for match in _PART.finditer(path)]
    for depth, part in enumerate(parts):
        is_last = depth == len(parts) - 1
        if isinstance(part, int):
            if not isinstance(place, list) or part >= len(place):
                return ""
            del place[part]
            return path
        if not isinstance(place, dict) or part not in place:
            return ""
        if is_last:
            del place[part]
            return path
        place = place[part]
    return ""


def _fit_together(networks: Sequence[Foreign], ours: Sequence[Network], identity: str) -> list[Foreign]:
    """Values that two networks cannot both have are left out of the later one; with its address, it stays."""
    result = list(networks)
    models: dict[int, Network] = {}

    def read(number: int) -> None:
        models.pop(number, None)
        if result[number].options and not result[number].stays:
            models[number] = read_network(Options(dict(result[number].options), f"networks[{number}]"), identity)

    for number in range(len(result)):
        read(number)
    while models:
        try:
            validate_together([*ours, *(models[number] for number in sorted(models))])
            break
        except InvalidOption as error:
            match = _PLACE.match(error.path)
            number = int(match[1]) if match else max(models)
            path = error.path[match.end() :] if match else ""
            result[number] = _fit(_without(result[number], path, error), identity)
            read(number)
    return result


def _without(network: Foreign, path: str, error: InvalidOption) -> Foreign:
    """The network without a value that another network has; the whole of it, if it cannot be without."""
    options: dict[str, Any] = copy.deepcopy(dict(network.options))
    if not _removed(options, path):
        return replace(network, options={}, stays=f"its {path or 'options'} cannot be had: {error.problem}")
    return replace(network, options=options, notes=[*network.notes, f"left out: {path}: {error.problem}"])


def _bounded(network: Foreign) -> Foreign:
    """With notes that can be printed, and not without end."""
    notes = [printable(shorten(note, _LONGEST_NOTE)) for note in dict.fromkeys(network.notes)]
    if len(notes) > _MOST_NOTES:
        notes = [*notes[:_MOST_NOTES], f"and {len(notes) - _MOST_NOTES} more"]
    stays = printable(shorten(network.stays, _LONGEST_NOTE))
    return replace(network, bridge=printable(shorten(network.bridge, 50)), stays=stays, notes=notes)
