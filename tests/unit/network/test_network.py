# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The model of a network: defaults, and errors that name the value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.bridge.spec import BridgeSpec
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.identity import bridge_name
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.spec import FragmentSpec
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt.definition import RegistrationSpec
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import Network, read_network
from ansible_collections.virtnet.linux.plugins.module_utils.nft.spec import RulesSpec
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.desired_state import specs_for
from ansible_collections.virtnet.linux.plugins.module_utils.resolver.spec import EntrySpec
from hypothesis import given
from hypothesis import strategies as st

HOST = "0123456789abcdef0123456789abcdef"
OVS = {"type": "openvswitch"}
PROXIED = {
    "mode": "routed",
    "uplink": "eth0",
    "ipv6": {"address": "2001:db8:1:2:f::1/80", "ra": False, "ndp_proxy": True},
}
UPLINK_BRIDGE = {
    "mode": "open",
    "ipv4": {"address": "none"},
    "bridge": {"ports": ["eth0"], "enslave_uplink": True},
}
UUID = "7b0cbfb2-6a3e-4d4c-9d57-3c1f5c9a6e01"


def read(**options: Any) -> Network:
    return read_network(Options(options, "networks[2]"), HOST)


def refused(**options: Any) -> str:
    with pytest.raises(InvalidOption) as caught:
        read(**{"name": "lab", **options})
    return str(caught.value)


ROUTE = {"to": "10.50.0.0/16", "via": "10.9.0.2"}


def routed(**route: Any) -> dict[str, Any]:
    return {"ipv4": {"address": "10.9.0.1/24"}, "routes": [{**ROUTE, **route}]}


def limit(**more: int) -> dict[str, int]:
    return {"average": 10, **more}


def test_empty_strings_that_templates_produce_are_absent_options() -> None:
    empty = {
        "name": "lab",
        "uplink": "",
        "ipv4": {
            "dhcp": {"hosts": [{"mac": "52:54:00:00:00:02", "name": "", "ip": "192.168.9.9"}]},
            "address": "192.168.9.1/24",
        },
    }
    host = {"mac": "52:54:00:00:00:02", "ip": "192.168.9.9"}
    absent = {"name": "lab", "ipv4": {"address": "192.168.9.1/24", "dhcp": {"hosts": [host]}}}
    assert read_network(Options(empty), "host") == read_network(Options(absent), "host")


def test_a_subnet_longer_than_a_64_is_advertised_without_slaac() -> None:
    ipv6 = {"address": "fd00:30::1/96", "slaac": False, "dhcp": {"enabled": True}}
    (fragment,) = specs_for([read(name="lab", ipv4={"address": "none"}, ipv6=ipv6)], {})["fragments"]
    service = FragmentSpec.from_options(Options(fragment)).ipv6
    assert service is not None and service.ra and service.forbids_slaac and service.ranges
    # A definition that was stored before there was the option.
    network = read(name="lab", ipv4={"address": "10.9.0.1/24"}, ipv6={"address": "fd00:30::1/64"})
    stored = network.as_options()
    del stored["ipv6"]["slaac"]
    assert read(**stored) == network


@pytest.mark.parametrize("dns", [True, False])
def test_tftp_is_served_without_dhcp(dns: bool) -> None:
    ipv4 = {"address": "10.9.0.1/24", "dhcp": {"enabled": False, "tftp_root": "/srv/tftp"}}
    (fragment,) = specs_for([read(name="lab", ipv4=ipv4, dns={"enabled": dns})], {})["fragments"]
    spec = FragmentSpec.from_options(Options(fragment))
    assert (spec.tftp_root, spec.dhcp, spec.dns) == ("/srv/tftp", False, dns)


def test_a_name_alone_makes_a_nat_network_with_dhcp_and_dns() -> None:
    network = read(name="lab")
    assert (network.state, network.mode, network.autostart, network.persistent) == ("active", "nat", True, True)
    assert network.bridge.name == "vn-lab"
    assert network.ipv4.auto and network.ipv4.dhcp and network.dns.enabled and network.dns.host_resolver
    assert not network.bridge.stp and network.bridge.forward_delay == 0


def test_limits_are_on_unless_they_make_no_sense() -> None:
    def rate(**options: Any) -> Any:
        told = specs_for([read(name="lab", ipv4={"address": "192.168.30.1/24"}, **options)], {})
        rules = told["rules"][0]
        return rules["connection_rate"], rules["clamp_mss"], told["bridges"][0]["fdb_max_learned"]

    assert rate() == (2000, True, None)
    assert rate(connection_rate=0, clamp_mss="no", bridge={"fdb_max_learned": 0}) == (0, False, 0)
    assert rate(connection_rate="50", bridge={"fdb_max_learned": "60"}) == (50, True, 60)
    assert rate(mode="open") == rate(mode="open", clamp_mss=False) == (0, False, None)
    # A definition that was stored before there was the option.
    network = read(name="lab", ipv4={"address": "192.168.30.1/24"})
    new = ("connection_rate", "clamp_mss")
    stored = {name: value for name, value in network.as_options().items() if name not in new}
    assert read(**stored) == network


@pytest.mark.parametrize("mode", ["nat", "routed", "isolated", "open"])
def test_a_definition_of_any_mode_reads_back_with_its_limits(mode: str) -> None:
    network = read(name="lab", mode=mode, ipv4={"address": "192.168.30.1/24"})
    assert read(**network.as_options()) == network


