# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guard makes of the kernel's messages, without a kernel."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.guard.backoff import Backoff, Unrest
from ansible_collections.virtnet.linux.plugins.module_utils.guard.view import CONFLICT, View
from ansible_collections.virtnet.linux.plugins.module_utils.kernel import events
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.events import (
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
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.desired_state import KINDS
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.restore import Situation

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
    usual = {
        "vn-lab": Link("vn-lab", BRIDGE, "bridge", MAC, 1500, True),
        "tap1": Link("tap1", TAP, "tun", master="vn-lab"),
        "eth0": Link("eth0", UPLINK),
    }
    situation = Situation({"lab": network}, [network], {}, usual if links is None else links)
    made = View.of(situation, {"vn-lab": {TAP: "tap1"}})
    list(made.notes())
    return made


def link(index: int, name: str, master: int = 0, *, up: bool = True, gone: bool = False, mac: str = MAC) -> LinkEvent:
    return LinkEvent(index, name, master, up, mac, 1500, gone)


def packed(text: str) -> bytes:
    return socket.inet_aton(text)


@pytest.mark.parametrize(
    ("event", "kinds"),
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
        (RulesEvent("filter"), set()),
        (ForwardingEvent(2, False), {"rules"}),
        (ForwardingEvent(2, True), set()),
        (Overrun(), {*KINDS, CONFLICT}),
    ],
)
def test_an_event_concerns_the_parts_that_it_breaks_and_no_others(event: Any, kinds: set[str]) -> None:
    assert view().heard(event) == kinds


def test_queues_and_policers_concern_networks_with_a_bandwidth_alone() -> None:
    limited = view(limits={"inbound": {"average": 1000}})
    assert limited.heard(TrafficControlEvent(BRIDGE)) == {"bridges"}
    assert limited.heard(TrafficControlEvent(UPLINK)) == frozenset()
    assert limited.heard(RulesEvent("virtnet")) == {"rules", "bridges"}
    assert view().heard(RulesEvent("virtnet")) == {"rules"}


def test_messages_of_queues_and_lost_routes_are_read() -> None:
    queue = struct.pack("=IHHII", 36, 37, 0, 0, 0) + struct.pack("=BxHiIII", 0, 0, BRIDGE, 0, 0, 0)
    assert list(events.parse(queue)) == [TrafficControlEvent(BRIDGE)]
    gone = struct.pack("=BBBBBBBBI", 2, 16, 0, 0, 254, 118, 0, 1, 0) + struct.pack("=HHi", 8, 4, BRIDGE)
    assert list(events.parse(struct.pack("=IHHII", 16 + len(gone), 25, 0, 0, 0) + gone)) == [
        LostRouteEvent(BRIDGE, 118)
    ]


def test_a_port_that_a_network_waits_for_is_taken_when_it_comes() -> None:
    assert view(ports=["eth7"]).heard(link(50, "eth7")) == {"bridges"}


def test_ports_are_noted_as_they_come_and_go_and_not_forgotten_with_the_bridge() -> None:
    seen = view()
    seen.heard(link(12, "tap2", BRIDGE))
    assert list(seen.notes()) == [("vn-lab", [("tap1", TAP), ("tap2", 12)])]
    # As a deletion looks: the ports are set free one after another, then the bridge goes.
    seen.heard(link(TAP, "tap1"))
    seen.heard(link(12, "tap2"))
    assert seen.left == {TAP: "vn-lab", 12: "vn-lab"} and list(seen.notes()) == []
    seen.heard(link(BRIDGE, "vn-lab", up=False))
    seen.heard(link(BRIDGE, "vn-lab", gone=True))
    assert seen.left == {} and seen.missing == {"vn-lab"}
    assert seen.ports == {"vn-lab": {TAP: "tap1", 12: "tap2"}} and list(seen.notes()) == []
    seen.heard(link(12, "tap2", gone=True))
    assert list(seen.notes()) == [("vn-lab", [("tap1", TAP)])]


def test_a_port_that_was_taken_off_or_put_elsewhere_is_not_taken_for_one_that_was_lost() -> None:
    seen = view()
    seen.heard(link(12, "tap2", BRIDGE))
    seen.heard(link(12, "tap2", 99))
    seen.heard(link(TAP, "tap1"))
    assert list(seen.notes()) == [("vn-lab", [("tap1", TAP), ("tap2", 12)])] and seen.left == {
        12: "vn-lab",
        TAP: "vn-lab",
    }
    seen.taken_off(TAP)
    seen.taken_off(12)
    assert list(seen.notes()) == [("vn-lab", [])] and seen.left == {}
    seen.heard(link(BRIDGE, "vn-lab", gone=True))
    assert seen.ports == {"vn-lab": {}}


