# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Routes to subnets behind guests, asserted by real packets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel.bed import OUTSIDE, UPLINK, Bed, Space, Task

A, BEHIND = "192.168.30", "10.50.0"
A6, BEHIND6 = "fd00:a", "fd00:50"
ADDRESSES = [f"{A}.1/24", f"{A6}::1/64"]
ROUTES = [{"to": f"{BEHIND}.0/24", "via": f"{A}.2"}, {"to": f"{BEHIND6}::/64", "via": f"{A6}::2", "metric": 7}]


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    made = Bed(tmp_path)
    yield made
    made.close()


def run(bed: Bed, *routes: dict[str, Any], mode: str = "nat") -> Any:
    """Both modules with the options that orchestration.desired_state gives them; returns the result of the bridge.

    Check mode predicts it, and a second run changes nothing.
    """
    subnets = [f"{A}.0/24", f"{A6}::/64", *(route["to"] for route in routes)]
    rules = [{"name": "a", "bridge": "br-a", "mode": mode, "subnets": subnets}]
    bridges = [{"name": "br-a", "addresses": ADDRESSES, "routes": list(routes)}]
    _rules, predicted, done, second = bed.tasks(
        Task("nft", rules), Task("bridge", bridges, check=True), Task("bridge", bridges), Task("bridge", bridges)
    )
    assert done == predicted and not done.get("failed"), done
    assert not second["changed"]
    return done


def our_routes(bed: Bed) -> list[str]:
    return [bed.host.run("ip", family, "route", "show", "proto", "118") for family in ("-4", "-6")]


def router(bed: Bed, host: int = 2) -> Space:
    """A guest with subnets behind it."""
    guest = bed.guest("br-a", f"{A}.{host}/24", gateway=f"{A}.1")
    guest.run("ip", "address", "add", f"{A6}::{host}/64", "dev", "eth0", "nodad")
    guest.run("ip", "-6", "route", "add", "default", "via", f"{A6}::1")
    for address in (f"{BEHIND}.9/32", f"{BEHIND6}::9/128"):
        guest.run("ip", "address", "add", address, "dev", "lo")
    guest.serve()
    return guest


def test_hosts_behind_a_guest_are_reached_and_reach_the_outside(bed: Bed) -> None:
    bed.outside.serve()
    run(bed, *ROUTES)
    guest = router(bed)
    assert bed.host.ask(f"{BEHIND}.9") == f"{A}.1"
    assert bed.host.ask(f"{BEHIND6}::9") == f"{A6}::1"
    assert guest.ask(OUTSIDE, source=f"{BEHIND}.9") == UPLINK
    bed.outside.run("ip", "route", "add", f"{BEHIND}.0/24", "via", UPLINK)
    assert bed.outside.ask(f"{BEHIND}.9") == ""
    run(bed, *ROUTES, mode="routed")
    assert bed.outside.ask(f"{BEHIND}.9") == OUTSIDE
    assert guest.ask(OUTSIDE, source=f"{BEHIND}.9") == f"{BEHIND}.9"
    run(bed)
    assert our_routes(bed) == ["", ""]
    assert guest.ask(OUTSIDE, source=f"{BEHIND}.9") == ""


def test_a_route_moves_to_another_guest(bed: Bed) -> None:
    run(bed, *ROUTES)
    router(bed)
    router(bed, 3)
    moved = [{**ROUTES[0], "via": f"{A}.3"}, {**ROUTES[1], "via": f"{A6}::3"}]
    assert f"via {A}.2 metric 1" in run(bed, *moved)["changes"][0]
    assert f"{BEHIND}.0/24 via {A}.3 dev br-a metric 1" in bed.host.run("ip", "route", "show", "proto", "118")
    (route,) = bed.host.json("ip", "-6", "-j", "route", "show", "proto", "118")
    assert (route["gateway"], route["metric"]) == (f"{A6}::3", 7)
    assert bed.host.ask(f"{BEHIND}.9") == f"{A}.1"


DAMAGE = (
    f"ip route delete {BEHIND}.0/24",
    f"ip -6 route delete {BEHIND6}::/64",
    f"ip route replace {BEHIND}.0/24 via {A}.7 metric 1 proto 118",
    f"ip route add 10.51.0.0/24 via {A}.2 proto 118",
    "ip link set br-a down",
    "ip link delete br-a",
    f"ip address delete {A}.1/24 dev br-a",
)


def test_damage_is_repaired(bed: Bed) -> None:
    run(bed, *ROUTES)
    expected = our_routes(bed)
    for damage in DAMAGE:
        bed.host.run(*damage.split())
        assert run(bed, *ROUTES)["changed"], damage
        assert our_routes(bed) == expected, damage


def test_a_route_of_others_stays_and_is_named(bed: Bed) -> None:
    bed.host.run("ip", "route", "add", f"{BEHIND}.0/24", "via", OUTSIDE, "metric", "1")
    desired = {"name": "br-a", "addresses": ADDRESSES, "routes": ROUTES}
    message = bed.task("bridge", [desired])["msg"]
    assert f"bridges[0].routes[0].to: {BEHIND}.0/24 is routed already, by eth0 with metric 1" in message
    assert bed.link("br-a") is None
    run(bed, {**ROUTES[0], "metric": 2})
    run(bed)
    assert "via 203.0.113.1 dev eth0 metric 1" in bed.host.run("ip", "route", "show", f"{BEHIND}.0/24")


def test_an_equal_route_on_the_bridge_becomes_ours(bed: Bed) -> None:
    run(bed, *ROUTES)
    expected = our_routes(bed)
    for route in ROUTES:
        family = "-6" if ":" in route["to"] else "-4"
        device = ["dev", "br-a", "metric", str(route.get("metric", 1))]
        bed.host.run("ip", family, "route", "del", route["to"], *device)
        bed.host.run("ip", family, "route", "add", route["to"], "via", route["via"], *device)
    assert our_routes(bed) == ["", ""]
    run(bed, *ROUTES)
    assert our_routes(bed) == expected
