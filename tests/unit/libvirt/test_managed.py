# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks with managed_by: libvirt: which calls to libvirt are planned."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption, VirtnetError
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt.connection import LibvirtNetwork
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt.definition import RegistrationSpec, registered_by_us
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt.managed_update import (
    DefinitionDigests,
    digest,
    is_equivalent,
)
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt.reconciler import Registrations, RegistrationState
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import read_network
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.desired_state import specs_for

UUID = "9a5f7829-e7e7-4049-a988-fd99658c37c2"
GIVEN = """<network><name>own</name><forward mode='nat'/>
<ip address='10.9.0.1' netmask='255.255.255.0'><dhcp><range start='10.9.0.2' end='10.9.0.9'/></dhcp></ip></network>"""
# The XML that libvirt 11.3 returns.
LISTED = f"""<network connections='1'><name>own</name><uuid>{UUID}</uuid>
<forward mode='nat'><nat><port start='1024' end='65535'/></nat></forward><bridge name='virbr3' stp='on' delay='0'/>
<mac address='52:54:00:7c:60:5b'/><ip address='10.9.0.1' netmask='255.255.255.0'>
<dhcp><range start='10.9.0.2' end='10.9.0.9'/></dhcp></ip></network>"""
POOL = "<network><name>own</name><forward mode='hostdev'><pf dev='eth7'/></forward></network>"
CURRENT = LibvirtNetwork("own", UUID, LISTED, LISTED, active=True, persistent=True, autostart=True)


def plan_for(spec: RegistrationSpec, network: LibvirtNetwork | None, digests: DefinitionDigests | None = None):
    networks = {} if network is None else {"own": network}
    stored = {} if digests is None else {"own": digests}
    return Registrations([spec], False, Paths("/nowhere")).plan(RegistrationState(networks, (11, 3), digests=stored))


def steps(
    spec: RegistrationSpec, network: LibvirtNetwork | None, digests: DefinitionDigests | None = None
) -> list[str]:
    return [str(step) for change in plan_for(spec, network, digests).changes for step in change.steps]


def spec_for(xml: str = GIVEN, **more: bool) -> RegistrationSpec:
    return RegistrationSpec(name="own", xml=xml, **more)  # type: ignore[arg-type]


def test_values_that_libvirt_adds_are_not_a_difference() -> None:
    assert steps(spec_for(), CURRENT) == []


def test_a_new_network_gets_our_mark_and_an_existing_one_does_not() -> None:
    (change,) = plan_for(spec_for(), None).changes
    assert list(change.steps) == ["define", "start", "autostart"]
    assert registered_by_us(change.xml)
    (changed,) = plan_for(spec_for(GIVEN.replace("10.9.0.9", "10.9.0.8")), CURRENT).changes
    assert not registered_by_us(changed.xml)
    assert UUID in changed.xml
    assert "52:54:00:7c:60:5b" in changed.xml
    assert "virbr3" in changed.xml


def test_lists_are_updated_while_the_network_runs() -> None:
    planned = steps(
        spec_for(GIVEN.replace("10.9.0.9'/>", "10.9.0.9'/><host mac='52:54:00:00:00:01' ip='10.9.0.7'/>")), CURRENT
    )
    assert planned[0] == "define"
    assert planned[1].startswith("add ip-dhcp-host <host")
    assert len(planned) == 2


def test_a_changed_element_is_removed_before_it_is_added() -> None:
    planned = steps(spec_for(GIVEN.replace("10.9.0.9", "10.9.0.8")), CURRENT)
    assert [step.partition(" <")[0] for step in planned] == ["define", "remove ip-dhcp-range", "add ip-dhcp-range"]


def test_other_changes_wait_for_the_next_start_with_a_note() -> None:
    other = GIVEN.replace("10.9.0.1'", "10.9.0.3'")
    plan = plan_for(spec_for(other), CURRENT)
    assert [list(change.steps) for change in plan.changes] == [["define"]]
    assert "takes effect at its next start" in plan.notes[0]
    assert not plan.changes[0].is_live


