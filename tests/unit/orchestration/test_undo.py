# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the undo of a run names the networks."""

from __future__ import annotations

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.network.runtime import Pending
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration import undo


@pytest.mark.parametrize(
    ("new", "others", "text"),
    [
        ("a", "", "a does not exist"),
        ("ab", "", "a and b do not exist"),
        ("abc", "", "a, b and c do not exist"),
        ("", "a", "a is as before"),
        ("a", "b", "a does not exist, and b is as before"),
        ("a", "bc", "a does not exist, and b and c are as before"),
        ("ab", "cde", "a and b do not exist, and c, d and e are as before"),
    ],
)
def test_the_networks_of_an_undone_run_are_listed(new: str, others: str, text: str) -> None:
    undone = {
        **{name: Pending(before={"/file": None}) for name in new},
        **{name: Pending(before={"/file": "text"}) for name in others},
    }
    assert undo._said(undone) == f"everything that the run has changed is undone: {text}"
