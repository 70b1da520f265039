# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A dnsmasq that a script runs, as options."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.bridges import plain_bridge
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.dhcp_settings import host_of, range_of
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.model import HostRoute
from ansible_collections.virtnet.linux.plugins.module_utils.foreign.served import Served, served_options
from ansible_collections.virtnet.linux.plugins.module_utils.kernel.links import OPENVSWITCH, Link
from unit.foreign.others_host import WAY_OUT, bridge, fit, host, model, server

ADDRESSES = [ipaddress.ip_interface("192.168.80.1/24"), ipaddress.ip_interface("fd00:80::1/64")]


def served(*lines: str) -> Served:
    return served_options("br0", ADDRESSES, [server(*lines)])


def range_options(text: str) -> Any:
    parsed = range_of(text.split(","))
    return parsed.as_options() if parsed.end else parsed.mode


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.168.80.50,192.168.80.60", {"start": "192.168.80.50", "end": "192.168.80.60"}),
        ("192.168.80.50,192.168.80.60,12h", {"start": "192.168.80.50", "end": "192.168.80.60", "lease_time": "12h"}),
        (
            "set:red,192.168.80.50,192.168.80.60,255.255.255.0,192.168.80.255,infinite",
            {"start": "192.168.80.50", "end": "192.168.80.60", "lease_time": "infinite"},
        ),
        ("interface:br0,192.168.80.50,192.168.80.60,255.255.255.0", {"start": "192.168.80.50", "end": "192.168.80.60"}),
        ("red,192.168.80.50,192.168.80.60,1h", {"start": "192.168.80.50", "end": "192.168.80.60"}),
        ("192.168.80.50", {"start": "192.168.80.50", "end": "192.168.80.50"}),
        ("192.168.80.0,static", "static"),
        ("192.168.80.0,proxy", "proxy"),
        ("fd00:80::100,fd00:80::200,64,12h", {"start": "fd00:80::100", "end": "fd00:80::200", "lease_time": "12h"}),
        ("fd00:80::100,fd00:80::200", {"start": "fd00:80::100", "end": "fd00:80::200", "lease_time": "1d"}),
    ],
)
def test_ranges(text: str, expected: Any) -> None:
    assert range_options(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("52:54:00:00:00:10,web,192.168.80.10", {"mac": "52:54:00:00:00:10", "name": "web", "ip": "192.168.80.10"}),
        ("52-54-0-0-0-1f,192.168.80.10,2h", {"mac": "52:54:00:00:00:1f", "ip": "192.168.80.10", "lease_time": "2h"}),
        ("52:54:00:00:00:10,id:*,192.168.80.10", {"mac": "52:54:00:00:00:10", "ip": "192.168.80.10"}),
        ("id:01:52:54:00:00:00:03,192.168.80.11", {"id": "01:52:54:00:00:00:03", "ip": "192.168.80.11"}),
        ("web.lab.example,192.168.80.10", {"name": "web", "ip": "192.168.80.10"}),
        ("52:54:00:00:00:10,set:red,192.168.80.10", {"mac": "52:54:00:00:00:10", "ip": "192.168.80.10"}),
        ("52:54:00:00:00:10,[fd00:80::10]", {}),
        ("52:54:00:00:00:10,ignore", None),
        ("52:54:00:*:*:*,192.168.80.10", None),
        (
            "52:54:00:00:00:10,52-54-00-00-00-11,dock,192.168.80.10",
            {"mac": ["52:54:00:00:00:10", "52:54:00:00:00:11"], "name": "dock", "ip": "192.168.80.10"},
        ),
        ("52:54:00:00:00:10,52:54:00:00:00:11,[fd00:80::10]", {}),
    ],
)
def test_static_hosts(text: str, expected: Any) -> None:
    assert host_of(text.split(","), 4) == expected


def test_several_addresses_of_a_static_host_are_for_ipv4_alone() -> None:
    both = "52:54:00:00:00:10,52:54:00:00:00:11,192.168.80.10,[fd00:80::10]".split(",")
    assert host_of(both, 4) == {"mac": ["52:54:00:00:00:10", "52:54:00:00:00:11"], "ip": "192.168.80.10"}
    assert host_of(both, 6) is None
    assert host_of(both[:3], 6) == {}


