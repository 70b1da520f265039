# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How other programs are run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core import command
from ansible_collections.virtnet.linux.plugins.module_utils.core.command import find, find_for_unit, run
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import CommandFailed


def test_programs_that_fold_lines_have_the_width_of_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd's programs take up to 65535 columns from the environment, and 80 otherwise."""
    for given in ("40", None):
        if given is None:
            monkeypatch.delenv("COLUMNS")
        else:
            monkeypatch.setenv("COLUMNS", given)
        assert run(["sh", "-c", 'echo "$COLUMNS"']).stdout == "65535\n"
    assert "COLUMNS" not in os.environ


def test_the_path_of_a_program_in_a_unit_does_not_follow_from_the_path_of_the_caller(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where /usr/sbin is a link to /usr/bin, both have each program; and a user may have one of the same name."""
    system, link, own = tmp_path / "bin", tmp_path / "sbin", tmp_path / "own"
    for folder in (system, own):
        folder.mkdir()
        (folder / "served").touch(0o755)
    link.symlink_to(system)
    monkeypatch.setattr(command, "SYSTEM_FOLDERS", (str(link), str(system)))
    for first in (system, link, own):
        monkeypatch.setattr(command, "SEARCH_PATH", f"{first}:{link}:{system}")
        assert find("served") == f"{first}/served"
        assert find_for_unit("served") == f"{link}/served"


def test_a_program_outside_of_the_systems_folders_is_found_by_the_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "served").touch(0o755)
    monkeypatch.setattr(command, "SEARCH_PATH", str(tmp_path))
    assert find_for_unit("served") == f"{tmp_path}/served"
    assert find_for_unit("missing") is None


@pytest.mark.parametrize(
    ("content", "arguments", "reason"),
    [
        ("\0", [], "Exec format error"),
        ("#!/missing/interpreter\n", [], "No such file or directory"),
        ("#!/etc/passwd\n", [], "Permission denied"),
        ("#!/bin/sh\n", ["x" * 2**20], "Argument list too long"),
    ],
)
def test_a_program_that_does_not_start_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, arguments: list[str], reason: str
) -> None:
    (tmp_path / "nft").write_text(content)
    (tmp_path / "nft").chmod(0o755)
    monkeypatch.setattr(command, "SEARCH_PATH", str(tmp_path))
    with pytest.raises(CommandFailed, match=f"^{tmp_path}/nft cannot be started: {reason}; .*the package nftables"):
        run(["nft", *arguments])
