# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of definitions: lists against themselves and against the host, subnets that stay, removals that complete."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.network_history import NetworkHistory
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.core.reconcile import Plan
from ansible_collections.virtnet.linux.plugins.module_utils.ipam.allocator import AllocationSettings, Fleet, read_fleet
from ansible_collections.virtnet.linux.plugins.module_utils.ipam.subnets import Pool, Share, SubnetInUse, host_prefix
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.links import Link
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import Network, read_network
from ansible_collections.virtnet.linux.plugins.module_utils.network.store import Unreadable, updated_history
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.desired_state import FRAGMENTS, specs_for
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.parts import reconcilers_for
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.reconciler import Networks
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.state import State

HOST = "0123456789abcdef0123456789abcdef"


def networks(*items: dict[str, Any]) -> list[Network]:
    return [read_network(options, HOST) for options in Options({"networks": list(items)}).each("networks")]


def plan(*items: dict[str, Any], state: State | None = None, purge: bool = False, **more: Any) -> Plan[Any]:
    return Networks(networks(*items), purge, Paths("/nowhere"), **more).plan(state or State())


def stored(*items: dict[str, Any], earlier: Mapping[str, NetworkHistory] | None = None, **more: Any) -> State:
    """The host after a run with these networks."""
    planned = plan(*items)
    definitions = {one["name"]: read_network(Options(one), HOST) for one in planned.result}
    history = {name: updated_history(NetworkHistory(), network) for name, network in definitions.items()}
    return State(definitions=definitions, history={**(earlier or {}), **history}, **more)


def occupied(subnet: str, what: str = "the route", interface: str = "eth0") -> SubnetInUse:
    return SubnetInUse(ipaddress.ip_network(subnet), f"{what} {subnet}", interface)


def refused(*items: dict[str, Any], **more: Any) -> str:
    with pytest.raises(InvalidOption) as caught:
        plan(*items, **more)
    return str(caught.value)


def address(planned: Plan[Any], name: str = "lab") -> str:
    return str(next(one["ipv4"]["address"] for one in planned.result if one["name"] == name))


LAB = {"name": "lab"}
FIXED = {"name": "lab", "ipv4": {"address": "192.168.30.1/24"}}


def test_second_run_changes_nothing() -> None:
    for items in (
        [LAB],
        [FIXED],
        [LAB, {"name": "dmz"}],
        [{**LAB, "state": "inactive"}],
        [{**LAB, "persistent": False}],
    ):
        assert plan(*items, state=stored(*items)).changes == []


def test_auto_takes_the_first_subnet_that_is_free_of_everything() -> None:
    state = State(occupied=[occupied("192.168.0.0/24"), occupied("192.168.1.128/25")])
    planned = plan(LAB, {"name": "b", "ipv4": {"address": "192.168.2.1/24"}}, {"name": "c"}, state=state)
    assert address(planned) == "192.168.3.1/24"
    assert address(planned, "c") == "192.168.4.1/24"


def test_auto_keeps_its_subnet_while_it_runs_whatever_appears() -> None:
    links = {"vn-lab": Link("vn-lab", 3, "bridge", addresses=("192.168.0.1/24",))}
    state = stored(LAB, links=links, occupied=[occupied("192.168.0.0/16"), occupied("192.168.0.0/24", "x", "vn-lab")])
    planned = plan(LAB, state=state)
    assert planned.changes == []
    assert address(planned) == "192.168.0.1/24"


def test_auto_returns_to_the_subnet_that_it_had() -> None:
    history = {"lab": NetworkHistory({"vn-lab": "52:54:00:00:00:01"}, "192.168.77.1/24")}
    assert address(plan(LAB, state=State(history=history))) == "192.168.77.1/24"
    taken = State(history=history, occupied=[occupied("192.168.77.0/24")])
    assert address(plan(LAB, state=taken)) == "192.168.0.1/24"