def test_what_a_dnsmasq_of_one_network_gives() -> None:
    found = served(
        "interface=br0",
        "bind-interfaces",
        "dhcp-range=set:red,192.168.80.100,192.168.80.199,12h",
        "dhcp-range=::100,::1ff,constructor:br0,slaac,ra-names,64,2h",
        "dhcp-host=52:54:00:00:00:10,web,192.168.80.10",
        "dhcp-option=3,192.168.80.1",
        "dhcp-option=tag:red,option:ntp-server,192.168.80.2,192.168.80.3",
        "dhcp-option=option:dns-server,192.168.80.5",
        "dhcp-option=tag:blue,option:router,192.168.80.9",
        "dhcp-option=option6:ntp-server,[fd00:80::5]",
        "dhcp-boot=pxelinux.0,,192.168.80.4",
        "enable-tftp",
        "tftp-root=/srv/tftp",
        "domain=lab.example,192.168.80.0/24,local",
        "server=/corp.example/other.example/10.1.1.1",
        "server=9.9.9.9",
        "no-resolv",
        "host-record=printer,printer.lab.example,192.168.80.9,fd00:80::9",
        "cname=alias.lab.example,printer.lab.example",
        "srv-host=_ldap._tcp.lab.example,printer.lab.example,389,1,2",
        "txt-record=note.lab.example,one,two",
    )
    assert not found.notes
    assert found.dhcp == {
        "ranges": [{"start": "192.168.80.100", "end": "192.168.80.199", "lease_time": "12h"}],
        "hosts": [{"mac": "52:54:00:00:00:10", "name": "web", "ip": "192.168.80.10"}],
        "options": {"ntp-server": "192.168.80.2,192.168.80.3", "dns-server": "192.168.80.5"},
        "boot": {"file": "pxelinux.0", "server": "192.168.80.4"},
        "tftp_root": "/srv/tftp",
    }
    assert found.ipv6["dhcp"] == {
        "enabled": True,
        "ranges": [{"start": "fd00:80::100", "end": "fd00:80::1ff", "lease_time": "2h"}],
        "options": {"ntp-server": "fd00:80::5"},
    }
    assert found.dns == {
        "domain": "lab.example",
        "hosts": [
            {"ip": "192.168.80.9", "names": ["printer", "printer.lab.example"]},
            {"ip": "fd00:80::9", "names": ["printer", "printer.lab.example"]},
        ],
        "forwarders": [
            {"domain": "corp.example", "address": "10.1.1.1"},
            {"domain": "other.example", "address": "10.1.1.1"},
            {"address": "9.9.9.9"},
        ],
        "cname": [{"name": "alias.lab.example", "target": "printer.lab.example"}],
        "srv": [{"service": "ldap", "protocol": "tcp", "domain": "lab.example", "target": "printer.lab.example",
                 "port": 389, "priority": 1, "weight": 2}],
        "txt": [{"name": "note.lab.example", "value": ["one", "two"]}],
    }  # fmt: skip
    (network,) = fit(plain_bridge("br0", host(bridge("br0", *map(str, ADDRESSES)), servers=[server("interface=br0")])))
    assert network.options["ipv4"]["dhcp"] == {"enabled": False}
    assert network.options["dns"] == {"domain": ""}


def test_kinds_of_ipv6() -> None:
    assert served("dhcp-range=192.168.80.9,192.168.80.10").ipv6 == {"ra": False}
    assert served("dhcp-range=::,constructor:br0,ra-only").ipv6 == {"ra_names": False}
    assert served("dhcp-range=::,constructor:br0,ra-stateless,ra-names").ipv6 == {
        "dhcp": {"enabled": True, "stateless": True}
    }
    assert served("dhcp-range=fd00:80::5,fd00:80::9,1h").ipv6["ra"] is False


