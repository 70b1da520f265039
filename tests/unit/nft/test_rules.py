# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table as text and as data. UPDATE_GOLDEN=1 rewrites the golden files."""

from __future__ import annotations

import ipaddress
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.reconciler import (
    RulesPlan,
    RulesReconciler,
    RulesState,
)
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.conntrack import Connection
from ansible_collections.virtnet.linux.plugins.module_utils.nft import elements as nft_elements
from ansible_collections.virtnet.linux.plugins.module_utils.nft import script as nft_script
from ansible_collections.virtnet.linux.plugins.module_utils.nft.elements import MODES, Rules
from ansible_collections.virtnet.linux.plugins.module_utils.nft.listing import Table, parse
from ansible_collections.virtnet.linux.plugins.module_utils.nft.nat import Nat
from ansible_collections.virtnet.linux.plugins.module_utils.nft.port_forwards import Forward
from ansible_collections.virtnet.linux.plugins.module_utils.nft.spec import RulesSpec
from hypothesis import given
from hypothesis import strategies as st

GOLDEN = Path(__file__).with_name("golden")


def rendered(*rules: Rules, marks: bool = False) -> str:
    return nft_script.render(nft_elements.merged(nft_elements.elements_of(network) for network in rules), marks=marks)


def same_as_golden(name: str, text: str) -> bool:
    path = GOLDEN / f"{name}.nft"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return path.read_text() == text


@pytest.mark.parametrize("uplinks", [(), ("eth0",), ("wlan0", "eth0")])
@pytest.mark.parametrize("mode", MODES)
def test_rendered_table_of_one_network(mode: str, uplinks: tuple[str, ...]) -> None:
    rules = Rules("lab", "vn-lab", mode, uplinks, ("192.168.30.0/24", "10.9.0.4/32"))
    # Where uplinks have no effect, all cases share one file.
    suffix = ("", "-uplink", "-uplinks")[len(uplinks)] if mode in ("nat", "routed") else ""
    assert same_as_golden(mode + suffix, rendered(rules))


@pytest.mark.parametrize("mode", MODES)
def test_rendered_table_with_the_mark_for_other_firewalls(mode: str) -> None:
    rules = Rules("lab", "vn-lab", mode, (), ("192.168.30.0/24",))
    assert same_as_golden(f"{mode}-marked", rendered(rules, marks=True))


