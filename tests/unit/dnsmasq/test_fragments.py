# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fragments without a host: options, lines (golden files), plans."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption, MissingTool
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.core.reconcile import Plan
from ansible_collections.virtnet.linux.plugins.module_utils.dhcp.dnsmasq_syntax import Setting, read_lines
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.config_reader import read_config
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.hosts_files import as_config_lines
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.private_files import instance_for
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.reconciler import Fragments, State
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.render import (
    HEADER,
    LONGEST_LINE,
    RenderContext,
    hosts_files,
    render,
)
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.spec import FragmentSpec
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.system_service import (
    NoUsableDnsmasq,
    ServiceStatus,
    not_installed,
)
from hypothesis import given
from hypothesis import strategies as st

GOLDEN = Path(__file__).with_name("golden")
PLAIN = RenderContext(version=(2, 90))

LAB: dict[str, Any] = {
    "name": "lab",
    "instance": "system",
    "interface": "vn-lab",
    "address": "192.168.30.1/24",
    "ranges": [{"start": "192.168.30.2", "end": "192.168.30.200", "lease_time": "12h"}],
}
FULL: dict[str, Any] = {
    **LAB,
    "ranges": [
        {"start": "192.168.30.2", "end": "192.168.30.99", "lease_time": "45m"},
        {"start": "192.168.30.150", "end": "192.168.30.200", "lease_time": "infinite"},
    ],
    "hosts": [
        {"mac": "52-54-00-AA-00-01", "name": "web", "ip": "192.168.30.210", "lease_time": "7d"},
        {"mac": "52:54:00:aa:00:02", "ip": "192.168.30.211"},
        {"mac": "52:54:00:aa:00:03", "name": "db"},
    ],
    "options": {"ntp-server": ["192.168.30.5", "192.168.30.6"], 26: 1400, "252": 'http://wpad/"a b"\\'},
    "domain": "Lab.Example.",
}
NAMES: dict[str, Any] = {
    "hosts": [{"ip": "192.168.30.1", "names": ["gw", "router.lab.example"]}, {"ip": "fd00:30::1", "names": "gw"}],
    "srv": [
        {"service": "ldap", "protocol": "tcp", "target": "web", "port": 389, "priority": 1, "weight": 2},
        {"service": "imap", "protocol": "tcp"},
    ],
    "txt": [{"name": "_dmarc", "value": 'v=x; "p"'}, {"name": "lab.example", "value": ["one, two", "three"]}],
    "cname": [{"name": "www", "target": "web"}, {"name": "out", "target": "www.example.org"}],
    "wildcards": [
        {"name": "*.apps", "ip": ["192.168.30.80", "fd00:30::80"]},
        {"name": "lab.example", "ip": "10.9.9.9"},
    ],
    "forwarders": [
        {"domain": "corp.example", "address": "10.0.0.53"},
        {"domain": "dmz.lab.example"},
        {"domain": "corp.example", "address": "fd00::53", "port": 5353},
    ],
}
BOOT: dict[str, Any] = {"boot": {"file": "pxelinux.0"}, "tftp_root": "/srv/tftp, x"}
BOOTS = [
    {"ipxe": True, "arch": "bios", "file": "bios.ipxe"},
    {"ipxe": "yes", "file": "http://x/menu.ipxe"},
    {"arch": "x86_64-uefi", "file": "a.efi", "server": "tftp.example"},
    {"arch": "x86_64-http", "file": "https://x/a.efi"},
    {"arch": 12, "file": "b"},
    {"file": "c.0"},
]
FORWARD: dict[str, Any] = {"forwarders": [{"domain": "x.test", "address": "10.0.0.1"}]}
IN_LAB: dict[str, Any] = {"domain": "lab"}
HOSTS = [
    {"id": "01:52:54:00:AA:00:01", "ip": "192.168.30.9", "name": "a"},
    {"id": "red", "ip": "192.168.30.10", "lease_time": "infinite"},
    {"name": "byname", "ip": "192.168.30.11"},
    {"mac": "52:54:00:aa:00:09", "lease_time": "5m"},
    {"mac": ["52-54-00-AA-00-0A", "52:54:00:aa:00:0b"], "ip": "192.168.30.12"},
]
# A network with IPv6 alone.
LAB6: dict[str, Any] = {"name": "lab", "interface": "vn-lab", "domain": "lab"}
ONLY6: dict[str, Any] = {"address": "fd00:30::1/64"}
STATEFUL: dict[str, Any] = {
    **ONLY6,
    "ranges": [
        {"start": "fd00:30::100", "end": "fd00:30::1ff", "lease_time": "12h"},
        {"start": "fd00:30::a:0", "end": "fd00:30::a:ffff"},
    ],
    "hosts": [
        {"mac": "52:54:00:aa:00:01", "name": "web", "ip": "fd00:30::210"},
        {"id": "00:03:00:01:52:54:00:AA:00:02", "ip": "fd00:30::211", "lease_time": "infinite"},
    ],
    "options": {"dns-server": ["fd00:30::5", "fd00:30::6"], 56: "00:01:00:10"},
}