def test_short_spellings_stand_for_what_they_can_only_mean() -> None:
    short = read(
        name="lab",
        bridge="br0",
        ipv4={"address": "192.168.30.1", "dhcp": {"hosts": [{"mac": "5254.00AB.3456", "ip": "192.168.30.9"}]}},
        ipv6={"address": "fd00:30::1"},
    )
    full = read(
        name="lab",
        bridge={"name": "br0"},
        ipv4={"address": "192.168.30.1/24", "dhcp": {"hosts": [{"mac": "52:54:00:ab:34:56", "ip": "192.168.30.9"}]}},
        ipv6={"address": "fd00:30::1/64"},
    )
    assert short == full
    assert read(name="lab", bridge={"mac": "52-54-00-AB-34-56"}).bridge.mac == "52:54:00:ab:34:56"
    assert read(name="site", mode="bridged", bridge="br0").bridge.name == "br0"
    managed = read(name="lab", managed_by="libvirt", bridge="br0", ipv4={"address": "192.168.30.1"})
    assert "<bridge name='br0'" in managed.xml.replace('"', "'") and "prefix='24'" in managed.xml.replace('"', "'")


def test_a_zone_of_firewalld_is_a_matter_of_the_rules() -> None:
    network = read(name="lab", bridge={"zone": "guests"}, ipv4={"address": "192.168.30.1/24"})
    specs = specs_for([network], {})
    assert specs["rules"][0]["zone"] == "guests" and "zone" not in specs["bridges"][0]
    assert read(**network.as_options()) == network
    xml = "<network><name>lab</name><bridge name='vn-lab' zone='guests'/></network>"
    assert read(xml=xml).bridge.zone == "guests"
    for none in (None, "", False, {}):
        assert read(name="lab", bridge={"zone": none}) == read(name="lab")


def test_uuid_and_mac_are_stable_and_differ_between_networks_and_hosts() -> None:
    one, again, other = read(name="lab"), read(name="lab"), read(name="dmz")
    elsewhere = read_network(Options({"name": "lab"}), HOST[::-1])
    assert (one.uuid, one.bridge.mac) == (again.uuid, again.bridge.mac)
    assert len({one.uuid, other.uuid, elsewhere.uuid}) == 3
    assert len({one.bridge.mac, other.bridge.mac, elsewhere.bridge.mac}) == 3
    assert int(one.bridge.mac[:2], 16) & 3 == 2


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}", fullmatch=True))
def test_every_name_has_a_bridge_name_that_the_kernel_takes(name: str) -> None:
    assert len(bridge_name(name)) <= 15
    assert read(name=name).bridge.name == bridge_name(name)


def test_long_names_that_begin_alike_have_different_bridges() -> None:
    assert bridge_name("production-east") != bridge_name("production-west")
    assert bridge_name("production-east").startswith("vn-producti")


def test_default_range_is_all_of_the_subnet_but_the_hosts_address() -> None:
    def ranges(address: str) -> list[tuple[str, str]]:
        return [(str(r.start), str(r.end)) for r in read(name="lab", ipv4={"address": address}).ipv4.ranges]

    assert ranges("192.168.30.1/24") == [("192.168.30.2", "192.168.30.254")]
    assert ranges("192.168.30.254/24") == [("192.168.30.1", "192.168.30.253")]
    assert ranges("192.168.30.9/28") == [("192.168.30.1", "192.168.30.8"), ("192.168.30.10", "192.168.30.14")]
    assert ranges("192.168.30.1/30") == [("192.168.30.2", "192.168.30.2")]


def test_a_definition_reads_back_as_the_same_network() -> None:
    network = read(
        name="lab",
        title="Labor",
        mode="routed",
        uplink="eth0",
        isolate_guests=True,
        connection_rate=77,
        bridge={"mtu": 9000, "stp": True, "forward_delay": 4, "ports": ["eth1"], "fdb_max_learned": 99},
        ipv4={
            "address": "10.20.30.1/24",
            "dhcp": {
                "ranges": [{"start": "10.20.30.100", "end": "10.20.30.200", "lease_time": "12h"}],
                "hosts": [{"mac": "52:54:00:00:00:10", "name": "web", "ip": "10.20.30.10"}],
                "options": {"ntp-server": ["10.20.30.1", "10.20.30.2"], 66: "boot"},
            },
        },
        ipv6={
            "address": "fd00:30::1/64",
            "ra": False,
            "dhcp": {
                "enabled": True,
                "hosts": [{"id": "00:03:00:01:52:54:00:AA:00:02", "name": "web", "ip": "fd00:30::9"}],
                "options": {"ntp-server": "fd00:30::1"},
            },
        },
        port_forwards=[
            {"port": 8080, "to": "web", "to_port": 80},
            {
                "protocol": "udp",
                "port_range": {"start": 5000, "end": 5010},
                "to": "fd00:30::9",
                "address": "2001:db8::1",
            },
        ],
        extra_addresses=["10.99.0.1/24", "fd00:99::1/64"],
        dns={"domain": "Lab.Example.", "local_only": False},
    )
    assert read_network(Options(network.as_options()), HOST) == network
    assert network.dns.domain == "lab.example"
    assert list(map(str, network.resolved_forwards)) == [
        "tcp *:8080 -> 10.20.30.10:80",
        "udp [2001:db8::1]:5000-5010 -> [fd00:30::9]",
    ]


def test_nat_options_read_back() -> None:
    network = read(
        name="lab",
        ipv4={"address": "none"},
        ipv6={"address": "fd00:30::1/64"},
        nat={"ipv6": False, "source": {"start": "192.0.2.1", "end": "192.0.2.9"}, "ports": {"start": 2000}},
    )
    assert read_network(Options(network.as_options()), HOST) == network
    assert [str(subnet) for subnet in network.subnets] == ["fd00:30::/64"]
    assert network.nat.as_options() == {
        "ipv6": False,
        "source": {"start": "192.0.2.1", "end": "192.0.2.9"},
        "ports": {"start": 2000, "end": 65535},
    }


