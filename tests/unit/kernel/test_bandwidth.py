# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Buckets of the limits, and the error where the kernel has none."""

from __future__ import annotations

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.bandwidth import Limit
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.policer import Policer
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.qdisc import HtbClass, explain_tc_error


@pytest.mark.parametrize(
    ("limit", "htb_class"),
    [
        (Limit(1000), HtbClass(1000000, 1000000, 65536, 65536)),
        (Limit(1000, burst=256), HtbClass(1000000, 1000000, 262144, 262144)),
        (Limit(1000, 5000, 256), HtbClass(1000000, 5000000, 262144, 65536)),
        (Limit(1000, 5000, 10), HtbClass(1000000, 5000000, 10240, 10240)),
    ],
)
def test_a_burst_is_as_fast_as_the_peak_or_the_link(limit: Limit, htb_class: HtbClass) -> None:
    assert HtbClass.of(limit) == htb_class


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (Limit(1000), "1000 kB/s in bursts of 977 KiB"),
        (Limit(1000, burst=2048), "1000 kB/s in bursts of 2048 KiB"),
        (Limit(1000, 5000, 2048), "1000 kB/s, 5000 kB/s in bursts of 2048 KiB"),
    ],
)
def test_a_policer_lets_pass_what_a_second_or_the_burst_holds(limit: Limit, text: str) -> None:
    assert str(Policer.of(limit)) == text


@pytest.mark.parametrize(
    "error",
    ["Error: Specified qdisc kind is unknown.", "Error: Failed to load TC action module.", "Operation not supported"],
)
def test_a_kernel_without_the_modules_is_named_with_a_remedy(error: str) -> None:
    message = explain_tc_error(error)
    assert "module sch_htb" in message and "or leave bandwidth.inbound out" in message and message.endswith(error)
    assert explain_tc_error("File exists") == "File exists"
