# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface with the host's default route becomes a port and is released, under a connection to the host."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.polling import eventually
from kernel.testbed import OUTSIDE, UPLINK, NamespaceTestbed, script

LAN: dict[str, Any] = {"name": "br-lan", "ports": ["eth0"], "enslave_uplink": True}


Echo = Callable[[str], str]


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[NamespaceTestbed]:
    testbed = NamespaceTestbed(tmp_path)
    testbed.host.run("ip", "address", "add", "198.51.100.7/24", "dev", "eth0")
    testbed.host.run("ip", "address", "add", "2001:db8::2/64", "dev", "eth0", "nodad")
    testbed.outside.run("ip", "address", "add", "2001:db8::1/64", "dev", "eth0", "nodad")
    testbed.host.run("ip", "-6", "route", "add", "default", "via", "2001:db8::1", "metric", "50")
    testbed.host.run("ip", "route", "add", "192.0.2.0/24", "via", OUTSIDE, "table", "77", "proto", "static")
    testbed.host.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth1p")
    yield testbed
    testbed.close()


@pytest.fixture
def echo(testbed: NamespaceTestbed) -> Echo:
    """A connection from outside, such as an ssh session."""
    testbed.host.start(*script("echo_server"))
    client = testbed.outside.start(*script("echo_client"), UPLINK)
    assert client.stdin is not None and client.stdout is not None

    def send_line(word: str) -> str:
        client.stdin.write(word + "\n")
        client.stdin.flush()
        return client.stdout.readline().strip()

    return send_line


def run(
    testbed: NamespaceTestbed,
    bridge: dict[str, Any],
    *,
    check: bool = False,
    may_move: bool = True,
    confirm: bool = False,
) -> Any:
    task = {"part": "bridge", "wanted": [bridge], "purge": False, "root": str(testbed.root), "check": check}
    task |= {"may_move": may_move, "confirm": confirm}
    return json.loads(testbed.host.run_engine("engine_task", stdin=json.dumps([task])))[0]


def addresses_and_routes(testbed: NamespaceTestbed, interface: str) -> tuple[list[str], list[tuple[str, str, int]]]:
    """Addresses and routes with gateways, without those that every link has."""
    link = testbed.link(interface)
    addresses = [item["local"] for item in link["addr_info"] if item["scope"] == "global"] if link else []
    routes = []
    for family in ("-4", "-6"):
        for item in testbed.host.json("ip", family, "-j", "route", "show", "table", "all"):
            if item.get("dev") == interface and "gateway" in item:
                routes.append((item["dst"], item["gateway"], item.get("metric", 0)))
    return sorted(addresses), sorted(routes)


def test_a_connection_survives_the_move_of_the_uplink_to_a_bridge_and_back(
    testbed: NamespaceTestbed, echo: Echo
) -> None:
    before = addresses_and_routes(testbed, "eth0")
    mac = testbed.link("eth0")["address"]
    assert len(before[0]) == len(before[1]) == 3
    assert echo("before") == "before"

    predicted = run(testbed, LAN, check=True)
    assert addresses_and_routes(testbed, "eth0") == before and testbed.link("br-lan") is None
    assert run(testbed, LAN) == predicted
    assert (
        "takes over 203.0.113.2/24, 198.51.100.7/24, 2001:db8::2/64, route 192.0.2.0/24, route default"
        in predicted["changes"][0]
    )
    assert (addresses_and_routes(testbed, "br-lan"), addresses_and_routes(testbed, "eth0")) == (before, ([], []))
    assert testbed.link("br-lan")["address"] == mac
    assert echo("moved") == "moved"
    assert not run(testbed, LAN, confirm=True)["changed"]

    # As after a boot, and as the guard does when the bridge was removed: no confirmation is needed.
    testbed.host.run("ip", "link", "delete", "br-lan")
    assert run(testbed, LAN, may_move=False)["changed"]
    assert (addresses_and_routes(testbed, "br-lan"), addresses_and_routes(testbed, "eth0")) == (before, ([], []))
    assert echo("made again") == "made again"
    # Addresses that others add to the interface meanwhile move too, and addresses added to the bridge stay.
    testbed.host.run("ip", "address", "add", "198.51.100.8/24", "dev", "eth0")
    testbed.host.run("ip", "address", "add", "198.51.100.9/24", "dev", "br-lan")
    assert run(testbed, LAN, may_move=False)["changed"]
    assert {"198.51.100.8", "198.51.100.9"} < set(addresses_and_routes(testbed, "br-lan")[0])
    assert addresses_and_routes(testbed, "eth0") == ([], [])
    assert not run(testbed, LAN, may_move=False)["changed"]

    result = run(testbed, {"name": "br-lan", "state": "absent"})
    assert result["changes"] == ["bridge br-lan: deleted; eth0 gets back its addresses and routes"]
    assert testbed.link("br-lan") is None
    assert (
        set(before[0]) < set(addresses_and_routes(testbed, "eth0")[0])
        and addresses_and_routes(testbed, "eth0")[1] == before[1]
    )
    assert echo("given back") == "given back"
    assert not list(testbed.root.glob("var/lib/virtnet/uplinks/*"))


