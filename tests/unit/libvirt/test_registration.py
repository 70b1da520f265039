# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of registrations, without libvirt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption, VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt.connection import LibvirtNetwork
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt.definition import (
    RegistrationSpec,
    differs,
    registration_xml,
)
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt.live_update import live_updates
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt.options import read_libvirt
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt.reconciler import Registrations, RegistrationState
from lxml import etree
from tools import libvirt_schema

UUID = "3e3fce45-4f53-4fa7-bb32-11f34168b82b"
LAB = {"name": "lab", "uuid": UUID, "bridge": "vn-lab"}


def spec(**options: Any) -> RegistrationSpec:
    return RegistrationSpec.from_options(Options({**LAB, **options}))


def registered_network(registration: RegistrationSpec, **values: Any) -> LibvirtNetwork:
    """The network that libvirt has after a registration."""
    xml = registration_xml(registration, (9, 0))
    network = LibvirtNetwork(
        name=registration.name,
        uuid=registration.uuid,
        xml=xml,
        live=xml,
        active=registration.active,
        persistent=registration.persistent,
        autostart=registration.persistent and registration.autostart,
    )
    return replace(network, **values)


def plan(*desired: RegistrationSpec, current: tuple[LibvirtNetwork, ...] = (), purge: bool = False) -> Any:
    state = RegistrationState({network.name: network for network in current}, version=(9, 0))
    return Registrations(desired, purge, Paths()).plan(state)


def steps(desired: RegistrationSpec, *current: LibvirtNetwork) -> list[str]:
    changes = plan(desired, current=current).changes
    return list(map(str, changes[0].steps)) if changes else []


# Changes that libvirt makes while the network runs, and changes that need a restart.
LIGHT = {"portgroups": [{"name": "fast"}]}
OTHER = {"trust_guest_rx_filters": True}


@pytest.mark.parametrize(
    ("before", "change", "after", "expected"),
    [
        ({}, {}, {}, []),
        ({"active": False}, {}, {}, ["start"]),
        ({}, {}, {"active": False}, ["stop"]),
        ({"autostart": False}, {}, {}, ["autostart"]),
        ({}, {}, {"autostart": False}, ["no autostart"]),
        ({}, {}, {"libvirt": OTHER}, ["stop", "define", "start"]),
        ({"active": False}, {}, {"active": False, "libvirt": OTHER}, ["define"]),
        ({}, {"guests": 2}, {"libvirt": OTHER}, ["define"]),
        ({}, {}, {"libvirt": LIGHT}, ["define", "add portgroup fast"]),
        ({}, {"guests": 2}, {"libvirt": LIGHT}, ["define", "add portgroup fast"]),
        ({"libvirt": LIGHT}, {"guests": 2}, {}, ["define", "remove portgroup fast"]),
        ({"persistent": False}, {}, {"persistent": False, "libvirt": LIGHT}, ["add portgroup fast"]),
        ({}, {"active": False}, {"active": False, "libvirt": LIGHT}, ["define"]),
        ({}, {}, {"active": False, "libvirt": LIGHT}, ["stop", "define"]),
        ({}, {}, {"libvirt": {**LIGHT, **OTHER}}, ["stop", "define", "start"]),
        ({}, {"live": registration_xml(spec(libvirt=OTHER), (9, 0))}, {}, ["stop", "start"]),
        ({}, {"live": registration_xml(spec(libvirt=OTHER), (9, 0)), "guests": 1}, {}, []),
        ({"persistent": False}, {}, {"persistent": False}, []),
        ({"persistent": False}, {}, {}, ["define", "autostart"]),
        ({}, {}, {"persistent": False}, ["undefine"]),
        ({"persistent": False}, {}, {"persistent": False, "libvirt": OTHER}, ["stop", "create transient"]),
        ({}, {}, {"uuid": UUID[::-1]}, ["stop", "undefine", "define", "start", "autostart"]),
    ],
)
def test_steps_are_the_minimum(
    before: dict[str, Any], change: dict[str, Any], after: dict[str, Any], expected: list[str]
) -> None:
    assert steps(spec(**after), registered_network(spec(**before), **change)) == expected


def test_a_new_network_is_defined_and_started_and_a_transient_one_created() -> None:
    assert steps(spec()) == ["define", "start", "autostart"]
    assert steps(spec(active=False, autostart=False)) == ["define"]
    assert steps(spec(persistent=False)) == ["create transient"]
    assert steps(spec(persistent=False, active=False)) == []


