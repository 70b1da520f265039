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
from ansible_collections.virtnet.linux.plugins.plugin_utils.answers import parse_answer
from ansible_collections.virtnet.linux.plugins.plugin_utils.guest_names import named
from ansible_collections.virtnet.linux.plugins.plugin_utils.guests import Guest, guests_of
from ansible_collections.virtnet.linux.plugins.plugin_utils.replies import Reply, declared_hosts, read_lines
from hypothesis import given
from hypothesis import strategies as st

MAC, OTHER = "52:54:00:00:00:07", "52:54:00:66:66:66"
WEB = {"mac": MAC, "name": "web", "ip": "192.168.0.7"}


def lease(ip: str, name: str | None = None, mac: str | None = None, **more: Any) -> dict[str, Any]:
    return {"ip": ip, "mac": mac, "duid": None, "hostname": name, "expires": 1795265677, **more}


def guests(leases=(), hosts=(), hosts6=(), domain="lab.test") -> list[Guest]:
    definition = {
        "ipv4": {"dhcp": {"hosts": list(hosts)}},
        "ipv6": {"dhcp": {"hosts": list(hosts6)}},
        "dns": {"domain": domain},
    }
    network = {"name": "lab", "state": "active", "mode": "nat", "definition": definition, "leases": list(leases)}
    return guests_of(parse_answer("hv1", {"networks": [network]}))


def static(host: str, network: str, name: str, key: str = "k") -> Guest:
    return Guest(host, network, key, name, static=True, named=True)


def test_a_lease_is_a_guest() -> None:
    (guest,) = guests(leases=[lease("192.168.0.7", "Web", MAC)])
    assert guest.variables() == {
        "virtnet_host": "hv1",
        "virtnet_network": "lab",
        "virtnet_mac": MAC,
        "virtnet_name": "web",
        "virtnet_fqdn": "web.lab.test",
        "virtnet_addresses": ["192.168.0.7"],
        "virtnet_static": False,
        "virtnet_leased": True,
        "virtnet_expires": 1795265677,
    }


def test_a_static_host_and_its_leases_of_both_families_are_one_guest() -> None:
    leases = [lease("192.168.0.7", "web", MAC), lease("fd00::7", "web", duid="00:01:02")]
    (guest,) = guests(leases, [WEB], [{"name": "web", "ip": "fd00::7"}])
    assert guest.addresses == ["192.168.0.7", "fd00::7"]
    assert (guest.static, guest.leased, guest.named) == (True, True, True)
    assert (guest.address(4), guest.address(6)) == ("192.168.0.7", "fd00::7")


@pytest.mark.parametrize("mac", [MAC, OTHER])
def test_a_static_host_with_several_mac_addresses_has_the_leases_of_each(mac: str) -> None:
    (guest,) = guests([lease("192.168.0.7", "web", mac)], [{**WEB, "mac": [MAC, OTHER]}])
    assert (guest.addresses, guest.static, guest.leased, guest.mac) == (["192.168.0.7"], True, True, MAC)


def test_leases_of_both_families_under_one_name_are_one_guest_without_a_definition() -> None:
    (guest,) = guests([lease("192.168.0.8", "db", MAC), lease("fd00::8", "db", duid="00:01:02")])
    assert guest.addresses == ["192.168.0.8", "fd00::8"]


@pytest.mark.parametrize("ip", ["192.168.0.66", "fd00::66"])
def test_a_guest_with_the_name_of_a_static_host_adds_no_address_to_it(ip: str) -> None:
    mac = OTHER if "." in ip else None
    web, thief = guests([lease(ip, "web", mac, duid=None if mac else "00:03:66")], [WEB])
    assert (web.addresses, web.leased) == (["192.168.0.7"], False)
    assert (thief.name, thief.named, thief.addresses) == ("web", False, [ip])


def test_a_static_host_known_by_its_client_id_has_its_lease() -> None:
    host = {"id": "box", "name": "web", "ip": "192.168.0.7"}
    (guest,) = guests([lease("192.168.0.9", "other", OTHER, client_id="62:6f:78")], [host])
    assert (guest.name, guest.leased) == ("web", True)