def test_values_from_templates_are_accepted() -> None:
    network = read(name="lab", autostart="no", bridge={"mtu": "1400", "stp": "True"})
    assert (network.autostart, network.bridge.mtu, network.bridge.stp) == (False, 1400, True)


SUBNET: dict[str, Any] = {"address": "192.168.30.1/24"}


def dhcp(**options: Any) -> dict[str, Any]:
    return {**SUBNET, "dhcp": options}


def host(**options: Any) -> dict[str, Any]:
    return {"mac": "52:54:00:00:00:10", **options}


@pytest.mark.parametrize(
    ("options", "path", "said"),
    [
        ({"name": None}, "networks[2].name", "is required"),
        ({"name": "-lab"}, "networks[2].name", "'-lab' is not a name of 1 to 50"),
        ({"name": "a" * 51}, "networks[2].name", "is not a name of 1 to 50"),
        ({"name": "la/b"}, "networks[2].name", "is not a name of 1 to 50"),
        ({"name": "lab\n"}, "networks[2].name", "control character or a line break"),
        ({"title": "a\x00b"}, "networks[2].title", "control character"),
        ({"description": "a\u2028b"}, "networks[2].description", "control character or a line break"),
        ({"nmae": "x"}, "networks[2].nmae", "there is no such option; did you mean 'name'?"),
        ({"ipv4": {"adress": "x"}}, "networks[2].ipv4.adress", "did you mean 'address'?"),
        ({"ipv4": "10.0.0.1/24"}, "networks[2].ipv4", "is not a mapping"),
        ({"mode": "nath"}, "networks[2].mode", "did you mean 'nat'?"),
        ({"state": "running"}, "networks[2].state", "use one of active, inactive, absent"),
        ({"autostart": "maybe"}, "networks[2].autostart", "neither true nor false"),
        ({"uuid": "12"}, "networks[2].uuid", "is not a uuid"),
        ({"uplink": "interface-too-long"}, "networks[2].uplink", "has 18 characters; an interface name has at most 15"),
        ({"uplink": "eth0/1"}, "networks[2].uplink", "is not an interface name"),
        ({"uplink": "vn-lab"}, "networks[2].uplink", "own bridge"),
        ({"uplink": ["eth0", "vn-lab"]}, "networks[2].uplink", "own bridge"),
        ({"uplink": ["eth0", "eth0/1"]}, "networks[2].uplink[1]", "is not an interface name"),
        ({"uplink": ["eth0", ["eth1"]]}, "networks[2].uplink[1]", "['eth1'] is not a string"),
        ({"uplink": ["eth0", "wlan0", "eth0"]}, "networks[2].uplink[2]", "'eth0' is listed twice"),
        ({"uplink": {"name": "eth0"}}, "networks[2].uplink", "is not a string"),
        ({"uplink": "eth0", "mode": "isolated"}, "networks[2].uplink", "has no meaning in mode isolated"),
        ({"bridge": {"name": "a-very-long-bridge"}}, "networks[2].bridge.name", "at most 15"),
        ({"bridge": {"mac": "52:54:00:00:00"}}, "networks[2].bridge.mac", "is not a MAC address"),
        ({"bridge": {"mac": "53:54:00:00:00:01"}}, "networks[2].bridge.mac", "multicast"),
        ({"bridge": {"mtu": 60}}, "networks[2].bridge.mtu", "60 is out of range; use 68 to 65535"),
        ({"bridge": {"mtu": "big"}}, "networks[2].bridge.mtu", "'big' is not a whole number"),
        ({"bridge": {"forward_delay": 31}}, "networks[2].bridge.forward_delay", "use 0 to 30"),
        ({"bridge": {"type": "ovs"}}, "networks[2].bridge.type", "use one of linux, openvswitch"),
        ({"bridge": {"rstp": True}}, "networks[2].bridge.rstp", "is for bridges of type openvswitch"),
        ({"bridge": {"fail_mode": "secure"}}, "networks[2].bridge.fail_mode", "is for bridges of type openvswitch"),
        (
            {"bridge": {**OVS, "stp": True, "rstp": True}},
            "networks[2].bridge.rstp",
            "cannot be combined with bridge.stp",
        ),
        ({"bridge": {**OVS, "fail_mode": "open"}}, "networks[2].bridge.fail_mode", "use one of standalone, secure"),
        ({"bridge": {**OVS, "vlans": [{"port": "eth1"}]}}, "networks[2].bridge.vlans[0].tag", "or portgroup"),
        (
            {"bridge": {**OVS, "vlans": [{"port": "eth1", "portgroup": "no"}]}},
            "networks[2].bridge.vlans[0].portgroup",
            "has no 'no' with a vlan; those with one: none",
        ),
        (
            {"bridge": {**OVS, "vlans": [{"port": "eth1", "tag": 4095}]}},
            "networks[2].bridge.vlans[0].tag",
            "use 0 to 4094",
        ),
        (
            {"bridge": {**OVS, "vlans": [{"port": "eth1", "tag": 1, "trunks": [2]}]}},
            "networks[2].bridge.vlans[0].trunks",
            "use mode native-tagged",
        ),
        (
            {"bridge": {**OVS, "vlans": [{"port": "eth1", "trunks": ["x"]}]}},
            "networks[2].bridge.vlans[0].trunks[0]",
            "is not a whole number",
        ),
        (
            {"bridge": OVS, "libvirt": {"virtualport": {"type": "midonet", "parameters": {"interfaceid": UUID}}}},
            "networks[2].libvirt.virtualport.type",
            "is not for a bridge of Open vSwitch",
        ),
        ({"ipv4": {"address": "10.0.0.1"}}, "networks[2].ipv4.address", "length; write it as 10.0.0.1/24"),
        ({"ipv4": {"address": "172.16.0.1"}}, "networks[2].ipv4.address", "length; write it as 172.16.0.1/24"),
        ({"ipv4": {"address": "10.0.0.300/24"}}, "networks[2].ipv4.address", "write it as 192.168.30.1/24"),
        ({"ipv4": {"address": "fd00::1/64"}}, "networks[2].ipv4.address", "is not an IPv4 address"),
        ({"ipv4": {"address": "10.0.0.0/24"}}, "networks[2].ipv4.address", "such as 10.0.0.1/24"),
        ({"ipv4": {"address": "10.0.0.255/24"}}, "networks[2].ipv4.address", "broadcast address"),
        ({"ipv4": {"address": "127.0.0.1/8"}}, "networks[2].ipv4.address", "cannot be the address of a network"),
        ({"ipv4": {"address": "10.0.0.1/32"}}, "networks[2].ipv4.dhcp.enabled", "no address left for guests"),
        ({"ipv4": {"address": "none"}}, "networks[2].ipv4.address", "'none' is not possible in mode nat"),
        (
            {"ipv4": dhcp(ranges=[{"start": "192.168.30.9", "end": "192.168.31.9"}])},
            "networks[2].ipv4.dhcp.ranges[0].end",
            "192.168.31.9 is outside the subnet 192.168.30.0/24",
        ),
        (
            {"ipv4": dhcp(ranges=[{"start": "192.168.30.9", "end": "192.168.30.8"}])},
            "networks[2].ipv4.dhcp.ranges[0].end",
            "swap them",
        ),
        (
            {"ipv4": dhcp(ranges=[{"start": "192.168.30.1", "end": "192.168.30.1"}])},
            "networks[2].ipv4.dhcp.ranges[0].start",
            "192.168.30.1 is the host's own address, and the range has no other",
        ),
        (
            {"ipv4": dhcp(ranges=[{"start": f"192.168.30.{n}", "end": "192.168.30.99"} for n in (9, 50)])},
            "networks[2].ipv4.dhcp.ranges[1].start",
            "overlaps the range 192.168.30.9 - 192.168.30.99",
        ),
        (
            {"ipv4": dhcp(ranges=[{"start": "192.168.30.9", "end": "192.168.30.10", "lease_time": "1m"}])},
            "networks[2].ipv4.dhcp.ranges[0].lease_time",
            "shorter than two minutes",
        ),
        ({"ipv4": dhcp(lease_time="7102w")}, "networks[2].ipv4.dhcp.lease_time", "is longer than 4294967294 seconds"),
        (
            {"ipv4": {"dhcp": {"ranges": [{"start": "192.168.30.9", "end": "192.168.30.10"}]}}},
            "networks[2].ipv4.dhcp.ranges[0].start",
            "needs a fixed ipv4.address",
        ),
        (
            {"ipv4": dhcp(hosts=[host(ip="192.168.31.9")])},
            "networks[2].ipv4.dhcp.hosts[0].ip",
            "outside the subnet",
        ),
        (
            {"ipv4": dhcp(hosts=[host(ip="192.168.30.1")])},
            "networks[2].ipv4.dhcp.hosts[0].ip",
            "the address of the host itself",
        ),
        (
            {"ipv4": dhcp(hosts=[host(ip="192.168.30.9"), host(ip="192.168.30.10")])},
            "networks[2].ipv4.dhcp.hosts[1].mac",
            "52:54:00:00:00:10 is already given to networks[2].ipv4.dhcp.hosts[0]",
        ),
        (
            {"ipv4": dhcp(hosts=[host(ip="192.168.30.9"), host(mac="52:54:00:00:00:11", ip="192.168.30.9")])},
            "networks[2].ipv4.dhcp.hosts[1].ip",
            "192.168.30.9 is already given to",
        ),
        (
            {"ipv4": dhcp(hosts=[host(name="infinite")])},
            "networks[2].ipv4.dhcp.hosts[0].name",
            "means something else to dnsmasq",
        ),
        (
            {"ipv4": dhcp(hosts=[host(name="web,1.2.3.4")])},
            "networks[2].ipv4.dhcp.hosts[0].name",
            "is not a host name",
        ),
        (
            {"ipv4": dhcp(hosts=[host(name="web"), host(mac="52:54:00:00:00:11", name="web.lab.example")])},
            "networks[2].ipv4.dhcp.hosts[1].name",
            "web is already given to",
        ),
        ({"ipv4": dhcp(hosts=[host()])}, "networks[2].ipv4.dhcp.hosts[0].mac", "needs an ip, a name or a lease_time"),
        ({"ipv4": dhcp(options={"300": "x"})}, "networks[2].ipv4.dhcp.options.300", "use 1 to 254"),
        ({"ipv4": dhcp(options={"a b": "x"})}, "networks[2].ipv4.dhcp.options.a b", "neither a number nor a name"),
        ({"dns": {"domain": "la b"}}, "networks[2].dns.domain", "is not a domain"),
        ({"extra_addresses": ["10.0.0.1"]}, "networks[2].extra_addresses[0]", "lacks the prefix length"),
        ({"dnsmasq": {"instance": "own"}}, "networks[2].dnsmasq.instance", "use one of auto, system, private"),
        ({"ipv6": {"address": "10.0.0.1/24"}}, "networks[2].ipv6.address", "is not an IPv6 address"),
        ({"bridge": ["br0"]}, "networks[2].bridge", "is not a mapping of options"),
        ({"ipv6": {"address": "fe80::1/64"}}, "networks[2].ipv6.address", "cannot be the address of a network"),
        ({"ipv6": {"address": "fd00::/64"}}, "networks[2].ipv6.address", "anycast address of all routers"),
        ({"ipv6": {"address": "fd00::1/48"}}, "networks[2].ipv6.address", "no prefix of 64 bits"),
        (
            {"ipv6": {"address": "fd00::1/64", "dhcp": {"ranges": [{"start": "fd00::2", "end": "fd01::9"}]}}},
            "networks[2].ipv6.dhcp.ranges[0].end",
            "fd01::9 is outside the subnet fd00::/64",
        ),
        (
            {"ipv6": {"address": "fd00::1/64", "dhcp": {"hosts": [{"id": "web", "ip": "fd00::9"}]}}},
            "networks[2].ipv6.dhcp.hosts[0].id",
            "is not a DUID",
        ),
        (
            {"ipv6": {"address": "fd00::1/64", "ra": False, "dhcp": {"enabled": True, "stateless": True}}},
            "networks[2].ipv6.dhcp.stateless",
            "needs router advertisements",
        ),
        (
            {"ipv6": {"address": "fd00::1/56", "ra": False, "dhcp": {"enabled": True}}},
            "networks[2].ipv6.dhcp.enabled",
            "wider than a /64",
        ),
        ({"ipv6": {"adress": "x"}}, "networks[2].ipv6.adress", "did you mean 'address'?"),
        (
            {"ipv6": {"address": "fd00:30::1/64", "deprecated": ["fd00:31::/64"]}},
            "networks[2].ipv6.deprecated[0]",
            "fd00:31::/64 is the subnet of no extra_addresses; write the former address of the host there",
        ),
        (
            {"ipv6": {"address": "fd00:30::1/64", "deprecated": ["fd00:30::/64"]}},
            "networks[2].ipv6.deprecated[0]",
            "fd00:30::/64 is that of the address itself; name the former one",
        ),
        (
            {"ipv6": {"address": "fd00:30::1/64", "deprecated": ["fd00::/56"]}},
            "networks[2].ipv6.deprecated[0]",
            "fd00::/56 has no prefix of 64 bits",
        ),
        *(
            (
                {"ipv6": {**ipv6, "deprecated": ["fd00:31::/64"]}, "extra_addresses": ["fd00:31::1/64"]},
                "networks[2].ipv6.deprecated",
                "is for guests that make their own addresses, without DHCPv6; leave it out",
            )
            for ipv6 in (
                {"address": "fd00:30::1/64", "ra": False},
                {"address": "fd00:30::1/64", "dhcp": {"enabled": True}},
                {"address": "none"},
            )
        ),
        (
            {"ipv6": {"address": "fd00:30::1/64", "slaac": False}},
            "networks[2].ipv6.slaac",
            "is false, and DHCPv6 gives guests no addresses; leave it out",
        ),
        (
            {"ipv6": {"address": "auto", "slaac": False, "dhcp": {"enabled": True, "stateless": True}}},
            "networks[2].ipv6.slaac",
            "is false, and DHCPv6 gives guests no addresses; leave it out",
        ),
        (
            {
                "ipv6": {"address": "fd00:30::1/64", "slaac": False, "dhcp": {"enabled": True}},
                "dnsmasq": {"instance": "system"},
            },
            "networks[2].ipv6.slaac",
            "false holds for all networks of a dnsmasq; use dnsmasq.instance: private, or auto",
        ),
        (
            {**PROXIED, "mode": "isolated", "uplink": None},
            "networks[2].ipv6.ndp_proxy",
            "has no meaning in mode isolated; use routed",
        ),
        ({**PROXIED, "mode": "nat"}, "networks[2].ipv6.ndp_proxy", "use nat.ipv6: false"),
        (
            {**PROXIED, "ipv6": {"address": "auto", "ndp_proxy": True}},
            "networks[2].ipv6.ndp_proxy",
            "needs a fixed ipv6.address; give a part of the prefix of the uplink",
        ),
        (
            {**PROXIED, "uplink": None},
            "networks[2].ipv6.ndp_proxy",
            "needs the interface on which a router asks for guests; give it as uplink",
        ),
        ({"nat": {"source": {"start": "fd00::1"}}}, "networks[2].nat.source.start", "is not an IPv4 address"),
        ({"nat": {"source": {"end": "192.0.2.1"}}}, "networks[2].nat.source.start", "is required"),
        ({"nat": {"ports": {"start": 0}}}, "networks[2].nat.ports.start", "use 1 to 65535"),
        ({"nat": {"except": ["10.8.0.1/16"]}}, "networks[2].nat.except[0]", "write 10.8.0.0/16, or 10.8.0.1/32"),
        ({"nat": {"except": "10.8.0.1"}}, "networks[2].nat.except[0]", "lacks the prefix length"),
        ({"nat": {"ports": {"start": 9, "end": 8}}}, "networks[2].nat.ports.end", "swap them"),
        ({"port_forwards": [{"port": 1}]}, "networks[2].port_forwards[0].to", "is required"),
        ({"port_forwards": [{"to": "10.0.0.2"}]}, "networks[2].port_forwards[0].port", "either port or port_range"),
        (
            {"port_forwards": [{"to": "10.0.0.2", "port_range": {"start": 9, "end": 8}}]},
            "networks[2].port_forwards[0].port_range.end",
            "swap them",
        ),
        (
            {"port_forwards": [{"to": "10.0.0.2", "port_range": {"start": 8, "end": 9}, "to_port": 1}]},
            "networks[2].port_forwards[0].to_port",
            "has no meaning with port_range",
        ),
        ({"port_forwards": [{"port": 0, "to": "10.0.0.2"}]}, "networks[2].port_forwards[0].port", "use 1 to 65535"),
        (
            {"port_forwards": [{"port": 53, "protocol": "udp", "to": "10.0.0.2"}]},
            "networks[2].port_forwards[0].port",
            "where guests are served",
        ),
        (
            {"port_forwards": [{"port": 5, "to": "web"}], "ipv4": dhcp(hosts=[host(name="www", ip="192.168.30.9")])},
            "networks[2].port_forwards[0].to",
            "'web' is neither an address nor the name of a DHCP host with an ip (www)",
        ),
        (
            {"port_forwards": [{"port": 5, "to": "10.0.0.2", "address": "::1"}]},
            "networks[2].port_forwards[0].address",
            "cannot be forwarded",
        ),
        (
            {"port_forwards": [{"port": 5, "to": "10.0.0.2", "address": "2001:db8::1"}]},
            "networks[2].port_forwards[0].address",
            "not of the same family",
        ),
        ({"connection_rate": -1}, "networks[2].connection_rate", "-1 is out of range; use 0 to 1000000"),
        ({"connection_rate": "fast"}, "networks[2].connection_rate", "is not a whole number"),
        ({"connection_rate": True}, "networks[2].connection_rate", "is not a whole number"),
        ({"connection_rate": 5, "mode": "open"}, "networks[2].connection_rate", "has no meaning in mode open"),
        ({"clamp_mss": True, "mode": "open"}, "networks[2].clamp_mss", "true has no meaning in mode open"),
        ({"bridge": {"zone": "a b"}}, "networks[2].bridge.zone", "is not the name of a zone of firewalld"),
        (
            {
                "mode": "open",
                "ipv4": {"address": "none"},
                "bridge": {"ports": ["eth0"], "enslave_uplink": True, "zone": "a"},
            },
            "networks[2].bridge.zone",
            "has no meaning with bridge.enslave_uplink",
        ),
        ({"bridge": {"fdb_max_learned": -1}}, "networks[2].bridge.fdb_max_learned", "use 0 to 1000000"),
        ({"bridge": {"fdb_max_learned": "all"}}, "networks[2].bridge.fdb_max_learned", "is not a whole number"),
        (
            {"bridge": {**OVS, "multicast_snooping": True}},
            "networks[2].bridge.multicast_snooping",
            "is for Linux bridges",
        ),
        ({"bridge": {**OVS, "hairpin": True}}, "networks[2].bridge.hairpin", "is for Linux bridges"),
        ({"port_security": "gatway"}, "networks[2].port_security.level", "did you mean 'gateway'?"),
        ({"port_security": {"levl": "off"}}, "networks[2].port_security.levl", "did you mean 'level'?"),
        ({"port_security": "gateway", "bridge": OVS}, "networks[2].port_security", "is for Linux bridges"),
        (
            {**UPLINK_BRIDGE, "port_security": "gateway"},
            "networks[2].port_security",
            "whose gateway is a router outside",
        ),
        ({"port_security": {"trusted_hosts": ["web"]}}, "networks[2].port_security.trusted_hosts[0]", "no static host"),
        ({"port_security": {"trusted_hosts": [""]}}, "networks[2].port_security.trusted_hosts[0]", "no static host"),
        ({"port_security": {"trusted_hosts": ["52:54"]}}, "networks[2].port_security.trusted_hosts[0]", "MAC address"),
        (
            {"port_security": {"trusted_ports": ["tap*"]}},
            "networks[2].port_security.trusted_ports[0]",
            "interface name",
        ),
        ({"isolate_guests": True, "bridge": {"hairpin": True}}, "networks[2].bridge.hairpin", "leave one of them out"),
        ({"bridge": {**OVS, "fdb_max_learned": 9}}, "networks[2].bridge.fdb_max_learned", "use 0, or 10 or more"),
        ({"isolate_guests": "perhaps"}, "networks[2].isolate_guests", "neither true nor false"),
        ({"bandwidth": {"inbound": {"peak": 9}}}, "networks[2].bandwidth.inbound.average", "required beside peak"),
        ({"bandwidth": {"inbound": {"average": 0}}}, "networks[2].bandwidth.inbound.average", "use 1 to 10000000"),
        ({"bandwidth": {"outbound": limit(peak=9)}}, "networks[2].bandwidth.outbound.peak", "below the average 10"),
        ({"bandwidth": {"inbound": limit(burst=9999)}}, "networks[2].bandwidth.inbound.burst", "use at most 2343"),
        ({"bandwidth": {"inbound": limit(floor=5)}}, "networks[2].bandwidth.inbound.floor", "libvirt refuses it"),
        ({"bandwidth": {"inbund": limit()}}, "networks[2].bandwidth.inbund", "did you mean 'inbound'?"),
        (routed(via="10.9.0.2", to="10.50.0.1/24"), "networks[2].routes[0].to", "write 10.50.0.0/24, or 10.50.0.1/32"),
        (routed(via="10.9.0.2", to="0.0.0.0/0"), "networks[2].routes[0].to", "give a subnet behind it"),
        (routed(via="10.9.0.2", to="10.9.0.128/25"), "networks[2].routes[0].to", "overlaps 10.9.0.0/24"),
        (routed(via="10.9.1.2"), "networks[2].routes[0].via", "outside the network (10.9.0.0/24)"),
        (routed(via="10.9.0.1"), "networks[2].routes[0].via", "address of the host itself"),
        (routed(via="fd00::2"), "networks[2].routes[0].via", "not of the same family as 10.50.0.0/16"),
        (routed(via="10.9.0.2", metric=0), "networks[2].routes[0].metric", "use 1 to"),
        (
            {"ipv4": {"address": "10.9.0.1/24"}, "routes": [ROUTE, {**ROUTE, "via": "10.9.0.3"}]},
            "networks[2].routes[1].to",
            "give another metric",
        ),
        ({"routes": [ROUTE]}, "networks[2].routes", "a fixed ipv4.address is required"),
    ],
)
def test_error_names_the_value_and_what_to_do(options: dict[str, Any], path: str, said: str) -> None:
    message = refused(**options)
    assert f"{path}: " in message
    assert said in message
    if options.get("name", "lab") == "lab":
        assert message.startswith("network 'lab': ")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip  # noqa: E501
