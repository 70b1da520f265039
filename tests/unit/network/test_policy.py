# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies of networks: their sets, their errors, the connections that they refuse, and their diff."""

from __future__ import annotations

import ipaddress
import itertools
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.policy_flows import PolicyFlows
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.policy_hits import policy_hits
from ansible_collections.virtnet.linux.plugins.module_utils.firewall.rules_differences import rules_differences
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.conntrack import Connection
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import read_network
from ansible_collections.virtnet.linux.plugins.module_utils.nft import elements as nft_elements
from ansible_collections.virtnet.linux.plugins.module_utils.nft import script as nft_script
from ansible_collections.virtnet.linux.plugins.module_utils.nft.elements import Rules
from ansible_collections.virtnet.linux.plugins.module_utils.nft.listing import Table
from ansible_collections.virtnet.linux.plugins.module_utils.nft.policy import Policy, read_policy
from ansible_collections.virtnet.linux.plugins.module_utils.nft.policy_sets import PolicySet, without_overlaps
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.desired_state import RULES, specs_for
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.validation import validate_together
from hypothesis import given
from hypothesis import strategies as st

_INTERVAL = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda pair: (min(pair), max(pair)))


def _points(boxes: Any) -> list[tuple[int, ...]]:
    return [point for box in boxes for point in itertools.product(*(range(first, last + 1) for first, last in box))]


@given(st.lists(st.tuples(_INTERVAL, _INTERVAL, _INTERVAL), max_size=6))
def test_boxes_without_overlaps_cover_each_value_once(boxes: Any) -> None:
    points = _points(without_overlaps(boxes))
    assert len(points) == len(set(points))
    assert set(points) == set(_points(boxes))


def rules(name: str, subnet: str, mode: str = "nat", **policy: Any) -> Rules:
    options = Options(policy, f"{name}.policy")
    read = read_policy(options, name, mode).with_networks({"lab": "vn-lab", "dmz": "vn-dmz"})
    return Rules(name, f"vn-{name}", mode, (), (subnet,), policy=read)


def merged(*networks: Rules) -> Any:
    return nft_elements.merged(map(nft_elements.elements_of, networks))


LAB, DMZ = "198.51.100.0/24", "203.0.113.0/24"
WEB = {"network": "dmz", "protocol": "tcp", "port": 443}


@pytest.mark.parametrize(
    "policy",
    [
        {"allow": [WEB]},
        {"to_host": []},
        {"to_host": ["dns", "dhcp", "tftp", {"protocol": "tcp", "port": "8000-8010"}], "log": True},
        {"default": "deny", "allow": [{"to": "192.0.2.0/24"}, {"protocol": "icmp"}], "log": True},
        {
            "deny": [
                {"protocol": "gre"},
                {"from": "198.51.100.9", "to": "192.0.2.0/25", "protocol": "udp", "port": "1-9"},
            ]
        },
    ],
)
def test_a_policy_is_read_back_from_its_elements(policy: Any) -> None:
    lab = rules("lab", LAB, **policy)
    assert nft_elements.rules_of(nft_elements.elements_of(lab), "vn-lab") == lab


def test_names_of_sets_have_at_most_31_characters() -> None:
    assert len(PolicySet("allow", "4", "sodpn", "a" * 15).name) == 31


def test_a_changed_entry_changes_elements_alone() -> None:
    before, after = (merged(rules("lab", LAB, allow=[WEB, {**WEB, "port": port}])) for port in (80, 81))
    script = nft_script.render_delta(before, after).script
    assert script == (
        'delete element inet virtnet vn_allow_opn_vn-lab { "vn-dmz" . 6 . 80 }\n'
        'add element inet virtnet vn_allow_opn_vn-lab { "vn-dmz" . 6 . 81 }\n'
    )


def test_a_set_gets_intervals_only_for_ranges() -> None:
    exact = nft_script.render(merged(rules("lab", LAB, allow=[WEB])))
    ranges = nft_script.render(merged(rules("lab", LAB, allow=[WEB, {**WEB, "port": "8000-8010"}])))
    assert "vn_allow_opn_vn-lab { type ifname . inet_proto . inet_service; counter;" in exact
    assert "vn_allow_OPN_vn-lab { type ifname . inet_proto . inet_service; flags interval; counter;" in ranges


def test_the_diff_of_a_policy_is_readable() -> None:
    before = merged(rules("lab", LAB), rules("dmz", DMZ))
    after = merged(rules("lab", LAB, allow=[{**WEB, "from": "198.51.100.5"}]), rules("dmz", DMZ))
    (difference,) = rules_differences(before, after)
    change = difference.change()
    assert "  - lab: allow 198.51.100.5 -> dmz tcp 443\n" in change.after
    assert change.detail == "policy + allow 198.51.100.5 -> dmz tcp 443, + allow everything else"


def connection(to: str, port: int, protocol: str = "tcp", source: str = "198.51.100.5") -> Connection:
    source_address, address = ipaddress.ip_address(source), ipaddress.ip_address(to)
    return Connection(2, protocol, source_address, address, port, address, b"", port)


