# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What events of the kernel mean to the guard, without a kernel."""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.guard.view import CONFLICT, FIREWALLS, View
from ansible_collections.virtnet.linux.plugins.module_utils.kernel import events
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.events import (
    NFPROTO_BRIDGE,
    NFPROTO_INET,
    AddressEvent,
    ForwardingEvent,
    LinkEvent,
    LostRouteEvent,
    Overrun,
    RouteEvent,
    RulesEvent,
    TrafficControlEvent,
)
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.links import Link, parse_links
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import read_network
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.desired_state import PARTS
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.restore import HostState

BRIDGE, TAP, UPLINK = 10, 11, 2
MAC = "52:54:00:00:00:01"


def view(links: dict[str, Link] | None = None, limits: dict[str, Any] | None = None, **more: Any) -> View:
    options = {
        "bandwidth": limits,
        "name": "lab",
        "bridge": {"mac": MAC, **more},
        "ipv4": {"address": "192.168.30.1/24"},
    }
    network = read_network(Options(options), "host")
    usual_links = {
        "vn-lab": Link("vn-lab", BRIDGE, "bridge", MAC, 1500, True),
        "tap1": Link("tap1", TAP, "tun", master="vn-lab"),
        "eth0": Link("eth0", UPLINK),
    }
    host = HostState({"lab": network}, [network], {}, usual_links if links is None else links)
    current = View.of(host, {"vn-lab": {TAP: "tap1"}})
    list(current.take_unsaved())
    return current


def link(index: int, name: str, master: int = 0, *, up: bool = True, gone: bool = False, mac: str = MAC) -> LinkEvent:
    return LinkEvent(index, name, master, up, mac, 1500, gone)


def packed(text: str) -> bytes:
    return socket.inet_aton(text)


@pytest.mark.parametrize(
    ("event", "parts"),
    [
        (link(BRIDGE, "vn-lab"), set()),
        (link(BRIDGE, "vn-lab", up=False), {"bridges"}),
        (link(BRIDGE, "other"), {"bridges"}),
        (link(BRIDGE, "vn-lab", mac="52:54:00:00:00:02"), {"bridges"}),
        (link(BRIDGE, "vn-lab", gone=True), {"bridges", "fragments", "entries"}),
        (link(TAP, "tap1", BRIDGE), set()),
        (link(TAP, "tap1", gone=True), set()),
        (link(77, "elsewhere"), set()),
        (AddressEvent(BRIDGE, packed("192.168.30.1"), 24, True), {"bridges"}),
        (AddressEvent(BRIDGE, packed("192.168.30.1"), 24, False), set()),
        (AddressEvent(BRIDGE, packed("192.168.30.9"), 24, False), {"bridges"}),
        (AddressEvent(BRIDGE, b"\xfe\x80" + bytes(14), 64, False), set()),
        (LostRouteEvent(BRIDGE, 118), {"bridges"}),
        (LostRouteEvent(BRIDGE, 2), set()),
        (LostRouteEvent(UPLINK, 118), set()),
        (TrafficControlEvent(BRIDGE), set()),
        (AddressEvent(UPLINK, packed("10.0.0.1"), 24, False), set()),
        (AddressEvent(UPLINK, packed("192.168.30.200"), 25, False), {CONFLICT}),
        (AddressEvent(UPLINK, packed("192.168.30.200"), 25, True), set()),
        (AddressEvent(UPLINK, packed("192.168.0.1"), 16, False), {CONFLICT}),
        (RouteEvent(UPLINK, packed("192.168.30.64"), 26), {CONFLICT}),
        (RouteEvent(UPLINK, packed("192.168.31.0"), 24), set()),
        (RouteEvent(UPLINK, packed("128.0.0.0"), 1), set()),
        (RouteEvent(BRIDGE, packed("192.168.30.0"), 24), set()),
        (RulesEvent("virtnet"), {"rules"}),
        (RulesEvent("filter"), {FIREWALLS}),
        (RulesEvent("filter", only_elements=True), set()),
        (RulesEvent("virtnet", only_elements=True), {"rules"}),
        (ForwardingEvent(2, False), {"rules"}),
        (ForwardingEvent(2, True), set()),
        (ForwardingEvent(2, False, BRIDGE), {"bridges"}),
        (ForwardingEvent(10, False, BRIDGE), set()),
        (ForwardingEvent(2, True, BRIDGE), set()),
        (ForwardingEvent(2, False, UPLINK), {FIREWALLS}),
        (Overrun(), {*PARTS, CONFLICT}),
    ],
)
def test_an_event_concerns_the_parts_that_it_breaks_and_no_others(event: Any, parts: set[str]) -> None:
    assert view().handle(event) == parts