def test_any_yaml_is_accepted_or_refused_and_never_a_crash(value: Any) -> None:
    for option in Network.__dataclass_fields__:
        try:
            read(**{"name": "lab", option: value})
        except InvalidOption:
            continue


def test_dhcp_over_ipv6_is_off_unless_asked_for() -> None:
    quiet = read(name="lab", ipv6={"address": "fd00:30::1/64"}).ipv6
    assert (quiet.ra, quiet.ra_names, quiet.dhcp.enabled, quiet.dhcp.ranges) == (True, True, False, ())
    dhcp6 = read(name="lab", ipv6={"address": "fd00:30::1/64", "dhcp": {"enabled": True}}).ipv6.dhcp
    assert [(str(one.start), str(one.end)) for one in dhcp6.ranges] == [("fd00:30::2", "fd00:30::ffff:ffff:ffff:ffff")]
    stateless = read(name="lab", ipv6={"address": "fd00:30::1/64", "dhcp": {"enabled": True, "stateless": True}})
    assert stateless.ipv6.dhcp.ranges == ()


def test_records_and_boot_read_back_with_complete_names() -> None:
    network = read(
        name="lab",
        ipv4={**SUBNET, "dhcp": {"boot": {"file": "pxelinux.0", "server": "192.168.30.9"}, "tftp_root": "/srv/tftp"}},
        dns={
            "domain": "lab.example",
            "hosts": [{"ip": "192.168.30.9", "names": ["nas"]}],
            "srv": [{"service": "ldap", "protocol": "tcp", "target": "nas", "port": 389}],
            "txt": [{"name": "nas", "value": "a b"}],
            "cname": [{"name": "files", "target": "nas"}],
            "forwarders": [{"domain": "corp.example", "address": "10.0.0.1"}],
            "local_ptr": True,
        },
    )
    assert read_network(Options(network.as_options()), HOST) == network
    assert network.dns.names.hosts[0].names == ("nas.lab.example",)
    assert network.dns.names.srv[0].name == "_ldap._tcp.lab.example"