def test_the_network_is_restarted_with_restart_true() -> None:
    assert steps(spec_for(GIVEN.replace("10.9.0.1'", "10.9.0.3'"), restart=True), CURRENT) == [
        "stop",
        "define",
        "start",
    ]


@pytest.mark.parametrize(
    ("desired", "network", "expected"),
    [
        ({"autostart": False}, CURRENT, ["no autostart"]),
        ({"active": False}, CURRENT, ["stop"]),
        ({"active": False, "autostart": False}, CURRENT, ["stop", "no autostart"]),
        ({}, replace(CURRENT, active=False, autostart=False), ["start", "autostart"]),
        ({"persistent": False}, CURRENT, ["undefine"]),
        ({"persistent": False}, None, ["create transient"]),
        ({}, replace(CURRENT, persistent=False, autostart=False), ["define", "autostart"]),
    ],
)
def test_state_autostart_and_persistence_combine(desired, network, expected: list[str]) -> None:
    assert steps(spec_for(**desired), network) == expected


def test_what_has_no_effect_on_networks_of_ours_is_a_difference_of_one_of_libvirts() -> None:
    assert steps(spec_for(GIVEN.replace("<network", "<network ipv6='yes'", 1), restart=True), CURRENT)
    assert steps(spec_for(GIVEN.replace("<network", "<network ipv6='no'", 1), restart=True), CURRENT) == []


def test_a_definition_unknown_to_our_model_is_compared_by_digests() -> None:
    completed = POOL.replace("<pf", "<driver name='vfio'/><pf").replace("<name>", f"<uuid>{UUID}</uuid><name>")
    network = replace(CURRENT, xml=completed, live=completed)
    assert not is_equivalent(completed, POOL)
    digests = DefinitionDigests(digest(POOL), digest(completed), digest(completed))
    assert steps(spec_for(POOL), network, digests) == []
    assert steps(spec_for(POOL), network, replace(digests, stored="")) == ["define"]


def test_a_different_uuid_is_refused() -> None:
    with pytest.raises(VirtnetError, match="does not change that"):
        plan_for(
            spec_for(GIVEN.replace("</name>", "</name><uuid>0f59da73-dadb-41ed-977e-239c4861e6d7</uuid>")), CURRENT
        )


def test_absent_removes_a_network_without_our_mark() -> None:
    assert steps(RegistrationSpec("own", state="absent", managed_by="libvirt"), CURRENT) == ["stop", "undefine"]
    assert steps(RegistrationSpec("own", state="absent"), CURRENT) == []


def read(**options: object):
    return read_network(Options({"managed_by": "libvirt", **options}), "host")


def test_only_the_registration_is_made_for_it() -> None:
    network = read(xml=LISTED)
    assert read_network(Options(network.as_options()), "host") == network
    specs = specs_for([network], {})
    assert [kind for kind, items in specs.items() if items] == ["registrations"]
    (registration,) = specs["registrations"]
    assert RegistrationSpec.from_options(Options(dict(registration))).managed


def test_options_are_converted_to_libvirts_xml() -> None:
    xml = read(name="own", mode="routed", ipv4={"address": "10.9.0.1/24"}, dns={"domain": "own.test"}).xml
    assert '<forward mode="route"/>' in xml
    assert "own.test" in xml
    assert "virtnet" not in xml
    assert "<network>" in xml


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "own"}, "ipv4.address: 'auto' is not possible"),
        ({"xml": "<domain/>"}, "is a <domain>"),
        ({"xml": GIVEN, "name": "other"}, "is not the name in the XML, 'own'"),
        ({"xml": GIVEN, "mode": "nat"}, "cannot be combined with mode"),
        (
            {"name": "own", "ipv4": {"address": "10.9.0.1/24"}, "port_forwards": [{"port": 80, "to": "10.9.0.9"}]},
            "port_forwards: is not possible with libvirt",
        ),
    ],
)
def test_impossible_options_are_refused(options, message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        read(**options)


def test_restart_is_only_for_managed_by_libvirt() -> None:
    with pytest.raises(InvalidOption, match="restart: is for networks with managed_by: libvirt"):
        read_network(Options({"name": "own", "restart": True}), "host")