def test_the_error_of_a_full_pool_names_what_occupies_it() -> None:
    pool = [Pool(ipaddress.IPv4Network("10.9.0.0/24"))]
    message = refused(LAB, state=State(occupied=[occupied("10.9.0.128/25")]), pools=pool)
    assert (
        "networks[0].ipv4.address: no free subnet is left in 10.9.0.0/24 (cut into /24); "
        "it is occupied by the route 10.9.0.128/25" in message
    )


@pytest.mark.parametrize(
    ("other", "path", "expected"),
    [
        ({"name": "lab"}, "networks[1].name", "'lab' is already that of networks[0]"),
        ({"name": "b", "bridge": {"name": "vn-lab"}}, "networks[1].bridge.name", "'vn-lab' is already that of"),
        ({"name": "b", "uuid": "7b0cbfb2-6a3e-4d4c-9d57-3c1f5c9a6e01"}, "networks[1].uuid", "is already that of"),
        ({"name": "b", "bridge": {"mac": "52:54:00:00:00:99"}}, "networks[1].bridge.mac", "is already that of"),
        (
            {"name": "b", "bridge": {"ports": ["eth7"]}},
            "networks[1].bridge.ports[0]",
            "already a port of network 'lab'",
        ),
        (
            {"name": "b", "ipv4": {"address": "192.168.30.129/25"}},
            "networks[1].ipv4.address",
            "192.168.30.128/25 overlaps 192.168.30.0/24 of network 'lab'",
        ),
        ({"name": "b", "extra_addresses": ["192.168.30.5/30"]}, "networks[1].ipv4.address", "overlaps"),
        (
            {
                "name": "b",
                "ipv4": {"address": "10.5.0.1/24"},
                "routes": [{"to": "192.168.30.64/26", "via": "10.5.0.9"}],
            },
            "networks[1].routes",
            "192.168.30.64/26 overlaps 192.168.30.0/24 of network 'lab'",
        ),
        (
            {
                "name": "b",
                "ipv4": {
                    "address": "10.5.0.1/24",
                    "dhcp": {"hosts": [{"mac": "52:54:00:00:00:10", "ip": "10.5.0.9"}]},
                },
            },
            "networks[1].ipv4.dhcp.hosts",
            "MAC address 52:54:00:00:00:10 is already given to networks[0].ipv4.dhcp.hosts[0]",
        ),
    ],
)
def test_two_networks_cannot_share_a_value(other: dict[str, Any], path: str, expected: str) -> None:
    lab = {
        "name": "lab",
        "uuid": "7b0cbfb2-6a3e-4d4c-9d57-3c1f5c9a6e01",
        "bridge": {"mac": "52:54:00:00:00:99", "ports": ["eth7"]},
        "ipv4": {
            "address": "192.168.30.1/24",
            "dhcp": {"hosts": [{"mac": "52:54:00:00:00:10", "ip": "192.168.30.9"}]},
        },
    }
    message = refused(lab, other)
    assert path in message
    assert expected in message


def test_a_guest_has_one_client_id_on_two_networks() -> None:
    def network(n: int) -> dict[str, Any]:
        hosts = [{"id": "01:52:54:00:00:00:10", "ip": f"10.{n}.0.9"}]
        return {"name": f"n{n}", "ipv4": {"address": f"10.{n}.0.1/24", "dhcp": {"hosts": hosts}}}

    assert len(plan(network(1), network(2)).changes) == 2


def test_a_network_that_the_list_does_not_name_counts_too() -> None:
    state = stored({"name": "old", "ipv4": {"address": "192.168.30.1/24"}})
    assert "192.168.30.0/24 overlaps 192.168.30.0/24 of network 'old'" in refused(FIXED, state=state)
    assert plan(FIXED, state=state, purge=True).changes


def test_a_fixed_subnet_that_overlaps_the_host_is_refused_by_the_name_of_what_it_overlaps() -> None:
    for taken in ("192.168.0.0/16", "192.168.30.0/24", "192.168.30.7/32"):
        message = refused(FIXED, state=State(occupied=[occupied(taken)]))
        assert f"networks[0].ipv4.address: 192.168.30.0/24 overlaps the route {taken} of this host" in message