@pytest.mark.parametrize(
    ("policy", "ended"),
    [
        ({"allow": [WEB]}, {("203.0.113.9", 80)}),
        ({"default": "deny"}, {("203.0.113.9", 443), ("203.0.113.9", 80), ("192.0.2.1", 80)}),
        ({"deny": [{"to": "192.0.2.0/24"}], "allow": [{"network": "dmz"}]}, {("192.0.2.1", 80)}),
        ({"to_host": ["dns"], "allow": [{"network": "dmz"}]}, {("198.51.100.1", 22)}),
    ],
)
def test_a_changed_policy_ends_the_flows_that_it_refuses(policy: Any, ended: set[tuple[str, int]]) -> None:
    lab, dmz = rules("lab", LAB, **policy), rules("dmz", DMZ)
    flows = PolicyFlows(lab, {"vn-lab": lab, "vn-dmz": dmz})
    everything = [
        ("203.0.113.9", 443), ("203.0.113.9", 80), ("192.0.2.1", 80), ("198.51.100.1", 22), ("198.51.100.1", 53),
        ("198.51.100.7", 80),
    ]  # fmt: skip
    own = {"198.51.100.1"}
    assert {one for one in everything if flows.includes(connection(*one), own)} == ended
    assert not flows.includes(connection("203.0.113.9", 80, source="203.0.113.3"), own)


def network(name: str, address: str, **options: Any) -> Any:
    item = {"name": name, "ipv4": {"address": address, **options.pop("ipv4", {})}, **options}
    return read_network(Options(item, f"networks[{name}]"), "host")


def test_static_hosts_and_services_are_resolved() -> None:
    hosts = {"dhcp": {"hosts": [{"mac": "52:54:00:00:00:02", "name": "web", "ip": "203.0.113.10"}]}}
    lab = network("lab", "198.51.100.1/24", policy={"to_host": "services", "allow": [{"network": "dmz", "to": "web"}]})
    dmz = network("dmz", "203.0.113.1/24", mode="isolated", ipv4=hosts)
    validate_together([lab, dmz])
    specs = specs_for([dmz, lab], {})
    policy = specs[RULES][1]["policy"]
    assert policy["allow"] == [{"network": "dmz", "to": "203.0.113.10"}]
    assert policy["to_host"] == ["dns", "dhcp"]
    assert specs["bridges"][0]["forwarding"]
    assert read_network(Options(lab.as_options()), "host") == lab


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"allow": [{"network": "dmx"}]}, r"allow\[0\].network: 'dmx' is no network .* \(dmz\)"),
        ({"allow": [{"network": "dmz", "to": "web"}]}, "neither an address nor the name of a static host"),
        ({"deny": [{"from": "203.0.113.9"}]}, "is outside the network"),
        ({"deny": [{"to": "web"}]}, "for a static host add its network"),
        ({"deny": [{"to": "192.0.2.1/24"}]}, "is not a subnet"),
        ({"deny": [{"protocol": "icmp", "port": 7}]}, "is required with port"),
        ({"deny": [{"port": 7}]}, "is required with port"),
        ({"deny": [{"protocol": "tcp", "port": "9-7"}]}, "is not a range of ports"),
        ({"deny": [{}]}, "for all flows use default"),
        ({"deny": [{"network": "lab"}]}, "use isolate_guests"),
        ({"allow": [{"protocol": "tcp"}]}, "changes nothing with default: allow"),
        ({"allow": [{"network": "dmz"}], "deny": [{"network": "dmz"}]}, "is the same as"),
        ({"deny": [{"from": "198.51.100.9", "to": "fd00::1"}]}, "not of the same family"),
        ({"to_host": ["ssh"]}, "use one of services, dns, dhcp, tftp"),
        ({"colour": 1}, "no such option"),
    ],
)
def test_an_error_names_the_value_and_a_cure(policy: Any, message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        validate_together([network("lab", "198.51.100.1/24", policy=policy), network("dmz", "203.0.113.1/24")])


def test_a_network_without_rules_has_no_policy() -> None:
    with pytest.raises(InvalidOption, match="mode open"):
        network("lab", "198.51.100.1/24", mode="open", policy={"default": "deny"})
    assert "policy" not in network("lab", "198.51.100.1/24").as_options()
    assert network("lab", "198.51.100.1/24").policy == Policy()


def test_hits_are_told_by_entry() -> None:
    elements = merged(rules("lab", LAB, allow=[WEB], to_host=[{"protocol": "tcp", "port": 9100}]), rules("dmz", DMZ))
    names = ("vn_allow_opn_vn-lab", "vn_host_pn_vn-lab")
    hits = {name: dict.fromkeys(elements[name], (7, 420)) for name in names}
    told = policy_hits(Table(elements=elements, hits=hits))
    assert [hit.network for hit in told] == ["lab", "lab"]
    assert [hit.as_options() for hit in told] == [
        {"entry": "allow -> dmz tcp 443", "packets": 7},
        {"entry": "to host tcp 9100", "packets": 7},
    ]