@pytest.mark.parametrize("nat6", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_rendered_table_of_one_network_of_both_families(mode: str, nat6: bool) -> None:
    rules = Rules("lab", "vn-lab", mode, (), ("192.168.30.0/24", "fd00:1::/64"), Nat(nat6))
    # Where there is no NAT, both cases share one file.
    assert same_as_golden(f"{mode}-ipv6{'-routed' if mode == 'nat' and not nat6 else ''}", rendered(rules))


@pytest.mark.parametrize("ports", [(1024, 65535), (20000, 29999)])
@pytest.mark.parametrize("source", [(), ("192.0.2.1", "192.0.2.1"), ("192.0.2.1", "192.0.2.9")])
def test_rendered_nat_of_sources_and_ports(source: tuple[str, str], ports: tuple[int, int]) -> None:
    plain = Rules("a", "vn-a", "nat", (), ("192.168.30.0/24",))
    special = Rules("b", "vn-b", "nat", (), ("192.168.31.0/24", "fd00:1::/64"), Nat(True, source, ports))
    name = "-".join(["nat", *dict.fromkeys(source), *([str(ports[0])] if ports[0] != 1024 else [])])
    assert same_as_golden(f"{name}-special" if name == "nat" else name, rendered(plain, special))


def test_rendered_nat_with_exceptions() -> None:
    lab = Rules("lab", "vn-lab", "nat", (), ("192.168.30.0/24",), Nat(exceptions=("10.8.0.0/16", "fd08::1/128")))
    assert same_as_golden("nat-except", rendered(lab, Rules("b", "vn-b", "nat", (), ("192.168.31.0/24",))))


FORWARDS = (
    Forward("tcp", 8080, 8080, "192.168.30.10", 80),
    Forward("udp", 5000, 5100, "192.168.30.10", None, "203.0.113.2"),
    Forward("sctp", 7, 7, "fd00:1::10", 7),
    Forward("tcp", 9000, 9010, "fd00:1::10", None),
    Forward("tcp", 53, 53, "fd00:1::10", 53, "2001:db8::2"),
)


@pytest.mark.parametrize("mode", MODES)
def test_rendered_table_of_port_forwards(mode: str) -> None:
    subnets = ("192.168.30.0/24", "fd00:1::/64")
    assert same_as_golden(f"{mode}-forwards", rendered(Rules("lab", "vn-lab", mode, (), subnets, Nat(), FORWARDS)))


@pytest.mark.parametrize("mode", ["nat", "open"])
def test_rendered_table_of_port_forwards_of_isolated_guests(mode: str) -> None:
    subnets = ("192.168.30.0/24", "fd00:1::/64")
    rules = Rules("lab", "vn-lab", mode, (), subnets, Nat(), FORWARDS, isolate_guests=True)
    assert same_as_golden(f"{mode}-apart-forwards", rendered(rules))


@pytest.mark.parametrize("mode", ["isolated", "open"])
def test_rendered_table_of_a_bridge_without_an_address(mode: str) -> None:
    assert same_as_golden(f"{mode}-bare", rendered(Rules("lab", "vn-lab", mode)))


@pytest.mark.parametrize("mode", MODES)
def test_rendered_table_of_isolated_guests(mode: str) -> None:
    rules = Rules("lab", "vn-lab", mode, (), ("192.168.30.0/24",), isolate_guests=True)
    assert same_as_golden(f"{mode}-apart", rendered(rules))


@pytest.mark.parametrize("mode", MODES[:3])
def test_rendered_table_of_a_rate_of_connections(mode: str) -> None:
    rules = Rules("lab", "vn-lab", mode, (), ("192.168.30.0/24",), connection_rate=2000)
    assert same_as_golden(f"{mode}-rate", rendered(rules))


@pytest.mark.parametrize("mode", MODES[:3])
def test_rendered_table_of_a_clamped_mss(mode: str) -> None:
    rules = Rules("lab", "vn-lab", mode, (), ("192.168.30.0/24",), clamp_mss=True)
    assert same_as_golden(f"{mode}-mss", rendered(rules))


@pytest.mark.parametrize("mode", ["nat", "routed"])
def test_rendered_table_with_helpers_of_conntrack(mode: str) -> None:
    rules = Rules("lab", "vn-lab", mode, (), ("192.168.30.0/24",), helpers=("ftp", "sip"))
    assert same_as_golden(f"{mode}-helpers", rendered(rules))


def test_rendered_table_of_an_isolated_network_without_a_name_server() -> None:
    rules = Rules("lab", "vn-lab", "isolated", (), ("192.168.30.0/24",), dns=False)
    assert same_as_golden("isolated-nameless", rendered(rules))
    assert nft_elements.rules_of(nft_elements.elements_of(rules), "vn-lab") == rules


@pytest.mark.parametrize("forwards", [(), FORWARDS[:1]])
def test_rendered_table_of_a_dnsmasq_with_ports_of_its_own(forwards: tuple[Forward, ...]) -> None:
    subnets = ("192.168.30.0/24", "fd00:1::/64")
    addresses = ("192.168.30.1", "fd00:1::1")
    lab = Rules("lab", "vn-lab", "nat", (), subnets, Nat(), forwards, redirect_dns=addresses, redirect_dhcp=True)
    assert same_as_golden(f"nat-redirected{'-forwards' if forwards else ''}", rendered(lab))
    assert nft_elements.rules_of(nft_elements.elements_of(lab), "vn-lab") == lab


@given(st.lists(st.sampled_from(FORWARDS), unique=True), st.sampled_from(MODES))
def test_port_forwards_are_read_back(forwards: list[Forward], mode: str) -> None:
    rules = Rules("lab", "vn-lab", mode, (), (), Nat(), tuple(sorted(forwards, key=nft_elements.forward_order)))
    assert nft_elements.rules_of(nft_elements.elements_of(rules), "vn-lab") == rules


def test_rendered_table_of_all_modes() -> None:
    all_modes = [Rules(mode, f"vn-{mode}", mode, (), (f"10.0.{i}.0/24",)) for i, mode in enumerate(MODES)]
    assert same_as_golden("all-modes", rendered(*all_modes))


def test_rendering_does_not_depend_on_the_order_of_networks() -> None:
    first, second = Rules("a", "br-a", "nat", (), ("10.0.0.0/24",)), Rules("b", "br-b", "routed", (), ("10.0.1.0/24",))
    assert rendered(first, second) == rendered(second, first)


@given(
    st.builds(
        Rules,
        name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}", fullmatch=True),
        bridge=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}", fullmatch=True),
        mode=st.just("nat"),
        uplinks=st.sets(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}", fullmatch=True), max_size=3).map(
            lambda names: tuple(sorted(names))
        ),
        subnets=st.just(("10.0.0.0/24",)) | st.just(("10.0.0.0/24", "fd00:1::/64")),
        nat=st.builds(
            Nat,
            source=st.just(()) | st.just(("192.0.2.1", "192.0.2.9")),
            ports=st.tuples(st.integers(1, 999), st.integers(1000, 65535)),
            exceptions=st.just(()) | st.just(("10.8.0.0/16", "fd08::/64")),
        ),
        isolate_guests=st.booleans(),
        connection_rate=st.integers(0, nft_elements.MOST_CONNECTIONS),
        clamp_mss=st.booleans(),
        helpers=st.just(()) | st.just(("ftp", "sip")),
    )
)
def test_a_network_is_read_back_from_its_elements(rules: Rules) -> None:
    elements = nft_elements.merged([nft_elements.elements_of(rules)])
    assert nft_elements.rules_of(elements, rules.bridge) == rules