def proxied(address: str) -> dict[str, Any]:
    ipv6 = {"address": address, "ra": False, "ndp_proxy": True}
    return {"name": "dmz", "mode": "routed", "uplink": "eth0", "ipv4": {"address": "none"}, "ipv6": ipv6}


def on_uplink(cidr: str, *more: SubnetInUse) -> State:
    subnet = str(ipaddress.ip_interface(cidr).network)
    links = {"eth0": Link("eth0", 2, addresses=[cidr])}
    return State(occupied=[occupied(subnet, f"the address {cidr} of"), occupied(subnet), *more], links=links)


def test_guests_may_have_a_part_of_the_prefix_of_the_uplink_if_the_host_answers_for_them() -> None:
    whole, part = "2001:db8:1:2::2/64", "2001:db8:1:2:f::1/80"
    assert plan(proxied(part), state=on_uplink(whole)).notes == []
    assert plan(proxied("2001:db8:1:2::3/64"), state=on_uplink("2001:db8:1:2::2/128")).notes == []
    without = {**proxied(part), "ipv6": {"address": part, "ra": False}}
    assert "2001:db8:1:2:f::/80 overlaps the address" in refused(without, state=on_uplink(whole))
    assert "overlaps the address" in refused(proxied("2001:db8:1:2::3/64"), state=on_uplink(whole))
    # What is no address of the host stays reachable: the router, and what is on other interfaces.
    for other in (occupied("2001:db8:1:2:f::9/128"), occupied("2001:db8:1:2:f::/80", interface="eth1")):
        assert "overlaps the route" in refused(proxied(part), state=on_uplink(whole, other))


def test_a_prefix_that_the_uplink_has_no_part_of_is_noted() -> None:
    (note,) = plan(proxied("2001:db8:9::1/80"), state=on_uplink("2001:db8:1:2::2/64")).notes
    assert "network 'dmz': 2001:db8:1:2::2/64 of eth0 has no part of 2001:db8:9::/80" in note
    assert plan(proxied("2001:db8:9::1/80"), state=State(links={"eth0": Link("eth0", 2)})).notes == []


def test_a_subnet_behind_a_guest_is_kept_free_and_may_be_part_of_what_is_routed_elsewhere() -> None:
    routed = {**FIXED, "routes": [{"to": "192.168.0.0/25", "via": "192.168.30.2"}]}
    assert address(plan({"name": "b"}, state=stored(routed)), "b") == "192.168.1.1/24"
    message = refused(routed, state=State(occupied=[occupied("192.168.0.0/28")]))
    assert "networks[0].routes[0].to: 192.168.0.0/25 overlaps the route 192.168.0.0/28 of this host" in message
    aggregate = replace(occupied("192.168.0.0/25"), avoid_only=True)
    planned = plan(routed, state=State(occupied=[aggregate]))
    (rules,) = planned.return_values["rules"]
    assert rules["subnets"] == ["192.168.30.0/24", "192.168.0.0/25"]


def test_a_fixed_network_that_runs_is_not_refused_for_what_appeared_later() -> None:
    links = {"vn-lab": Link("vn-lab", 3, "bridge", addresses=("192.168.30.1/24",))}
    assert plan(FIXED, state=stored(FIXED, links=links, occupied=[occupied("192.168.0.0/16")])).changes == []


def test_absent_undefines_and_the_parts_remove_also_remains_of_a_killed_run() -> None:
    state = stored(LAB, {"name": "dmz"})
    planned = plan({"name": "lab", "state": "absent"}, state=state)
    assert [str(change) for change in planned.changes] == ["network lab: undefined"]
    for later in (
        planned,
        plan({"name": "dmz"}, state=State(definitions={"dmz": state.definitions["dmz"]}, history=state.history)),
    ):
        assert [one["name"] for one in later.return_values["bridges"] if one["state"] == "absent"] == ["vn-lab"]
        assert [one["name"] for one in later.return_values["rules"] if one["state"] == "absent"] == ["lab"]
        assert [one["name"] for one in later.return_values["fragments"] if one["state"] == "absent"] == ["lab"]
        assert [one["interface"] for one in later.return_values["entries"] if one["state"] == "absent"] == ["vn-lab"]