def spec(**options: Any) -> FragmentSpec:
    return FragmentSpec.from_options(Options(options, "fragments[0]"))


# File, options, context. Cases with the same result share a file.
RENDERED = [
    ("least", LAB, PLAIN),
    ("least", {**LAB, "local_only": False, "domain": None, "instance": "system"}, PLAIN),
    ("least", LAB, RenderContext()),
    ("least", LAB, RenderContext(version=(2, 80))),
    ("full", FULL, PLAIN),
    ("full-2.80", FULL, RenderContext(version=(2, 80))),
    ("listed", LAB, replace(PLAIN, list_interface=True)),
    ("listed-beside-addresses", LAB, replace(PLAIN, list_interface=True, exclude_loopback=True)),
    ("only-localhost", LAB, replace(PLAIN, list_interface=True, bind_dynamic=True)),
    ("unknown-ignored", LAB, replace(PLAIN, exempt_from_ignore=True)),
    ("closed", {**LAB, "router": False, "dns": False}, PLAIN),
    ("no-dns-on-port-53", {**LAB, "dns": True}, replace(PLAIN, serves_dns=False)),
    ("no-dns-on-port-53", {**LAB, "dns": False}, PLAIN),
    ("own-router", {**LAB, "options": {"3": "192.168.30.254"}, "router": False}, PLAIN),
    ("own-router", {**LAB, "options": {"3": "192.168.30.254"}}, PLAIN),
    ("routes", {**LAB, "options": {"121": ["10.9.0.0/16", "192.168.30.9"], 252: "\n"}}, PLAIN),
    ("routes-own-router", {**LAB, "options": {"3": "192.168.30.254", "121": "10.9.0.0/16,192.168.30.9"}}, PLAIN),
    ("routes-closed", {**LAB, "router": False, "options": {"121": "10.9.0.0/16,192.168.30.9"}}, PLAIN),
    ("names-only", {**LAB, "ranges": [], "domain": "lab", "local_only": False, "options": {"mtu": 1}}, PLAIN),
    ("static-only", {**LAB, "ranges": None, "hosts": [{"mac": "52:54:00:aa:00:01", "ip": "192.168.30.9"}]}, PLAIN),
    ("odd-prefix", {**LAB, "address": "192.168.30.1/22", "domain": "lab"}, PLAIN),
    ("ipv6", {**LAB, "domain": "lab", "ipv6": {"address": "fd00:30::1/64"}}, PLAIN),
    ("ipv6-closed", {**LAB, "router": False, "dns": False, "ipv6": {**ONLY6, "ra_names": False}}, PLAIN),
    ("ipv6-param", {**LAB6, "ipv6": {**ONLY6, "ra_param": {"preference": "low", "interval": 60, "mtu": 1400}}}, PLAIN),
    ("ipv6-lifetime", {**LAB6, "ipv6": {**ONLY6, "ra_param": {"lifetime": 0, "preference": "medium"}}}, PLAIN),
    ("ipv6-deprecated", {**LAB6, "ipv6": {**ONLY6, "deprecated": ["fd00:31::1/64"]}}, PLAIN),
    ("ipv6-quiet", {**LAB, "ipv6": {**ONLY6, "ra": False}}, PLAIN),
    ("ipv6-stateless", {**LAB, "ipv6": {**ONLY6, "stateless": True, "options": {"ntp-server": "fd00:30::9"}}}, PLAIN),
    ("ipv6-stateful", {**LAB6, "ipv6": STATEFUL}, PLAIN),
    ("ipv6-stateful-no-ra", {**LAB6, "ipv6": {**STATEFUL, "ra": False}}, PLAIN),
    ("ipv6-static", {**LAB6, "ipv6": {**STATEFUL, "ranges": []}}, PLAIN),
    ("ipv6-unknown-ignored", {**LAB6, "ipv6": STATEFUL}, replace(PLAIN, exempt_from_ignore=True)),
    ("names", {**LAB, "domain": "lab.example", "names": NAMES}, PLAIN),
    ("ptr-not-local", {**LAB, "domain": "lab", "names": {"local_ptr": False}}, PLAIN),
    ("ptr-local-alone", {**LAB, "names": {"local_ptr": True}}, PLAIN),
    ("ptr-local-alone", {**LAB, "names": {"local_ptr": True}}, RenderContext(version=(2, 80))),
    (
        "ptr-odd",
        {**LAB, "address": "192.168.30.1/23", "ipv6": {**ONLY6, "ra": False}, "names": {"local_ptr": True}},
        PLAIN,
    ),
    ("ignored-client-ids", {**LAB, "instance": "auto", "ignore_client_ids": True}, replace(PLAIN, private=True)),
    ("boot-architectures", {**LAB, "boot": BOOTS}, PLAIN),
    ("boot", {**LAB, **BOOT, "boot": {"file": "pxe/a b,c.0", "server": "192.168.30.7"}}, PLAIN),
    ("boot-tftp-open", {**LAB, **BOOT}, replace(PLAIN, tftp_open_to_all=True)),
    ("boot-without-folder", {**LAB, **BOOT}, replace(PLAIN, serves_tftp=False)),
    ("hosts", {**LAB, "hosts": HOSTS}, PLAIN),
    ("odd-prefix-2.89", {**LAB, "address": "192.168.30.1/22", "domain": "lab"}, RenderContext(version=(2, 89))),
]


