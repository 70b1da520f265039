# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real playbooks on fleets of hosts, with variables and hosts as administrators and AWX have them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.by_name import each_by_name
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import read_network
from kernel.fleet_testbed import QUIET, FleetTestbed
from kernel.inventory_testbed import REPOSITORY, Controller, python_of, versions
from tools.examples import shown

LAB = {"name": "lab", **QUIET}


@pytest.fixture(params=versions())
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FleetTestbed]:
    testbed = FleetTestbed(tmp_path, python_of(request.param))
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


def test_networks_may_be_a_mapping_by_name(fleet: FleetTestbed) -> None:
    """Also for other hosts of the play, which avoid what it fixes."""
    fixed = {**QUIET, "ipv4": {**QUIET["ipv4"], "address": "192.168.0.1/24"}}
    hosts = (
        fleet.host("hv1", virtnet_networks={"lab": QUIET, "web": QUIET}),
        fleet.host("hv2", virtnet_networks={"lab": fixed, "old": {"state": "absent"}}),
    )
    run = fleet.run("-evirtnet_fleet_unique=true")
    assert run.code == 0
    assert [sorted(host.networks()) for host in hosts] == [["lab", "web"], ["lab"]]
    subnets = {one["ipv4"]["address"] for host in hosts for one in host.networks().values()}
    assert len(subnets) == 3
    assert all(count["changed"] == 0 for count in fleet.run("-evirtnet_fleet_unique=true").recap.values())
    survey = ("-evirtnet_asked_name=web", "-evirtnet_asked_state=absent", "--limit=hv1")
    assert fleet.run_book(REPOSITORY / "playbooks/awx/site.yml", *survey).code == 0
    assert sorted(hosts[0].networks()) == ["lab"]
    fleet.controller.variables["hv1"]["virtnet_networks"] = {"lab": {**QUIET, "name": "web"}}
    run = fleet.run("--limit=hv1")
    assert run.recap["hv1"]["failed"] == 1
    assert "networks.lab.name: 'web' contradicts the key 'lab'" in run.words


def test_networks_of_groups_and_hosts_are_combined_as_the_guide_shows(tmp_path: Path) -> None:
    (example,) = (one.text for one in shown() if "networks_of_group:" in one.text)
    inventory = tmp_path / "guide.yml"
    inventory.write_text(example)
    said = {"content": "{{ virtnet_networks | to_json }}", "dest": f"{tmp_path}/{{{{ inventory_hostname }}}}.json"}
    task = {"ansible.builtin.copy": said, "delegate_to": "localhost"}
    play = {"hosts": "all", "tasks": [task]}
    assert Controller(tmp_path, Path(sys.executable)).run_plays(inventory, play).returncode == 0
    networks = {host: json.loads((tmp_path / f"{host}.json").read_text()) for host in ("hv1", "hv2", "hv3")}
    web = {"mode": "isolated", "dns": {"domain": "web.example"}}
    assert networks == {
        "hv1": {
            "lab": {"dns": {"domain": "hv1.example"}},
            "dmz": {"mode": "routed", "ipv4": {"address": "10.20.30.1/24"}},
            "web": web,
        },
        "hv2": {"lab": None, "web": {**web, "state": "absent"}},
        "hv3": {"lab": None, "web": web},
    }
    for host, listed in networks.items():
        for one in each_by_name(Options({"networks": listed}), "networks"):
            assert read_network(one, host).name in listed


@pytest.mark.parametrize(
    "play",
    [
        pytest.param({}, id="linear"),
        pytest.param({"serial": 2}, id="serial", marks=pytest.mark.nightly),
        pytest.param({"strategy": "free"}, id="free", marks=pytest.mark.nightly),
    ],
)
def test_a_host_that_is_down_stops_no_other_host(fleet: FleetTestbed, play: dict[str, Any]) -> None:
    """One that is down comes first by name: what runs once for all hosts would run there. One is in a later batch."""
    lists = {"virtnet_networks": {"lab": QUIET}}
    fleet.host_that_is_down("hv1", **lists)
    hosts = [fleet.host("hv2", **lists)]
    fleet.host_that_is_down("hv3", **lists)
    hosts.append(fleet.host("hv4", **lists))
    run = fleet.run("-evirtnet_fleet_unique=true", **play)
    assert [host.bridges() for host in hosts] == [["vn-lab"], ["vn-lab"]]
    assert len({host.networks()["lab"]["ipv4"]["address"] for host in hosts}) == 2
    assert [run.recap[name]["unreachable"] for name in ("hv1", "hv3")] == [1, 1]
    assert [run.recap[name]["failed"] for name in ("hv2", "hv4")] == [0, 0]
    assert run.code != 0


def test_a_batch_that_is_down_as_a_whole_is_announced_since_ansible_ends_the_play_there(fleet: FleetTestbed) -> None:
    lists = {"virtnet_networks": {"lab": QUIET}}
    first = fleet.host("hv1", **lists)
    fleet.host_that_is_down("hv2", **lists)
    fleet.host("hv3", **lists)
    run = fleet.run("-evirtnet_fleet_unique=true", serial=1)
    assert first.bridges() == ["vn-lab"]
    assert run.recap["hv2"]["unreachable"] == 1
    assert run.code != 0
    assert "hv2 did not answer. Ansible ends a play at a batch in which no host answers" in run.words
    assert "host hv2: what it holds is not known" in run.words
