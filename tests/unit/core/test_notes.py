# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Notes of the engine: their content is checked when they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.adoption import records
from ansible_collections.virtnet.linux.plugins.module_utils.bridge import uplink
from ansible_collections.virtnet.linux.plugins.module_utils.core import network_history
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.core.notes import as_list, as_record, read_note, read_object
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.firewall import integrations, ip_forward
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt import managed_update
from ansible_collections.virtnet.linux.plugins.module_utils.resolver import override


@dataclass(frozen=True)
class Item:
    name: str
    index: int = 0
    up: bool = False
    ports: Sequence[str] = ()
    macs: Mapping[str, str] = field(default_factory=dict)


FULL = {"name": "a", "index": 3, "up": True, "ports": ["tap1"], "macs": {"br0": "52:54:00:00:00:01"}}


def test_a_record_has_the_fields_of_its_data_class() -> None:
    assert as_record(Item, FULL) == Item(**FULL)
    assert as_record(Item, {"name": "a"}) == Item("a")


@pytest.mark.parametrize(
    "note",
    [
        None,
        [],
        "a",
        {},
        {"name": "a", "other": 1},
        {"name": None},
        {"name": "a", "index": "3"},
        {"name": "a", "index": True},
        {"name": "a", "up": 1},
        {"name": "a", "ports": "tap1"},
        {"name": "a", "ports": [1]},
        {"name": "a", "macs": []},
        {"name": "a", "macs": {"br0": None}},
    ],
)
def test_a_record_of_another_shape_is_refused(note: Any) -> None:
    with pytest.raises(ValueError, match=r"it is not|is unknown|is missing|is not of the type"):
        as_record(Item, note)


def test_a_note_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert (read_note(str(tmp_path / "no")), read_object(str(tmp_path / "no"))) == (None, {})


@pytest.mark.parametrize("text", ["[1]", '"text"', "7", "[" * 100_000, "{", "\0"])
def test_a_note_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "note.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"."):
        read_object(str(file))


def test_only_an_array_is_a_list() -> None:
    assert as_list([1]) == [1]
    with pytest.raises(ValueError, match="array"):
        as_list({})


@pytest.mark.parametrize("text", ["[1]", '"text"', "7", '{"lab": 7}', '{"lab": {"bridges": 7}}', '{"lab": {"x": 1}}'])
def test_readers_do_not_fail_later_on_a_damaged_note(tmp_path: Path, text: str) -> None:
    paths = Paths(str(tmp_path))
    for file in (
        *(f"{paths.state}/{name}.json" for name in ("networks", "resolver", "firewalls", "forwarding", "libvirt")),
        f"{paths.state}/uplinks/br0.json",
        f"{paths.adopted}/lab.json",
    ):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(text)
    assert override.read_choice(paths) == "auto"
    assert integrations.read_setting(paths) == integrations.Setting()
    assert managed_update.read_digests(paths) == {}
    assert uplink.read_record("br0", paths) is None
    assert set(ip_forward.read(paths).original) in ({ip_forward.IPV4, ip_forward.IPV6}, {"lab"})
    with pytest.raises(VirtnetError, match=r"networks.json cannot be read; move it away"):
        network_history.load_history(paths)
    with pytest.raises(VirtnetError, match=r"lab.json cannot be read; put it right or move it away"):
        records.read_records(paths)