@pytest.mark.parametrize(("file", "options", "context"), RENDERED)
def test_lines_are_those_of_the_golden_file(file: str, options: dict[str, Any], context: RenderContext) -> None:
    path = GOLDEN / f"{file}.conf"
    content = all_files(spec(**options), context)
    if "UPDATE_GOLDEN" in os.environ:
        path.write_text(content)
    assert content == path.read_text()


def all_files(network: FragmentSpec, context: RenderContext) -> str:
    """The fragment, and then each file with rows that it names."""
    files = hosts_files(network, context).items()
    return render(network, context) + "".join(
        f"# {path}\n{text}" for path, text in files if as_config_lines(path, text)
    )


STATIC = {"web", "db", "a", "byname"}


def _tagged(setting: Setting) -> bool:
    return setting.fields[0] == "tag:vn-lab"


def _own_name(setting: Setting) -> bool:
    return setting.fields[0].endswith("lab.example")


def _own_or_static_name(setting: Setting) -> bool:
    # A static host has its plain name as well, with or without a lease.
    split = [name.partition(".")[::2] for name in setting.fields[:-1]]
    return _own_name(setting) or all(label in STATIC and rest in ("", "lab") for label, rest in split)


def _own_zone(setting: Setting) -> bool:
    return str(setting.value).startswith(
        (
            "/apps.lab.example/",
            "/lab.example/",
            "/lab/",
            "/30.168.192.in-addr.arpa/",
            "/0.0.0.0.0.0.0.0.0.3.0.0.0.0.d.f.ip6",
        )
    )


def _of_one_domain(setting: Setting) -> bool:
    return str(setting.value).startswith(("/corp.example/", "/dmz.lab.example/"))


# The settings of a fragment, each with a check that it affects its network alone.
SCOPED: dict[str, Callable[[Setting], bool]] = {
    **dict.fromkeys(("dhcp-range", "dhcp-option", "dhcp-host", "dhcp-boot"), _tagged),
    **dict.fromkeys(("srv-host", "txt-record", "cname"), _own_name),
    "host-record": _own_or_static_name,
    **dict.fromkeys(("enable-tftp", "tftp-root"), lambda setting: setting.fields[-1] == "vn-lab"),
    "address": _own_zone,
    "domain": lambda setting: len(setting.fields) > 1,
    "local": _own_zone,
    "server": _of_one_domain,
    "ra-param": lambda setting: setting.fields[0] == "vn-lab",
    "dhcp-hostsfile": lambda setting: setting.value == "/etc/virtnet/dnsmasq.hosts/lab.dhcp",
    "addn-hosts": lambda setting: setting.value == "/etc/virtnet/dnsmasq.hosts/lab.names",
    # Our tag has no effect without a line that is tagged with the bridge and names it.
    "dhcp-name-match": lambda setting: setting.fields[0] in ("set:virtnet-reserved", "set:reserved-vn-lab"),
    "dhcp-ignore-names": _tagged,
    "dhcp-option-force": _tagged,
    **dict.fromkeys(("dhcp-match", "dhcp-userclass"), lambda setting: setting.fields[0].startswith("set:vn-lab/")),
    # The instance is the network's own.
    "dhcp-ignore-clid": lambda setting: setting.value is None,
    "tag-if": lambda setting: setting.fields == ("set:known", "tag:vn-lab"),
}


