# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is told of policies on a host with definitions, compared with real packets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.guard_testbed import GuardTestbed, network_without_services
from kernel.testbed import OUTSIDE, UPLINK

A, B = "192.168.30", "192.168.31"


def lab(**policy: Any) -> dict[str, Any]:
    return network_without_services("lab", ipv4={"address": f"{A}.1/24"}, policy=policy)


DMZ = network_without_services("dmz", ipv4={"address": f"{B}.1/24"})


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[GuardTestbed]:
    testbed = GuardTestbed(tmp_path)
    try:
        testbed.outside.serve()
        yield testbed
    finally:
        testbed.close()


def test_info_returns_the_entries_of_each_policy_and_what_they_have_matched(testbed: GuardTestbed) -> None:
    testbed.run_playbook(lab(allow=[{"network": "dmz", "protocol": "tcp", "port": 8000}], deny=[{"to": OUTSIDE}]), DMZ)
    guest = testbed.add_guest("vn-lab", f"{A}.2/24", f"{A}.1")
    testbed.add_guest("vn-dmz", f"{B}.2/24", f"{B}.1").serve()
    assert guest.ask(f"{B}.2") == f"{A}.2"
    assert guest.ask(f"{B}.2") == f"{A}.2"
    assert guest.ask(OUTSIDE) == ""
    assert testbed.host.ask(OUTSIDE) == UPLINK
    described = json.loads(testbed.host.run_engine("describe_networks", str(testbed.root)))
    policies = {network["name"]: network["policy"] for network in described["networks"]}
    allowed, denied = policies["lab"]
    assert policies["dmz"] == []
    assert allowed == {"entry": "allow -> dmz tcp 8000", "packets": 2}
    assert denied["entry"] == f"deny -> {OUTSIDE}"
    assert denied["packets"] > 0


def test_the_check_names_no_network_as_cut_off_whose_policy_refuses_the_outside(testbed: GuardTestbed) -> None:
    # Without the policy it is a fault that the host forwards nothing that arrives from the outside.
    closed = "does not forward IPv4 packets that arrive on eth0"
    testbed.run_playbook(lab())
    testbed.host.run("sysctl", "-qw", "net.ipv4.conf.eth0.forwarding=0")
    assert closed in testbed.command("check", check=False)
    testbed.run_playbook(lab(default="deny"))
    testbed.host.run("sysctl", "-qw", "net.ipv4.conf.eth0.forwarding=0")
    told = testbed.command("check", check=False)
    assert closed not in told
    assert "dropped" not in told
    assert "note: network 'lab': packets guest to outside (IPv4) are refused by its policy" in told