def test_there_are_never_two_default_portgroups() -> None:
    first = {"portgroups": [{"name": "a", "default": True}, {"name": "b"}, {"name": "c"}, {"name": "d"}]}
    then = {"portgroups": [{"name": "b", "default": True}, {"name": "a"}, {"name": "c"}, {"name": "e"}]}
    expected = ["define", "remove portgroup d", "change portgroup a", "change portgroup b", "add portgroup e"]
    assert steps(spec(libvirt=then), registered_network(spec(libvirt=first))) == expected


def test_title_and_description_are_updated_live_since_libvirt_9_7() -> None:
    new = registration_xml(spec(title="new"), (11, 3))
    old = registration_xml(spec(title="old", description="removed"), (11, 3))
    assert list(map(str, live_updates(old, new, (11, 3)) or ())) == ["change title", "change description"]
    assert live_updates(new.replace("vn-lab", "vn-other"), new, (11, 3)) is None


def test_metadata_is_updated_live_since_libvirt_9_7() -> None:
    def definition(*metadata: str) -> str:
        return registration_xml(spec(libvirt={"metadata": list(metadata)}), (11, 3))

    old, new = (
        definition("<x xmlns='urn:x'/>", "<y xmlns='urn:y'/>"),
        definition("<n:y xmlns:n='urn:y' a='1'>b<n:z/></n:y>"),
    )
    updates = live_updates(old, new, (11, 3)) or ()
    assert list(map(str, updates)) == ["remove metadata urn:x", "change metadata urn:y"]
    assert updates[1].text == '<y xmlns:n="urn:y" a="1">b<n:z/></y>'
    assert live_updates(old, new, (9, 0)) is None


def test_a_network_with_guests_is_not_restarted_but_noted() -> None:
    noted = plan(
        spec(), current=(registered_network(spec(), live=registration_xml(spec(libvirt=OTHER), (9, 0)), guests=2),)
    )
    assert not noted.changes
    assert "has guests (2)" in noted.notes[0]


def test_order_white_space_and_spelling_are_not_a_difference() -> None:
    registration = spec(
        libvirt={
            "portgroups": [{"name": "a"}, {"name": "b", "virtualport": {"parameters": {"managerid": "0x0B"}}}],
            "metadata": ["<x xmlns='urn:x'/>"],
        }
    )
    root = etree.fromstring(registration_xml(registration, (9, 0)))
    root.set("connections", "3")
    root[:] = list(reversed(root))
    root.find("portgroup/virtualport/parameters").set("managerid", "11")
    etree.indent(root)
    assert not differs(etree.tostring(root, encoding="unicode"), registration_xml(registration, (9, 0)))
    root.find("portgroup").set("default", "yes")
    assert differs(etree.tostring(root, encoding="unicode"), registration_xml(registration, (9, 0)))


FOREIGN = LibvirtNetwork("lab", UUID, "<network><name>lab</name></network>", "", True, True, True)


def test_port_parameters_are_spelled_as_libvirt_writes_them() -> None:
    port = {"type": "802.1Qbg", "parameters": {"instanceid": UUID.upper(), "managerid": "0x0B", "typeid": "010"}}
    expected = {"instanceid": UUID, "managerid": "11", "typeid": "10"}
    assert read_libvirt(Options({"virtualport": port})).virtualport["parameters"] == expected


def test_a_network_without_our_mark_is_refused_by_name_and_uuid_and_never_removed() -> None:
    with pytest.raises(VirtnetError, match="network 'lab': name: libvirt has a network of this name that is not ours"):
        plan(spec(), current=(FOREIGN,))
    with pytest.raises(VirtnetError, match="network 'lab': uuid: .* not ours .'other'.; give ours another uuid"):
        plan(spec(), current=(replace(FOREIGN, name="other"),))
    absent = RegistrationSpec.from_options(Options({"name": "lab", "state": "absent"}))
    assert not plan(absent, current=(FOREIGN,)).changes
    assert not plan(current=(FOREIGN,), purge=True).changes


def test_xml_that_libvirt_did_not_escape_is_not_ours() -> None:
    broken = replace(FOREIGN, xml="<network><name>lab</name><parameters profileid='a & b'/></network>")
    assert not plan(current=(broken,), purge=True).changes


def test_absent_and_purge_remove_networks_with_our_mark() -> None:
    absent = RegistrationSpec.from_options(Options({"name": "lab", "state": "absent"}))
    for removal in (
        plan(absent, current=(registered_network(spec()),)),
        plan(current=(registered_network(spec()),), purge=True),
    ):
        assert [list(change.steps) for change in removal.changes] == [["stop", "undefine"]]
    assert list(plan(absent, current=(registered_network(spec(persistent=False)),)).changes[0].steps) == ["stop"]