def test_inactive_stops_and_keeps_rules_and_definition() -> None:
    planned = plan({**LAB, "state": "inactive"}, state=stored(LAB))
    assert [str(change) for change in planned.changes] == ["network lab: state active -> inactive"]
    states = {part: [one["state"] for one in specs] for part, specs in planned.return_values.items()}
    assert states == {
        "bridges": ["absent"],
        "rules": ["present"],
        "fragments": ["absent"],
        "entries": ["absent"],
        "registrations": ["present"],
    }
    assert planned.return_values["registrations"][0]["active"] is False


def test_purge_undefines_what_the_list_does_not_name() -> None:
    state = stored(LAB, {"name": "dmz"})
    assert plan(LAB, state=state).changes == []
    assert [str(change) for change in plan(LAB, state=state, purge=True).changes] == ["network dmz: undefined"]


def test_another_bridge_name_removes_the_old_bridge_unless_guests_are_on_it() -> None:
    renamed = {**FIXED, "bridge": {"name": "br-lab"}}
    planned = plan(renamed, state=stored(FIXED))
    assert [(one["name"], one["state"]) for one in planned.return_values["bridges"]] == [
        ("vn-lab", "absent"),
        ("br-lab", "present"),
    ]
    guests = stored(FIXED, links={"vnet0": Link("vnet0", 9, "tun", master="vn-lab")})
    assert "networks[0].bridge.name: 'vn-lab' has guests (vnet0)" in refused(renamed, state=guests)


def test_a_transient_definition_moves_to_the_folder_that_a_reboot_empties(tmp_path: Path) -> None:
    planned = plan({**LAB, "persistent": False}, state=stored(LAB))
    files = {file.path: file.content is not None for file in planned.changes[0].files}
    assert files == {"/nowhere/run/virtnet/networks/lab.json": True, "/nowhere/etc/virtnet/networks/lab.json": False}


def test_diff_shows_the_definition_before_and_after() -> None:
    (change,) = plan({**FIXED, "mode": "routed"}, state=stored(FIXED)).changes
    assert '"mode": "nat"' in change.before
    assert '"mode": "routed"' in change.after
    assert str(change) == "network lab: mode nat -> routed"


def test_static_hosts_are_not_served_where_dhcp_is_off() -> None:
    hosts = [{"mac": "52:54:00:00:00:10", "ip": "192.168.30.9"}]
    dhcp = {"enabled": False, "hosts": hosts, "options": {"mtu": 1400}}
    (fragment,) = plan({"name": "lab", "ipv4": {"address": "192.168.30.1/24", "dhcp": dhcp}}).return_values["fragments"]
    assert (fragment["ranges"], fragment["hosts"], fragment["options"]) == ([], [], {})


def test_ipv6_alone_is_served_unless_it_is_off() -> None:
    six: dict[str, Any] = {"address": "fd00:30::1/64"}
    (fragment,) = plan({"name": "six", "ipv4": {"address": "none"}, "ipv6": six}).return_values["fragments"]
    assert (fragment["state"], fragment["address"], fragment["ranges"]) == ("present", None, [])
    assert (fragment["ipv6"]["address"], fragment["ipv6"]["ra"], fragment["ipv6"]["ranges"]) == (
        six["address"],
        True,
        [],
    )
    (entry,) = plan({"name": "six", "ipv4": {"address": "none"}, "ipv6": six}).return_values["entries"]
    assert entry["addresses"] == ["fd00:30::1"]
    quiet = {"name": "six", "ipv4": {"address": "none"}, "ipv6": {**six, "ra": False}, "dns": {"enabled": False}}
    (fragment,) = plan(quiet).return_values["fragments"]
    assert fragment["state"] == "absent"


