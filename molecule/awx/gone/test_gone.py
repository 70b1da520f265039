"""The job for the teardown removes everything."""

from __future__ import annotations


def test_teardown_removes_everything(launch) -> None:
    job = launch("Virtual networks, all gone")
    assert job.hosts == {"debian12", "debian13"}
    assert all(any(task.endswith("Bridges of ours are gone") for task in tasks) for tasks in job.changed.values())
