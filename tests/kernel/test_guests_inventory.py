# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory plugin for guests with names chosen by guests and hosts, tested with the real programs of Ansible.

`make inventory-matrix` runs this with each supported version of ansible-core.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.inventory_testbed import Controller, lease, python_of, versions
from tools.fleet_answers import network as answered

WEB, DB = "52:54:00:00:00:01", "52:54:00:00:00:02"
LAB = {
    "name": "lab",
    "ipv4": {"address": "192.168.90.1/24", "dhcp": {"hosts": [{"mac": WEB, "name": "web", "ip": "192.168.90.10"}]}},
}
DMZ = {
    "name": "dmz",
    "ipv4": {"address": "192.168.91.1/24", "dhcp": {"hosts": [{"mac": DB, "name": "db", "ip": "192.168.91.10"}]}},
}
# A host that `hosts: hypervisors` does not match, in a source that Ansible parses after guests.yml.
SERVERS = {"hosts": {"vault": {"ansible_user": "root", "secret": "of vault alone"}}}


@pytest.fixture(params=versions())
def controller(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Controller]:
    yield Controller(tmp_path, python_of(request.param))


def hostile_leases(folder: Path) -> str:
    """Guests that claim names of others; the last line is one that a compromised dnsmasq writes."""
    names = ["hypervisors", "localhost", "all", "ungrouped", "vault", "servers", "hv1", "virtnet_guests", "host_hv1"]
    chosen = [lease(f"192.168.90.{100 + i}", name) for i, name in enumerate(names)]
    web = lease("192.168.91.77", "web", "52:54:00:66:66:66")
    template = lease("192.168.90.99", "{{lookup('pipe','>" + str(folder / "template_ran") + "')}}")
    return "".join(chosen) + web + lease("192.168.90.10", "web", WEB) + template


@pytest.fixture
def attacked(controller: Controller) -> Path:
    controller.host("hv1", [LAB, DMZ], hostile_leases(controller.folder))
    return controller.write(servers=SERVERS)


def test_no_guest_takes_the_name_of_a_group_a_host_or_the_controller(controller: Controller, attacked: Path) -> None:
    listing = controller.list_inventory(attacked)
    guests = set(listing["virtnet_guests"]["hosts"])
    assert {"web", "db", "web.dmz", "hypervisors.lab", "localhost.lab", "all.lab", "vault.lab"} < guests
    assert not guests & {"hypervisors", "localhost", "all", "ungrouped", "vault", "servers", "hv1", "virtnet_guests"}
    assert listing["hypervisors"]["hosts"] == ["hv1"]
    assert listing["servers"]["hosts"] == ["vault"]
    assert listing["network_dmz"]["hosts"] == ["db", "web.dmz"]
    variables = listing["_meta"]["hostvars"]
    assert set(variables["vault"]) == {"ansible_user", "secret"}
    assert variables["web"]["ansible_host"] == "192.168.90.10"
    assert variables["web.dmz"]["ansible_host"] == "192.168.91.77"


def test_plays_have_the_hosts_that_they_name(controller: Controller, attacked: Path) -> None:
    show_tasks = [{"ansible.builtin.debug": {"msg": "SEEN {{ inventory_hostname }} {{ ansible_host }}"}}]
    delegated = {
        "ansible.builtin.command": "id -u",
        "delegate_to": "localhost",
        "vars": {"ansible_become": False},
    }
    result = controller.run_plays(
        attacked,
        {"hosts": "hypervisors:vault", "tasks": show_tasks},
        {"hosts": "hv1", "tasks": [delegated]},
        {"hosts": "virtnet_guests", "tasks": [{"ansible.builtin.debug": {"var": "hostvars[inventory_hostname]"}}]},
    )
    assert result.returncode == 0
    assert [line.strip() for line in sorted(result.stdout.splitlines()) if "SEEN" in line] == [
        '"msg": "SEEN hv1 hv1"',
        '"msg": "SEEN vault vault"',
    ]
    assert not (controller.folder / "template_ran").exists()


def test_the_name_of_a_lease_is_no_template(controller: Controller) -> None:
    name = "{{lookup('pipe','>" + str(controller.folder / "template_ran") + "')}}"
    controller.host("hv1", [LAB], lease("192.168.90.99", name))
    result = controller.run_plays(
        controller.write(), {"hosts": "virtnet_guests", "tasks": [{"ansible.builtin.debug": {"var": "virtnet_name"}}]}
    )
    assert result.returncode == 0
    assert "52-54-00-00-5a-63.lab" in result.stdout
    assert not (controller.folder / "template_ran").exists()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["after", "before"])
