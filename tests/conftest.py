# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings for all tests: how hypothesis searches, and which tests are run again after a failure.

Hypothesis tries the same examples in each run of the tests, and more, chosen at random, in `make fuzz`. It has no
deadlines, because the duration of an example depends on the load of the machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("tests", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fuzz", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "tests"))


def pytest_collection_modifyitems(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Mark the tests that tests/tools/retries.py lists. ansible-test has neither that file nor the plugin."""
    if not config.pluginmanager.hasplugin("rerunfailures"):
        return
    from tools import retries

    for item in items:
        reason = retries.TESTS.get(item.nodeid.partition("[")[0])
        if reason is not None:
            item.add_marker(pytest.mark.flaky(reruns=retries.RETRIES, reason=reason))