FREE = {"tap1": Link("tap1", TAP, "tun")}


@pytest.mark.parametrize(
    ("links", "ports", "left"),
    [
        # Read in the midst of a deletion: the port is free already.
        ({"vn-lab": Link("vn-lab", BRIDGE, "bridge"), **FREE}, {TAP: "tap1"}, {TAP}),
        (FREE, {TAP: "tap1"}, set[int]()),
        ({"vn-lab": Link("vn-lab", BRIDGE, "bridge"), "tap1": Link("tap1", TAP, master="other")}, {}, set[int]()),
        ({"vn-lab": Link("vn-lab", BRIDGE, "bridge")}, {}, set[int]()),
    ],
)
def test_what_is_read_anew_makes_no_port_forgotten(links: dict[str, Link], ports: Any, left: set[int]) -> None:
    seen = view(links=links)
    assert seen.ports == {"vn-lab": ports} and set(seen.left) == left
    # What was read is newer than what is heard of it afterwards.
    seen.heard(link(TAP, "tap1", 9))
    seen.heard(link(TAP, "tap1"))
    seen.heard(link(BRIDGE, "vn-lab", up=False))
    seen.heard(link(BRIDGE, "vn-lab", gone=True))
    assert seen.ports == {"vn-lab": ports} and seen.left == {}
    assert seen.missing == {"vn-lab"}


def test_a_port_whose_bridge_was_deleted_while_links_were_read_is_free() -> None:
    text = json.dumps([{"ifname": "tap1", "ifindex": TAP, "master": "if10"}, {"ifname": "eth0", "ifindex": UPLINK}])
    assert [link.master for link in parse_links(text).values()] == ["", ""]


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def test_messages_of_the_kernel_are_read() -> None:
    head = struct.pack("=BxHiII", 0, 1, 5, 1, 0)
    body = head + attribute(3, b"vn-lab\0") + attribute(10, struct.pack("=i", 7)) + attribute(1, bytes(6))
    (event,) = events.parse(message(16, body))
    assert event == LinkEvent(5, "vn-lab", 7, True, "00:00:00:00:00:00", 0, False)
    bridges_word = struct.pack("=BxHiII", 7, 1, 5, 1, 0) + attribute(3, b"tap1\0")
    assert list(events.parse(message(17, bridges_word))) == []
    address = struct.pack("=BBBBI", 2, 24, 0, 0, 5) + attribute(1, packed("10.0.0.1"))
    assert list(events.parse(message(21, address) * 2)) == [AddressEvent(5, packed("10.0.0.1"), 24, True)] * 2
    rule = bytes(4) + attribute(1, b"virtnet\0")
    assert list(events.parse(message(10 << 8 | 6, rule), 12)) == [RulesEvent("virtnet")]
    assert list(events.parse(message(10 << 8 | 15, bytes(4) + attribute(1, bytes(4))), 12)) == []


@pytest.mark.parametrize("data", [b"", b"\0" * 16, message(20, bytes(8))])
def test_a_message_without_content_says_nothing(data: bytes) -> None:
    assert list(events.parse(data)) == []


def test_a_message_that_is_cut_short_may_have_said_anything() -> None:
    assert list(events.parse(message(16, bytes(16))[:20])) == [Overrun()]


def test_what_breaks_again_and_again_waits_ever_longer_until_it_is_calm() -> None:
    backoff = Backoff()
    for second in range(4):
        assert backoff.repaired("rules", ["rules of lab"], float(second)) == []
    assert backoff.until("rules") == 0
    assert backoff.repaired("rules", ["rules of lab"], 5.0) == [
        "rules of lab broke 5 times; its next repair is put off by 2 s"
    ]
    backoff.repaired("rules", ["rules of lab"], 7.0)
    assert (backoff.until("rules"), backoff.until("bridges")) == (11.0, 0)
    assert backoff.repaired("rules", ["rules of lab"], 500.0) == []


def test_what_cannot_be_repaired_is_tried_ever_more_rarely_and_once_more_after_success() -> None:
    backoff = Backoff()
    assert [backoff.failed("fragments", 0.0) for _ in range(10)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert backoff.went_well("fragments") and not backoff.went_well("fragments")
    assert backoff.failed("fragments", 0.0) == 1


def test_conflicts_are_looked_at_when_news_of_them_have_ceased_or_do_not_end() -> None:
    unrest = Unrest()
    assert [unrest.heard(now) for now in (10.0, 10.3, 10.7)] == [10.5, 10.8, 11.2]
    assert unrest.heard(14.9) == unrest.heard(15.0) == 15.0
    unrest.looked()
    assert unrest.heard(15.1) == 15.6