def test_hosts_and_groups_of_other_sources_of_the_run_are_known(controller: Controller, order: tuple[int, int]) -> None:
    controller.host("hv1", [LAB, DMZ], lease("192.168.91.50", "web"))
    inventory = controller.write()
    other = controller.folder / "other.ini"
    other.write_text("[web]\nmail.example.org secret=1\n[more]\ndb secret=2\nweb.dmz secret=3\n")
    sources = [(inventory / "guests.yml"), other]
    listing = controller.list_inventory(*(sources[i] for i in order))
    assert sorted(listing["virtnet_guests"]["hosts"]) == ["db.dmz", "web.dmz.hv1", "web.lab"]
    assert listing["web"]["hosts"] == ["mail.example.org"]
    variables = listing["_meta"]["hostvars"]
    assert set(variables["db"]) == set(variables["web.dmz"]) == {"secret"}


def test_two_files_of_this_plugin_share_its_groups_and_no_name(controller: Controller) -> None:
    controller.host("hv1", [LAB])
    controller.host("hv2", [LAB])
    inventory = controller.write({"hosts": "hv1"})
    (inventory / "more.guests.yml").write_text(
        (inventory / "guests.yml").read_text().replace("hosts: hv1", "hosts: hv2")
    )
    listing = controller.list_inventory(inventory)
    assert listing["virtnet_guests"]["hosts"] == listing["network_lab"]["hosts"] == ["web", "web.lab"]
    assert listing["host_hv2"]["hosts"] == ["web.lab"]


def test_what_a_compromised_host_answers_is_no_template(controller: Controller) -> None:
    mark = "{{ lookup('ansible.builtin.pipe', 'touch " + str(controller.folder / "template_ran") + "') }}"
    network = answered(1, 1, conflicts=[mark])
    network["leases"] += [{"ip": "10.0.1.77", "mac": WEB, "hostname": mark}]
    controller.compromised_host("hv1", {"networks": [network]})
    controller.compromised_host("hv4", {"networks": [{**answered(2, 1), "ports": [mark]}]})
    controller.compromised_host("hv2", {"networks": [{**answered(3, 1), "description": mark}]})
    controller.compromised_host("hv3", {"failed": True, "msg": mark})
    compose = {"greeting": "'hello ' ~ virtnet_name ~ virtnet_addresses[0]"}
    inventory = controller.write({"compose": compose})
    listing = controller.list_inventory(inventory)
    assert listing["virtnet_guests"]["hosts"] == ["guest0.net1", "52-54-00-00-00-01.net1", "guest0.net3"]
    assert listing["_meta"]["hostvars"]["guest0.net1"]["greeting"] == "hello guest010.0.1.10"
    result = controller.run_plays(
        inventory, {"hosts": "virtnet_guests", "tasks": [{"ansible.builtin.debug": {"var": "hostvars"}}]}
    )
    assert result.returncode == 0
    for playbook in ("status", "report"):
        words = ["-e", "virtnet_hosts=hypervisors", "-e", f"virtnet_report={controller.folder / 'page.html'}"]
        assert controller.run("playbook", f"--inventory={inventory}", f"virtnet.linux.{playbook}", *words).stdout
    assert not (controller.folder / "template_ran").exists()


def answer_with(**values: Any) -> dict[str, Any]:
    return {"networks": [{**answered(7, 1), **values}]}


def test_an_invalid_answer_affects_only_its_host(controller: Controller) -> None:
    answers: dict[str, Any] = {
        "none": {"networks": [{"name": "lab", "state": "active", "mode": "nat"}]},
        "evil": answer_with(leases=[{"ip": "evil", "mac": None, "hostname": None}]),
        "three": answer_with(ports=3),
        "word": {"networks": "none"},
        "claims": answer_with(definition={"ipv4": {"address": "evil", "dhcp": {"hosts": [7]}}}),
        "said": {"failed": True, "msg": "no \x1b[2J networks"},
        "deep": json.loads('{"networks": ' + "[" * 900 + "]" * 900 + "}"),
    }
    for name, answer in answers.items():
        controller.compromised_host(name, answer)
    controller.host("hv1", [LAB], lease("192.168.90.50", "guest"))
    listing = controller.list_inventory(controller.write())
    assert listing["virtnet_guests"]["hosts"] == ["web", "guest.lab"]
    for name in answers:
        assert f"the guests of {name} are not known: " in listing["warnings"]
    assert "\x1b" not in listing["warnings"]


def test_a_static_host_that_the_inventory_defines_keeps_its_name_whatever_hosts_answer(controller: Controller) -> None:
    claim = answered(1, 0)
    claim["definition"]["ipv4"]["dhcp"]["hosts"] = [{"name": "web", "mac": WEB}, {"name": "db", "mac": DB}]
    controller.host("hv1", [LAB], virtnet_networks=[LAB])
    controller.compromised_host("hv2", {"networks": [claim]})
    # It does not answer, and no other guest gets the name of its static host `db` meanwhile.
    controller.compromised_host("hv3", {"failed": True, "msg": "broken"}, virtnet_networks=[DMZ])
    listing = controller.list_inventory(controller.write())
    assert listing["virtnet_guests"]["hosts"] == ["web", "web.net1", "db.net1"]


