# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The definitions of networks on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..core.errors import VirtnetError
from ..core.network_history import NetworkHistory
from ..core.notes import read_note
from ..core.options import Options
from ..core.paths import Paths
from ..kernel.links import OPENVSWITCH
from .model import Network, read_network


def updated_history(history: NetworkHistory, network: Network) -> NetworkHistory:
    """The history of a network with its present definition added. Pure."""
    address = network.ipv4.address
    own = {network.bridge.name: network.bridge} if network.has_own_bridge else {}
    types = {bridge: kind for bridge, kind in history.types.items() if bridge not in own}
    types.update({name: bridge.type for name, bridge in own.items() if bridge.type == OPENVSWITCH})
    return replace(
        history,
        bridges={**history.bridges, **{name: bridge.mac for name, bridge in own.items()}},
        types=types,
        ipv4=str(address) if address else history.ipv4,
        ipv6=str(network.ipv6.address) if network.ipv6.address else history.ipv6,
    )


def file_of(network: Network, paths: Paths) -> str:
    """The path of a network's definition."""
    folder = paths.definitions if network.persistent else paths.transient_definitions
    return os.path.join(folder, f"{network.name}.json")


def text_of(network: Network) -> str:
    """A definition as it is stored."""
    return json.dumps(network.as_options(), indent=2) + "\n"


@dataclass(frozen=True)
class Stored:
    """All definitions of this host by name. If a name is in both folders, the persistent definition counts.

    ``unreadable``: files that are no definitions, or of a newer version, by the network's name. Such a network is not
    changed until it is defined again.
    """

    networks: Mapping[str, Network] = field(default_factory=dict)
    unreadable: Mapping[str, Unreadable] = field(default_factory=dict)

    def named(self, names: Collection[str] = ()) -> list[Network]:
        """The networks of these names, or all, in order; raises VirtnetError for one not defined, or not readably."""
        for name in names:
            if name in self.unreadable:
                raise VirtnetError(self.unreadable[name].problem)
            if name not in self.networks:
                known = ", ".join(sorted(self.networks)) or "none"
                raise VirtnetError(f"there is no network {name!r} on this host; defined are: {known}")
        return [network for name, network in sorted(self.networks.items()) if not names or name in names]


@dataclass(frozen=True)
class Unreadable:
    """A definition that cannot be read; ``problem`` is a sentence for the user."""

    path: str
    problem: str


def read_stored(paths: Paths, identity: str) -> Stored:
    """Read all definitions; ``identity`` is the host's."""
    networks: dict[str, Network] = {}
    unreadable: dict[str, Unreadable] = {}
    for folder in (paths.transient_definitions, paths.definitions):
        for file in _definition_files(folder):
            path, name = os.path.join(folder, file), file[: -len(".json")]
            try:
                network = _read_definition(path, identity)
            except VirtnetError as error:
                unreadable[name] = Unreadable(path, str(error))
                networks.pop(name, None)
            else:
                if network is not None:
                    networks[name] = network
                    unreadable.pop(name, None)
    return Stored(networks, unreadable)


def load(paths: Paths, identity: str) -> dict[str, Network]:
    """All networks; raises VirtnetError for the first definition that cannot be read."""
    stored = read_stored(paths, identity)
    for definition in stored.unreadable.values():
        raise VirtnetError(definition.problem)
    return dict(stored.networks)


def _definition_files(folder: str) -> Sequence[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith("."))
    except FileNotFoundError:
        return ()


def _read_definition(path: str, identity: str) -> Network | None:
    """The network of a file, None if the file was removed meanwhile; raises VirtnetError."""
    try:
        note = read_note(path)
        if note is None and not os.path.exists(path):
            return None
        network = read_network(Options(note), identity)
    except (ValueError, VirtnetError) as error:
        raise VirtnetError(
            f"the definition {path} cannot be read: {error}; "
            "its network is left as it is until the definition is put right, defined again or removed (state: absent)"
        ) from None
    if network.name != os.path.basename(path)[: -len(".json")]:
        raise VirtnetError(f"the definition {path} is that of network {network.name!r}; remove or rename it")
    return network