@pytest.mark.parametrize(
    ("dns", "path"),
    [
        ({"forwarders": [{"address": "1.1.1.1"}]}, "dns.forwarders[0].domain"),
        ({"forward_plain_names": False}, "dns.forward_plain_names"),
        ({"ttl": 0}, "dns.ttl"),
        ({"domain": "lab", "txt": [{"name": "x.test", "value": "y"}]}, "dns.txt[0].name"),
    ],
)
def test_options_that_would_affect_all_networks_need_a_private_dnsmasq(dns: dict[str, Any], path: str) -> None:
    assert read(name="lab", dns=dns)
    message = refused(dns=dns, dnsmasq={"instance": "system"})
    assert f"networks[2].{path}: " in message
    assert "dnsmasq.instance: private" in message


def test_raw_lines_need_a_private_dnsmasq() -> None:
    wanted = {"options": ["log-queries"], "instance": "system"}
    assert "networks[2].dnsmasq.options[0]: 'log-queries' is for a whole dnsmasq" in refused(dnsmasq=wanted)
    assert read(name="lab", dnsmasq={"options": ["dhcp-ignore=tag:!known"], "instance": "system"})
    network = read(name="lab", ipv4=SUBNET, dnsmasq={"options": ["log-queries"]})
    assert read_network(Options(network.as_options()), HOST) == network