def test_dhcp_sends_the_mtu_of_the_bridge_unless_another_is_given() -> None:
    def options(**own: Any) -> dict[str, str]:
        ipv4 = {"address": "192.168.30.1/24", "dhcp": {"options": own}}
        (fragment,) = plan({"name": "lab", "bridge": {"mtu": 1400}, "ipv4": ipv4}).return_values["fragments"]
        return dict(fragment["options"])

    assert options() == {"mtu": "1400"}
    assert options(mtu=1300) == {"mtu": "1300"}
    assert options(**{"26": 1300}) == {"26": "1300"}


def test_two_networks_cannot_have_the_same_dns_name() -> None:
    def network(i: int) -> dict[str, Any]:
        dns = {"domain": "lab", "cname": [{"name": "www", "target": f"web{i}"}]}
        return {"name": f"n{i}", "ipv4": {"address": f"10.0.{i}.1/24"}, "dns": dns}

    assert "networks[1].dns.cname[0]: www.lab is already given to network 'n1'" in refused(network(1), network(2))


def test_a_loop_of_aliases_is_refused_also_over_two_networks() -> None:
    def network(i: int, *targets: str) -> dict[str, Any]:
        cname = [{"name": f"a{at}", "target": target} for at, target in enumerate(targets)]
        return {"name": f"n{i}", "ipv4": {"address": f"10.0.{i}.1/24"}, "dns": {"domain": f"n{i}.test", "cname": cname}}

    error = refused(network(1, "x.test", "a0.n2.test"), network(2, "a1.n1.test"))
    assert (
        "network 'n1': networks[0].dns.cname[1].target: makes the loop of aliases a1.n1.test -> a0.n2.test -> "
        "a1.n1.test, with which dnsmasq does not start; have one of them lead to the name of a host" in error
    )
    assert "the loop of aliases a0.n1.test -> a1.n1.test -> a0.n1.test, " in refused(network(1, "a1", "a0"))


def test_started_or_stopped_by_hand_yields_to_a_run_that_names_the_network() -> None:
    stopped = stored(LAB, {"name": "dmz"}, records={"lab": "stopped", "dmz": "stopped"})
    planned = plan(LAB, state=stopped)
    assert [str(change) for change in planned.changes] == ["network lab: started"]
    assert {one["name"]: one["state"] for one in planned.return_values["bridges"]} == {
        "vn-lab": "present",
        "vn-dmz": "absent",
    }
    by_hand = stored({**LAB, "state": "inactive"}, records={"lab": "started"})
    assert [str(one) for one in plan({**LAB, "state": "inactive"}, state=by_hand).changes] == ["network lab: stopped"]
    assert plan(LAB, state=stored(LAB, records={"lab": "started"})).changes == []


def test_a_network_without_autostart_is_started_by_a_run_once_per_boot() -> None:
    manual = {**LAB, "autostart": False}
    assert [str(change) for change in plan(manual, state=stored(manual)).changes] == ["network lab: started"]
    assert plan(manual, state=stored(manual, records={"lab": "started"})).changes == []


def test_a_route_to_elsewhere_is_overlapped_only_if_no_subnet_is_free() -> None:
    vpn = SubnetInUse(ipaddress.IPv4Network("192.168.0.0/17"), "the route 192.168.0.0/17", "tun0", avoid_only=True)
    assert address(plan(LAB, state=State(occupied=[vpn]))) == "192.168.128.1/24"
    pool = [Pool(ipaddress.IPv4Network("192.168.4.0/22"))]
    assert address(plan(LAB, state=State(occupied=[vpn]), pools=pool)) == "192.168.4.1/24"
    assert "overlaps the route" in refused(FIXED, state=State(occupied=[vpn]))


def test_a_new_network_avoids_its_rejected_subnets() -> None:
    history = {"lab": NetworkHistory({}, "192.168.0.1/24", ["192.168.1.0/24"])}
    state = State(history=history, occupied=[occupied("192.168.0.0/24")])
    assert address(plan(LAB, state=state)) == "192.168.2.1/24"


def fleet(position: int, *held: tuple[str, bool], of: int = 3, host: str = "other") -> Fleet:
    options = [{"host": host, "network": "lab", "subnet": subnet, "first": first} for subnet, first in held]
    return read_fleet(Options({"fleet": {"position": position, "of": of, "held": options}}), "fleet")