def test_a_private_dnsmasq_of_the_network_alone_has_guests_make_no_addresses() -> None:
    service = {**ONLY6, "slaac": False, "ranges": [{"start": "fd00:30::100", "end": "fd00:30::1ff"}]}
    network = spec(**{**LAB, "instance": "auto", "ipv6": service})
    assert [option for option, _why in network.private_only] == ["ipv6.slaac"]
    assert instance_for(network, alone=False) == network.name
    lines = render(network, replace(PLAIN, private=True)).splitlines()
    tags = f"tag:{network.interface},interface:{network.interface}"
    assert "enable-ra" in lines
    assert f"dhcp-range={tags},::100,::1ff,constructor:{network.interface},64,1h" in lines
    # Where the system's dnsmasq has it, the network can be one of its own.
    assert "enable-ra" not in render(network, PLAIN)


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ({"ranges": [{"start": "fd00:30::100", "end": "fd00:30::1ff"}]}, "ipv6.deprecated: .* without DHCPv6"),
        ({"ra": False}, "ipv6.deprecated: is for guests that make their own addresses"),
        ({"address": "fd00:31::1/64"}, r"ipv6.deprecated\[0\]: fd00:31::/64 is that of the address itself"),
    ],
)
def test_a_prefix_is_taken_only_from_guests_that_made_addresses_of_it(service: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        spec(**{**LAB, "ipv6": {**ONLY6, **service, "deprecated": ["fd00:31::/64"]}})


@pytest.mark.parametrize(("file", "options", "context"), RENDERED)
def test_no_line_affects_other_networks(file: str, options: dict[str, Any], context: RenderContext) -> None:
    files = hosts_files(spec(**options), context).items()
    rows = "".join(f"{line.text}\n" for path, text in files for line in as_config_lines(path, text))
    for setting in read_lines(render(spec(**options), context) + rows, file):
        if setting.name in ("interface", "bind-dynamic", "except-interface"):
            assert context.list_interface
        elif setting.name != "dhcp-host" or context.since(2, 81):
            assert SCOPED[setting.name](setting), setting


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "a/b"}, "name: 'a/b' is not a network's name"),
        ({"name": "x" * 51}, "name"),
        ({"name": "-a"}, "name"),
        ({"name": "a\nport=1"}, "name: .*control character"),
        ({"interface": "a,b"}, "interface: 'a,b' is not an interface name"),
        ({"interface": None}, "interface: is required"),
        ({"address": None}, "address: is required"),
        ({"address": "fd00::1/64"}, "address: .* is not an IPv4 address"),
        ({"instance": "own"}, "instance: 'own' is not possible; use one of auto, system, private"),
        ({"ranges": [{"start": "192.168.30.9", "end": "192.168.30.2"}]}, r"ranges\[0\].end: .* before the start"),
        ({"ranges": [{"start": "10.0.0.1", "end": "10.0.0.9"}]}, r"ranges\[0\].start: .* outside the subnet"),
        ({"ranges": [{"start": "192.168.30.2", "end": "192.168.30.9", "lease_time": "60"}]}, "lease_time: .*two min"),
        ({"ranges": [{"start": "192.168.30.2", "end": "192.168.30.9", "lease_time": "1y"}]}, "not a lease time"),
        ({"hosts": [{"mac": "52:54:00:aa:00:01", "name": "12h"}]}, r"hosts\[0\].name: '12h' means something else"),
        ({"hosts": [{"mac": "52:54:00:aa:00:01", "name": "Infinite"}]}, "means something else"),
        ({"hosts": [{"mac": "52:54:00:aa:00:01", "name": "ignore"}]}, "means something else"),
        *(
            ({"hosts": [{"mac": "52:54:00:aa:00:01", "name": name}]}, "is not a host name")
            for name in (
                "a,b",
                "a.b,c",
                "a b",
                "a.b c",
                "_a",
                "-a",
                ".a",
                "a.",
                "a..b",
                "a.*",
                "a#b",
                "a.b/c",
                f"a.{'b' * 64}",
            )
        ),
        ({"hosts": [{"mac": "52:54:00:aa:00:01", "name": "12h.lab.test"}]}, "'12h' means something else"),
        ({"hosts": [{"mac": "52:54:00:aa:00:01", "ip": "192.168.31.9"}]}, r"hosts\[0\].ip: .* outside the subnet"),
        ({"hosts": [{"mac": "52:54:00:aa:00:01", "ip": "192.168.30.1"}]}, "address of the host itself"),
        ({"ranges": [], "hosts": [{"mac": "52:54:00:aa:00:01", "name": "a"}]}, r"hosts\[0\].ip: is required"),
        ({"options": {"3": "192.168.30.1", "router": "192.168.30.1"}}, r"options.3: is the same option as router"),
        ({"options": {"255": "1"}}, "options.255: .*1 to 254"),
        ({"options": {"a,b": "1"}}, "options.a,b"),
        ({"options": {"252": "a\nport=1"}}, "options.252: .*control character"),
        ({"options": {"42": "a,,b"}}, "empty part"),
        ({"options": {"42": "\n"}}, "options.42: .*control character"),
        ({"names": {"hosts": [{"ip": "1.2.3.4", "names": ["a"]}]}}, r"names.hosts\[0\].names\[0\]: .* give dns.domain"),
        ({**IN_LAB, "names": {"txt": [{"name": "a.test", "value": "x"}]}}, r"names.txt\[0\].name: .* outside"),
        ({**IN_LAB, "names": {"cname": [{"name": "a.xlab", "target": "b"}]}}, r"cname\[0\].name: .* outside"),
        ({**IN_LAB, "names": {"cname": [{"name": "a", "target": "A.lab"}]}}, r"cname\[0\].target: .* itself"),
        (
            {**IN_LAB, "names": {"cname": [{"name": "a", "target": "b"}] * 2}},
            r"cname\[1\].name: a.lab is already given",
        ),
        ({**IN_LAB, "names": {"txt": [{"name": "a", "value": "é" * 128}]}}, r"txt\[0\].value: .* 255 bytes"),
        ({**IN_LAB, "names": {"txt": [{"name": "a", "value": "a\nport=1"}]}}, r"txt\[0\].value: .*control character"),
        (
            {**IN_LAB, "names": {"srv": [{"service": "a", "protocol": "tcp", "target": "b"}]}},
            r"srv\[0\].port: is required",
        ),
        ({**IN_LAB, "names": {"srv": [{"service": "a,b", "protocol": "tcp"}]}}, r"srv\[0\].service: 'a,b' is not"),
        (
            {"names": {"forwarders": [{"domain": "a", "port": 5353}]}},
            r"forwarders\[0\].address: is required with a port",
        ),
        ({"names": {"forwarders": [{"address": "::1", "port": 0}]}}, r"forwarders\[0\].port: 0 is out of range"),
        (
            {"names": {"forwarders": [{"address": "1.1.1.1"}]}},
            r"names.forwarders\[0\].domain: .* only a private dnsmasq",
        ),
        ({**IN_LAB, "names": {"forwarders": [{"domain": "lab"}]}}, r"forwarders\[0\].domain: .* local_only"),
        ({"names": {"forward_plain_names": False}}, "names.forward_plain_names: .* only a private dnsmasq"),
        ({"names": {"ttl": 60}}, "names.ttl: .* only a private dnsmasq"),
        ({"names": {"ttl": -1}}, "names.ttl: -1 is out of range"),
        ({"names": {"hosts": [{"ip": "1.2.3.4", "names": ["9.9.9.9"]}]}}, r"names\[0\]: '9.9.9.9' ends with a number"),
        ({"boot": {"file": "x" * 128}}, "boot.file"),
        ({"boot": [{"arch": "amd64", "file": "x"}]}, r"boot\[0\].arch: 'amd64' is not possible; use one of bios, "),
        ({"boot": [{"arch": 65536, "file": "x"}]}, r"boot\[0\].arch: '65536' is not possible"),
        ({"boot": [{"arch": 9, "file": "x"}, {"arch": "x86_64-uefi", "file": "y"}]}, r"boot\[1\].file: 'y' is for the"),
        (
            {"boot": [{"file": "x"}, {"file": "y"}]},
            r"boot\[1\].file: 'y' is for the same guests as fragments\[0\].boot\[0\]; keep one",
        ),
        ({"boot": {"arch": "x86_64-http", "file": "x"}}, "boot.file: 'x' is no URL"),
        ({"boot": {"file": "x", "server": "a,b"}}, "boot.server: .* is not a domain"),
        ({"tftp_root": "srv"}, "tftp_root: .* absolute"),
        ({"hosts": [{"id": "a,b", "ip": "192.168.30.9"}]}, r"hosts\[0\].id: .* not a client id"),
        ({"hosts": [{"id": "*", "ip": "192.168.30.9"}]}, r"hosts\[0\].id: .* not a client id"),
        (
            {"hosts": [{"mac": ["52:54:00:aa:00:01", "x"], "name": "a"}]},
            r"hosts\[0\].mac\[1\]: 'x' is not a MAC address",
        ),
        ({"hosts": [{"mac": ["52:54:00:aa:00:01"] * 2, "name": "a"}]}, r"hosts\[0\].mac: names an address twice"),
        (
            {"hosts": [{"mac": f"52:54:00:aa:00:0{i}", "ip": "192.168.30.9"} for i in range(2)]},
            r"hosts\[1\].ip: .* each is for one host, which can have several mac",
        ),
        (
            {"ipv6": {**ONLY6, "hosts": [{"mac": ["52:54:00:aa:00:01", "52:54:00:aa:00:02"], "name": "a"}]}},
            r"ipv6.hosts\[0\].mac: is a list, which dnsmasq has for IPv4 alone",
        ),
        (
            {"ignore_client_ids": True},
            "ignore_client_ids: would hold for everybody .* only a private dnsmasq can do that",
        ),
        (
            {"ignore_client_ids": True, "instance": "auto", "hosts": [{"id": "a", "name": "a"}]},
            r"hosts\[0\].id: cannot be combined with ignore_client_ids; give the mac",
        ),
        ({"ignore_client_ids": True, "ranges": []}, "ignore_client_ids: is for guests that get an IPv4 address"),
        ({"names": {"wildcards": [{"name": "*", "ip": "1.2.3.4"}]}}, r"wildcards\[0\].name: '\*' is not a domain"),
        ({**IN_LAB, "names": {"wildcards": [{"name": "*.a"}]}}, r"wildcards\[0\].ip: is required"),
        (
            {**IN_LAB, "names": {"wildcards": [{"name": "*.corp.example", "ip": "1.2.3.4"}]}},
            r"wildcards\[0\].name: corp.example is outside the network's domain lab, .* only a private dnsmasq",
        ),
        (
            {**IN_LAB, "names": {"wildcards": [{"name": name, "ip": "1.2.3.4"} for name in ("*.a", "a.lab")]}},
            r"wildcards\[1\].name: a.lab is already given in wildcards\[0\]; list all ip there",
        ),
        ({"ipv6": {**ONLY6, "ra": False, "ra_param": {"mtu": 1400}}}, "ipv6.ra_param: is for router advertisements"),
        (
            {"router": False, "ipv6": {**ONLY6, "ra_param": {"lifetime": 1200}}},
            "ipv6.ra_param.lifetime: is for a default router",
        ),
        (
            {"ipv6": {**ONLY6, "ra_param": {"lifetime": 599}}},
            "ra_param.lifetime: 599 ends before .* use 0, or 600 or more",
        ),
        ({"ipv6": {**ONLY6, "ra_param": {"mtu": 1000}}}, "ipv6.ra_param.mtu: 1000 is out of range"),
        (
            {"hosts": [{"mac": 41135112312, "name": "a"}]},
            r"hosts\[0\].mac: 41135112312 is not a MAC address; .* in quotes",
        ),
        ({"hosts": [{"ip": "192.168.30.9"}]}, r"hosts\[0\].mac: is required, or else an id or a name"),
        ({"domain": "a b"}, "domain: 'a b' is not a domain"),
        ({"raw": ["log-queries", 'inter"face"=eth0']}, r"raw\[1\]: .* interfaces, ports or files"),
        ({"raw": ["listen-address=127.0.0.1"]}, r"raw\[0\]: .* interfaces, ports or files"),
        ({"raw": ["no-daemon"]}, r"raw\[0\]: .* started by hand; leave it out"),
        ({"raw": ["keep-in-foreground"]}, r"raw\[0\]: .* started by hand; leave it out"),
        ({"raw": ["version"]}, r"raw\[0\]: .* started by hand; leave it out"),
        ({"raw": ["dhcp-relay=192.168.30.1,10.0.0.1"]}, r"raw\[0\]: .* interfaces, ports or files"),
        ({"local-only": True}, "local-only: there is no such option; did you mean 'local_only'"),
    ],
)
def test_bad_option_is_refused_with_its_path(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message) as error:
        spec(**{**LAB, **change})
    assert error.value.path.startswith("fragments[0].")