def test_groups_of_expressions_are_never_those_of_others(controller: Controller) -> None:
    names = ["hypervisors", "all", "linux", "written", "network_lab", "web", "empty", "plain"]
    leases = "".join(lease(f"192.168.91.{100 + i}", name) for i, name in enumerate(names))
    controller.host("hv1", [LAB, DMZ], leases)
    inventory = controller.write(
        {
            "groups": {"written": "virtnet_static"},
            "keyed_groups": [
                {"key": "virtnet_name", "prefix": "", "separator": "", "parent_group": "linux"},
                {"key": "virtnet_network", "prefix": "by", "parent_group": "{{ virtnet_name }}"},
                {"key": "virtnet_fqdn.split('.')[9]"},
            ],
        },
        linux={"vars": {"of_linux": True}},
        empty={"vars": {"privileged": True}},
        network_dmz={"vars": {"of_dmz": True}},
    )
    listing = controller.list_inventory(inventory)
    variables = listing["_meta"]["hostvars"]
    assert listing["hypervisors"] == {"hosts": ["hv1"]}
    assert sorted(listing["written"]["hosts"]) == ["db", "web"]
    # An administrator's groups for guests: without hosts of their own, named by this plugin or by the file.
    assert variables["plain.dmz"]["of_linux"] and variables["plain.dmz"]["of_dmz"]
    assert listing["linux"]["children"] == ["plain"]
    assert not any("privileged" in values for values in variables.values())
    assert listing["network_lab"]["hosts"] == ["web"]
    assert listing["plain"]["hosts"] == ["plain.dmz"]
    for name in ("hypervisors", "all", "written", "network_lab", "web", "empty"):
        assert f"keyed_groups make no group {name}:" in listing["warnings"]
    assert "the guest linux.dmz is left out" in listing["warnings"]


def test_a_group_of_the_plugin_that_a_source_has_with_hosts_is_left_out(controller: Controller) -> None:
    controller.host("hv1", [LAB, DMZ])
    inventory = controller.write(network_lab={"hosts": {"vault": {}}}, more={"hosts": {"host_hv1": {}}})
    listing = controller.list_inventory(inventory)
    assert listing["network_lab"]["hosts"] == ["vault"]
    assert "host_hv1" not in listing
    assert sorted(listing["virtnet_guests"]["hosts"]) == ["db", "web"]
    assert "there is no group network_lab of guests" in listing["warnings"]


def test_a_guest_for_which_no_group_can_be_made_is_left_out_alone(controller: Controller) -> None:
    controller.host("hv1", [LAB], lease("192.168.90.50", "odd") + lease("192.168.90.51", "fine"))
    # For the guest `odd` this makes a group that is its own parent, which Ansible refuses.
    keyed = [{"key": "virtnet_name", "prefix": "", "separator": "", "parent_group": "{{ 'odd' }}"}]
    listing = controller.list_inventory(controller.write({"keyed_groups": keyed}))
    assert sorted(listing["virtnet_guests"]["hosts"]) == ["fine.lab", "web"]
    assert "the guest odd.lab is left out" in listing["warnings"]


def test_cached_answers_are_no_templates_either(controller: Controller) -> None:
    controller.host("hv1", [LAB], hostile_leases(controller.folder))
    cached = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(controller.folder)}
    inventory = controller.write(cached, servers=SERVERS)
    first = controller.list_inventory(inventory)
    (controller.folder / "hosts/hv1.python").write_text("#!/bin/sh\nexit 1\n")
    again = controller.list_inventory(inventory)
    assert again["virtnet_guests"] == first["virtnet_guests"]
    result = controller.run_plays(
        inventory, {"hosts": "virtnet_guests", "tasks": [{"ansible.builtin.debug": {"var": "hostvars"}}]}
    )
    assert result.returncode == 0
    assert not (controller.folder / "template_ran").exists()


def test_common_arguments_of_the_configuration_stay_in_force_for_guests(controller: Controller) -> None:
    controller.compromised_host("hv1", {"networks": [answered(1, 1)]}, ansible_ssh_common_args="-o Tag=host")
    folder = controller.write()
    listing = controller.list_inventory(folder, ANSIBLE_SSH_COMMON_ARGS="-o Tag=all")
    arguments = shlex.split(listing["_meta"]["hostvars"]["guest0.net1"]["ansible_ssh_common_args"])
    assert arguments[2:] == ["-o", "Tag=all"]
    assert arguments[1].startswith("ProxyCommand=") and " Tag=host " in arguments[1]
