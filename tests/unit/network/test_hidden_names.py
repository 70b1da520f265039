# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An alias that has the name of a guest, or of a record, is refused by both names."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from tools.refusals import error_of_network

MAC = "52:54:00:00:00:01"


def refused(alias: str, domain: str | None = "virt.test", **more: Any) -> str:
    """The error of a network with the static hosts Web and six, and this alias of another name."""
    cname = [{"name": "other", "target": "gw"}, {"name": alias, "target": "gw"}]
    dns = {"cname": cname, "hosts": [{"ip": "192.168.30.9", "names": ["gw"]}], **({"domain": domain} if domain else {})}
    ipv4 = {"address": "192.168.30.1/24", "dhcp": {"hosts": [{"mac": MAC, "name": "Web"}]}}
    ipv6 = {"address": "fd00:30::1/64", "dhcp": {"enabled": True, "hosts": [{"mac": MAC, "name": "six"}]}}
    return error_of_network("networks[0]", **{"dns": dns, "ipv4": ipv4, "ipv6": ipv6, **more})


@pytest.mark.parametrize(
    ("alias", "host"),
    [("web", "ipv4.dhcp.hosts[0]"), ("WEB.virt.test", "ipv4.dhcp.hosts[0]"), ("six", "ipv6.dhcp.hosts[0]")],
)
def test_an_alias_with_the_name_of_a_static_host_is_refused(alias: str, host: str) -> None:
    error = refused(alias)
    assert error.startswith("network 'lab': networks[0].dns.cname[1].name: ")
    assert f" would hide {host}, which has that name; give one of them another name" in error
    assert host in refused(alias.partition(".")[0], domain=None)


def test_an_alias_with_the_name_of_a_record_is_refused() -> None:
    dns = {"domain": "virt.test", "hosts": [{"ip": "192.168.30.9", "names": ["gw"]}]}
    for alias in ("gw", "GW.virt.test"):
        with pytest.raises(InvalidOption, match=r"cname\[0\].name: gw.virt.test is already given in hosts\[0\]; keep"):
            refused(alias, dns={**dns, "cname": [{"name": alias, "target": "nas"}]})


def test_other_aliases_are_accepted() -> None:
    for alias in ("www", "web.example.test", "a.web.virt.test"):
        assert not refused(alias)
    assert not refused("six", ipv6={"address": "none"})