# What the parts' own modules take, each with an interface.
SPECS: dict[Any, dict[str, Any]] = {
    BridgeSpec: {"name": "HERE"},
    FragmentSpec: {"name": "lab", "interface": "HERE", "address": "10.9.0.1/24"},
    RulesSpec: {"name": "lab", "bridge": "HERE", "subnets": ["10.9.0.0/24"]},
    EntrySpec: {"interface": "HERE", "addresses": ["10.9.0.1"], "domain": "lab.test"},
    RegistrationSpec: {"name": "lab", "uuid": UUID, "bridge": "HERE"},
}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("all", "stands for all interfaces"),
        ("default", "stands for the settings of new interfaces"),
        ("lo", "loopback"),
        (".", "is not an interface name"),
        ("..", "is not an interface name"),
        ("a/b", "is not an interface name"),
        ("vn%d", "is not an interface name"),
        ("a:1", "is not an interface name"),
        ("a b", "is not an interface name"),
        ("-x", "is not an interface name"),
        ("x" * 16, "at most 15"),
    ],
)
@pytest.mark.parametrize("mode", ["nat", "bridged"])
def test_a_name_that_the_kernel_has_no_interface_for_is_refused_wherever_one_is_named(
    name: str, why: str, mode: str
) -> None:
    """Settings of ``all`` are those of every interface of the host (/proc/sys/net/ipv4/conf/all)."""
    told = refused(mode=mode, bridge={"name": name})
    assert told.startswith("network 'lab': networks[2].bridge.name: ") and why in told
    assert "networks[2].uplink: " in (told := refused(uplink=name)) and why in told
    assert "networks[2].bridge.ports[0]: " in (told := refused(bridge={"ports": [name]})) and why in told
    for spec, options in SPECS.items():
        key = next(key for key, value in options.items() if value == "HERE")
        with pytest.raises(InvalidOption, match=f"{key}: ") as caught:
            spec.from_options(Options({**options, key: name}))
        assert why in str(caught.value)


