# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines of dnsmasq.options that contradict another option of their network are refused by name; others are accepted."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.dhcp.option_codes import option_code
from tools.refusals import error_of_network

MAC = "52:54:00:00:00:01"
DOMAIN = {"domain": "virt.test"}
GATEWAY = {**DOMAIN, "hosts": [{"ip": "192.168.30.9", "names": ["gw"]}]}
WILDCARD = {**DOMAIN, "wildcards": [{"name": "w", "ip": "192.168.30.8"}]}
ALIAS = {**GATEWAY, "cname": [{"name": "www", "target": "gw"}]}
LOOP = "makes the loop of aliases gate.test -> www.virt.test -> gate.test, with which dnsmasq does not start"
CORP = {**DOMAIN, "forwarders": [{"domain": "corp.test", "address": "203.0.113.53"}]}
HOSTS = {"hosts": [{"mac": MAC, "name": "web", "ip": "192.168.30.20"}]}


def refused(line: str, dns: Any = None, dhcp: Any = None, **options: Any) -> str:
    """The error of a line that is the third one of its network, '' if it is accepted."""
    lines = ["log-debug", "no-ping", line, *(["dnssec"] if "8,2" in line and not line.endswith("E0") else [])]
    ipv4 = {"address": "192.168.30.1/24", "dhcp": dhcp or {}}
    given = {"ipv4": ipv4, "dns": dns or DOMAIN, "dnsmasq": {"options": lines}, **options}
    return error_of_network("networks[1]", **given)


@pytest.mark.parametrize(
    ("line", "dns", "problem"),
    [
        ("domain=x.test", DOMAIN, "loses to the network's domain virt.test; use dns.domain: x.test"),
        ("domain=#", DOMAIN, "loses to the network's domain virt.test; leave it out"),
        ("local=/corp.test/", CORP, "is about corp.test, which dns.forwarders[0] has too; keep one of them"),
        ("server=/corp.test/#", CORP, "is about corp.test, which dns.forwarders[0] has too; keep one of them"),
        ("address=/a.test/CORP.test/10.0.0.9", CORP, "is about corp.test, which dns.forwarders[0] has too; keep"),
        ("server=/w.virt.test/10.0.0.5", WILDCARD, "loses to dns.wildcards[0], which answers for w.virt.test; keep"),
        ("address=/w.virt.test/#", WILDCARD, "loses to dns.wildcards[0], which has an address for w.virt.test; keep"),
        ("server=/virt.test/10.0.0.5", DOMAIN, "is kept here by dns.local_only; set that to false"),
        ("address=/gw.virt.test/10.0.0.9", GATEWAY, "loses to dns.hosts[0], the name's own address; leave one of"),
        ("address=/GW/10.0.0.9", GATEWAY, "loses to dns.hosts[0], the name's own address; leave one of them out, or"),
        ("address=/www.virt.test/10.0.0.9", ALIAS, "loses to dns.cname[0], which has the name www.virt.test too; keep"),
        ("host-record=www.virt.test,10.0.0.9", ALIAS, "loses to dns.cname[0], which has the name www.virt.test too"),
        ("host-record=gw.virt.test,10.0.0.9", GATEWAY, "which dns.hosts[0] has too, and of these addresses guests get"),
        ("cname=a.test,gw.virt.test,x.test,60", GATEWAY, "would hide dns.hosts[0], which has the name gw.virt.test"),
        ("cname=www.virt.test,x.test", ALIAS, "is about www.virt.test, which dns.cname[0] has too; keep one of them"),
        ("cname=gate.test,www.virt.test", {**ALIAS, "cname": [{"name": "www", "target": "gate.test"}]}, LOOP),
        ("cname=a.test,b.test,A.test,60", DOMAIN, "makes the loop of aliases a.test -> a.test, with which dnsmasq"),
        ("trust-anchor=.,20326,8,2,E0", DOMAIN, "has no effect without dnssec; add that, or leave it out"),
        ("trust-anchor=.,20326,8,2,E06D44B8", DOMAIN, "has a digest of 4 bytes, and type 2 has 32; write the whole"),
        ("rebind-localhost-ok", DOMAIN, "has no effect without stop-dns-rebind; add that, or leave it out"),
        ("domain-needed", {"forward_plain_names": True}, "contradicts dns.forward_plain_names: true; use false there"),
        ("local-ttl=5", {"ttl": 60}, "is the same as dns.ttl; keep one of them"),
        ("resolv-file=/x", {"forwarders": [{"address": "10.0.0.5"}]}, "is not read beside dns.forwarders[0], which"),
        ("stop-dns-rebind", {"enabled": False}, "has no effect with dns.enabled: false; leave it out, or use"),
        ("  address = /gw.virt.test/10.0.0.9 # mine", GATEWAY, "loses to dns.hosts[0]"),
    ],
)
def test_a_line_about_dns_that_contradicts_an_option_is_refused(line: str, dns: dict[str, Any], problem: str) -> None:
    error = refused(line, dns)
    assert error.startswith(f"network 'lab': networks[1].dnsmasq.options[2]: {line.strip()!r} ")
    assert problem in error


