"""A job in check mode reports the changes for the host that it is limited to, and changes nothing."""

from __future__ import annotations


def test_check_mode_plans_on_the_limited_host(launch) -> None:
    answers = {"virtnet_asked_name": "asked", "virtnet_asked_address": "10.91.0.1/24"}
    job = launch("Virtual networks", answers, limit="debian13", check=True)
    assert job.hosts == {"debian13"}
    assert any(task.endswith("Networks are valid, complete and defined") for task in job.changed["debian13"])
    assert job.stats["failures"] == {}
