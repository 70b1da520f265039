# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts of catalogue.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
SYSTEM, STAND_IN = "system", "stand-in"


@dataclass(frozen=True)
class Entry:
    """A host.

    - ``name``, ``title``: its name in tables, and what it is
    - ``image``: the image of the lab (tests/images)
    - ``kind``: SYSTEM: packages and files of this distribution; STAND_IN: Debian with files of another one, or with a
      program that does what another program would do
    - ``setup``: scripts of the folder setup, without their suffix, which run in this order before the host boots again
    - ``probes``: commands whose output must stay the same, by what they show; one that begins with "outside: " runs
      beside the host, in its LAN
    - ``warns``: a part of the warning that the run must give
    - ``host_resolves``: whether the host resolves its guests; not where it asks another program that nobody tells of
      domains (docs/docsite/rst/resolvers.rst), of which ``warns`` has the warning
    - ``leaves_as``: the address with which guests are seen outside; by default that of the host
    - ``installs``: what the packages bring that the run installs, as regular expressions of a snapshot's lines; the
      teardown leaves packages
    - ``leaves``: what programs of others keep until the next boot, or change at it, in the same form
      (docs/docsite/rst/resolvers.rst)
    """

    name: str
    title: str
    image: str
    kind: str
    setup: tuple[str, ...] = ()
    probes: Mapping[str, str] = field(default_factory=dict)
    warns: str = ""
    host_resolves: bool = True
    leaves_as: str = ""
    installs: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in (SYSTEM, STAND_IN):
            raise ValueError(f"host {self.name}: the kind is {SYSTEM} or {STAND_IN}, not {self.kind!r}")
        if not (self.host_resolves or self.warns):
            raise ValueError(f"host {self.name}: one that does not resolve its guests has a warning")

    @property
    def scripts(self) -> list[str]:
        """The texts of its setup scripts."""
        return [(FOLDER / "setup" / f"{name}.sh").read_text() for name in self.setup]


def read() -> list[Entry]:
    """All hosts, in the order of the file."""
    hosts = tomllib.loads((FOLDER / "catalogue.toml").read_text())["host"]
    return [
        Entry(name=name, **{key: _frozen(value) for key, value in values.items()}) for name, values in hosts.items()
    ]


def _frozen(value: Any) -> Any:
    """A list of words as a tuple."""
    return tuple(value) if isinstance(value, list) and all(isinstance(word, str) for word in value) else value