def test_a_network_called_all_has_a_bridge_of_another_name() -> None:
    assert [read(name=name).bridge.name for name in ("all", "default", "lo")] == ["vn-all", "vn-default", "vn-lo"]


@pytest.mark.parametrize("zone", ["%x y", "%x;}", "%a,b", "%$(x)", "%]"])
@pytest.mark.parametrize(
    "options",
    [
        {"ipv6": {"address": "fd00::1{}/64"}},
        {"extra_addresses": ["fd00::1{}/64"]},
        {"dns": {"hosts": [{"ip": "fd00::7{}", "names": ["web"]}]}},
        {"dns": {"forwarders": [{"address": "fd00::7{}"}]}},
        {"ipv6": {"address": "fd00::1/64"}, "routes": [{"to": "fd01::/64", "via": "fd00::7{}"}]},
        {"ipv6": {"address": "fd00::1/64"}, "port_forwards": [{"port": 80, "to": "fd00::7{}"}]},
        {"ipv6": {"address": "fd00::1/64"}, "port_forwards": [{"port": 80, "address": "fd01::7{}", "to": "fd00::7"}]},
        {"ipv6": {"address": "fd00::1/64", "dhcp": {"ranges": [{"start": "fd00::7{}", "end": "fd00::9"}]}}},
        {"ipv6": {"address": "fd00::1/64", "dhcp": {"hosts": [{"mac": "52:54:00:00:00:01", "ip": "fd00::7{}"}]}}},
    ],
)
def test_an_ipv6_address_has_no_zone_of_any_text(options: dict[str, Any], zone: str) -> None:
    """Python's ipaddress takes any text after '%' for a zone; it would go on into lines for nft and dnsmasq."""
    assert "is n" in refused(**json.loads(json.dumps(options).replace("{}", zone)))


