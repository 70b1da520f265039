# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A first run on a host that has nothing of ours."""

from __future__ import annotations

from typing import Any

import pytest
from torture.host import new_host
from torture.plans import installation, site

SUBNET = {"ipv4": {"address": "192.168.60.1/24"}}


@pytest.mark.parametrize(
    ("networks", "problem"),
    [
        ([{"name": "lab", "dns": {"domian": "x"}}], "networks[0].dns.domian: there is no such option"),
        ({"lab": {"mode": "natt"}}, "networks.lab.mode: 'natt' is not possible"),
        ([{"name": "a", **SUBNET}, {"name": "b", **SUBNET}], "overlaps"),
        ("lab", "neither a list of networks nor a mapping"),
    ],
)
def test_an_error_in_the_list_is_said_before_anything_is_installed(networks: Any, problem: str) -> None:
    ((name, options),) = installation()
    with new_host(serving=False) as host:
        (answer,) = host.run_tasks([[name, {**options, "networks": networks}]])["answers"]
        assert problem in answer["msg"]
        assert host.run("ls", "/usr/local/lib/virtnet", "/etc/virtnet", check=False).stdout == ""
        (answer,) = host.run_tasks([[name, {**options, "networks": [{"name": "lab"}]}]])["answers"]
        assert answer["changed"]


def test_what_serves_nobody_yet_is_a_warning_of_each_run() -> None:
    networks = [
        {"name": "lab", "uplink": "nope0", **SUBNET},
        {"name": "mute", "ipv4": {"address": "192.168.61.1/24", "dhcp": {"ranges": []}}},
    ]
    with new_host() as host:
        host.run_tasks(installation())
        for check in (True, False, False):
            answers = host.run_tasks(site(networks), check=check)["answers"]
            warnings = [text for answer in answers for text in answer.get("warnings", ())]
            assert len(warnings) == 2, answers
            assert "network 'mute': ipv4.dhcp.ranges is empty" in warnings[0]
            assert "network 'lab': the uplink nope0 does not exist, and until it does" in warnings[1]
        assert not any(answer["changed"] for answer in answers)