@pytest.mark.parametrize(
    ("line", "dns"),
    [
        ("domain=x.test,192.168.30.0/24", DOMAIN),
        ("domain=virt.test", DOMAIN),
        ("domain=x.test", {"enabled": False}),
        ("server=/corp.test/203.0.113.54", CORP),
        ("server=10.0.0.5", CORP),
        ("server=/virt.test/10.0.0.5", {**DOMAIN, "local_only": False}),
        ("server=/a.virt.test/10.0.0.5", DOMAIN),
        ("local=/virt.test/", DOMAIN),
        ("local=/w.virt.test/", WILDCARD),
        ("address=/w.virt.test/192.168.30.99", WILDCARD),
        ("address=/gw.virt.test/192.168.30.9", GATEWAY),
        ("address=/gw.virt.test/fd00::9", GATEWAY),
        ("address=/a.gw.virt.test/10.0.0.9", GATEWAY),
        ("host-record=gw.virt.test,192.168.30.99", GATEWAY),
        ("host-record=gw.virt.test,fd00::9", GATEWAY),
        ("cname=a.test,gw.virt.test", GATEWAY),
        ("host-record=boot.test,10.0.0.9", {"enabled": False}),
        ("domain-needed", DOMAIN),
    ],
)
def test_a_line_about_dns_beside_options_that_it_does_not_contradict_is_accepted(line: str, dns: Any) -> None:
    assert not refused(line, dns)


