# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How other programs are run."""

from __future__ import annotations

import os

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.command import run


def test_programs_that_fold_lines_have_the_width_of_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd's programs take up to 65535 columns from the environment, and 80 otherwise."""
    for given in ("40", None):
        if given is None:
            monkeypatch.delenv("COLUMNS")
        else:
            monkeypatch.setenv("COLUMNS", given)
        assert run(["sh", "-c", 'echo "$COLUMNS"']).stdout == "65535\n"
    assert "COLUMNS" not in os.environ