def test_names_as_options_are_read_again() -> None:
    given = spec(**{**LAB, **BOOT, "domain": "lab.example", "names": NAMES, "hosts": HOSTS})
    assert spec(**given.as_options()) == given
    assert given.as_options()["names"]["cname"][0] == {"name": "www.lab.example", "target": "web.lab.example"}


@pytest.mark.parametrize(
    ("own", "other", "problem"),
    [
        ({"cname": [{"name": "a", "target": "b"}]}, {"cname": [{"name": "a", "target": "c"}]}, r"cname\[0\]: a.lab"),
        (
            {"hosts": [{"ip": "1.2.3.4", "names": "a"}]},
            {"hosts": [{"ip": "4.3.2.1", "names": "a"}]},
            r"hosts\[0\]: a.lab",
        ),
        ({"hosts": [{"ip": "1.2.3.4", "names": "a"}]}, {"cname": [{"name": "a", "target": "c"}]}, r"cname\[0\]: a.lab"),
        ({"hosts": [{"ip": "1.2.3.4", "names": "a"}]}, {"hosts": [{"ip": "::1", "names": "a"}]}, ""),
        ({"txt": [{"name": "a", "value": "x"}]}, {"txt": [{"name": "a", "value": "y"}]}, r"txt\[0\]: a.lab"),
        (FORWARD, {"forwarders": [{"domain": "x.test", "address": "10.0.0.2"}]}, r"forwarders\[0\]: x.test"),
        (
            FORWARD,
            {"forwarders": [*FORWARD["forwarders"], {"domain": "x.test", "address": "10.0.0.2"}]},
            r"forwarders\[0\]: x.test",
        ),
        (FORWARD, FORWARD, ""),
    ],
)
def test_two_networks_cannot_have_the_same_name(own: dict[str, Any], other: dict[str, Any], problem: str) -> None:
    lab = {**LAB, **IN_LAB, "names": own}
    two = {"name": "two", "interface": "b", "address": "10.0.0.1/24", **IN_LAB, "names": other}
    applied = after(state(), plan(state(), lab).changes)
    for current, networks in ((state(), [lab, two]), (applied, [two])):
        if problem:
            with pytest.raises(InvalidOption, match=rf"names\.{problem} is already given in .*lab"):
                plan(current, *networks)
        else:
            plan(current, *networks)


