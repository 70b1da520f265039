"""Owners and modes of our files."""

from __future__ import annotations

from lab.host import Host
from lab.modes import deviations, own_entries, rows


def test_files_and_folders_have_the_owners_and_modes_that_the_guide_says(lab_host: Host) -> None:
    assert len(own_entries(lab_host)) > 100
    assert deviations(lab_host) == []


def test_nothing_may_be_written_by_everybody_or_a_group(lab_host: Host) -> None:
    assert len(rows()) > 5
    assert not [entry for entry in own_entries(lab_host) if int(entry.mode, 8) & 0o022]