def test_guests_that_make_no_addresses_of_their_own() -> None:
    given = "dhcp-range=fd00:80::5,fd00:80::9,64,1h"
    managed = served("enable-ra", given)
    assert managed.ipv6 == {
        "slaac": False,
        "ra_names": False,
        "dhcp": {"enabled": True, "ranges": [{"start": "fd00:80::5", "end": "fd00:80::9"}]},
    }
    # A range of another mode sets the bit for the whole prefix.
    for mode in ("ra-only", "slaac", "ra-stateless", "ra-names"):
        assert "slaac" not in served("enable-ra", given, f"dhcp-range=::,constructor:br0,{mode}").ipv6
    found = served("dhcp-range=::,constructor:br0,ra-only,off-link")
    assert found.notes == ["the mode off-link of its ranges has no option here"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("br0,high,60,1200", {"preference": "high", "interval": 60, "lifetime": 1200}),
        ("br*,mtu:1400,low,60", {"mtu": 1400, "preference": "low", "interval": 60}),
        ("*,0,0", {"lifetime": 0}),
        # radv.c, calc_interval() and calc_lifetime(): sent as the nearest value that is possible.
        ("br0,2,1", {"interval": 4, "lifetime": 4}),
        ("br0,0,1", {"lifetime": 600}),
        ("br0,4000,20000", {"interval": 1800, "lifetime": 9000}),
        ("br0,mtu:off,0", None),
        ("br0,mtu:eth0,60", None),
        ("br7,high,60", {}),
        ("br0,0", {}),
    ],
)
def test_what_advertisements_say(value: str, expected: Any) -> None:
    found = served("dhcp-range=::,constructor:br0,ra-only", "ra-param=*,low,0", f"ra-param={value}")
    if value.startswith("br7"):
        expected = {"preference": "low"}
    assert found.ipv6.get("ra_param", {}) == (expected or {})
    assert bool(found.notes) == (expected is None)


def test_servers_of_domains_and_wildcards() -> None:
    found = served(
        "interface=br0",
        "domain=lab.example",
        "local-ttl=60",
        "server=/corp.example/10.1.1.1#5353",
        "server=/corp.example/10.1.1.2",
        "server=/.mail.corp.example/#",
        "local=/fd.example/fd00:80::5#54",
        "server=/zone.example/fe80::1%br0",
        "address=/apps.lab.example/other.example/192.168.80.5",
        "local=/apps.lab.example/",
        "address=/apps.lab.example/fd00:80::5",
    )
    assert not found.notes
    assert found.dns["forwarders"] == [
        {"domain": "corp.example", "address": "10.1.1.1", "port": 5353},
        {"domain": "corp.example", "address": "10.1.1.2"},
        {"domain": "mail.corp.example"},
        {"domain": "zone.example", "address": "fe80::1%br0"},
        {"domain": "fd.example", "address": "fd00:80::5", "port": 54},
    ]
    assert found.dns["ttl"] == 60
    assert found.dns["wildcards"] == [
        {"name": "apps.lab.example", "ip": ["192.168.80.5", "fd00:80::5"]},
        {"name": "other.example", "ip": "192.168.80.5"},
    ]


@pytest.mark.parametrize(
    "line",
    [
        "server=/corp.example/10.1.1.1@eth0",
        "server=/corp.example/10.1.1.1#53@eth0",
        "server=/#/10.1.1.1",
        "server=//10.1.1.1",
        "server=/*corp.example/10.1.1.1",
        "server=9.9.9.9#5353",
        "address=/#/192.168.80.5",
        "address=/blocked.example/",
        "address=/blocked.example/#",
        "address=/plain/192.168.80.5",
        "address=/*.apps.example/192.168.80.5",
        "address=192.168.80.5",
    ],
)
def test_what_no_option_means_is_left_out_with_a_note(line: str) -> None:
    found = served("interface=br0", "domain=lab.example", line)
    assert not set(found.dns) & {"forwarders", "wildcards"}
    (note,) = found.notes
    assert "is left out" in note and line in note


def test_options_for_routes_and_for_no_proxy() -> None:
    found = served(
        "dhcp-range=192.168.80.9,192.168.80.10",
        'dhcp-option=252,"\\n"',
        "dhcp-option=121,10.9.0.0/16,192.168.80.9",
        "dhcp-ignore-clid",
    )
    assert not found.notes
    assert found.dhcp["options"] == {"252": "\n", "121": "10.9.0.0/16,192.168.80.9"}
    assert found.dhcp["ignore_client_ids"] is True