def test_a_delta_names_only_what_differs() -> None:
    before = nft_elements.merged([nft_elements.elements_of(Rules("a", "br-a", "nat", (), ("10.0.0.0/24",)))])
    after = nft_elements.merged([nft_elements.elements_of(Rules("a", "br-a", "nat", (), ("10.0.1.0/24",)))])
    assert nft_script.render_delta(before, before).script == ""
    assert nft_script.render_delta(before, after).script.splitlines() == [
        'delete element inet virtnet vn_subnets4 { "br-a" . 10.0.0.0/24 }',
        "delete element inet virtnet vn_closed4 { 10.0.0.0/24 }",
        'add element inet virtnet vn_subnets4 { "br-a" . 10.0.1.0/24 }',
        'add element inet virtnet vn_closed4 { 10.0.1.0/24 comment "br-a" }',
    ]


def test_a_changed_rate_replaces_the_element_since_adding_it_again_changes_nothing() -> None:
    before, after = (
        nft_elements.merged(
            [nft_elements.elements_of(Rules("a", "br-a", "nat", (), ("10.0.0.0/24",), connection_rate=rate))]
        )
        for rate in (10, 20)
    )
    assert nft_script.render_delta(before, after).script.splitlines() == [
        'delete element inet virtnet vn_limited { "br-a" }',
        'add element inet virtnet vn_limited { "br-a" limit rate over 20/second burst 40 packets }',
    ]


def specs(*networks: dict[str, object]) -> list[RulesSpec]:
    return [RulesSpec.from_options(options) for options in Options({"networks": list(networks)}).each("networks")]


NETWORK = {"name": "a", "bridge": "br-a", "subnets": ["10.0.0.0/24"]}
FORWARDED = [{"port": 80, "to": "10.0.0.9"}, {"port": 81, "to": "10.0.0.9"}]


def planned(current: dict[str, object], *desired: dict[str, object]) -> RulesPlan:
    elements = nft_elements.merged([nft_elements.elements_of(spec.rules) for spec in specs(current)])
    digests = {nft_script.version(elements): "digest"}
    loaded = RulesState(Table(nft_script.static_comments(elements), "digest", elements), digests)
    return RulesReconciler(specs(*desired), True, Paths()).plan(loaded)


def test_rules_have_the_interface_of_an_alternative_name_and_a_missing_uplink_is_reported() -> None:
    desired = {**NETWORK, "uplink": "wan0"}
    reconciler = RulesReconciler(specs(desired), True, Paths())
    assert '"br-a" . "enp1s0"' in reconciler.plan(RulesState(uplinks={"wan0": "enp1s0"})).table.script
    missing = reconciler.plan(RulesState(uplinks={"wan0": ""}))
    assert '"br-a" . "wan0"' in missing.table.script
    assert missing.notes[0].startswith("network 'a': the uplink wan0 does not exist")
    assert not reconciler.plan(RulesState(uplinks={"wan0": "wan0"})).notes


@pytest.mark.parametrize("uplink", ["", [""], [], None])
def test_an_empty_uplink_is_none(uplink: object) -> None:
    (spec,) = specs({**NETWORK, "uplink": uplink})
    assert list(spec.rules.uplinks) == []


def test_of_several_uplinks_those_that_are_missing_are_reported() -> None:
    def notes(**uplinks: str) -> list[str]:
        reconciler = RulesReconciler(specs({**NETWORK, "uplink": ["wan0", "wan1", "wan2"]}), True, Paths())
        return list(reconciler.plan(RulesState(uplinks=uplinks)).notes)

    assert not notes(wan0="a", wan1="b", wan2="c")
    (note,) = notes(wan0="", wan1="b", wan2="c")
    assert note.endswith("the uplink wan0 does not exist, and until it does, guests leave by wan1, wan2 alone")
    (note,) = notes(wan0="", wan1="", wan2="")
    assert note.endswith("wan0, wan1, wan2 do not exist, and until they do, guests reach nothing outside")


