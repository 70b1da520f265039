# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records of libvirt's networks before their adoption, so that they can be given back.

A record is written before anything is changed. Its phase tells how far an adoption or a return has come, so that the
next run completes an interrupted one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..core.errors import InvalidOption, VirtnetError
from ..core.files import File, list_folder
from ..core.notes import as_record, read_note
from ..core.options import Options
from ..core.paths import Paths
from ..dnsmasq.lease_file import Leases
from ..kernel.links import Link
from ..libvirt.connection import LibvirtNetwork
from ..libvirt_xml.convert import from_xml, with_domain_of_libvirt
from ..network.model import Network, read_network

# Phases, as the files of the records have them.
ADOPTING, ADOPTED, RETURNING = "taking", "taken", "returning"


@dataclass(frozen=True)
class Record:
    """A network of libvirt before its adoption. ``xml``: the stored definition; ``live``: that of the running network.

    ``ports``: the ports of libvirt's guests, as XML; ``run``: whether it runs after it is given back. The fields are
    those of the file.
    """

    name: str
    uuid: str
    bridge: str
    xml: str
    live: str
    active: bool
    persistent: bool
    autostart: bool
    phase: str = ADOPTING
    ports: Sequence[str] = ()
    run: bool = True

    @property
    def temporary_bridge(self) -> str:
        """The name that its bridge has while libvirt must not find it."""
        return f"vnaside{hashlib.sha256(self.bridge.encode()).hexdigest()[:8]}"

    @property
    def libvirt_network(self) -> LibvirtNetwork:
        """The network before its adoption."""
        return LibvirtNetwork(self.name, self.uuid, self.xml, self.live, self.active, self.persistent, self.autostart)

    def as_options(self) -> dict[str, str]:
        """The return value of the module."""
        return {"name": self.name, "bridge": self.bridge, "uuid": self.uuid}

    def network(self, identity: str) -> Network:
        """The network in our model; raises InvalidOption if it has no equivalent there."""
        return network_from_libvirt(self.libvirt_network, identity)


def network_from_libvirt(network: LibvirtNetwork, identity: str) -> Network:
    """A network of libvirt in our model: as it runs, else as it is stored; raises InvalidOption."""
    path, owner = f"libvirt network {network.name}", f"network {network.name!r}"
    options = {
        **with_domain_of_libvirt(from_xml(network.live if network.active else network.xml, path, owner)),
        "state": "active" if network.active else "inactive",
        "autostart": network.autostart,
        "persistent": network.persistent,
    }
    return read_network(Options(options, path, owner), identity)


def record_for(network: LibvirtNetwork, bridge: str, ports: Sequence[str]) -> Record:
    """The record of a network of libvirt that is to be adopted."""
    return Record(
        name=network.name,
        uuid=network.uuid,
        bridge=bridge,
        xml=network.xml,
        live=network.live,
        active=network.active,
        persistent=network.persistent,
        autostart=network.autostart,
        ports=tuple(ports),
        run=network.active,
    )


def guests_text(record: Record, links: Mapping[str, Link]) -> str:
    """The ports on the bridge of a network, as part of a change's detail; '' for none."""
    bridges = (record.bridge, record.temporary_bridge)
    ports = [link.name for link in links.values() if link.master in bridges]
    return f", with {', '.join(ports)}" if ports else ""


def _path(name: str, paths: Paths) -> str:
    return os.path.join(paths.adopted, f"{name}.json")


def record_file(record: Record, paths: Paths) -> File:
    """The file of a record. Only root can read it, as with libvirt's own files."""
    return File(_path(record.name, paths), json.dumps(vars(record), indent=2) + "\n", 0o600)


def files_to_remove(record: Record, paths: Paths) -> list[File]:
    """The files to remove once a network is given back."""
    return [File(_path(record.name, paths), None), lease_file(record, None, paths)]


def lease_file(record: Record, leases: Leases | None, paths: Paths) -> File:
    """The file of leases that our dnsmasq is to get, in dnsmasq's format; None removes it."""
    return File(os.path.join(paths.adopted, f"{record.name}.leases"), None if leases is None else leases.text())


def read_records(paths: Paths) -> dict[str, Record]:
    """All records, by name of the network; raises VirtnetError, with the path, for a file that cannot be read."""
    records = {}
    for file in list_folder(paths.adopted, ".json"):
        if not file.startswith("."):
            path = os.path.join(paths.adopted, file)
            try:
                record = as_record(Record, read_note(path))
            except ValueError:
                raise VirtnetError(f"{path} cannot be read; put it right or move it away, and run again") from None
            records[record.name] = replace(record, ports=tuple(record.ports))
    return records


def refuse_unknown(names: Iterable[str], known: Iterable[str], problem: str) -> None:
    """Raise InvalidOption for a name that is not known; ``problem`` tells what it is then."""
    known_names = sorted(known)
    for i, name in enumerate(names):
        if name not in known_names:
            raise InvalidOption(f"names[{i}]", f"{name!r} is {problem} ({', '.join(known_names) or 'there is none'})")
