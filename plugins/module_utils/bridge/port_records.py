# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records of the ports of bridges in the folders ports, listed-ports and hairpin-ports under /run/virtnet.

A deletion of a bridge writes its record, so that the next start adds the ports again. The guard writes the same record
while the bridge exists, for the case that another program deletes the bridge.

The second record has the ports that a run attached because the options named them: a run whose options do not name them
any more detaches them, while the links of guests stay. It ends with the bridge, or with a boot. So does the third,
which has the ports that we set to hairpin mode: only these lose it again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

from ..core.files import File, list_folder, read_text, write_files
from ..core.notes import read_note
from ..core.paths import Paths
from ..kernel.links import read_links
from ..openvswitch.bridges import has_datapath, read_ovs
from .ovs_plan import detachable_ports
from .state import DetachedPort


def _folder(paths: Paths) -> str:
    return os.path.join(paths.runtime, "ports")


def _record_path(bridge: str, paths: Paths) -> str:
    return os.path.join(_folder(paths), f"{bridge}.json")


def _listed_path(bridge: str, paths: Paths) -> str:
    return os.path.join(paths.runtime, "listed-ports", f"{bridge}.json")


def _hairpin_path(bridge: str, paths: Paths) -> str:
    return os.path.join(paths.runtime, "hairpin-ports", f"{bridge}.json")


def recorded_bridges(paths: Paths) -> list[str]:
    """The bridges whose ports are recorded."""
    return [name[: -len(".json")] for name in list_folder(_folder(paths), ".json")]


def read_ports(bridge: str, paths: Paths) -> list[DetachedPort]:
    """The recorded ports of a bridge."""
    return _read_record(_record_path(bridge, paths))


def read_listed_ports(bridge: str, paths: Paths) -> list[DetachedPort]:
    """The ports that a bridge has because its options named them."""
    return _read_record(_listed_path(bridge, paths))


def read_hairpin_ports(bridge: str, paths: Paths) -> list[DetachedPort]:
    """The ports of a bridge that we set to hairpin mode."""
    return _read_record(_hairpin_path(bridge, paths))


def _read_record(path: str) -> list[DetachedPort]:
    try:
        items = read_note(path) or []
        return [DetachedPort(str(name), int(index), *settings) for name, index, *settings in items]
    except (ValueError, TypeError, OverflowError):
        # The run goes on without a record that cannot be read: only guests' links depend on it.
        return []


def ports_record(bridge: str, ports: Iterable[DetachedPort], paths: Paths) -> File:
    """The record of a bridge's ports, with the settings of ports of Open vSwitch."""
    items = [
        [port.name, port.index, *([port.settings] if port.settings else [])]
        for port in sorted(ports, key=lambda port: port.name)
    ]
    return File(_record_path(bridge, paths), json.dumps(items))


def listed_ports_record(bridge: str, ports: Iterable[DetachedPort], paths: Paths) -> File:
    """The record of the ports that a bridge has because its options name them; it is removed if there are none."""
    return _removable_record(_listed_path(bridge, paths), ports)


def hairpin_ports_record(bridge: str, ports: Iterable[DetachedPort], paths: Paths) -> File:
    """The record of the ports that we set to hairpin mode; it is removed if there are none."""
    return _removable_record(_hairpin_path(bridge, paths), ports)


def _removable_record(path: str, ports: Iterable[DetachedPort]) -> File:
    items = sorted({(port.name, port.index) for port in ports})
    return File(path, json.dumps(items) if items else None)


def record_ovs_ports(bridges: Iterable[str], paths: Paths) -> None:
    """Record the current ports of these bridges of Open vSwitch. The caller holds the lock."""
    links = read_links()
    if not has_datapath(links):
        return
    rows = read_ovs().bridges
    records = [ports_record(name, detachable_ports(rows[name], links), paths) for name in bridges if name in rows]
    write_files(record for record in records if read_text(record.path) != record.content)