def test_hosts_of_a_fleet_that_choose_at_once_choose_differently() -> None:
    chosen = [address(plan(LAB, fleet=fleet(i))) for i in range(3)]
    assert chosen == ["192.168.0.1/24", "192.168.1.1/24", "192.168.2.1/24"]
    assert address(plan(LAB, fleet=fleet(1, ("192.168.1.0/24", False)))) == "192.168.4.1/24"


def test_only_a_fixed_subnet_of_another_host_moves_a_network_even_while_it_runs() -> None:
    links = {"vn-lab": Link("vn-lab", 3, "bridge", addresses=("192.168.0.1/24",))}
    state = stored(LAB, links=links, settings=AllocationSettings(share=Share(0, 3)))
    for claim in ("192.168.0.0/24", "192.168.0.0/16", "192.0.0.0/8"):
        assert plan(LAB, state=state, fleet=fleet(0, (claim, False))).changes == []
        assert plan(LAB, state=replace(state, links={}), fleet=fleet(0, (claim, False))).changes == []
    assert address(plan(LAB, state=state, fleet=fleet(2, ("192.168.0.0/24", True)))) == "192.168.2.1/24"


def test_a_network_that_is_added_again_avoids_subnets_of_other_hosts() -> None:
    history = {"lab": NetworkHistory({}, "192.168.0.1/24")}
    state = State(history=history)
    assert address(plan(LAB, state=state, fleet=fleet(0))) == "192.168.0.1/24"
    assert address(plan(LAB, state=state, fleet=fleet(0, ("192.168.0.0/24", False)))) == "192.168.3.1/24"


def claims(*lengths: int) -> list[tuple[str, bool]]:
    """The whole of 192.168.0.0/16 in pieces of these lengths."""
    whole = ipaddress.IPv4Network("192.168.0.0/16")
    return [(str(one), False) for length in lengths for one in whole.subnets(new_prefix=length)]


@pytest.mark.parametrize("held", [claims(16), claims(20), claims(24), [("128.0.0.0/1", False)]], ids=len)
def test_a_host_that_claims_every_subnet_exhausts_nothing_and_is_named(held: list[tuple[str, bool]]) -> None:
    planned = plan(LAB, fleet=fleet(1, *held))
    assert address(planned) == "192.168.1.1/24"
    (note,) = planned.notes
    assert "network 'lab': 192.168.1.0/24 overlaps network 'lab' of host other" in note
    assert "more than its share of the pools" in note


def test_claims_within_the_share_count_if_another_host_claims_every_subnet() -> None:
    honest = [{"host": "b", "network": f"n{i}", "subnet": f"192.168.{i}.1/24"} for i in range(0, 40, 2)]
    liar = [{"host": "c", "network": f"n{i}", "subnet": one} for i, (one, _first) in enumerate(claims(24))]
    told = read_fleet(Options({"fleet": {"position": 0, "of": 4, "held": [*honest, *liar]}}), "fleet")
    assert address(plan(LAB, fleet=told)) == "192.168.40.1/24"


def test_a_pool_that_hosts_fill_within_their_shares_is_exhausted() -> None:
    pools = [Pool(ipaddress.IPv4Network("192.168.4.0/22"))]
    held = [{"host": f"h{i}", "network": "lab", "subnet": f"192.168.{4 + i}.1/24"} for i in range(4)]
    told = read_fleet(Options({"fleet": {"position": 0, "of": 4, "held": held}}), "fleet")
    text = refused(LAB, fleet=told, pools=pools)
    assert "no free subnet is left" in text and "of host h3" in text


def test_fixed_subnets_of_other_hosts_count_whatever_their_size() -> None:
    assert "no free subnet is left" in refused(LAB, fleet=fleet(0, ("192.168.0.0/16", True)))


