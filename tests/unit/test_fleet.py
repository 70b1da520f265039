# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter that tells a host of the others."""

from __future__ import annotations

from typing import Any

from ansible_collections.virtnet.linux.plugins.filter.fleet import fleet

HOSTS = ["b", "a", "c"]


def holds(**networks: tuple[str, bool]) -> dict[str, Any]:
    listed = [
        {"name": name, "definition": {"ipv4": {"address": address, "auto": auto}}}
        for name, (address, auto) in networks.items()
    ]
    return {"networks": listed}


def test_every_host_has_a_place_of_its_own_whatever_the_order() -> None:
    variables: dict[str, Any] = {host: {} for host in HOSTS}
    assert [fleet(variables, host, HOSTS)["position"] for host in ("a", "b", "c")] == [0, 1, 2]
    assert fleet(variables, "b", list(reversed(HOSTS))) == {"position": 1, "of": 3, "held": []}
    assert fleet(variables, "b", ["b"], True) == {"held": []}


def test_the_host_that_comes_first_keeps_its_subnet_and_fixed_ones_come_before_chosen_ones() -> None:
    variables: dict[str, Any] = {
        "a": {"virtnet_held": holds(lab=("192.168.1.1/24", True), none=("none", False))},
        "b": {"virtnet_held": holds(lab=("192.168.1.1/24", True))},
        "c": {"virtnet_networks": [{"name": "x", "ipv4": {"address": "10.0.0.1/24"}}, {"name": "y"}]},
    }
    lab = {"network": "lab", "subnet": "192.168.1.1/24"}
    fixed = {"host": "c", "network": "x", "subnet": "10.0.0.1/24", "first": True}
    assert fleet(variables, "a", HOSTS)["held"] == [{"host": "b", **lab, "first": False}, fixed]
    assert fleet(variables, "b", HOSTS)["held"] == [{"host": "a", **lab, "first": True}, fixed]