def test_a_loop_of_aliases_is_refused_also_over_two_networks() -> None:
    two = {"name": "two", "interface": "b", "address": "10.0.0.1/24", "domain": "two.example"}
    lab = {**LAB, **IN_LAB, "names": {"cname": [{"name": "a", "target": "b.two.example"}]}}
    two["names"] = {"cname": [{"name": "b", "target": "a.lab"}]}
    alone = {**two, "names": {"cname": [{"name": "b", "target": "c"}, {"name": "c", "target": "b"}]}}
    applied = after(state(), plan(state(), lab).changes)
    loop = "makes the loop of aliases b.two.example -> a.lab -> b.two.example, "
    with pytest.raises(InvalidOption, match=rf"network 'two': .*names\.cname\[0\]\.target: {loop}"):
        plan(applied, two)
    with pytest.raises(InvalidOption, match="makes the loop of aliases"):
        plan(state(), lab, two)
    with pytest.raises(InvalidOption, match="loop of aliases b.two.example -> c.two.example -> b.two.example, "):
        plan(state(), alone)


def test_missing_folder_for_tftp_is_refused_but_not_at_boot() -> None:
    missing = state(missing_tftp_roots=["/srv/tftp, x"])
    with pytest.raises(
        InvalidOption, match=r"fragments\[0\].tftp_root: there is no folder '/srv/tftp, x' that everybody"
    ):
        plan(missing, {**LAB, **BOOT})
    booting = replace(missing, service=replace(ACTIVE, active="inactive", pid=0, ordered_after_us=True))
    change, _drop_in = plan(booting, {**LAB, **BOOT}).changes
    assert "tftp" not in change.after