@pytest.mark.parametrize(
    ("line", "dhcp", "problem"),
    [
        (f"dhcp-host={MAC},192.168.30.30", HOSTS, f"loses to ipv4.dhcp.hosts[0], which has {MAC} too; keep one of"),
        ("dhcp-host=1-52:54:0:0:0:01,ignore", HOSTS, f"which has {MAC} too"),
        ("dhcp-host=set:red,52-54-00-00-00-01", HOSTS, f"which has {MAC} too"),
        (f"dhcp-host=id:01:{MAC},192.168.30.30", HOSTS, f"which has {MAC} too"),
        ("dhcp-host=52:54:00:00:00:02,192.168.30.20", HOSTS, "loses to ipv4.dhcp.hosts[0], which has 192.168.30.20"),
        ("dhcp-host=52:54:00:00:00:02,WEB,192.168.30.30", HOSTS, "loses to ipv4.dhcp.hosts[0], which has web too"),
        ("address=/web.virt.test/10.0.0.9", HOSTS, "loses to ipv4.dhcp.hosts[0], the name's own address"),
        ("cname=web,x.test", HOSTS, "would hide ipv4.dhcp.hosts[0], which has the name web too; keep one of them"),
        (
            "dhcp-range=192.168.30.50,192.168.30.60,2h",
            {},
            "does not replace the addresses 192.168.30.2 to 192.168.30.254 of ipv4.dhcp.ranges; use ipv4.dhcp.ranges",
        ),
        ("dhcp-range=set:red,192.168.30.0,static", {}, "does not replace the addresses 192.168.30.2 to"),
        ("dhcp-option=51,7200", {}, "tells guests another time than that of their leases; use ipv4.dhcp.lease_time"),
        ("dhcp-option-force=tag:x,81,0:0:0:97", {}, "is the option 81, which dnsmasq makes itself; leave it out"),
        (
            "dhcp-option=option:NTP-server,10.0.0.5",
            {"options": {42: "10.0.0.6"}},
            "replaces ipv4.dhcp.options.42; keep",
        ),
        ("dhcp-option=26", {"options": {"mtu": 1400}}, "replaces ipv4.dhcp.options.mtu; keep one of them"),
        ("dhcp-option=67,b.0", {"boot": {"file": "a.0"}}, "replaces the file of ipv4.dhcp.boot; keep one of them"),
        ("dhcp-boot=b.0", {"boot": {"file": "a.0"}}, "replaces ipv4.dhcp.boot; keep one of them"),
        ("tftp-root=/srv/b", {"tftp_root": "/srv/a"}, "is another folder than ipv4.dhcp.tftp_root; keep one of them"),
        ("dhcp-ignore-clid", {"hosts": [{"id": f"01:{MAC}", "ip": "192.168.30.20"}]}, "ignores the id of ipv4.dhcp.h"),
        ("tftp-root=/srv/b", {}, "has no effect without enable-tftp; add that, or leave it out"),
        ("script-arp", {}, "has no effect without dhcp-script or dhcp-luascript; add that, or leave it out"),
        ("dhcp-option=42,10.0.0.5", {"enabled": False}, "has no effect, since the network has no DHCP; leave it out"),
    ],
)
def test_a_line_about_dhcp_that_contradicts_an_option_is_refused(line: str, dhcp: dict[str, Any], problem: str) -> None:
    error = refused(line, dhcp=dhcp)
    assert error.startswith(f"network 'lab': networks[1].dnsmasq.options[2]: {line!r} ") and problem in error


@pytest.mark.parametrize(
    ("line", "dhcp"),
    [
        (f"dhcp-host={MAC},[fd00:30::20]", HOSTS),
        ("dhcp-host=52:54:00:00:00:02,192.168.30.30,db", HOSTS),
        ("dhcp-range=192.168.30.50,192.168.30.60,2h", {"ranges": []}),
        ("dhcp-range=192.168.30.50,192.168.30.60", {"ranges": [{"start": "192.168.30.9", "end": "192.168.30.49"}]}),
        ("dhcp-range=192.168.30.50,192.168.30.60", {"enabled": False}),
        ("dhcp-range=10.0.0.5,10.0.0.9,255.255.255.0", {}),
        ("dhcp-option=tag:red,42,10.0.0.5", {"options": {42: "10.0.0.6"}}),
        ("dhcp-option=encap:42,81,x", {"options": {42: "10.0.0.6"}}),
        ("dhcp-option=3,192.168.30.2", {}),
        ("dhcp-option=67,a.0", {"boot": {"file": "a.0"}}),
        ("dhcp-boot=tag:red,b.0", {"boot": {"file": "a.0"}}),
        ("tftp-root=/srv/b,eth0", {"tftp_root": "/srv/a"}),
        ("dhcp-ignore-clid", HOSTS),
    ],
)
def test_a_line_about_dhcp_beside_options_that_it_does_not_contradict_is_accepted(line: str, dhcp: Any) -> None:
    assert not refused(line, dhcp=dhcp)


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        (f"{MAC},192.168.30.5", "52:54:00:00:00:02,192.168.30.5", "192.168.30.5"),
        ("tag:red,52:54:00:00:00:02,192.168.30.5", f"tag:blue,{MAC},192.168.30.5", "192.168.30.5"),
        (f"{MAC},[fd00:30::5]", "52:54:00:00:00:02,[fd00:30::5]", "fd00:30::5"),
        (f"{MAC},192.168.30.5", "52-54-0-0-0-1,192.168.30.6", MAC),
        (f"{MAC},192.168.30.5", f"{MAC},web", MAC),
        ("id:x,192.168.30.5", "id:x,192.168.30.6", "x"),
        (f"{MAC},192.168.30.5", f"{MAC},[fd00:30::5]", ""),
        (f"{MAC},192.168.30.5", f"{MAC},10.0.0.5", ""),
        (f"tag:red,{MAC},192.168.30.5", f"tag:!red,{MAC},192.168.30.6", ""),
        (f"{MAC},192.168.30.5", "52:54:00:00:00:02,192.168.30.6", ""),
    ],
)
def test_two_lines_cannot_be_about_one_guest_or_address(first: str, second: str, shared: str) -> None:
    error = refused("no-ping", dnsmasq={"options": [f"dhcp-host={first}", f"dhcp-host={second}"]})
    assert (f"options[1]: 'dhcp-host={second}' is about {shared}, which dnsmasq.options[0] has too" in error) == bool(
        shared
    )
    assert bool(error) == bool(shared)


