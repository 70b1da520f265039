# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The output of systemctl, and how it is called."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core import systemctl
from ansible_collections.virtnet.linux.plugins.module_utils.core.command import Completed
from ansible_collections.virtnet.linux.plugins.module_utils.core.systemctl import Unit


def test_units_as_systemctl_shows_them() -> None:
    text = (
        "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=yes\nMainPID=12\n"
        "ExecStart={ path=/a ; argv[]=/a -x=y ; ignore_errors=no ; }\n\n"
        "LoadState=not-found\nActiveState=inactive\nUnitFileState=\nNeedDaemonReload=no\nMainPID=0\n"
    )
    assert systemctl.parse_units(["virtnet.service", "dnsmasq.service"], text) == {
        "virtnet.service": Unit(
            load="loaded",
            unit_file="enabled",
            active="active",
            stale=True,
            main_pid=12,
            exec_start="{ path=/a ; argv[]=/a -x=y ; ignore_errors=no ; }",
        ),
        "dnsmasq.service": Unit(),
    }


def test_a_systemctl_that_fails_shows_no_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemctl, "run", lambda *_arguments, **_options: Completed(1, "", "no systemd"))
    assert systemctl.show(["dnsmasq.service"], check=False) == {}


def test_no_units_need_no_systemctl(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Sequence[str]] = []
    monkeypatch.setattr(systemctl, "run", lambda arguments, **_options: calls.append(arguments))
    assert (systemctl.show([]), calls) == ({}, [])


@pytest.mark.parametrize(
    ("active", "running", "changing"),
    [
        ("active", True, False),
        ("activating", True, True),
        ("reloading", True, False),
        ("deactivating", False, True),
        ("inactive", False, False),
        ("failed", False, False),
    ],
)
def test_a_unit_that_starts_counts_as_running(active: str, running: bool, changing: bool) -> None:
    unit = Unit(active=active)
    assert (unit.running, unit.changing) == (running, changing)
