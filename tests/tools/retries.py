# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests and scenarios that may fail and are then run again, each with the reason.

Everything else fails at its first failure: a retry of all tests would hide races of the engine. An entry is for a race
that is understood, that is not in the engine, and that cannot be removed from the test. The reason names it, and the
issue that records it. tests/unit/tools/test_retries.py checks the tables, and that nothing else asks for retries.
"""

from __future__ import annotations

from collections.abc import Mapping

# How often a listed test or scenario is run again.
RETRIES = 2
# tests/FOLDER/test_FILE.py::test_NAME, without parameters: the reason.
TESTS: Mapping[str, str] = {}
# The name of a Molecule scenario, or "demo": the reason.
SCENARIOS: Mapping[str, str] = {}