def test_queues_and_policers_concern_only_networks_with_a_bandwidth() -> None:
    limited = view(limits={"inbound": {"average": 1000}})
    assert limited.handle(TrafficControlEvent(BRIDGE)) == {"bridges"}
    assert limited.handle(TrafficControlEvent(UPLINK)) == frozenset()
    assert limited.handle(RulesEvent("virtnet")) == {"rules", "bridges"}
    assert limited.handle(RulesEvent("virtnet", family=NFPROTO_BRIDGE)) == frozenset()
    assert view().handle(RulesEvent("virtnet")) == {"rules"}


def test_the_host_forwards_answers_of_an_isolated_network_that_a_policy_opens() -> None:
    isolated, opening = (
        read_network(Options({"ipv4": {"address": f"192.168.{number}.1/24"}, **options}), "host")
        for number, options in (
            (30, {"name": "lab", "mode": "isolated"}),
            (31, {"name": "web", "policy": {"allow": [{"network": "lab"}]}}),
        )
    )
    links = {"vn-lab": Link("vn-lab", BRIDGE, "bridge", MAC, 1500, True)}
    event = ForwardingEvent(socket.AF_INET, False, BRIDGE)
    for others, parts in (({}, frozenset()), ({"web": opening}, {"bridges"})):
        host = HostState({"lab": isolated, **others}, [isolated], {}, links)
        assert replace(View.of(host, {}), needs_forwarding=True).handle(event) == parts


def test_messages_on_queues_and_lost_routes_are_parsed() -> None:
    queue = struct.pack("=IHHII", 36, 37, 0, 0, 0) + struct.pack("=BxHiIII", 0, 0, BRIDGE, 0, 0, 0)
    assert list(events.parse(queue)) == [TrafficControlEvent(BRIDGE)]
    gone = struct.pack("=BBBBBBBBI", 2, 16, 0, 0, 254, 118, 0, 1, 0) + struct.pack("=HHi", 8, 4, BRIDGE)
    assert list(events.parse(struct.pack("=IHHII", 16 + len(gone), 25, 0, 0, 0) + gone)) == [
        LostRouteEvent(BRIDGE, 118)
    ]


def test_a_listed_port_that_appears_concerns_its_bridge() -> None:
    assert view(ports=["eth7"]).handle(link(50, "eth7")) == {"bridges"}


def test_ports_are_saved_when_they_come_and_go_and_not_forgotten_with_the_bridge() -> None:
    seen = view()
    seen.handle(link(12, "tap2", BRIDGE))
    assert list(seen.take_unsaved()) == [("vn-lab", [("tap1", TAP), ("tap2", 12)])]
    # The deletion of a bridge: the kernel detaches its ports one by one, then deletes the bridge.
    seen.handle(link(TAP, "tap1"))
    seen.handle(link(12, "tap2"))
    assert seen.detached_candidates == {TAP: "vn-lab", 12: "vn-lab"} and list(seen.take_unsaved()) == []
    seen.handle(link(BRIDGE, "vn-lab", up=False))
    seen.handle(link(BRIDGE, "vn-lab", gone=True))
    assert seen.detached_candidates == {} and seen.missing == {"vn-lab"}
    assert seen.ports == {"vn-lab": {TAP: "tap1", 12: "tap2"}} and list(seen.take_unsaved()) == []
    seen.handle(link(12, "tap2", gone=True))
    assert list(seen.take_unsaved()) == [("vn-lab", [("tap1", TAP)])]


def test_a_port_that_was_detached_or_moved_is_not_one_that_was_lost() -> None:
    seen = view()
    seen.handle(link(12, "tap2", BRIDGE))
    seen.handle(link(12, "tap2", 99))
    seen.handle(link(TAP, "tap1"))
    assert list(seen.take_unsaved()) == [("vn-lab", [("tap1", TAP), ("tap2", 12)])] and seen.detached_candidates == {
        12: "vn-lab",
        TAP: "vn-lab",
    }
    seen.forget_port(TAP)
    seen.forget_port(12)
    assert list(seen.take_unsaved()) == [("vn-lab", [])] and seen.detached_candidates == {}
    seen.handle(link(BRIDGE, "vn-lab", gone=True))
    assert seen.ports == {"vn-lab": {}}


DETACHED = {"tap1": Link("tap1", TAP, "tun")}


