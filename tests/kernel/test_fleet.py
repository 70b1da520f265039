# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real playbooks on fleets of hosts, with variables and hosts as administrators and AWX have them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel.fleet_testbed import QUIET, FleetTestbed

LAB = {"name": "lab", **QUIET}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[FleetTestbed]:
    testbed = FleetTestbed(tmp_path)
    yield testbed
    testbed.close()


def test_booleans_may_be_texts(fleet: FleetTestbed) -> None:
    """By -e and by an ini inventory. Words for false do not count as true, as other texts do."""
    host = fleet.host("hv1", virtnet_networks=[LAB, {"name": "old", **QUIET}])
    run = fleet.run("-evirtnet_purge=false", "-evirtnet_fleet_unique=no", "-evirtnet_guard=yes")
    assert run.code == 0
    assert sorted(host.networks()) == ["lab", "old"]
    assert "virtnet guard" in host.run("cat", "/etc/systemd/system/virtnet.service")
    assert "Read the networks of this host" not in run.output
    fleet.controller.variables["hv1"]["virtnet_networks"] = [LAB]
    ini = fleet.folder / "more.ini"
    ini.write_text("[all:vars]\nvirtnet_purge=true\nvirtnet_fleet_unique=true\nvirtnet_guard=false\n")
    run = fleet.run(f"--inventory={ini}")
    assert run.code == 0
    assert sorted(host.networks()) == ["lab"]
    assert "restore --stage networks" in host.run("cat", "/etc/systemd/system/virtnet.service")
    assert "Read the networks of this host" in run.output
