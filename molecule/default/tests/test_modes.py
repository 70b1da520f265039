"""Who may read and write what is ours."""

from __future__ import annotations

from lab.host import Host
from lab.modes import ours, rows, wrong


def test_files_and_folders_have_the_owners_and_modes_that_the_guide_says(lab_host: Host) -> None:
    assert len(ours(lab_host)) > 100
    assert wrong(lab_host) == []


def test_nothing_may_be_written_by_everybody_or_a_group(lab_host: Host) -> None:
    assert len(rows()) > 5
    assert not [one for one in ours(lab_host) if int(one.mode, 8) & 0o022]