def test_ipv6_is_a_64_of_the_hosts_own_prefix_and_stays() -> None:
    prefix = host_prefix(HOST)
    both = [{**LAB, "ipv6": {"address": "auto"}}, {"name": "dmz", "ipv6": {"address": "auto"}}]
    planned = plan(*both, state=State(prefix=prefix))
    chosen = [ipaddress.IPv6Interface(one["ipv6"]["address"]) for one in planned.result]
    assert all(one.network.prefixlen == 64 and one.network.subnet_of(prefix) for one in chosen)
    assert chosen[0].network != chosen[1].network
    definitions = {one["name"]: read_network(Options(one), HOST) for one in planned.result}
    history = {name: updated_history(NetworkHistory(), network) for name, network in definitions.items()}
    again = plan(*reversed(both), state=State(definitions=definitions, history=history, prefix=prefix))
    assert again.changes == [] and again.notes == []


HOST_ENTRY = {"mac": "52:54:00:00:00:01", "ip": "192.168.30.9"}


def test_a_kernel_without_ipv6_is_a_note() -> None:
    planned = plan({**LAB, "ipv6": {"address": "auto"}})
    assert planned.notes == ["network 'lab': the kernel of this host has no IPv6, so the network goes without"]
    ipv6 = planned.result[0]["ipv6"]
    assert (ipv6["address"], ipv6["auto"], ipv6["ra"]) == ("none", True, True)
    stored_one = {"lab": read_network(Options(planned.result[0]), HOST)}
    assert plan({**LAB, "ipv6": {"address": "auto"}}, state=State(definitions=stored_one)).changes == []


@pytest.mark.parametrize(
    ("options", "noted"),
    [
        ({"ipv4": {"address": "192.168.30.1/24", "dhcp": {"ranges": []}}}, ["ipv4"]),
        ({"ipv4": {"address": "192.168.30.1/24", "dhcp": {"ranges": [], "enabled": False}}}, []),
        ({"ipv4": {"address": "192.168.30.1/24", "dhcp": {"ranges": [], "hosts": [HOST_ENTRY]}}}, []),
        ({"ipv4": {"address": "192.168.30.1/24"}}, []),
        ({"ipv4": {"address": "none"}, "mode": "isolated"}, []),
        ({"ipv6": {"address": "fd00::1/64", "dhcp": {"enabled": True, "ranges": []}}}, ["ipv6"]),
        ({"ipv6": {"address": "fd00::1/64", "dhcp": {"enabled": True, "stateless": True}}}, []),
        ({"ipv6": {"address": "fd00::1/64", "dhcp": {"enabled": True}}}, []),
        ({"mode": "bridged", "bridge": {"name": "br0"}}, []),
    ],
)
def test_dhcp_that_gives_nobody_an_address_is_a_note(options: dict[str, Any], noted: list[str]) -> None:
    links = {"br0": Link("br0", 3, "bridge")}
    planned = plan({"name": "lab", **options}, state=State(links=links, has_libvirt=True))
    assert planned.notes == [
        f"network 'lab': {family}.dhcp.ranges is empty and there are no {family}.dhcp.hosts, so DHCP gives nobody an "
        f"address; add one of them, or write {family}.dhcp.enabled: false"
        for family in noted
    ]


def unreadable(name: str = "lab") -> State:
    """A host where a network has a bridge, and a definition that nobody can read."""
    history = {name: NetworkHistory(bridges={f"vn-{name}": "52:54:00:00:00:01"})}
    return State(history=history, unreadable={name: Unreadable(f"/etc/virtnet/networks/{name}.json", "it is cut off")})


def test_a_network_with_an_unreadable_definition_is_kept() -> None:
    planned = plan({"name": "other"}, state=unreadable())
    assert planned.notes == ["it is cut off"]
    named = {one.get("name") or one.get("interface") for specs in planned.return_values.values() for one in specs}
    assert named == {"other", "vn-other"}


@pytest.mark.parametrize("requested", [{"items": [{"name": "lab", "state": "absent"}]}, {"items": [], "purge": True}])
def test_a_network_with_an_unreadable_definition_is_removed_when_named_or_purged(requested: dict[str, Any]) -> None:
    planned = plan(*requested["items"], state=unreadable(), purge=requested.get("purge", False))
    assert [str(change) for change in planned.changes] == [
        "network lab: its definition, which could not be read, removed"
    ]
    assert {"name": "vn-lab", "mac": "52:54:00:00:00:01", "state": "absent", "type": "linux"} in planned.return_values[
        "bridges"
    ]