def test_hosts_and_names_of_other_networks_of_a_dnsmasq_are_not_taken() -> None:
    found = served(
        "dhcp-range=192.168.80.100,192.168.80.199",
        "dhcp-range=10.7.0.100,10.7.0.199",
        "dhcp-host=52:54:00:00:00:10,192.168.80.10",
        "dhcp-host=52:54:00:00:00:11,10.7.0.11",
        "dhcp-host=52:54:00:00:00:12,somewhere",
        "host-record=here,192.168.80.9",
        "host-record=there,10.7.0.9",
        "cname=a.example,b.example",
    )
    assert found.dhcp["hosts"] == [{"mac": "52:54:00:00:00:10", "ip": "192.168.80.10"}]
    assert found.dns["hosts"] == [{"ip": "192.168.80.9", "names": ["here"]}]
    assert "cname" not in found.dns
    assert len(found.notes) == 1


def test_settings_without_an_option_are_named() -> None:
    found = served("interface=br0", "dhcp-range=192.168.80.9,192.168.80.10", "mx-host=lab.example",
                   "dhcp-script=/root/evil", "server=10.1.1.1#5353")  # fmt: skip
    assert found.dns == {"domain": ""}
    assert "'server=10.1.1.1#5353' in line 5 of /etc/lab.conf" in found.notes[0]
    assert "mx-host=lab.example" in found.notes[1]
    assert "dhcp-script=/root/evil" in found.notes[1]


def test_a_dnsmasq_of_another_link_is_not_that_of_the_bridge() -> None:
    assert served("interface=br7", "dhcp-range=10.7.0.100,10.7.0.199").dhcp == {"enabled": False}
    assert served("interface=br7").dns == {"enabled": False}
    assert served("port=0", "interface=br0", "dhcp-range=192.168.80.9,192.168.80.10").dns == {"enabled": False}


def test_a_bridge_of_a_script() -> None:
    links = [
        bridge("br0", "192.168.80.1/24", "192.168.81.1/24", stp=True, forward_delay=4.0),
        Link("eth1", 7, master="br0"),
        Link("vnet0", 8, kind="tun", master="br0"),
    ]
    routes = [WAY_OUT, HostRoute("10.50.0.0/16", "192.168.80.10", "br0"), HostRoute("192.168.80.0/24", "", "br0")]
    servers = [server("interface=br0", "dhcp-range=192.168.80.100,192.168.80.199,255.255.255.0,1h")]
    (network,) = fit(plain_bridge("br0", host(*links, routes=routes, servers=servers)))
    assert network.options == {
        "name": "br0",
        "mode": "routed",
        "bridge": {"name": "br0", "ports": ["eth1"], "stp": True, "forward_delay": 4},
        "ipv4": {
            "address": "192.168.80.1/24",
            "dhcp": {"ranges": [{"start": "192.168.80.100", "end": "192.168.80.199"}]},
        },
        "extra_addresses": ["192.168.81.1/24"],
        "routes": [{"to": "10.50.0.0/16", "via": "192.168.80.10"}],
        "dns": {"domain": ""},
    }
    assert (network.source, network.notes) == ("script", [])


def test_bridges_that_are_no_networks_of_guests_stay() -> None:
    way_out = HostRoute("default", "192.168.1.1", "br0")
    (host_bridge,) = fit(plain_bridge("br0", host(bridge("br0", "192.168.1.5/24"), routes=[way_out])))
    assert "the host's own way out" in host_bridge.stays
    (switch,) = fit(plain_bridge("sw0", host(bridge("sw0"))))
    assert "no address" in switch.stays


def test_whose_configuration_makes_a_bridge_is_said() -> None:
    claims = {"br0": "ifupdown (/etc/network/interfaces)"}
    (network,) = fit(plain_bridge("br0", host(bridge("br0", "192.168.80.1/24"), claims=claims)))
    assert network.source == "ifupdown"
    assert network.notes[0].startswith("ifupdown (/etc/network/interfaces) makes the bridge")


def test_a_bridge_of_open_vswitch() -> None:
    link = Link("ovs0", 5, kind=OPENVSWITCH, up=True, mtu=1400, addresses=("192.168.80.1/24",))
    (network,) = fit(plain_bridge("ovs0", host(link)))
    assert model(network).bridge.type == OPENVSWITCH
    assert network.options["bridge"]["mtu"] == 1400