def test_without_libvirt_auto_does_nothing_and_true_is_an_error(tmp_path: Path) -> None:
    paths = Paths(root=str(tmp_path))
    for register, expected in (("auto", ""), (True, "network driver is not installed")):
        reconciler = Registrations([spec(libvirt={"register": register})], False, paths)
        if expected:
            with pytest.raises(VirtnetError, match=expected):
                reconciler.plan(reconciler.read())
        else:
            assert reconciler.plan(reconciler.read()).changes == ()
    unreachable = Registrations([spec()], False, paths).plan(RegistrationState(problem="it does not answer"))
    assert unreachable.notes == ["networks are not registered with libvirt: it does not answer"]


def test_vlan_on_a_linux_bridge_needs_a_newer_libvirt() -> None:
    registration = spec(libvirt={"portgroups": [{"name": "a", "vlan": {"tags": [{"id": 5}]}}]})
    with pytest.raises(VirtnetError, match=r"libvirt.portgroups\[0\].vlan: libvirt 9.0 knows VLANs on Open vSwitch"):
        plan(registration)


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_registrations_are_valid_in_libvirts_schema(suite: str) -> None:
    registration = spec(
        title="A < B",
        isolate_guests=True,
        libvirt={
            "trust_guest_rx_filters": True,
            "virtualport": {"type": "openvswitch", "parameters": {"profileid": "p"}},
            "vlan": {"tags": [{"id": 4}, {"id": 5, "native_mode": "tagged"}]},
            "portgroups": [{"name": "a", "bandwidth": {"outbound": {"average": 5}}}],
            "metadata": ["<x xmlns='urn:x'><y/></x>"],
        },
    )
    schema = libvirt_schema.schema(suite)
    version = {"bookworm": (9, 0), "trixie": (11, 3)}[suite]
    assert schema.validate(etree.fromstring(registration_xml(registration, version))), schema.error_log


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"register": "maybe"}, "libvirt.register: 'maybe' is not possible; use one of auto, true, false"),
        ({"portgroup": []}, "libvirt.portgroup: there is no such option; did you mean 'portgroups'?"),
        ({"portgroups": [{}]}, "libvirt.portgroups[0].name: is required"),
        ({"portgroups": [{"name": "a b"}]}, "libvirt.portgroups[0].name: 'a b' is not a name"),
        ({"portgroups": [{"name": "a"}, {"name": "a"}]}, "libvirt.portgroups[1].name: 'a' is already"),
        (
            {"portgroups": [{"name": "a", "default": True}, {"name": "b", "default": True}]},
            "libvirt.portgroups[1].default: 'a' is the default already",
        ),
        (
            {"portgroups": [{"name": "a", "bandwidth": {"inbound": {"floor": 1}}}]},
            "libvirt.portgroups[0].bandwidth.inbound.floor: is for bridges that libvirt itself makes",
        ),
        ({"vlan": {"tags": [{"id": 4096}]}}, "libvirt.vlan.tags[0].id: 4096 is out of range"),
        ({"vlan": {"trunk": True}}, "libvirt.vlan.tags: is required"),
        ({"virtualport": {"type": "ovs"}}, "libvirt.virtualport.type: 'ovs' is not possible"),
        (
            {"virtualport": {"type": "openvswitch", "parameters": {"interfaceid": "7"}}},
            "libvirt.virtualport.parameters.interfaceid: '7' is not a value for interfaceid",
        ),
        (
            {"virtualport": {"type": "openvswitch", "parameters": {"managerid": "7"}}},
            "libvirt.virtualport.parameters.managerid: there is no such option",
        ),
        (
            {"virtualport": {"type": "802.1Qbh", "parameters": {"profileid": "'/><bridge name='x"}}},
            "libvirt.virtualport.parameters.profileid: ",
        ),
        ({"virtualport": {"type": "midonet"}}, "libvirt.virtualport.parameters: is required with type midonet"),
        ({"virtualport": {"parameters": {"a": "b"}}}, "libvirt.virtualport.parameters.a: there is no such option"),
        ({"metadata": "<x/>"}, "libvirt.metadata[0]: <x> has no namespace"),
        ({"metadata": ["<x xmlns='urn:x'/>", "<y xmlns='urn:x'/>"]}, "libvirt.metadata[1]: namespace 'urn:x' is there"),
        ({"metadata": ["<x xmlns='urn:virtnet.linux:registration:1.0'/>"]}, "is the namespace of virtnet.linux itself"),
    ],
)
def test_bad_options_are_refused_by_path(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        read_libvirt(Options({"libvirt": options}).group("libvirt"))
    assert expected in str(caught.value)
