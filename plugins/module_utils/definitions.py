# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Definitions on disk, and what is remembered of networks beyond them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .errors import InvalidOption, VirtnetError
from .files import File, read_text
from .network import Network, read_network
from .openvswitch import OPENVSWITCH
from .options import Options
from .paths import Paths


@dataclass(frozen=True)
class Remembered:
    """What outlives a definition.

    ``bridges`` (name to MAC address): all that the network ever had of ours, so that a removal that was cut short can
    be completed by a later run; ``types``: of those that are not Linux's. ``ipv4``, ``ipv6``: its last addresses, tried
    first when it is defined again. ``met``: subnets from which it was driven away while it ran, so that it does not go
    back and forth between them.
    """

    bridges: Mapping[str, str] = field(default_factory=dict)
    ipv4: str = ""
    met: Sequence[str] = ()
    ipv6: str = ""
    types: Mapping[str, str] = field(default_factory=dict)

    def and_now(self, network: Network) -> Remembered:
        """With what is to be remembered of a network's present definition."""
        address = network.ipv4.address
        own = {network.bridge.name: network.bridge} if network.has_own_bridge else {}
        types = {bridge: kind for bridge, kind in self.types.items() if bridge not in own}
        types.update({name: one.type for name, one in own.items() if one.type == OPENVSWITCH})
        return replace(
            self,
            bridges={**self.bridges, **{name: one.mac for name, one in own.items()}},
            types=types,
            ipv4=str(address) if address else self.ipv4,
            ipv6=str(network.ipv6.address) if network.ipv6.address else self.ipv6,
        )


def file_of(network: Network, paths: Paths) -> str:
    """Where a network's definition is."""
    folder = paths.definitions if network.persistent else paths.transient_definitions
    return os.path.join(folder, f"{network.name}.json")


def text_of(network: Network) -> str:
    """A definition as it is stored."""
    return json.dumps(network.as_options(), indent=2) + "\n"


def load(paths: Paths, identity: str) -> dict[str, Network]:
    """All definitions of this host by name; of a name in both folders the persistent one.

    Raises VirtnetError naming the file that cannot be read as a definition.
    """
    found: dict[str, Network] = {}
    for folder in (paths.transient_definitions, paths.definitions):
        for name in _listing(folder):
            path = os.path.join(folder, name)
            network = _read(path, identity)
            if network is not None:
                found[network.name] = network
    return found


def _listing(folder: str) -> Sequence[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith("."))
    except FileNotFoundError:
        return ()


def _read(path: str, identity: str) -> Network | None:
    text = read_text(path)
    if text is None:
        return None
    try:
        network = read_network(Options(json.loads(text)), identity)
    except (ValueError, InvalidOption) as error:
        raise VirtnetError(
            f"the definition {path} cannot be read: {error}; put it right or move it away, and run again"
        ) from None
    if network.name != os.path.basename(path)[: -len(".json")]:
        raise VirtnetError(f"the definition {path} is that of network {network.name!r}; move it away, and run again")
    return network


def _memory(paths: Paths) -> str:
    return os.path.join(paths.state, "networks.json")


def recall(paths: Paths) -> dict[str, Remembered]:
    """What is remembered, by network name; raises VirtnetError naming the file when it is unreadable."""
    text = read_text(_memory(paths))
    if text is None:
        return {}
    try:
        stored: Mapping[str, Mapping[str, Any]] = json.loads(text)
        return {name: Remembered(**values) for name, values in stored.items()}
    except (ValueError, TypeError, AttributeError):
        raise VirtnetError(
            f"{_memory(paths)} cannot be read; move it away and run again: "
            "subnets chosen before may then be chosen anew"
        ) from None


def memory_file(remembered: Mapping[str, Remembered], paths: Paths) -> File:
    """The file that keeps what is remembered."""
    content = {name: vars(one) for name, one in sorted(remembered.items())}
    return File(_memory(paths), json.dumps(content, indent=2) + "\n")