@pytest.mark.parametrize(
    ("links", "ports", "detached"),
    [
        # Links read during a deletion: the port is detached already.
        ({"vn-lab": Link("vn-lab", BRIDGE, "bridge"), **DETACHED}, {TAP: "tap1"}, {TAP}),
        (DETACHED, {TAP: "tap1"}, set[int]()),
        ({"vn-lab": Link("vn-lab", BRIDGE, "bridge"), "tap1": Link("tap1", TAP, master="other")}, {}, set[int]()),
        ({"vn-lab": Link("vn-lab", BRIDGE, "bridge")}, {}, set[int]()),
    ],
)
def test_a_new_snapshot_forgets_no_port(links: dict[str, Link], ports: Any, detached: set[int]) -> None:
    seen = view(links=links)
    assert seen.ports == {"vn-lab": ports} and set(seen.detached_candidates) == detached
    # Events that come after a snapshot may be older than it.
    seen.handle(link(TAP, "tap1", 9))
    seen.handle(link(TAP, "tap1"))
    seen.handle(link(BRIDGE, "vn-lab", up=False))
    seen.handle(link(BRIDGE, "vn-lab", gone=True))
    assert seen.ports == {"vn-lab": ports} and seen.detached_candidates == {}
    assert seen.missing == {"vn-lab"}


def test_a_port_whose_bridge_was_deleted_while_links_were_read_has_no_bridge() -> None:
    text = json.dumps([{"ifname": "tap1", "ifindex": TAP, "master": "if10"}, {"ifname": "eth0", "ifindex": UPLINK}])
    assert [link.master for link in parse_links(text).values()] == ["", ""]


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def test_messages_of_the_kernel_are_parsed() -> None:
    head = struct.pack("=BxHiII", 0, 1, 5, 1, 0)
    body = head + attribute(3, b"vn-lab\0") + attribute(10, struct.pack("=i", 7)) + attribute(1, bytes(6))
    (event,) = events.parse(message(16, body))
    assert event == LinkEvent(5, "vn-lab", 7, True, "00:00:00:00:00:00", 0, False)
    bridge_message = struct.pack("=BxHiII", 7, 1, 5, 1, 0) + attribute(3, b"tap1\0")
    assert list(events.parse(message(17, bridge_message))) == []
    address = struct.pack("=BBBBI", 2, 24, 0, 0, 5) + attribute(1, packed("10.0.0.1"))
    assert list(events.parse(message(21, address) * 2)) == [AddressEvent(5, packed("10.0.0.1"), 24, True)] * 2
    rule = bytes([NFPROTO_INET, 0, 0, 0]) + attribute(1, b"virtnet\0")
    assert list(events.parse(message(10 << 8 | 6, rule), 12)) == [RulesEvent("virtnet")]
    assert list(events.parse(message(10 << 8 | 15, bytes(4) + attribute(1, bytes(4))), 12)) == []


@pytest.mark.parametrize("data", [b"", b"\0" * 16, message(20, bytes(8))])
def test_a_message_without_content_is_no_event(data: bytes) -> None:
    assert list(events.parse(data)) == []


def test_a_truncated_message_is_an_overrun() -> None:
    assert list(events.parse(message(16, bytes(16))[:20])) == [Overrun()]


def macvtap_gone(index: int, name: str) -> LinkEvent:
    return replace(link(index, name, gone=True), lower=BRIDGE)


def test_a_macvtap_is_lost_with_a_bridge_that_was_made_again_meanwhile() -> None:
    """The guard may read the deletion of the first, make the bridge again, and then read that of the second."""
    former = view()
    former.handle(macvtap_gone(20, "mvt0"))
    again = view({"vn-lab": Link("vn-lab", BRIDGE + 50, "bridge", MAC, 1500, True)})
    again.follow(former)
    again.handle(macvtap_gone(21, "mvt1"))
    third = view({"vn-lab": Link("vn-lab", BRIDGE + 60, "bridge", MAC, 1500, True)})
    third.follow(again)
    third.handle(macvtap_gone(22, "mvt2"))
    third.handle(replace(link(23, "mvt3", gone=True), lower=UPLINK))
    assert [(lost.name, lost.bridge, bridge) for lost, bridge in third.lost_macvtaps] == [
        (name, "vn-lab", BRIDGE) for name in ("mvt0", "mvt1", "mvt2")
    ]


def test_a_macvtap_is_lost_whose_bridge_was_reported_first() -> None:
    current = view()
    current.handle(link(BRIDGE, "vn-lab", gone=True))
    current.handle(macvtap_gone(20, "mvt0"))
    assert [lost.name for lost, _bridge in current.lost_macvtaps] == ["mvt0"]