def test_a_forwarder_may_be_on_a_link() -> None:
    (forwarder,) = read(name="lab", dns={"forwarders": [{"address": "fe80::1%eth0"}]}).dns.names.forwarders
    assert str(forwarder.address) == "fe80::1%eth0"


STATIC = [{"mac": "52:54:00:00:00:01", "ip": "10.9.0.5"}]
STATIC6 = [{"mac": "52:54:00:00:00:01", "ip": "fd00:9::5"}]


def test_an_empty_list_of_ranges_is_for_static_hosts_alone() -> None:
    dhcp6 = {"enabled": True, "ranges": [], "hosts": STATIC6}
    network = read(
        name="lab",
        ipv4={"address": "10.9.0.1/24", "dhcp": {"ranges": [], "hosts": STATIC}},
        ipv6={"address": "fd00:9::1/64", "dhcp": dhcp6},
    )
    assert (network.ipv4.ranges, network.ipv6.dhcp.ranges) == ((), ())
    assert read_network(Options(network.as_options()), HOST) == network
    without = read(name="lab", ipv4={"address": "10.9.0.1/24", "dhcp": {"hosts": STATIC}})
    assert [str(one.end) for one in without.ipv4.ranges] == ["10.9.0.254"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"ipv4": {"dhcp": {"ranges": []}}}, "ipv4.dhcp.ranges: is empty, for static hosts alone, which needs a fixed"),
        (
            {"ipv6": {"address": "auto", "dhcp": {"enabled": True, "ranges": []}}},
            "ipv6.dhcp.ranges: is empty, for static hosts alone, which needs a fixed ipv6.address",
        ),
        (
            {
                "ipv4": {
                    "address": "10.9.0.1/24",
                    "dhcp": {"ranges": [], "hosts": [{"mac": "52:54:00:00:00:01", "name": "a"}]},
                }
            },
            "ipv4.dhcp.hosts[0].ip: is required where there are no ranges to take an address from",
        ),
    ],
)
def test_an_empty_list_of_ranges_needs_addresses_that_are_known(options: dict[str, Any], problem: str) -> None:
    assert problem in refused(**options)


@pytest.mark.parametrize("trusted", [["web"], ["52-54-00-00-00-05", "web"]])
def test_a_trusted_host_is_known_by_all_its_mac_addresses(trusted: list[str]) -> None:
    unnamed = {"mac": "52:54:00:00:00:09", "ip": "192.168.30.9"}
    web = {"name": "web", "mac": ["52:54:00:00:00:05", "52:54:00:00:00:06"], "ip": "192.168.30.5"}
    security = {"level": "gateway", "trusted_hosts": trusted}
    dhcp = {"hosts": [unnamed, web]}
    network = read(name="lab", ipv4={"address": "192.168.30.1/24", "dhcp": dhcp}, port_security=security)
    assert network.port_security.of_bridge.trusted_macs == ("52:54:00:00:00:05", "52:54:00:00:00:06")


def test_a_static_host_without_a_mac_address_cannot_be_trusted() -> None:
    dhcp = {"hosts": [{"name": "web", "ip": "192.168.30.5"}]}
    error = refused(ipv4={"address": "192.168.30.1/24", "dhcp": dhcp}, port_security={"trusted_hosts": ["web"]})
    assert "networks[2].port_security.trusted_hosts[0]: 'web' has no mac, by which its frames are known" in error


@pytest.mark.parametrize(("given", "level"), [("gateway", "gateway"), ("off", "off"), (False, "off"), ({}, "off")])
def test_port_security_may_be_a_level(given: Any, level: str) -> None:
    assert read(name="lab", port_security=given).port_security.level == level
