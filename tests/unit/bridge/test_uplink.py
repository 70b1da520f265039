# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The uplink of the host as a port of a bridge: the plan and the record; without a kernel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.bridge import uplink_rollback
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.reconciler import BridgeReconciler
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.spec import BridgeSpec
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.state import BridgeState
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.uplink import (
    Uplink,
    Uplinks,
    confirm,
    read_record,
    record_file,
    unconfirmed,
)
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.files import write_files
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.link_changes import (
    AddAddress,
    AttachPort,
    DeleteAddress,
    DetachPort,
    HostRoute,
    PutHostRoute,
    Step,
)
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.links import Link
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import read_network
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.desired_state import specs_for

ETH0 = Link("eth0", 2, mac="52:54:00:00:00:02", up=True, addresses=["192.0.2.2/24"])
ROUTE = HostRoute(4, "default", "192.0.2.1")
MOVED = Uplink("eth0", ETH0.mac, ("192.0.2.2/24",), (ROUTE,), True)
BEFORE_MOVE = BridgeState({"eth0": ETH0}, frozenset({"eth0"}), uplinks=Uplinks(routes={"eth0": [ROUTE]}, may_move=True))
LAN = {"name": "vn-lan", "mac": "52:54:00:aa:bb:cc", "ports": ["eth0"], "enslave_uplink": True}


def plan(current: BridgeState, **more: object):  # noqa: ANN201
    return BridgeReconciler([BridgeSpec.from_options(Options({**LAN, **more}))], False, Paths("/nowhere")).plan(current)


def steps(current: BridgeState, **more: object) -> list[Step]:
    return [step for change in plan(current, **more).changes for step in change.steps]


def test_the_bridge_has_the_addresses_before_the_uplink_is_a_port_and_routes_move_before_addresses_are_deleted() -> (
    None
):
    moving = [
        step for step in steps(BEFORE_MOVE) if isinstance(step, (AddAddress, DeleteAddress, AttachPort, PutHostRoute))
    ]
    assert moving == [
        AddAddress("vn-lan", "192.0.2.2/24"),
        AttachPort("eth0", "vn-lan"),
        PutHostRoute("vn-lan", ROUTE),
        DeleteAddress("eth0", "192.0.2.2/24"),
    ]
    (change,) = plan(BEFORE_MOVE).changes
    assert change.moved == replace(MOVED, confirmed=False) and change.confirm_within == 60
    assert f"mac: {ETH0.mac}" in change.after


def test_a_run_that_cannot_confirm_moves_only_an_uplink_that_was_confirmed() -> None:
    alone = replace(BEFORE_MOVE, uplinks=replace(BEFORE_MOVE.uplinks, may_move=False))
    for current in (
        alone,
        replace(alone, uplinks=replace(alone.uplinks, records={"vn-lan": replace(MOVED, confirmed=False)})),
    ):
        assert not any(isinstance(step, (AttachPort, DeleteAddress)) for step in steps(current))
        assert "eth0 does not become a port of vn-lan" in plan(current).notes[0]
    # After a boot the interface has no addresses.
    booted = replace(alone, links={"eth0": replace(ETH0, addresses=())}, default_routes=frozenset())
    booted = replace(booted, uplinks=Uplinks({"vn-lan": MOVED}))
    assert {AddAddress("vn-lan", "192.0.2.2/24"), AttachPort("eth0", "vn-lan"), PutHostRoute("vn-lan", ROUTE)} <= set(
        step for step in steps(booted) if isinstance(step, (AddAddress, AttachPort, PutHostRoute))
    )


def test_the_uplink_gets_back_what_moved_when_the_bridge_or_the_port_is_removed() -> None:
    bridge = Link("vn-lan", 3, "bridge", ETH0.mac, up=True, alias="virtnet.linux", addresses=["192.0.2.2/24"])
    port = replace(ETH0, master="vn-lan", addresses=())
    current = BridgeState({"eth0": port, "vn-lan": bridge}, uplinks=Uplinks({"vn-lan": MOVED}))
    returning = [AddAddress("eth0", "192.0.2.2/24"), DetachPort("eth0"), PutHostRoute("eth0", ROUTE)]
    assert steps(current, state="absent")[:3] == returning
    assert steps(current, ports=[], enslave_uplink=False)[:3] == returning
    with pytest.raises(InvalidOption, match="'eth0' carries a default route"):
        plan(current, enslave_uplink=False)


@pytest.mark.parametrize(
    "more", [{"mode": "isolated"}, {"ipv4": {"address": "auto"}}, {"bridge": {"enslave_uplink": True}}]
)
def test_a_network_with_the_uplink_as_a_port_has_no_addresses_of_its_own(more: dict[str, object]) -> None:
    lan = {
        "name": "lan",
        "mode": "open",
        "ipv4": {"address": "none"},
        "bridge": {"ports": ["eth0"], "enslave_uplink": True, "confirm_within": 20},
    }
    network = read_network(Options(lan), "host")
    assert read_network(Options(network.as_options()), "host") == network
    with pytest.raises(InvalidOption, match="enslave_uplink: is for mode open"):
        read_network(Options({**lan, **more}), "host")
    with pytest.raises(InvalidOption, match="port_forwards: have no meaning with bridge.enslave_uplink"):
        read_network(Options({**lan, "port_forwards": [{"port": 80, "to": "192.0.2.9"}]}), "host")
    # The bridge is the uplink of the other networks.
    assert specs_for([network], {})["rules"] == [{"name": "lan", "state": "absent"}]


def test_a_move_is_recorded_as_unconfirmed_and_a_confirmed_one_is_not_rolled_back(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    assert read_record("vn-lan", paths) is None and not unconfirmed(paths)
    write_files([record_file("vn-lan", replace(MOVED, confirmed=False), paths)])
    assert unconfirmed(paths)
    confirm(paths)
    assert not unconfirmed(paths) and read_record("vn-lan", paths) == MOVED
    uplink_rollback.watch("vn-lan", 0, paths)
    uplink_rollback.roll_back("vn-lan", paths)
    assert read_record("vn-lan", paths) == MOVED
    (tmp_path / "var/lib/virtnet/uplinks/vn-lan.json").write_text("{")
    assert read_record("vn-lan", paths) is None