def test_rules_go_without_a_helper_that_the_kernel_no_longer_has_and_say_so() -> None:
    reconciler = RulesReconciler(specs({**NETWORK, "conntrack_helpers": ["ftp", "tftp"]}), True, Paths())
    plan = reconciler.plan(RulesState(missing_helpers={"ftp": "nf_conntrack_ftp"}))
    assert '"tftp"' in plan.table.script and '"ftp"' not in plan.table.script
    assert plan.notes[0].startswith("network 'a': this kernel lacks nf_conntrack_ftp")


def test_a_port_forward_of_an_address_that_the_host_does_not_have_is_reported() -> None:
    forward = {"port": 80, "to": "10.0.0.9", "address": "203.0.113.9"}
    reconciler = RulesReconciler(specs({**NETWORK, "port_forwards": [forward]}), True, Paths())
    assert not reconciler.plan(RulesState()).notes
    (note,) = reconciler.plan(RulesState(missing_addresses=["203.0.113.9"])).notes
    assert note.startswith("network 'a': 203.0.113.9 is not an address of this host")
    assert "tcp 203.0.113.9:80 -> 10.0.0.9:80" in note


def connection(destination: str, replier: str, port: int = 80) -> Connection:
    source, *ends = map(ipaddress.ip_address, ("192.0.2.9", destination, replier))
    return Connection(2, "tcp", source, ends[0], port, ends[1], b"")


def test_connections_that_the_host_itself_answers_end_where_a_forward_takes_their_port() -> None:
    flows = planned(NETWORK, {**NETWORK, "port_forwards": FORWARDED}).flows_to_flush
    assert [forward.first for forward in flows.new_forwards] == [80, 81]
    flows = replace(flows, own_addresses=["192.0.2.1", "10.0.0.1"])
    assert flows.includes(connection("192.0.2.1", "192.0.2.1"))
    assert replace(flows, subnets=["10.0.0.0/24"]).includes(connection("10.0.0.1", "10.0.0.1", 22))
    # Of another host, of a guest already, of another port.
    assert not flows.includes(connection("198.51.100.1", "198.51.100.1"))
    assert not flows.includes(connection("192.0.2.1", "10.0.0.9"))
    assert not flows.includes(connection("192.0.2.1", "192.0.2.1", 22))


def test_a_plan_has_one_script_and_flushes_what_is_no_longer_allowed() -> None:
    assert planned(NETWORK, NETWORK).table.script == ""
    fewer = planned({**NETWORK, "port_forwards": FORWARDED}, {**NETWORK, "port_forwards": FORWARDED[:1]})
    assert "delete element inet virtnet vn_port4 { tcp . 81" in fewer.table.script
    assert [forward.first for forward in fewer.flows_to_flush.forwards] == [81]
    assert fewer.flows_to_flush.subnets == []
    isolated = planned(NETWORK, {**NETWORK, "mode": "isolated"})
    assert isolated.flows_to_flush.subnets == ["10.0.0.0/24"]
    assert not planned({**NETWORK, "mode": "isolated"}, NETWORK).flows_to_flush
    nothing = planned({**NETWORK, "port_forwards": FORWARDED})
    assert nothing.table.script == "delete table inet virtnet\n"
    assert len(nothing.flows_to_flush.forwards) == 2
    assert nothing.flows_to_flush.subnets == ["10.0.0.0/24"]


