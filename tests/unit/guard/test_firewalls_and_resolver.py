# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How soon the guard examines other firewalls again, and what a change of the host's resolver concerns."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.guard import workers
from ansible_collections.virtnet.linux.plugins.module_utils.guard.daemon import Guard
from ansible_collections.virtnet.linux.plugins.module_utils.guard.view import FIREWALLS
from ansible_collections.virtnet.linux.plugins.module_utils.guard.watched_folders import receive, start_watch
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.desired_state import (
    ENTRIES,
    FRAGMENTS,
    RULES,
)
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.restore import Outcome, resolver_ready


def _seconds_to_next_examination(monkeypatch: pytest.MonkeyPatch, root: Path, changes: tuple[str, ...]) -> float:
    """After one that took half a second, in which others had the processor."""

    def examine(work: Any, *_arguments: object) -> object:
        if work is not workers.repair:
            return None
        time.sleep(0.5)
        return workers.Repair([Outcome(RULES, changes)])

    monkeypatch.setattr(workers, "in_child", examine)
    guard = Guard(Paths(str(root)))
    guard.scheduler.request_at(FIREWALLS, time.monotonic())
    assert guard._work()
    now = time.monotonic()
    guard.scheduler.request_at(FIREWALLS, now)
    due = guard.scheduler.next_time()
    assert due is not None
    return due - now


@pytest.mark.parametrize("changes", [(), ("rules of ufw: created",)])
def test_a_busy_host_and_a_slow_repair_delay_no_examination(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: tuple[str, ...]
) -> None:
    """ufw takes seconds for its rules: after ten times as many it might long have been reset and enabled again."""
    assert _seconds_to_next_examination(monkeypatch, tmp_path, changes) < 2


def test_the_stub_of_resolved_concerns_private_instances_and_resolv_conf_does_not(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    folder = tmp_path / "run/systemd/resolve"
    folder.mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    ready = Path(resolver_ready(paths))
    ready.parent.mkdir(parents=True)
    ready.touch()
    watcher = start_watch(paths)
    try:
        (folder / "stub-resolv.conf").symlink_to("resolv.conf")
        assert set(receive(watcher, paths)) == {ENTRIES, FRAGMENTS}
        # As a dnsmasq.service changes it that somebody stops, and that nobody is to start again.
        (tmp_path / "etc/resolv.conf").write_text("nameserver 192.0.2.1\n")
        assert set(receive(watcher, paths)) == {ENTRIES}
    finally:
        watcher.close()
