# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Routes to subnets behind guests, tested with real packets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.testbed import OUTSIDE, UPLINK, Namespace, NamespaceTestbed, Task

A, ROUTED = "192.168.30", "10.50.0"
A6, ROUTED6 = "fd00:a", "fd00:50"
ADDRESSES = [f"{A}.1/24", f"{A6}::1/64"]
ROUTES = [{"to": f"{ROUTED}.0/24", "via": f"{A}.2"}, {"to": f"{ROUTED6}::/64", "via": f"{A6}::2", "metric": 7}]


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[NamespaceTestbed]:
    testbed = NamespaceTestbed(tmp_path)
    yield testbed
    testbed.close()


def run(testbed: NamespaceTestbed, *routes: dict[str, Any], mode: str = "nat") -> Any:
    """Both modules with the options that orchestration.desired_state gives them; returns the result of the bridge.

    Asserts that check mode predicts the result, and that a second run changes nothing.
    """
    subnets = [f"{A}.0/24", f"{A6}::/64", *(route["to"] for route in routes)]
    rules = [{"name": "a", "bridge": "br-a", "mode": mode, "subnets": subnets}]
    bridges = [{"name": "br-a", "addresses": ADDRESSES, "routes": list(routes)}]
    _rules, predicted, result, second = testbed.tasks(
        Task("nft", rules), Task("bridge", bridges, check=True), Task("bridge", bridges), Task("bridge", bridges)
    )
    assert result == predicted and not result.get("failed"), result
    assert not second["changed"]
    return result


def our_routes(testbed: NamespaceTestbed) -> list[str]:
    return [testbed.host.run("ip", family, "route", "show", "proto", "118") for family in ("-4", "-6")]


def router(testbed: NamespaceTestbed, host: int = 2) -> Namespace:
    """A guest that routes subnets behind it."""
    guest = testbed.add_guest("br-a", f"{A}.{host}/24", gateway=f"{A}.1")
    guest.run("ip", "address", "add", f"{A6}::{host}/64", "dev", "eth0", "nodad")
    guest.run("ip", "-6", "route", "add", "default", "via", f"{A6}::1")
    for address in (f"{ROUTED}.9/32", f"{ROUTED6}::9/128"):
        guest.run("ip", "address", "add", address, "dev", "lo")
    guest.serve()
    return guest


def test_hosts_behind_a_guest_are_reached_and_reach_the_outside(testbed: NamespaceTestbed) -> None:
    testbed.outside.serve()
    run(testbed, *ROUTES)
    guest = router(testbed)
    assert testbed.host.ask(f"{ROUTED}.9") == f"{A}.1"
    assert testbed.host.ask(f"{ROUTED6}::9") == f"{A6}::1"
    assert guest.ask(OUTSIDE, source=f"{ROUTED}.9") == UPLINK
    testbed.outside.run("ip", "route", "add", f"{ROUTED}.0/24", "via", UPLINK)
    assert testbed.outside.ask(f"{ROUTED}.9") == ""
    run(testbed, *ROUTES, mode="routed")
    assert testbed.outside.ask(f"{ROUTED}.9") == OUTSIDE
    assert guest.ask(OUTSIDE, source=f"{ROUTED}.9") == f"{ROUTED}.9"
    run(testbed)
    assert our_routes(testbed) == ["", ""]
    assert guest.ask(OUTSIDE, source=f"{ROUTED}.9") == ""


def test_a_route_moves_to_another_guest(testbed: NamespaceTestbed) -> None:
    run(testbed, *ROUTES)
    router(testbed)
    router(testbed, 3)
    moved = [{**ROUTES[0], "via": f"{A}.3"}, {**ROUTES[1], "via": f"{A6}::3"}]
    assert f"via {A}.2 metric 1" in run(testbed, *moved)["changes"][0]
    assert f"{ROUTED}.0/24 via {A}.3 dev br-a metric 1" in testbed.host.run("ip", "route", "show", "proto", "118")
    (route,) = testbed.host.json("ip", "-6", "-j", "route", "show", "proto", "118")
    assert (route["gateway"], route["metric"]) == (f"{A6}::3", 7)
    assert testbed.host.ask(f"{ROUTED}.9") == f"{A}.1"


FAULTS = (
    f"ip route delete {ROUTED}.0/24",
    f"ip -6 route delete {ROUTED6}::/64",
    f"ip route replace {ROUTED}.0/24 via {A}.7 metric 1 proto 118",
    f"ip route add 10.51.0.0/24 via {A}.2 proto 118",
    "ip link set br-a down",
    "ip link delete br-a",
    f"ip address delete {A}.1/24 dev br-a",
)


def test_damage_is_repaired(testbed: NamespaceTestbed) -> None:
    run(testbed, *ROUTES)
    expected = our_routes(testbed)
    for fault in FAULTS:
        testbed.host.run(*fault.split())
        assert run(testbed, *ROUTES)["changed"], fault
        assert our_routes(testbed) == expected, fault


def test_a_foreign_route_is_kept_and_reported(testbed: NamespaceTestbed) -> None:
    testbed.host.run("ip", "route", "add", f"{ROUTED}.0/24", "via", OUTSIDE, "metric", "1")
    desired = {"name": "br-a", "addresses": ADDRESSES, "routes": ROUTES}
    message = testbed.task("bridge", [desired])["msg"]
    assert f"bridges[0].routes[0].to: {ROUTED}.0/24 is routed already, by eth0 with metric 1" in message
    assert testbed.link("br-a") is None
    run(testbed, {**ROUTES[0], "metric": 2})
    run(testbed)
    assert "via 203.0.113.1 dev eth0 metric 1" in testbed.host.run("ip", "route", "show", f"{ROUTED}.0/24")


def test_an_equal_route_on_the_bridge_becomes_ours(testbed: NamespaceTestbed) -> None:
    run(testbed, *ROUTES)
    expected = our_routes(testbed)
    for route in ROUTES:
        family = "-6" if ":" in route["to"] else "-4"
        device = ["dev", "br-a", "metric", str(route.get("metric", 1))]
        testbed.host.run("ip", family, "route", "del", route["to"], *device)
        testbed.host.run("ip", family, "route", "add", route["to"], "via", route["via"], *device)
    assert our_routes(testbed) == ["", ""]
    run(testbed, *ROUTES)
    assert our_routes(testbed) == expected