def test_an_absent_network_needs_its_name_alone_and_ignores_its_other_options() -> None:
    assert spec(name="lab", state="absent") == spec(**{**LAB, "state": "absent", "address": "nonsense"})
    with pytest.raises(InvalidOption, match="no such option"):
        spec(name="lab", state="absent", adress="x")


def test_line_that_dnsmasq_would_split_is_refused() -> None:
    values = [f"192.168.30.{i}" for i in range(1, 40)]
    fits = spec(**LAB, options={"ntp-server": values})
    assert max(map(len, render(fits, PLAIN).splitlines())) <= LONGEST_LINE
    with pytest.raises(InvalidOption, match=r"fragments\[0\].options.252: makes a line of more than 1000 bytes"):
        render(spec(**LAB, options={"252": "\\" * 500}), PLAIN)


def test_options_are_read_again() -> None:
    written = spec(**FULL).as_options()
    assert spec(**written) == spec(**FULL)
    assert written["hosts"][0]["mac"] == "52:54:00:aa:00:01"
    assert written["options"] == {
        "ntp-server": "192.168.30.5,192.168.30.6",
        "26": "1400",
        "252": 'http://wpad/"a b"\\',
    }


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters=","), min_size=1))
def test_any_text_of_an_option_is_one_value(text: str) -> None:
    network = spec(**LAB, options={"252": f"x{text}x"})
    if len(text) < 200:
        last = list(read_lines(render(network, PLAIN), "x"))[-1]
        assert last.fields == ("tag:vn-lab", "252", f"x{text}x".strip())


DEBIAN = not_installed().command
ACTIVE = ServiceStatus(command=DEBIAN, version=(2, 90), active="active", enabled="enabled", pid=1)


class Texts:
    """Configuration files in memory."""

    def __init__(self, main: str) -> None:
        self.main = main

    def text(self, path: str) -> str | None:
        return self.main

    def names(self, folder: str) -> list[str]:
        return []

    def identity(self, path: str) -> str | None:
        return path if path == "/etc/dnsmasq.conf" else None

    def output(self, command: str) -> str:
        raise AssertionError(command)


def state(main: str = "", service: ServiceStatus = ACTIVE, **more: Any) -> State:
    config = read_config(service.command, Texts(main), "/etc/dnsmasq.d")
    return State(service, config, **{"fragments": {}, **more})


def plan(current: State, *networks: dict[str, Any], purge: bool = False) -> Plan[Any]:
    specs = [FragmentSpec.from_options(Options(options, f"fragments[{i}]")) for i, options in enumerate(networks)]
    return Fragments(specs, purge, Paths()).plan(current)


def after(current: State, changes: Any) -> State:
    files, private = dict(current.fragments), dict(current.private_files)
    for change in changes:
        files[change.file] = change.content
        private.update({change.path: change.content, **change.hosts_files})
    return replace(
        current,
        fragments={name: content for name, content in files.items() if content is not None and name},
        private_files={path: content for path, content in private.items() if content is not None and path},
    )


def test_a_second_plan_has_no_changes() -> None:
    first = plan(state(), LAB)
    assert [str(change) for change in first.changes] == [
        "lab: virtnet-lab.conf created",
        "dnsmasq.service: virtnet.conf created",
    ]
    assert first.changes[0].before == ""
    assert first.changes[0].after.startswith(HEADER)
    assert first.result == [spec(**LAB).as_options()]
    assert not plan(after(state(), first.changes), LAB).changes


def test_a_change_names_the_settings_that_differ() -> None:
    current = after(state(), plan(state(), LAB).changes)
    changed = plan(current, {**LAB, "domain": "lab", "dns": False})
    assert [str(change) for change in changed.changes] == [
        "lab: virtnet-lab.conf changed (addn-hosts, dhcp-option, domain)"
    ]


def test_purge_removes_unnamed_networks_which_stay_without_it() -> None:
    current = after(
        state(),
        plan(state(), LAB, {**LAB, "name": "x", "interface": "b", "address": "10.0.0.1/24", "ranges": []}).changes,
    )
    assert [str(change) for change in plan(current, LAB, purge=True).changes] == ["x: virtnet-x.conf removed"]
    assert not plan(current, LAB).changes


@pytest.mark.parametrize("service", [ACTIVE, not_installed(), replace(ACTIVE, enabled="disabled", active="inactive")])
def test_removal_is_always_possible(service: ServiceStatus) -> None:
    current = state("except-interface=vn-lab\n", service, fragments={"virtnet-lab.conf": "x\n"})
    changes = plan(current, {"name": "lab", "state": "absent"}).changes
    assert [str(change) for change in changes] == ["lab: virtnet-lab.conf removed"]