def test_a_static_host_that_the_definition_knows_by_its_name_alone_is_whoever_has_the_name() -> None:
    (guest,) = guests([lease("192.168.0.9", "web", OTHER)], [{"name": "web", "ip": "192.168.0.7"}])
    assert guest.addresses == ["192.168.0.7", "192.168.0.9"]


def test_a_name_that_a_static_host_gave_itself_is_not_the_definitions() -> None:
    (guest,) = guests([lease("192.168.0.7", "vault", MAC)], [{"mac": MAC, "ip": "192.168.0.7"}])
    assert (guest.name, guest.static, guest.named) == ("vault", True, False)
    assert list(named([guest], [])) == ["vault.lab"]


def test_two_machines_of_one_name_stay_two_where_their_mac_addresses_differ() -> None:
    found = guests([lease("192.168.0.7", "web", MAC), lease("192.168.0.8", "web", OTHER)])
    assert [one.mac for one in found] == [MAC, OTHER]


def test_a_static_host_whose_name_has_a_domain_is_called_by_its_first_label() -> None:
    host = {**WEB, "name": "Web_1.ocp.example"}
    (guest,) = guests(leases=[lease("192.168.0.7", "web_1", MAC)], hosts=[host])
    assert (guest.name, guest.variables()["virtnet_fqdn"]) == ("web_1", "web_1.lab.test")
    assert list(declared_hosts([{"name": "lab", "ipv4": {"dhcp": {"hosts": [host]}}}])) == [("lab", "web_1")]


def test_a_static_host_that_is_off_has_the_address_of_its_definition() -> None:
    (guest,) = guests(hosts=[WEB])
    assert (guest.address(4), guest.leased, guest.expires) == ("192.168.0.7", False, None)


@pytest.mark.parametrize("ip", ["127.0.0.1", "0.0.0.0", "224.0.0.1", "::1", "::", "ff02::1"])
def test_a_guest_is_never_at_an_address_of_the_controller_or_of_many(ip: str) -> None:
    (guest,) = guests([lease(ip, "web", MAC)])
    assert guest.addresses == []


@pytest.mark.parametrize(
    "name", ["{{ 7*7 }}", "a b", "-oProxyCommand=x", "$(id)", "a\nb", "a:b", "~web", "!web", "we*"]
)
def test_what_is_no_host_name_is_no_name(name: str) -> None:
    (guest,) = guests([lease("192.168.0.7", name, MAC)])
    assert guest.name == ""
    assert list(named([guest], [])) == ["52-54-00-00-00-07.lab"]


def test_only_a_name_of_the_definition_stands_alone() -> None:
    found = [static("hv1", "lab", "web"), Guest("hv1", "lab", "b", "db"), Guest("hv1", "lab", "52:54")]
    assert list(named(found, [])) == ["web", "db.lab", "52-54.lab"]


def test_no_guest_renames_a_static_host() -> None:
    web = static("hv1", "lab", "web")
    thieves = [Guest("hv1", "dmz", "a", "web"), Guest("hv2", "lab", "b", "web"), Guest("hv1", "lab", "c", "web")]
    names = named([*thieves, web], [])
    assert names["web"] is web
    assert set(names) == {"web", "web.dmz", "web.lab.hv2", "web.lab.hv1"}


def test_static_hosts_of_one_name_all_get_a_longer_one() -> None:
    found = [static("hv1", "lab", "web"), static("hv1", "dmz", "web"), static("hv2", "dmz", "web")]
    assert list(named(found, [])) == ["web.lab", "web.dmz.hv1", "web.dmz.hv2"]
    assert list(named(found[::-1], [])) == ["web.dmz.hv2", "web.dmz.hv1", "web.lab"]


def test_a_static_host_of_the_inventory_is_not_renamed_by_what_a_host_says() -> None:
    web, claim = static("hv1", "lab", "web"), static("hv2", "lab", "web")
    names = named([claim, web], [], {("hv1", "lab", "web")})
    assert names["web"] is web
    assert names["web.lab"] is claim


def test_the_name_of_a_static_host_of_the_inventory_is_kept_while_its_host_does_not_answer() -> None:
    assert list(named([static("hv2", "lab", "web")], [], {("hv1", "lab", "web")})) == ["web.lab"]
    assert list(named([static("hv2", "lab", "web")], [], {("hv1", "lab", "web"), ("hv2", "lab", "web")})) == [
        "web.lab.hv2"
    ]