def test_without_a_confirmation_the_uplink_move_is_rolled_back(testbed: NamespaceTestbed, echo: Echo) -> None:
    before = addresses_and_routes(testbed, "eth0")
    bridge = {**LAN, "confirm_within": 5}
    assert echo("before") == "before"
    assert run(testbed, bridge)["changed"]
    assert eventually(
        lambda: addresses_and_routes(testbed, "eth0") == before and not testbed.link("eth0").get("master")
    )
    assert echo("back") == "back"
    # The guard or a boot does not try it either: only a run, which can confirm it.
    assert "mac" in run(testbed, bridge, may_move=False)["changes"][0]
    result = run(testbed, bridge, may_move=False)
    assert not result["changed"] and "eth0 does not become a port of br-lan" in result["warnings"][0]
    assert addresses_and_routes(testbed, "eth0") == before
    # With more time for the confirmation, which needs more than those 5 s on a busy machine.
    bridge = {**LAN, "confirm_within": 60}
    assert run(testbed, bridge)["changed"] and not run(testbed, bridge, confirm=True)["changed"]
    assert echo("moved") == "moved"

    # Without the option it is released, and the bridge stays.
    assert "carries a default route" in run(testbed, {"name": "br-lan", "ports": ["eth0"]})["msg"]
    assert run(testbed, {"name": "br-lan"})["changed"] and not run(testbed, {"name": "br-lan"})["changed"]
    assert addresses_and_routes(testbed, "eth0") == before
    assert echo("given back") == "given back"


@pytest.mark.parametrize(
    ("commands", "options", "problem"),
    [
        ([], {"type": "openvswitch"}, "enslave_uplink: is for Linux bridges"),
        (
            ["ip address change 198.51.100.7/24 dev eth0 valid_lft 5000 preferred_lft 5000"],
            {},
            "gets addresses by DHCP",
        ),
        (["ip address add 198.51.100.99/24 dev eth1"], {"ports": ["eth0", "eth1"]}, "all have addresses"),
        (
            ["ip link set eth1 up", f"ip route add 192.0.2.8/30 nexthop via {OUTSIDE} nexthop dev eth1"],
            {},
            "shares a route",
        ),
    ],
)
def test_an_uplink_that_cannot_move_is_refused_before_any_change(
    testbed: NamespaceTestbed, commands: list[str], options: dict[str, Any], problem: str
) -> None:
    for command in commands:
        testbed.host.run(*command.split())
    before = addresses_and_routes(testbed, "eth0")
    for check in (True, False):
        assert problem in run(testbed, {**LAN, **options}, check=check)["msg"]
    assert testbed.link("br-lan") is None and addresses_and_routes(testbed, "eth0") == before
