# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hosts answer becomes typed data, or an error of that host that names the value."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from ipaddress import ip_address, ip_interface
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.plugin_utils import answers
from ansible_collections.virtnet.linux.plugins.plugin_utils.answer_policies import Entry, Policy
from ansible_collections.virtnet.linux.plugins.plugin_utils.answer_values import plain, shown
from ansible_collections.virtnet.linux.plugins.plugin_utils.answers import (
    MOST_NETWORKS,
    Answer,
    BadAnswer,
    Drop,
    Forward,
    Lease,
    StaticHost,
    parse_answer,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from tools.fleet_answers import DROPPED, network

HUGE = 10**7


def full() -> dict[str, Any]:
    """An answer with every part that is read."""
    one = network(0, 1, packets=[DROPPED], conflicts=["10.0.0.0/24 of tun0"], uuid="5d0c1b1e-9f3a", persistent=True)
    one["leases"][0]["remaining"] = 12
    one["leases"].append({"ip": "fd00::7", "mac": None, "duid": "00:01:02", "hostname": None, "expires": None})
    one["definition"]["ipv4"]["dhcp"]["hosts"].append({"mac": "52:54:00:00:00:99", "name": "cold", "ip": "10.0.0.99"})
    one["definition"]["ipv6"] = {"address": "fd00::1/64", "auto": True}
    one["definition"]["extra_addresses"] = ["10.9.0.1/24"]
    one["definition"]["policy"] = {
        "default": "deny",
        "to_host": ["dns", {"protocol": "udp", "port": "5000-5010"}],
        "allow": [{"from": "10.0.0.9", "network": "dmz", "to": "web", "protocol": "tcp", "port": 443}],
        "deny": [{"port": "1-7", "protocol": "tcp"}],
    }
    return {"networks": [one], "changed": False}


def test_an_answer_becomes_typed_data() -> None:
    (one,) = parse_answer("hv1", full()).networks
    assert (one.name, one.state, one.mode, one.bridge, one.autostart) == ("net0", "active", "nat", "vn-net0", True)
    assert one.addresses == (ip_interface("10.0.0.1/24"),)
    assert one.leases == (
        Lease(ip_address("10.0.0.10"), "52:54:00:00:00:00", "", "", "guest0", 1795265677, 12),
        Lease(ip_address("fd00::7"), duid="00:01:02"),
    )
    assert one.packets[0].by == (
        Drop("ip", "filter", "FORWARD", None, "nft insert rule ip filter FORWARD 'meta mark & 0x1 accept'"),
    )
    definition = one.definition
    assert definition.ipv4.address == ip_interface("10.0.0.1/24")
    assert definition.ipv4.hosts == (StaticHost("52:54:00:00:00:99", "", "cold", ip_address("10.0.0.99")),)
    assert (definition.ipv6.address, definition.ipv6.auto) == (ip_interface("fd00::1/64"), True)
    assert definition.extra_addresses == (ip_interface("10.9.0.1/24"),)
    assert definition.forwards == (Forward("tcp", 8000, 8000, "guest0", 80),)
    assert definition.domain == "net0.example.test"
    assert definition.uplinks == ()
    assert definition.policy == Policy(
        "deny",
        ("dns", "udp 5000-5010"),
        (Entry("policy.allow[0]", "10.0.0.9", "dmz", "web", "tcp", "443"),),
        (Entry("policy.deny[0]", protocol="tcp", ports="1-7"),),
    )


@pytest.mark.parametrize(("uplink", "known"), [(None, ()), ("eth0", ("eth0",)), (["eth0", "wlan0"], ("eth0", "wlan0"))])
def test_a_network_has_one_uplink_or_several(uplink: object, known: tuple[str, ...]) -> None:
    told = {"name": "lab", "state": "active", "mode": "nat", "bridge": "vn-lab", "definition": {"uplink": uplink}}
    (one,) = parse_answer("hv1", {"networks": [told]}).networks
    assert one.definition.uplinks == known


def test_a_network_of_libvirts_own_has_a_definition_without_addresses() -> None:
    told = {"name": "default", "state": "active", "mode": "libvirt", "bridge": "virbr0", "definition": {"xml": "<x/>"}}
    (one,) = parse_answer("hv1", {"networks": [told]}).networks
    assert (one.definition.ipv4.address, one.definition.domain, one.leases) == (None, "", ())


def test_an_answer_of_an_older_host_has_what_is_required_alone() -> None:
    told = {"name": "lab", "state": "inactive", "mode": "nat", "definition": {"new": 1}, "newer": 2}
    (one,) = parse_answer("hv1", {"networks": [told]}).networks
    assert (one.persistent, one.ports, one.bridge, one.uuid) == (True, (), "", "")


@pytest.mark.parametrize("key", ["name", "state", "mode", "definition"])
def test_what_is_required_and_missing_is_named(key: str) -> None:
    told = full()
    del told["networks"][0][key]
    with pytest.raises(BadAnswer, match=rf"^host hv1: networks\[0\]\.{key}: .*(missing|not the name)"):
        parse_answer("hv1", told)


def _set(*path: str | int) -> Callable[[dict[str, Any], Any], None]:
    def put(told: Any, value: Any) -> None:
        for key in path[:-1]:
            told = told[key]
        told[path[-1]] = value

    return put


_WRONG: dict[tuple[str | int, ...], list[Any]] = {
    ("name",): [
        3, "", "a b", "../../etc", "a\x00", "a\n", "-a", "x" * 51, "x" * HUGE, ["lab"], {"a": 1}, True, "{{ x }}",
    ],
    ("state",): ["running", 1, True, [], "active\n"],
    ("mode",): ["nat ", "<b>", 7, {}],
    ("autostart",): ["yes", 1, [], float("nan")],
    ("bridge",): ["a/b", "x" * 16, "a b", "a\x1b", 5, ["a"]],
    ("addresses",): ["10.0.0.1/24", 3, {"a": 1}, [3], ["evil"], ["10.0.0.1"], [["10.0.0.1/24"]]],
    ("ports",): [3, "vnet0", {"vnet0": 1}, [1], [["vnet0"]], ["a\x00"], True, ["x"] * HUGE],
    ("conflicts",): [5, "a", [5], [["a"]]],
    ("packets",): [5, ["a"], [{}], [{**DROPPED, "verdict": "lost"}], [{**DROPPED, "by": [{"family": 3}]}]],
    ("leases",): [5, "a", {"a": 1}, [5], [[]], [{}]],
    ("leases", 0, "ip"): [
        None, 5, "evil", "10.0.0.256", "010.0.0.1", "fe80::1%eth0", "fe80::1%\x1b[31m", "1" * HUGE, ["10.0.0.1"],
    ],
    ("leases", 0, "expires"): ["1", -1, 2**63, 10**5000, True, 1.5, float("nan"), float("inf"), []],
    ("leases", 0, "hostname"): [5, True, ["web"], {"a": 1}],
    ("definition",): [None, 5, "a", [1], True],
    ("definition", "ipv4"): [5, "a", [1], True],
    ("definition", "ipv4", "address"): [
        5, "evil", "10.0.0.1", "10.0.0.1/33", "10.0.0.1/-1", "10.0.0.1/255.255.255.0", "fd00::1/64", True,
        ["10.0.0.1/24"], "10.0.0.1/24\n", "\u0661\u0660.0.0.1/24", "1" * HUGE,
    ],
    ("definition", "ipv6", "address"): ["10.0.0.1/24", "fd00::1%e/64", "fd00::1/129"],
    ("definition", "ipv4", "auto"): ["true", 1, []],
    ("definition", "ipv4", "dhcp"): [5, "a", [1]],
    ("definition", "ipv4", "dhcp", "hosts"): [
        5, {"a": 1}, ["a"], [{}], [{"mac": "x"}], [{"name": "a b"}], [{"name": "a", "ip": "fd00::1"}],
    ],
    ("definition", "uplink"): [5, {}, "a b", "a" * 16, ["eth0", 5], ["a/b"], ["a"] * 65],
    ("definition", "dns", "domain"): [5, "a b", "-a", "a..b", "x" * 64, "a." * 200 + "a", ["a"], "{{ x }}"],
    ("definition", "extra_addresses"): [5, "10.0.0.1/24", ["evil"]],
    ("definition", "port_forwards"): [
        5, ["a"], [{}], [{"port": "80", "to": "a"}], [{"port": 65536, "to": "a"}], [{"port": 80}],
        [{"port": 80, "to": "a b"}], [{"port": 80, "to": "a", "address": "x"}], [{"port_range": 5, "to": "a"}],
        [{"port_range": {"start": 1}, "to": "a"}], [{"port": 80, "to": "a", "protocol": "icmp"}],
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param(path, value, id=f"{'.'.join(map(str, path))}-{i}")
        for path in _WRONG
        for i, value in enumerate(_WRONG[path])
    ],
)
def test_a_wrong_value_is_named_with_its_path_in_a_short_sentence(path: tuple[str | int, ...], value: Any) -> None:
    told = full()
    _set("networks", 0, *path)(told, value)
    with pytest.raises(BadAnswer) as caught:
        parse_answer("hv1", told)
    error = caught.value
    where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    assert error.host == "hv1"
    assert error.path.startswith("networks[0]" + where)
    assert len(str(error)) < 250
    assert str(error).isprintable()


@pytest.mark.parametrize("value", [None, 5, "a", [], [1], True, float("nan"), object(), b"{}"])
def test_an_answer_that_is_no_mapping_is_an_error(value: Any) -> None:
    with pytest.raises(BadAnswer, match="is not a mapping"):
        parse_answer("hv1", value)


@pytest.mark.parametrize("value", [5, "lab", {"name": "lab"}, True, ["lab"], [None], [[]]])
def test_networks_that_are_no_list_of_mappings_are_an_error(value: Any) -> None:
    with pytest.raises(BadAnswer, match="networks"):
        parse_answer("hv1", {"networks": value})


def test_a_host_that_did_not_answer_says_why_in_one_line() -> None:
    told = {"failed": True, "msg": "Traceback:\n  line 1\n\x1b[31mred\u202e" + "x" * HUGE}
    with pytest.raises(BadAnswer) as caught:
        parse_answer("hv1", told)
    assert caught.value.sentence.startswith("Traceback: line 1 \ufffd[31mred\ufffdxxx")
    assert 900 < len(caught.value.sentence) <= 1000
    for silent in ({}, {"msg": ["a"]}, {"msg": "", "networks": None}):
        with pytest.raises(BadAnswer, match="^host hv1: did not answer$"):
            parse_answer("hv1", silent)


@pytest.mark.parametrize(
    "name",
    ["{{ 1 }}", "a b", "-a", "_a", "a\x00", "<b>", "\u0430", "a..b", ".a", "a.", "x" * 64, "x" * HUGE, "*", "a\n"],
)
def test_what_a_guest_chose_is_dropped_where_it_is_no_host_name_and_the_lease_stays(name: str) -> None:
    told = full()
    told["networks"][0]["leases"][0].update(hostname=name, mac=name + " ", client_id=name + " ", duid=name + " ")
    lease = parse_answer("hv1", told).networks[0].leases[0]
    assert (lease.hostname, lease.mac, lease.client_id, lease.duid) == ("", "", "", "")
    assert lease.ip == ip_address("10.0.0.10")


def test_two_networks_of_one_name_are_an_error() -> None:
    one = network(0)
    with pytest.raises(BadAnswer, match=r"networks\[1\]\.name: 'net0' is given twice"):
        parse_answer("hv1", {"networks": [one, one]})


def test_more_networks_than_any_host_has_are_an_error() -> None:
    with pytest.raises(BadAnswer, match=rf"has {MOST_NETWORKS + 1} items; at most {MOST_NETWORKS}"):
        parse_answer("hv1", {"networks": [{}] * (MOST_NETWORKS + 1)})


def test_the_lists_of_an_answer_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_ITEMS", 1000)
    lease: dict[str, Any] = {"ip": "10.0.0.10"}
    many = [{**network(i, 0), "leases": [lease] * 150} for i in range(10)]
    with pytest.raises(BadAnswer, match=r"networks\[6\]\.leases: the lists of the answer have too many items"):
        parse_answer("hv1", {"networks": many})
    packets = [{**DROPPED, "by": [{"family": "ip", "table": "t", "chain": "c"}] * 150}] * 10
    with pytest.raises(BadAnswer, match=r"packets\[6\]\.by: the lists of the answer have too many items"):
        parse_answer("hv1", {"networks": [network(0, packets=packets)]})


def test_texts_of_other_programs_are_cut_and_made_printable() -> None:
    rule = "ip saddr { " + "10.0.0.1, " * 1000 + "}"
    by = [
        {"family": "ip", "table": "t", "chain": "c", "rule": rule},
        {"family": "ip", "table": "t", "chain": "c", "rule": "a\x1b]0;x\x07\ud800"},
    ]
    told = {"networks": [network(0, packets=[{**DROPPED, "by": by}])]}
    drop, other = parse_answer("hv1", told).networks[0].packets[0].by
    assert drop.rule is not None
    assert len(drop.rule) == 4096
    assert other.rule == "a\ufffd]0;x\ufffd\ufffd"


@pytest.mark.parametrize(
    "cure",
    [
        "nft insert rule inet mine way 'ct mark & 0x00100000 != 0 accept'",
        "nft insert rule bridge b c 'meta ibrname \"vn-lab\" accept'",
        "ip6tables-legacy -t mangle -I FORWARD -m connmark --mark 0x100000/0x100000 -j ACCEPT",
        "ufw allow in on vn-lab to any port 67 proto udp",
        "let the playbook ask firewalld (virtnet_firewall_integration: true)",
        "let the playbook ask firewalld (virtnet_firewall_integration: true, without bridge.zone)",
        "firewall-cmd --panic-off",
        "nft insert rule inet mine early 'tcp dport 8080 fib daddr type local accept'",
        "iptables-nft -t mangle -I PREROUTING -p tcp --dport 8080 -m addrtype --dst-type LOCAL -j ACCEPT",
        "",
    ],
)
def test_a_command_of_a_firewall_is_kept(cure: str) -> None:
    assert cure_of(cure) == cure


@pytest.mark.parametrize(
    "cure",
    [
        "curl http://192.0.2.1 | sh", "nft flush ruleset; curl x", "nft a & id", "ufw `id`", "nft 'a' $(id)",
        "nft 'a'id'", "rm -rf /", "nftx y", "nft flush ruleset", "iptables -F",
        "ufw allow > /etc/passwd", "let the playbook ask me",
    ],
)  # fmt: skip
def test_a_command_that_could_do_anything_else_is_left_out(cure: str) -> None:
    """An administrator may paste what stands behind "to let them pass"."""
    assert cure_of(cure) == ""


def cure_of(cure: str) -> str:
    by = [{"family": "ip", "table": "filter", "chain": "FORWARD", "rule": None, "cure": cure}]
    told = {"networks": [network(0, packets=[{**DROPPED, "by": by}])]}
    return parse_answer("hv1", told).networks[0].packets[0].by[0].cure


class Marked(str):
    """A text as Ansible marks one that is not to be templated."""

    __slots__ = ()

    def __str__(self) -> str:
        return self


def test_what_comes_out_is_of_plain_types() -> None:
    told = json.loads(
        json.dumps(full()), object_hook=lambda one: {k: Marked(v) if isinstance(v, str) else v for k, v in one.items()}
    )
    (one,) = parse_answer("hv1", told).networks
    lease = one.leases[0]
    texts = [one.name, one.state, one.bridge, one.definition.domain, lease.hostname, lease.mac, one.packets[0].way]
    assert {type(text) for text in texts} == {str}


def test_a_value_is_shown_short_whatever_its_size_and_depth() -> None:
    deep: Any = []
    for _level in range(100_000):
        deep = [deep]
    assert shown(deep) == "a list of 1"
    assert shown("x" * HUGE) == "'" + "x" * 60 + "'..."
    assert shown(10**5000) == "a number of 16610 bits"
    assert plain("a\u2028b\u202ec\x85", 100) == "a\ufffdb\ufffdc\ufffd"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=20,
)


def _parsed(told: Any) -> Answer | None:
    try:
        return parse_answer("hv1", told)
    except BadAnswer as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1100
        return None


@given(_JSON)
def test_arbitrary_json_is_an_answer_or_a_bad_one(told: Any) -> None:
    _parsed(told)


def _places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([path] if path else []), *(place for key, inner in pairs for place in _places(inner, (*path, key)))]


@settings(max_examples=400)
@given(st.sampled_from(_places(full())), _JSON)
def test_an_answer_with_any_value_in_any_place_is_an_answer_or_a_bad_one(
    path: tuple[str | int, ...], value: Any
) -> None:
    told = deepcopy(full())
    _set(*path)(told, value)
    _parsed(told)
