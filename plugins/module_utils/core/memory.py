# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is remembered of networks beyond their definitions."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import VirtnetError
from .files import File, read_note
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


def _memory(paths: Paths) -> str:
    return os.path.join(paths.state, "networks.json")


def recall(paths: Paths) -> dict[str, Remembered]:
    """What is remembered, by network name; raises VirtnetError naming the file when it is unreadable."""
    try:
        stored: Mapping[str, Mapping[str, Any]] = read_note(_memory(paths)) or {}
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
