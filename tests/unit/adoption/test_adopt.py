# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Adoption and return of networks: plans, refusals, and the conversion of leases."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.adoption import records
from ansible_collections.virtnet.linux.plugins.module_utils.adoption.adopt import Adoptions, AdoptState
from ansible_collections.virtnet.linux.plugins.module_utils.adoption.give_back import Returns, ReturnState
from ansible_collections.virtnet.linux.plugins.module_utils.adoption.libvirt_leases import (
    parse_status,
    status_file,
    status_path,
)
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.lease_file import parse
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.links import Link
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt.connection import LibvirtNetwork
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.state import State as NetworksState

DNSMASQ = """\
1795268138 52:54:00:f0:ee:48 192.168.122.230 g 01:52:54:00:f0:ee:48
0 52:54:00:f0:ee:49 192.168.122.231 * *
duid 00:01:00:01:31:00:00:00:52:54:00:00:00:01
1795268139 1234567 fd5e:80::7 clerk 00:01:00:01:2f:00:00:00:52:54:00:f0:ee:48
"""
STATUS = [
    {
        "ip-address": "192.168.122.230",
        "mac-address": "52:54:00:f0:ee:48",
        "hostname": "g",
        "client-id": "01:52:54:00:f0:ee:48",
        "expiry-time": 1795268138,
    },
    {"ip-address": "192.168.122.231", "mac-address": "52:54:00:f0:ee:49", "expiry-time": 0},
    {
        "ip-address": "fd5e:80::7",
        "iaid": "1234567",
        "mac-address": "52:54:00:f0:ee:48",
        "server-duid": "00:01:00:01:31:00:00:00:52:54:00:00:00:01",
        "hostname": "clerk",
        "client-id": "00:01:00:01:2f:00:00:00:52:54:00:f0:ee:48",
        "expiry-time": 1795268139,
    },
]


def test_leases_of_libvirt_are_converted_to_dnsmasqs_format() -> None:
    assert parse_status(json.dumps(STATUS)).text() == DNSMASQ


def test_leases_of_dnsmasq_are_converted_to_libvirts_format(tmp_path: Path) -> None:
    file = status_file("virbr0", parse(DNSMASQ), Paths(str(tmp_path)))
    assert file.path == status_path("virbr0", Paths(str(tmp_path)))
    assert json.loads(file.content or "") == STATUS


def test_a_lease_without_a_hardware_address_is_not_written_for_libvirt(tmp_path: Path) -> None:
    duid = "duid 00:01\n1 2 fd5e:80::7 clerk 00:04:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99\n"
    assert status_file("virbr0", parse(duid), Paths(str(tmp_path))).content == ""


@pytest.mark.parametrize(
    "text", ["", "[", "{}", "7", "[" * 100_000, '[7, {"ip-address": "x"}, {"ip-address": "10.0.0.1"}]']
)
def test_bad_leases_are_ignored(text: str) -> None:
    assert parse_status(text).text() == ""


def test_a_value_with_a_line_break_cannot_inject_a_lease() -> None:
    injected = "g *\n0 52:54:00:00:00:01 10.0.0.1 x *"
    entries = [{**STATUS[0], "hostname": injected}]
    assert parse_status(json.dumps(entries)).text() == DNSMASQ.splitlines(keepends=True)[0].replace(" g ", " * ")
    for key in ("mac-address", "client-id", "ip-address", "expiry-time"):
        assert parse_status(json.dumps([{**STATUS[0], key: injected}])).text() == ""


def network(name: str, inside: str) -> LibvirtNetwork:
    identity = uuid.uuid5(uuid.NAMESPACE_DNS, name)
    xml = f"<network><name>{name}</name><uuid>{identity}</uuid>{inside}</network>"
    return LibvirtNetwork(name, str(identity), xml, xml, active=True, persistent=True, autostart=True)


OWN = network(
    "own", "<bridge name='virbr7'/><mac address='52:54:00:00:00:07'/><ip address='10.7.0.1' netmask='255.255.255.0'/>"
)
TAPPED = network("tapped", "<forward mode='passthrough'><interface dev='eth9'/></forward>")
PORT = """<networkport><owner><name>machine</name></owner><mac address='52:54:00:7b:35:93'/>
<bandwidth><inbound floor='200'/></bandwidth></networkport>"""


def state_of(*networks: LibvirtNetwork, **more: object) -> AdoptState:
    links = {"virbr7": Link("virbr7", 7, kind="bridge", mac="52:54:00:00:00:07", addresses=("10.7.0.1/24",))}
    given = {"version": (11, 3), "ours": NetworksState(links=links), **more}
    return AdoptState(networks={network.name: network for network in networks}, **given)  # type: ignore[arg-type]


def plan_for(current: AdoptState, paths: Paths, names: list[str] | None = None):
    return Adoptions(names, paths).plan(current)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    return Paths(str(tmp_path))


def test_a_network_without_a_bridge_stays_with_libvirt_with_a_note(paths: Paths) -> None:
    plan = plan_for(state_of(TAPPED), paths)
    assert not plan.changes
    assert "left with libvirt: network 'tapped'" in plan.notes[0]
    assert "passthrough" in plan.notes[0]


@pytest.mark.parametrize(
    ("current", "names", "message"),
    [
        (state_of(TAPPED), ["tapped"], "passthrough"),
        (state_of(OWN), ["nowhere"], "no network of libvirt's"),
        (state_of(OWN, ports={"own": [PORT]}), ["own"], "'machine' has a guaranteed share of bandwidth"),
        (state_of(OWN, ours=NetworksState()), ["own"], "its bridge 'virbr7' is gone"),
        (AdoptState(problem="libvirt's network driver is not installed"), None, "is not installed"),
    ],
)
def test_a_named_network_that_cannot_be_adopted_is_refused_with_the_reason(
    paths: Paths, current, names, message: str
) -> None:
    with pytest.raises(VirtnetError, match=message):
        plan_for(current, paths, names)


def test_stopped_networks_are_adopted_only_by_name(paths: Paths) -> None:
    assert not plan_for(state_of(replace(OWN, active=False)), paths).changes


def test_an_interrupted_return_has_to_be_completed_first(paths: Paths) -> None:
    record = replace(records.record_for(OWN, "virbr7", ()), phase=records.RETURNING)
    with pytest.raises(VirtnetError, match="its return to libvirt was cut short"):
        plan_for(state_of(OWN, records={"own": record}), paths)


def test_records_survive_a_round_trip(paths: Paths) -> None:
    record = records.record_for(OWN, "virbr7", [PORT])
    file = records.record_file(record, paths)
    Path(file.path).parent.mkdir(parents=True)
    Path(file.path).write_text(file.content or "")
    assert records.read_records(paths) == {"own": record}
    assert record.temporary_bridge != record.bridge
    assert len(record.temporary_bridge) <= 15
    Path(file.path).write_text("{")
    with pytest.raises(VirtnetError, match="cannot be read"):
        records.read_records(paths)


def test_a_network_that_was_not_adopted_cannot_be_given_back(paths: Paths) -> None:
    record = records.record_for(OWN, "virbr7", ())
    with pytest.raises(VirtnetError, match="no network that was taken over"):
        Returns(["nowhere"], paths).plan(ReturnState({"own": record}))
    assert not Returns(None, paths).plan(ReturnState()).changes