def test_a_host_that_is_given_twice_is_refused() -> None:
    lines = [f"dhcp-host={MAC},192.168.30.5"] * 2
    assert "options[0]: 'dhcp-host=52:54:00:00:00:01,192.168.30.5' is given twice; keep one of them" in refused(
        "no-ping", dnsmasq={"options": lines}
    )


def test_lines_that_need_another_line_are_accepted_beside_it() -> None:
    for needed, line in (
        ("enable-tftp", "tftp-root=/srv/b"),
        ("dnssec", "dnssec-no-timecheck"),
        ("conf-file=/x", "tftp-max=9"),
    ):
        assert not refused(line, dnsmasq={"options": [needed, line]})


def test_lines_of_dhcpv6_are_compared_with_options_of_dhcpv6() -> None:
    hosts = [{"mac": MAC, "ip": "fd00:30::20"}]
    dhcp = {"enabled": True, "hosts": hosts, "options": {"ntp-server": "fd00:30::5"}}
    ipv6 = {"address": "fd00:30::1/64", "dhcp": dhcp}
    assert f"ipv6.dhcp.hosts[0], which has {MAC} too" in refused(f"dhcp-host={MAC},[fd00:30::30]", ipv6=ipv6)
    assert "of ipv6.dhcp.ranges; use ipv6" in refused("dhcp-range=fd00:30::50,fd00:30::60,64,2h", ipv6=ipv6)
    assert "replaces ipv6.dhcp.options.ntp-server" in refused("dhcp-option=option6:56,[fd00:30::6]", ipv6=ipv6)
    assert not refused(f"dhcp-host={MAC},192.168.30.30", ipv6=ipv6)
    assert not refused("dhcp-option=56,x", ipv6=ipv6)
    assert not refused("dhcp-option=option6:51,x", ipv6=ipv6)


def test_lines_of_a_network_that_no_dnsmasq_serves_are_refused() -> None:
    error = refused("log-dhcp", {"enabled": False}, {"enabled": False})
    assert "options[0]: 'log-debug' has no effect, since the network has no address, or neither DHCP nor DNS" in error


@pytest.mark.parametrize(
    ("key", "code"), [("MTU", 26), (" 042", 42), ("T1", 58), ("no-such", None), ("9" * 5000, None)]
)
def test_options_have_numbers_by_their_names(key: str, code: int | None) -> None:
    assert option_code(key, 4) == code
