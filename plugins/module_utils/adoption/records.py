# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What networks were with libvirt before they became ours: kept so that they can be given back.

A record is written before anything is touched, and says how far a change of hands has come: a run that was cut short is
completed by the next one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import InvalidOption, VirtnetError
from ..core.files import File, read_note
from ..core.options import Options
from ..core.paths import Paths
from ..dnsmasq.lease_file import Leases
from ..libvirt.connection import LibvirtNetwork
from ..libvirt_xml.convert import from_xml
from ..network.model import Network, read_network

TAKING, TAKEN, RETURNING = "taking", "taken", "returning"


@dataclass(frozen=True)
class Record:
    """A network of libvirt's as it was. ``xml`` is its stored definition, ``live`` that of the network that ran.

    ``ports``: libvirt's guests on it, as XML; ``run``: whether it has to run when it is libvirt's again.
    """

    name: str
    uuid: str
    bridge: str
    xml: str
    live: str
    active: bool
    persistent: bool
    autostart: bool
    phase: str = TAKING
    ports: Sequence[str] = ()
    run: bool = True

    @property
    def aside(self) -> str:
        """The name that its bridge has while libvirt must not find it."""
        return f"vnaside{hashlib.sha256(self.bridge.encode()).hexdigest()[:8]}"

    @property
    def found(self) -> LibvirtNetwork:
        """The network as libvirt had it."""
        return LibvirtNetwork(self.name, self.uuid, self.xml, self.live, self.active, self.persistent, self.autostart)

    def as_options(self) -> dict[str, str]:
        """As the module returns it."""
        return {"name": self.name, "bridge": self.bridge, "uuid": self.uuid}

    def network(self, identity: str) -> Network:
        """The network as ours; raises InvalidOption for what we cannot be to it."""
        return as_ours(self.found, identity)


def as_ours(found: LibvirtNetwork, identity: str) -> Network:
    """A network of libvirt's as it runs, or as it is stored, with our model; raises InvalidOption."""
    path, owner = f"libvirt network {found.name}", f"network {found.name!r}"
    said = from_xml(found.live if found.active else found.xml, path, owner)
    beside = {
        "state": "active" if found.active else "inactive",
        "autostart": found.autostart,
        "persistent": found.persistent,
    }
    return read_network(Options({**said, **beside}, path, owner), identity)


def record_of(found: LibvirtNetwork, bridge: str, ports: Sequence[str]) -> Record:
    """What is kept of a network of libvirt's."""
    return Record(
        found.name,
        found.uuid,
        bridge,
        found.xml,
        found.live,
        found.active,
        found.persistent,
        found.autostart,
        ports=tuple(ports),
        run=found.active,
    )


def _path(name: str, paths: Paths) -> str:
    return os.path.join(paths.adopted, f"{name}.json")


def record_file(record: Record, paths: Paths) -> File:
    """The file of a record. libvirt keeps its XML from other users, and so do we."""
    return File(_path(record.name, paths), json.dumps(vars(record), indent=2) + "\n", 0o600)


def no_record(record: Record, paths: Paths) -> list[File]:
    """What a network leaves behind when it is libvirt's again."""
    return [File(_path(record.name, paths), None), lease_file(record, None, paths)]


def lease_file(record: Record, leases: Leases | None, paths: Paths) -> File:
    """Leases on their way to a dnsmasq of ours, in its own format; None for none."""
    return File(os.path.join(paths.adopted, f"{record.name}.leases"), None if leases is None else leases.text())


def read_records(paths: Paths) -> dict[str, Record]:
    """All that is kept, by name; raises VirtnetError naming a file that cannot be read."""
    found = {}
    for file in _listing(paths):
        if file.endswith(".json"):
            path = os.path.join(paths.adopted, file)
            try:
                values: Mapping[str, Any] = read_note(path)
                record = Record(**{**values, "ports": tuple(values.get("ports", ()))})
            except (ValueError, TypeError, AttributeError):
                raise VirtnetError(f"{path} cannot be read; put it right or move it away, and run again") from None
            found[record.name] = record
    return found


def _listing(paths: Paths) -> list[str]:
    try:
        return sorted(name for name in os.listdir(paths.adopted) if not name.startswith("."))
    except FileNotFoundError:
        return []


def refuse_unknown(names: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise InvalidOption for a name that is none of those that are known."""
    there = sorted(known)
    for i, name in enumerate(names):
        if name not in there:
            raise InvalidOption(f"names[{i}]", f"{name!r} is {where} ({', '.join(there) or 'there is none'})")
