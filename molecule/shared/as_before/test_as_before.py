"""A run in check mode leaves the host as it was before the first run, and so does teardown."""

from __future__ import annotations

import os
from pathlib import Path

from lab import snapshot
from lab.host import Host

BEFORE = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])


def test_host_is_as_before(lab_host: Host) -> None:
    before = snapshot.load(BEFORE / f"{lab_host.name}.before.json")
    differences = snapshot.differences(before, snapshot.take(lab_host))
    assert not differences, "\n" + "\n".join(differences)
