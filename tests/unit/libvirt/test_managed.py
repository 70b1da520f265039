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
FOUND = LibvirtNetwork("own", UUID, LISTED, LISTED, active=True, persistent=True, autostart=True)


def plan_for(spec: RegistrationSpec, network: LibvirtNetwork | None, digests: DefinitionDigests | None = None):
    networks = {} if network is None else {"own": network}
    remembered = {} if digests is None else {"own": digests}
    return Registrations([spec], False, Paths("/nowhere")).plan(
        RegistrationState(networks, (11, 3), digests=remembered)
    )


def steps(
    spec: RegistrationSpec, network: LibvirtNetwork | None, digests: DefinitionDigests | None = None
) -> list[str]:
    return [str(step) for change in plan_for(spec, network, digests).changes for step in change.steps]


def own(xml: str = GIVEN, **more: bool) -> RegistrationSpec:
    return RegistrationSpec(name="own", xml=xml, **more)  # type: ignore[arg-type]


def test_values_that_libvirt_adds_are_not_a_difference() -> None:
    assert steps(own(), FOUND) == []


def test_a_new_network_gets_our_mark_and_an_existing_one_does_not() -> None:
    (change,) = plan_for(own(), None).changes
    assert list(change.steps) == ["define", "start", "autostart"]
    assert registered_by_us(change.xml)
    (changed,) = plan_for(own(GIVEN.replace("10.9.0.9", "10.9.0.8")), FOUND).changes
    assert not registered_by_us(changed.xml)
    assert UUID in changed.xml
    assert "52:54:00:7c:60:5b" in changed.xml
    assert "virbr3" in changed.xml


def test_lists_are_updated_while_the_network_runs() -> None:
    done = steps(own(GIVEN.replace("10.9.0.9'/>", "10.9.0.9'/><host mac='52:54:00:00:00:01' ip='10.9.0.7'/>")), FOUND)
    assert done[0] == "define"
    assert done[1].startswith("add ip-dhcp-host <host")
    assert len(done) == 2


def test_a_changed_element_is_removed_before_it_is_added() -> None:
    done = steps(own(GIVEN.replace("10.9.0.9", "10.9.0.8")), FOUND)
    assert [one.partition(" <")[0] for one in done] == ["define", "remove ip-dhcp-range", "add ip-dhcp-range"]


def test_other_changes_wait_for_the_next_start_with_a_note() -> None:
    other = GIVEN.replace("10.9.0.1'", "10.9.0.3'")
    plan = plan_for(own(other), FOUND)
    assert [list(change.steps) for change in plan.changes] == [["define"]]
    assert "takes effect at its next start" in plan.notes[0]
    assert not plan.changes[0].is_live


def test_the_network_is_restarted_with_restart_true() -> None:
    assert steps(own(GIVEN.replace("10.9.0.1'", "10.9.0.3'"), restart=True), FOUND) == ["stop", "define", "start"]


@pytest.mark.parametrize(
    ("desired", "network", "expected"),
    [
        ({"autostart": False}, FOUND, ["no autostart"]),
        ({"active": False}, FOUND, ["stop"]),
        ({"active": False, "autostart": False}, FOUND, ["stop", "no autostart"]),
        ({}, replace(FOUND, active=False, autostart=False), ["start", "autostart"]),
        ({"persistent": False}, FOUND, ["undefine"]),
        ({"persistent": False}, None, ["create transient"]),
        ({}, replace(FOUND, persistent=False, autostart=False), ["define", "autostart"]),
    ],
)
def test_state_autostart_and_persistence_combine(desired, network, expected: list[str]) -> None:
    assert steps(own(**desired), network) == expected


def test_a_definition_unknown_to_our_model_is_compared_by_digests() -> None:
    became = POOL.replace("<pf", "<driver name='vfio'/><pf").replace("<name>", f"<uuid>{UUID}</uuid><name>")
    network = replace(FOUND, xml=became, live=became)
    assert not is_equivalent(became, POOL)
    digests = DefinitionDigests(digest(POOL), digest(became), digest(became))
    assert steps(own(POOL), network, digests) == []
    assert steps(own(POOL), network, replace(digests, stored="")) == ["define"]


def test_a_different_uuid_is_refused() -> None:
    with pytest.raises(VirtnetError, match="does not change that"):
        plan_for(own(GIVEN.replace("</name>", "</name><uuid>0f59da73-dadb-41ed-977e-239c4861e6d7</uuid>")), FOUND)


def test_absent_removes_a_network_without_our_mark() -> None:
    assert steps(RegistrationSpec("own", state="absent", managed_by="libvirt"), FOUND) == ["stop", "undefine"]
    assert steps(RegistrationSpec("own", state="absent"), FOUND) == []


def read(**options: object):
    return read_network(Options({"managed_by": "libvirt", **options}), "host")


def test_only_the_registration_is_made_for_it() -> None:
    network = read(xml=LISTED)
    assert read_network(Options(network.as_options()), "host") == network
    told = specs_for([network], {})
    assert [kind for kind, items in told.items() if items] == ["registrations"]
    (one,) = told["registrations"]
    assert RegistrationSpec.from_options(Options(dict(one))).managed


def test_options_are_converted_to_libvirts_xml() -> None:
    xml = read(name="own", mode="routed", ipv4={"address": "10.9.0.1/24"}, dns={"domain": "own.test"}).xml
    assert '<forward mode="route"/>' in xml
    assert "own.test" in xml
    assert "virtnet" not in xml


@pytest.mark.parametrize(
    ("options", "words"),
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
def test_impossible_options_are_refused(options, words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        read(**options)


def test_restart_is_only_for_managed_by_libvirt() -> None:
    with pytest.raises(InvalidOption, match="restart: is for networks with managed_by: libvirt"):
        read_network(Options({"name": "own", "restart": True}), "host")