@pytest.mark.parametrize("name", ["hv1", "hypervisors", "all", "Web"])
def test_a_name_that_is_taken_grows(name: str) -> None:
    assert list(named([static("hv1", "lab", name)], [name.swapcase()])) == [f"{name}.lab"]


def test_no_name_is_an_address() -> None:
    assert list(named([Guest("hv1", "0.0.1", "52:54", "127")], [])) == ["127.0.0.1.hv1"]


_WORD = st.sampled_from(["", "a", "b", "A", "hv1", "127"])
_GUEST = st.tuples(
    st.sampled_from(["hv1", "hv2"]), st.sampled_from(["lab", "dmz", "lab.hv1", "0.0.1"]), _WORD, st.booleans()
)


@given(st.lists(_GUEST, max_size=8), st.integers(0, 8))
def test_every_guest_has_a_name_of_its_own_and_no_lease_changes_those_of_static_hosts(
    found: list[tuple[str, str, str, bool]], kept: int
) -> None:
    everyone = [
        Guest(host, net, f"52:54:00:00:00:{i:02x}", name, named=by_definition and bool(name))
        for i, (host, net, name, by_definition) in enumerate(found)
    ]
    names = named(everyone, ["hv1", "hv2"])
    assert len(names) == len({name.casefold() for name in names}) == len(everyone)
    assert not {"hv1", "hv2", "127.0.0.1"} & set(names)
    fixed = [guest for guest in everyone if guest.named]
    fewer = named([*fixed, *(guest for guest in everyone[:kept] if not guest.named)], ["hv1", "hv2"])
    assert {id(guest): name for name, guest in fewer.items() if guest.named} == {
        id(guest): name for name, guest in names.items() if guest.named
    }


@pytest.mark.parametrize(
    ("networks", "found"),
    [
        ([{"name": "lab", "ipv4": {"dhcp": {"hosts": [WEB]}}}], [("lab", "web")]),
        ({"lab": {"ipv6": {"dhcp": {"hosts": [{"name": "Six"}]}}}}, [("lab", "six")]),
        (None, []),
        ("lab", []),
        ([7, {"name": "lab", "ipv4": "auto"}, {"name": "dmz", "ipv4": {"dhcp": {"hosts": [7, {}]}}}], []),
    ],
)
def test_static_hosts_of_the_inventory_are_read_from_its_variables(networks: Any, found: list[tuple[str, str]]) -> None:
    assert list(declared_hosts(networks)) == found


def test_a_reply_comes_back_from_its_line_and_other_lines_are_none() -> None:
    reply = Reply("hv1", "ok", {"networks": []}, None, "no access", (("lab", "web"),))
    (data,) = read_lines(f"[WARNING]: hello\n{reply.line()}\n")
    assert Reply.from_json(data) == reply


@pytest.mark.parametrize("data", [None, [], {}, {"host": "hv1", "status": "ok", "access": {}, "result": {}}])
def test_what_another_version_cached_is_no_reply(data: Any) -> None:
    with pytest.raises(ValueError, match="not a reply"):
        Reply.from_json(data)


def test_a_host_that_cannot_answer_is_named(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {hosts: {hv1: {ansible_connection: local, ansible_become: false}}}")
    (tmp_path / "guests.yml").write_text("{plugin: virtnet.linux.guests, sources: [none.yml]}")
    command = [sys.executable, "-m", "ansible", "inventory", "-i", tmp_path / "guests.yml", "--list"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "ANSIBLE_NOCOLOR": "1"}
    )
    assert "no host could be asked for its guests" in done.stderr
    assert not json.loads(done.stdout)["_meta"]["hostvars"]


@pytest.mark.parametrize("same", ["mac", "name", "nothing"])
def test_as_many_leases_as_an_answer_may_have_are_read_before_the_test_times_out(same: str) -> None:
    leases = [
        {
            "ip": f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}",
            "mac": MAC if same == "mac" else f"52:54:00:{i >> 16:02x}:{i >> 8 & 255:02x}:{i & 255:02x}",
            "hostname": "web" if same == "name" else f"g{i}",
        }
        for i in range(65_000)
    ]
    found = guests(leases)
    assert len(found) == (1 if same == "mac" else 65_000)
    assert len(named(found, [])) == len(found)