@pytest.mark.parametrize(
    ("service", "message"),
    [
        (replace(ACTIVE, enabled="disabled"), "dnsmasq.service is not enabled .*systemctl enable --now"),
        (replace(ACTIVE, enabled="masked", active="inactive"), "dnsmasq.service is masked.*systemctl unmask"),
        (replace(ACTIVE, version=(2, 79)), "version 2.79 is too old; install dnsmasq 2.80"),
    ],
)
def test_unusable_service_is_refused_with_the_remedy(service: ServiceStatus, message: str) -> None:
    with pytest.raises(NoUsableDnsmasq, match=f"no usable system dnsmasq: {message}"):
        plan(state("", service), LAB)


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        ("auto", "the program dnsmasq is not installed on this host; install the package dnsmasq-base"),
        ("system", "dnsmasq.service.* is not installed.*install the package dnsmasq"),
    ],
)
def test_host_without_dnsmasq_gets_a_plan_but_no_change(tmp_path: Path, instance: str, message: str) -> None:
    class Nothing:
        def status(self) -> ServiceStatus:
            return not_installed()

    networks = [spec(**{**LAB, "instance": instance})]
    reconciler = Fragments(networks, False, Paths(str(tmp_path)), service=Nothing())  # type: ignore[arg-type]
    planned = reconciler.plan(replace(reconciler.read(), program=""))
    assert planned.changes
    with pytest.raises(MissingTool, match=message):
        reconciler.preflight(planned)
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_service_is_started_if_it_serves_a_network() -> None:
    stopped = replace(ACTIVE, active="failed", pid=0)
    changes = plan(state("", stopped), LAB).changes
    assert str(changes[-1]) == "dnsmasq.service: started (was failed)"
    assert not plan(state("", stopped)).changes


def test_a_service_that_starts_after_ours_is_not_changed() -> None:
    waiting = replace(ACTIVE, active="inactive", pid=0, ordered_after_us=True)
    assert all(change.concerns_file for change in plan(state("", waiting), LAB).changes)


def test_a_due_restart_is_planned_once() -> None:
    current = after(state(restart_due=True), plan(state(), LAB).changes)
    assert [str(c) for c in plan(current, LAB).changes] == [
        "dnsmasq.service: restarted (an earlier run was interrupted)"
    ]
    # Any change restarts it anyway.
    assert [c.name for c in plan(current, {**LAB, "dns": False}).changes] == ["lab"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"name": "lab"}, r"fragments\[1\].name: 'lab' is named twice"),
        ({"interface": "vn-lab"}, r"fragments\[1\].interface: 'vn-lab' already belongs to network 'lab'"),
        ({"address": "192.168.30.129/25", "ranges": []}, r"\.address: .* overlaps .* of network 'lab'"),
        (
            {"hosts": [{"mac": "52:54:00:aa:00:01", "ip": "10.0.0.9"}]},
            r"fragments\[1\].hosts\[0\].mac: .*network 'lab'",
        ),
    ],
)
def test_two_networks_cannot_have_the_same_name_interface_subnet_or_host(other: dict[str, Any], message: str) -> None:
    lab = {**LAB, "hosts": [{"mac": "52:54:00:aa:00:01", "ip": "192.168.30.9"}]}
    second = {"name": "two", "instance": "system", "interface": "vn-two", "address": "10.0.0.1/24", **other}
    with pytest.raises(InvalidOption, match=message):
        plan(state(), lab, second)


def test_a_host_of_a_fragment_that_stays_is_not_assigned_to_another_network() -> None:
    files = {"virtnet-old.conf": "dhcp-host=tag:vn-old,52:54:00:aa:00:01,10.0.0.9,web\n"}
    own = {**LAB, "hosts": [{"mac": "52:54:00:aa:00:01", "ip": "192.168.30.9"}]}
    with pytest.raises(InvalidOption, match=r"hosts\[0\].mac: .*/etc/dnsmasq.d/virtnet-old.conf"):
        plan(state(fragments=files), own)
    assert plan(state(fragments=files), own, purge=True).changes


def test_a_subnet_inside_another_is_refused() -> None:
    wide = {"name": "wide", "instance": "system", "interface": "b0", "address": "10.0.0.1/8"}
    inner = [{"name": f"n{i}", "instance": "system", "interface": f"b{i}", "address": f"10.{i}.0.1/24"} for i in (1, 2)]
    with pytest.raises(InvalidOption, match="overlaps 10.0.0.0/8 of network 'wide'"):
        plan(state(), inner[1], wide)


def test_a_name_with_another_domain_than_the_networks_is_pointed_out() -> None:
    hosts = [
        {"mac": f"52:54:00:aa:00:0{n}", "name": name}
        for n, name in enumerate(("a", "b.lab.test", "C.LAB.test", "d.example.com"))
    ]
    (note,) = plan(state(), {**LAB, "domain": "lab.test", "hosts": hosts}).notes
    assert "'lab': the static host 'd.example.com' is called 'd'" in note


def test_dns_on_another_port_is_noted() -> None:
    notes = plan(state("port=5353\n"), LAB).notes
    assert notes == [
        "dnsmasq serves no DNS on port 53 here ('port=5353' in line 1 of /etc/dnsmasq.conf): "
        "guests of lab get addresses, but no DNS server from it"
    ]
