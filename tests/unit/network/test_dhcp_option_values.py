# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""DHCP options whose values dnsmasq would send as something else are refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from tools.refusals import error_of_network

SUBNET = "192.168.30.1/24"
RANGE = {"start": "192.168.30.9", "end": "192.168.30.99"}


def refused(options: dict[Any, Any], family: str = "ipv4", **dhcp: Any) -> str:
    """The error, '' for options that are accepted."""
    address = SUBNET if family == "ipv4" else "fd00:30::1/64"
    group = {"address": address, "dhcp": {"enabled": True, "options": options, **dhcp}}
    return error_of_network("networks[2]", **{family: group})


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"mtu": "big"}, "mtu: 'big' is not a number of 16 bits; use 0 to 65535"),
        ({26: "big"}, "26: 'big' is not a number of 16 bits; use 0 to 65535"),
        ({"MTU": 70000}, "mtu: '70000' is not a number of 16 bits; use 0 to 65535"),
        ({"mtu": -5}, "mtu: '-5' is not a number"),
        ({"mtu": "1500,1400"}, "mtu: '1500,1400' is not a number"),
        ({"mtu": "0x5dc"}, "mtu: '0x5dc' is not a number"),
        ({"mtu": "1500i"}, "mtu: '1500i' is not a number"),
        ({"mtu": "05:dc:01"}, "mtu: '05:dc:01' is not a number"),
        ({"default-ttl": 300}, "default-ttl: '300' is not a number of 8 bits; use 0 to 255"),
        ({"tcp-keepalive": 2**32}, "use 0 to 4294967295"),
        ({"time-offset": -(2**31) - 1}, "use -2147483648 to 4294967295"),
        ({224: "99999999999"}, "224: '99999999999' does not fit into 32 bits; write its bytes"),
        ({224: "300b"}, "224: '300b' does not fit into 8 bits; write its bytes"),
        ({"router": SUBNET}, f"router: '{SUBNET}' is no IPv4 address; write each as 192.168.30.1, without a length"),
        ({6: ["192.168.30.1", "dns.example"]}, "6: 'dns.example' is no IPv4 address"),
        ({"T1": "big"}, "t1: 'big' is not a time; write 45m, 12h, 7d, or up to 4294967295 seconds"),
        ({"T1": "1h30m"}, "t1: '1h30m' is not a time"),
        ({"T2": "1h"}, "t2: '1h' has no effect, since T1 must be before T2, and T2 before the end of the lease; use 3"),
        ({58: 2}, "58: '2' has no effect"),
        ({58: 3150}, "use 3 to 3149 seconds"),
        ({58: 1800, "t2": "30m"}, "use 3 to 1799 seconds"),
    ],
)
def test_a_value_that_guests_would_not_get_is_refused(options: dict[Any, Any], problem: str) -> None:
    error = refused(options)
    assert error.startswith("network 'lab': networks[2].ipv4.dhcp.options.") and problem in error


@pytest.mark.parametrize(
    "options",
    [
        {"mtu": 1400, "T1": "25m", "t2": 3599, "time-offset": -18000, "default-ttl": "64b", 224: "300s"},
        {26: " 1500s ", 2: 4294949296, 13: "05:dc", 224: "some text", 225: -1, 226: "0:1:2:3:4:5", 227: "10.0.0.0/8"},
        {"mtu": "", "router": "", "t1": "", 252: "\n", "domain-name": "99999999999", 67: "300b"},
        {"ntp-server": ["0.0.0.0", "10.0.0.2"], "classless-static-route": "10.9.0.0/16,192.168.30.9"},
    ],
)
def test_a_value_that_dnsmasq_sends_as_it_is_written_is_accepted(options: dict[Any, Any]) -> None:
    assert refused(options) == ""


def test_times_of_renewal_depend_on_the_longest_lease() -> None:
    day = [{**RANGE, "lease_time": "1d"}]
    assert refused({"t2": "23h"}) and not refused({"t2": "23h"}, ranges=day) and not refused({"t2": 600})
    assert not refused({"t2": "23h"}, hosts=[{"mac": "52:54:00:00:00:01", "ip": "192.168.30.9", "lease_time": "1d"}])
    assert "is not sent with an infinite lease" in refused({"t1": 600}, lease_time="infinite")


def test_options_of_dhcpv6_have_their_own_types() -> None:
    assert "ipv6.dhcp.options.32: 'soon' is not a time" in refused({32: "soon"}, "ipv6")
    accepted = {"information-refresh-time": "2h", 26: "big", "bootfile-url": "99999999999", 7: 200}
    assert not refused(accepted, "ipv6")
    assert "does not fit" in refused({99: 2**40}, "ipv6")


@pytest.mark.parametrize("twice", [{"MTU": 1400, "mtu": 1500}, {"026": 1400, "26": 1500}])
def test_an_option_in_two_spellings_is_refused(twice: dict[str, int]) -> None:
    with pytest.raises(InvalidOption, match="is given twice; keep one of them"):
        refused(twice)


def test_a_boot_file_is_given_by_boot_or_by_its_option() -> None:
    for name in ("67", "bootfile-name"):
        error = refused({name: "b.0"}, boot=[{"arch": "bios", "file": "b.0"}, {"file": "a.0"}])
        assert f"networks[2].ipv4.dhcp.options.{name}: is the same option as boot.file; keep one of them" in error
        assert not refused({name: "b.0"}) and not refused({name: "a.0"}, boot={"file": "a.0"})
    assert not refused({"66": "tftp.test"}, boot={"file": "a.0", "server": "10.0.0.5"})


def test_a_boot_server_whose_name_dnsmasq_does_not_know_is_refused() -> None:
    boot = {"file": "a.0", "server": "boot.example.org"}
    assert "ipv4.dhcp.boot.server: 'boot.example.org' is no name in dns.hosts" in refused({}, boot=boot)
    assert "ipv4.dhcp.boot[0].server" in refused({}, boot=[{**boot, "arch": "x86_64-uefi"}])
