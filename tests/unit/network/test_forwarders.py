# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Forwarders that dnsmasq would not ask are refused, unless a network has them already."""

from __future__ import annotations

from typing import Any

import pytest
from tools.refusals import error_of_network

CORP = {"domain": "corp.test", "address": "203.0.113.53"}


def refused(dns: dict[str, Any]) -> str:
    """The error, '' for options that are accepted."""
    return error_of_network("networks[2]", dns=dns)


@pytest.mark.parametrize(
    ("dns", "problem"),
    [
        ({"forwarders": [{"domain": "corp.test"}, CORP]}, "forwarders[1].domain: corp.test is already given in forw"),
        ({"forwarders": [CORP, {"domain": "corp.test"}]}, "forwarders[1].domain: corp.test is already given in forw"),
        (
            {"forwarders": [CORP], "wildcards": [{"name": "*.corp.test", "ip": "10.0.0.9"}]},
            "forwarders[0].domain: corp.test is already given in wildcards[0]; keep one of them",
        ),
    ],
)
def test_forwarders_that_dnsmasq_would_not_ask_are_refused(dns: dict[str, Any], problem: str) -> None:
    assert f"network 'lab': networks[2].dns.{problem}" in refused(dns)


def test_several_servers_of_a_domain_and_of_one_below_a_wildcard_are_accepted() -> None:
    below = {**CORP, "domain": "a.apps.test"}
    wildcards = [{"name": "apps.test", "ip": "10.0.0.9"}]
    assert not refused({"forwarders": [CORP, {**CORP, "port": 5353}, below], "wildcards": wildcards})
    assert not refused({"forwarders": [{"domain": "corp.test"}, {"address": "203.0.113.53"}]})
