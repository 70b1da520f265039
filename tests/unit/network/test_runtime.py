# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Notes that hold until the next boot."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.network import runtime
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.desired_state import PARTS


def test_a_run_ends_with_its_last_part(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    runtime.record_pending_run(["lab"], PARTS, paths)
    runtime.record_pending_run(["dmz"], PARTS, paths)
    for kind in PARTS:
        assert runtime.read_pending(paths).names == {"lab", "dmz"}
        runtime.mark_part_done(kind, paths)
    assert runtime.read_pending(paths) == runtime.Pending()
    assert not Path(runtime.pending_path(paths)).exists()
    runtime.mark_part_done("rules", paths)


def test_an_unreadable_note_is_ignored(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    note = Path(runtime.pending_path(paths))
    note.parent.mkdir(parents=True)
    for text in ("", "{", "[]", '{"names": 3}', '{"names": ["a"], "kinds": ["rules"], "until": "x"}'):
        note.write_text(text)
        assert runtime.read_pending(paths) == runtime.Pending()