def test_a_network_with_an_unreadable_definition_is_defined_again_by_a_list_that_names_it() -> None:
    planned = plan(FIXED, state=unreadable())
    assert [str(change) for change in planned.changes][-1] == "network lab: defined"
    paths = [file.path for change in planned.changes for file in change.files]
    assert len(paths) == 2
    assert planned.notes == []


@pytest.mark.parametrize(
    ("of_fragment", "of_network"),
    [
        ("raw[0]", "dnsmasq.options[0]"),
        ("instance", "dnsmasq.instance"),
        ("interface", "bridge.name"),
        ("address", "ipv4.address"),
        ("hosts[0].mac", "ipv4.dhcp.hosts[0].mac"),
        ("ipv6.hosts[1].ip", "ipv6.dhcp.hosts[1].ip"),
        ("ipv6.slaac", "ipv6.slaac"),
        ("names.hosts[0].names[0]", "dns.hosts[0].names[0]"),
        ("domain", "dns.domain"),
        ("dns", "dns.enabled"),
    ],
)
def test_errors_of_dnsmasq_name_the_options_of_the_network(of_fragment: str, of_network: str) -> None:
    given = networks({"name": "lab", "ipv4": {"address": "192.168.30.1/24"}, "dnsmasq": {"options": ["log-queries"]}})
    for path in ("networks[0]", ""):
        listed = [replace(network, path=path) for network in given]
        fragments = reconcilers_for(specs_for(listed, {}), Paths("/nowhere"), listed)[FRAGMENTS]
        (spec,) = fragments.specs  # type: ignore[attr-defined]
        assert spec.at(of_fragment) == (f"{path}.{of_network}" if path else of_network)
        assert spec.error(of_fragment, "is wrong").owner == "network 'lab'"


@pytest.mark.parametrize("line", ["user=root", " group = nogroup", "dhcp-scriptuser=nobody"])
def test_a_line_that_has_no_effect_is_refused_and_stays_where_it_is_stored(line: str) -> None:
    lab = {"name": "lab", "ipv4": {"address": "192.168.30.1/24"}}
    with_line = {**lab, "dnsmasq": {"options": ["log-queries", line]}}
    assert "networks[0].dnsmasq.options[1]" in refused(with_line)
    network = read_network(Options(with_line), HOST)
    other = {"name": "web", "ipv4": {"address": "192.168.31.1/24"}}
    assert len(plan(other, state=State(definitions={"lab": network})).result) == 2


def test_a_dhcp_option_that_guests_would_not_get_is_refused_and_stays_where_it_is_stored() -> None:
    wrong = {**FIXED, "ipv4": {"address": "192.168.30.1/24", "dhcp": {"options": {"mtu": "big"}}}}
    assert refused(wrong).startswith(
        "network 'lab': networks[0].ipv4.dhcp.options.mtu: 'big' is not a number of 16 bits"
    )
    network = read_network(Options(wrong), HOST)
    assert len(plan({"name": "web"}, state=State(definitions={"lab": network})).result) == 2


def test_a_helper_of_conntrack_that_the_kernel_lacks_is_refused_unless_it_is_stored() -> None:
    with_ftp = {**FIXED, "conntrack_helpers": ["tftp", "ftp"]}
    missing = {"ftp": "nf_nat_ftp"}
    message = refused(with_ftp, state=State(missing_helpers=missing))
    assert message.startswith("network 'lab': networks[0].conntrack_helpers: 'ftp' needs the module nf_nat_ftp, which")
    assert plan(with_ftp, state=State()).result[0]["conntrack_helpers"] == ["ftp", "tftp"]
    assert plan(with_ftp, state=stored(with_ftp, missing_helpers=missing)).changes == []
    assert "conntrack_helpers" not in plan(FIXED).result[0]
