# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory of guests: who is one machine, and what it is called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.inventory.guests import _jump
from ansible_collections.virtnet.linux.plugins.plugin_utils.guests import Guest, guests_of, named
from hypothesis import given
from hypothesis import strategies as st


def lease(ip: str, name: str | None = None, mac: str | None = None, **more: Any) -> dict[str, Any]:
    return {"ip": ip, "mac": mac, "duid": None, "hostname": name, "expires": 1795265677, **more}


def network(name: str = "lab", leases=(), hosts=(), hosts6=(), domain="lab.test") -> dict[str, Any]:
    definition = {
        "ipv4": {"dhcp": {"hosts": list(hosts)}},
        "ipv6": {"dhcp": {"hosts": list(hosts6)}},
        "dns": {"domain": domain},
    }
    return {"name": name, "definition": definition, "leases": list(leases)}


def test_a_lease_is_a_guest() -> None:
    (guest,) = guests_of("hv1", [network(leases=[lease("192.168.0.7", "Web", "52:54:00:00:00:07")])])
    assert guest.variables() == {
        "virtnet_host": "hv1",
        "virtnet_network": "lab",
        "virtnet_mac": "52:54:00:00:00:07",
        "virtnet_name": "web",
        "virtnet_fqdn": "web.lab.test",
        "virtnet_addresses": ["192.168.0.7"],
        "virtnet_static": False,
        "virtnet_leased": True,
        "virtnet_expires": 1795265677,
    }


def test_a_static_host_and_its_leases_of_both_families_are_one_guest() -> None:
    web = {"mac": "52:54:00:00:00:07", "name": "web", "ip": "192.168.0.7"}
    leases = [lease("192.168.0.7", "web", "52:54:00:00:00:07"), lease("fd00::7", "web", duid="00:01:02")]
    (guest,) = guests_of("hv1", [network(leases=leases, hosts=[web], hosts6=[{"name": "web", "ip": "fd00::7"}])])
    assert guest.addresses == ["192.168.0.7", "fd00::7"]
    assert (guest.static, guest.leased) == (True, True)
    assert (guest.address(4), guest.address(6)) == ("192.168.0.7", "fd00::7")


def test_two_machines_of_one_name_stay_two_where_their_mac_addresses_differ() -> None:
    leases = [lease("192.168.0.7", "web", "52:54:00:00:00:07"), lease("192.168.0.8", "web", "52:54:00:00:00:08")]
    assert [one.mac[-1] for one in guests_of("hv1", [network(leases=leases)])] == ["7", "8"]


def test_a_static_host_that_is_off_has_the_address_of_its_definition() -> None:
    (guest,) = guests_of("hv1", [network(hosts=[{"mac": "52:54:00:00:00:07", "name": "web", "ip": "192.168.0.7"}])])
    assert (guest.address(4), guest.leased, guest.expires) == ("192.168.0.7", False, None)


def test_names_grow_only_where_they_clash() -> None:
    guests = [Guest("hv1", "lab", "a", "web"), Guest("hv2", "lab", "b", "web"), Guest("hv1", "dmz", "c", "db")]
    assert list(named(guests)) == ["web.lab.hv1", "web.lab.hv2", "db"]
    guests = [Guest("hv1", "lab", "a", "web"), Guest("hv1", "dmz", "b", "web")]
    assert list(named(guests)) == ["web.lab", "web.dmz"]


def test_a_guest_never_takes_the_name_of_a_host() -> None:
    assert list(named([Guest("hv1", "lab", "a", "hv1")], taken=["hv1"])) == ["hv1.lab"]


def test_a_guest_without_a_name_is_called_by_its_network_and_mac_address() -> None:
    assert list(named([Guest("hv1", "lab", "52:54:00:00:00:07")])) == ["lab-52-54-00-00-00-07"]


_WORD = st.sampled_from(["", "a", "b", "a.lab", "hv1"])


@given(st.lists(st.tuples(st.sampled_from(["hv1", "hv2"]), st.sampled_from(["lab", "dmz"]), _WORD), max_size=8))
def test_every_guest_has_a_name_of_its_own(found: list[tuple[str, str, str]]) -> None:
    guests = [Guest(host, net, f"52:54:00:00:00:{i:02x}", name) for i, (host, net, name) in enumerate(found)]
    names = named(guests, taken=["hv1", "hv2"])
    assert len(names) == len(guests)
    assert not {"hv1", "hv2"} & set(names)


@pytest.mark.parametrize(
    ("access", "jump"),
    [
        ({}, "hv1"),
        ({"ansible_host": "192.0.2.1"}, "192.0.2.1"),
        ({"ansible_host": "192.0.2.1", "ansible_user": "root", "ansible_port": "2222"}, "root@192.0.2.1:2222"),
        ({"ansible_host": "2001:db8::1", "ansible_user": "root"}, "root@[2001:db8::1]"),
    ],
)
def test_a_jump_goes_where_the_host_is_reached(access: dict[str, str], jump: str) -> None:
    assert _jump("hv1", access) == jump


def test_a_host_that_cannot_answer_is_named(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {hosts: {hv1: {ansible_connection: local, ansible_become: false}}}")
    (tmp_path / "guests.yml").write_text("{plugin: virtnet.linux.guests, sources: [none.yml]}")
    command = [sys.executable, "-m", "ansible", "inventory", "-i", tmp_path / "guests.yml", "--list"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "ANSIBLE_NOCOLOR": "1"}
    )
    assert "no host could be asked for its guests" in done.stderr
    assert not json.loads(done.stdout)["_meta"]["hostvars"]