def test_a_listing_of_the_kernel_is_read() -> None:
    listing = {
        "nftables": [
            {"metainfo": {"json_schema_version": 1}},
            {"table": {"family": "inet", "name": "virtnet", "handle": 1}},
            {"map": {"name": "vn_to_guest", "elem": [["vn-a", {"jump": {"target": "vn_to_closed"}}]]}},
            {"set": {"name": "vn_bridges", "elem": [{"elem": {"val": "vn-a", "comment": "a"}}]}},
            {"set": {"name": "vn_limited", "elem": [
                {"elem": {"val": "vn-a", "limit": {"rate": 9, "burst": 18, "per": "second", "inv": True}}},
                {"elem": {"val": "vn-b", "limit": {"rate": 9, "burst": 18, "per": "hour"}}},
            ]}},
            {"set": {"name": "vn_subnets4", "elem": [
                {"concat": ["vn-a", {"prefix": {"addr": "10.0.0.0", "len": 8}}]},
                {"concat": ["vn-a", "11.0.0.1"]},
            ]}},
            {"chain": {"name": "vn_forward", "hook": "forward", "handle": 7}},
            {"rule": {"chain": "vn_forward", "handle": 8, "comment": "x", "expr": [{"accept": None}]}},
        ]
    }  # fmt: skip
    table = parse(json.dumps(listing))
    assert table.comments == {"vn_forward": ["x"]}
    assert table.elements == {
        "vn_to_guest": {("vn-a",): "jump vn_to_closed"},
        "vn_bridges": {("vn-a",): "a"},
        "vn_limited": {
            ("vn-a",): "limit rate over 9/second burst 18 packets",
            ("vn-b",): "limit rate 9/hour burst 18 packets",
        },
        "vn_subnets4": {("vn-a", "10.0.0.0/8"): "", ("vn-a", "11.0.0.1"): ""},
    }


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([{"name": "a"}], "networks[0].subnets: is required in mode nat"),
        ([{"name": "a", "subnets": ["10.0.0.0/24"]}], "networks[0].bridge: is required"),
        ([{"name": "a", "bridge": "x", "subnets": ["fd00::"]}], "networks[0].subnets[0]: 'fd00::' lacks the prefix"),
        (
            [
                {"name": n, "bridge": n, "subnets": ["10.0.0.0/8", s]}
                for n, s in (("a", "fd00::/16"), ("b", "fd00:1::/64"))
            ],
            "networks[1].subnets: 10.0.0.0/8 overlaps 10.0.0.0/8 of network 'a'",
        ),
        (
            [{"name": n, "bridge": n, "subnets": [s]} for n, s in (("a", "fd00::/16"), ("b", "fd00:1::/64"))],
            "networks[1].subnets: fd00:1::/64 overlaps fd00::/16 of network 'a'",
        ),
        (
            [{"name": "a", "bridge": "x", "mode": "routed", "subnets": ["10.0.0.0/8"], "nat": {"ports": {"start": 9}}}],
            "networks[0].nat.ports: has no meaning in mode routed",
        ),
        (
            [
                {
                    "name": "a",
                    "bridge": "x",
                    "mode": "routed",
                    "subnets": ["10.0.0.0/8"],
                    "nat": {"except": "10.8.0.0/16"},
                }
            ],
            "networks[0].nat.except: has no meaning in mode routed",
        ),
        (
            [
                {
                    "name": "a",
                    "bridge": "x",
                    "subnets": ["10.0.0.0/8"],
                    "nat": {"source": {"start": "10.0.0.9", "end": "10.0.0.8"}},
                }
            ],
            "networks[0].nat.source.end: 10.0.0.8 is below the start 10.0.0.9; swap them",
        ),
        ([{"name": "a", "mode": "open", "bridge": 'x" accept'}], "is not an interface name"),
        (
            [{"name": "a", "mode": "open", "bridge": "x", "connection_rate": 5}],
            "networks[0].connection_rate: has no meaning in mode open",
        ),
        (
            [{"name": "a", "mode": "open", "bridge": "x", "clamp_mss": True}],
            "networks[0].clamp_mss: true has no meaning in mode open",
        ),
        (
            [{"name": "a", "mode": "isolated", "bridge": "x", "conntrack_helpers": "ftp"}],
            "networks[0].conntrack_helpers: has no meaning in mode isolated",
        ),
        (
            [{"name": "a", "bridge": "x", "subnets": ["10.0.0.0/8"], "conntrack_helpers": ["ftp", "sap"]}],
            "networks[0].conntrack_helpers[1]: 'sap' is not possible; use one of ftp, sip, tftp; did you mean 'sip'?",
        ),
        (
            [{"name": "a", "mode": "nat", "bridge": "x", "subnets": ["10.0.0.0/8"], "dns": False}],
            "networks[0].dns: false has no meaning in mode nat",
        ),
        (
            [{"name": "a", "bridge": "x", "subnets": ["10.0.0.0/8"], "connection_rate": -1}],
            "networks[0].connection_rate: -1 is out of range; use 0 to 1000000",
        ),
        ([{"name": n, "mode": "open", "bridge": "x"} for n in "ab"], "networks[1].bridge: 'x' is already used"),
        (
            [{"name": n, "bridge": n, "subnets": ["10.0.0.0/24"]} for n in "ab"],
            "networks[1].subnets: 10.0.0.0/24 overlaps 10.0.0.0/24 of network 'a'",
        ),
    ],
)
def test_error_names_the_value(items: list[dict[str, object]], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        RulesReconciler(specs(*items), False, Paths())
    assert message in str(caught.value)
