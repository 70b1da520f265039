# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Conversion between libvirt's XML and the options of a network; hostile XML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt_xml.convert import from_xml, to_xml
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import read_network
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.status import dump

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.xml"), key=lambda path: path.name)
HOST = "0123456789abcdef0123456789abcdef"


def network(content: str, attributes: str = "") -> str:
    return f"<network {attributes}><name>lab</name>{content}</network>"


def error_of(text: Any) -> str:
    with pytest.raises(InvalidOption) as caught:
        from_xml(text, "networks[3].xml", "network 'lab'")
    assert str(caught.value).startswith("network 'lab': networks[3].xml: ")
    return str(caught.value)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_samples_become_options_that_survive_a_round_trip(sample: Path) -> None:
    expected = json.loads(sample.with_suffix(".json").read_text())
    assert from_xml(sample.read_text()) == expected
    for version in ((9, 0), (11, 3)):
        again = to_xml(expected, version)
        assert from_xml(again) == expected
        assert to_xml(from_xml(again), version) == again


WITHOUT_ELEMENT: dict[str, Any] = {
    "name": "lab",
    "ipv6": {"address": "auto", "ra": False, "dhcp": {"enabled": True}},
    "ipv4": {"dhcp": {"options": {"ntp-server": "10.0.0.1"}, "hosts": [{"mac": "52:54:00:00:00:01", "name": "web"}]}},
    "bridge": {"type": "openvswitch", "ports": ["eth1", "eth2"]},
    "port_forwards": [{"protocol": "tcp", "port": 80, "to": "web", "to_port": 8080}],
    "dns": {"host_resolver": False, "cname": [{"name": "www", "target": "web"}], "domain": "my_lab.example"},
    "dnsmasq": {"instance": "private"},
    "libvirt": {"register": False},
    "something_of_a_later_version": {"a": [1, 2]},
}


def test_options_without_an_element_are_stored_in_metadata() -> None:
    assert from_xml(to_xml(WITHOUT_ELEMENT)) == WITHOUT_ELEMENT


def test_guests_without_ipv6_addresses_of_the_host_reach_each_other_by_ipv6() -> None:
    ipv4 = "<ip address='10.9.0.1' netmask='255.255.255.0'/>"
    for content in (ipv4, "", "<forward mode='open'/>"):
        given = from_xml(network(content, "ipv6='yes'"))
        assert from_xml(network(content)) == given
        xml = to_xml(given)
        assert xml.startswith('<network ipv6="yes">')
        assert from_xml(xml) == given
    for content in (
        f"{ipv4}<ip family='ipv6' address='fd00:9::1' prefix='64'/>",
        "<forward mode='bridge'/><bridge name='br0'/>",
    ):
        assert to_xml(from_xml(network(content, "ipv6='yes'"))).startswith("<network>")


def test_defaults_are_not_in_the_result() -> None:
    assert from_xml(to_xml({"name": "lab", "state": "active", "autostart": True, "mode": "nat"})) == {"name": "lab"}


def test_a_network_for_static_hosts_alone_stays_one() -> None:
    hosts = [{"mac": "52:54:00:00:00:01", "ip": "10.9.0.5"}]
    hosts6 = [{"name": "web", "id": "00:03:00:01:52:54:00:00:00:01", "ip": "fd00:9::5"}]
    options = {
        "name": "lab",
        "ipv4": {"address": "10.9.0.1/24", "dhcp": {"ranges": [], "hosts": hosts}},
        "ipv6": {"address": "fd00:9::1/64", "dhcp": {"enabled": True, "ranges": [], "hosts": hosts6}},
    }
    text = to_xml(options)
    assert "<range" not in text and "dhcp.ranges" not in text
    assert from_xml(text) == options
    stored = read_network(Options(from_xml(text)), HOST)
    assert not stored.ipv4.ranges and not stored.ipv6.dhcp.ranges
    assert from_xml(to_xml(stored.as_options()))["ipv6"]["dhcp"] == options["ipv6"]["dhcp"]


@pytest.mark.parametrize("given", ["null", "[]", '[{"end": "fd00:9::9", "start": "fd00:9::7"}]'])
def test_ranges_that_an_earlier_version_stored_beside_hosts_still_count(given: str) -> None:
    hosts = "".join(f"<host name='h{n}' ip='fd00:9::{n}'/>" for n in (6, 3, 5))
    read = '[{"end": "fd00:9::3", "start": "fd00:9::3"}, {"end": "fd00:9::6", "start": "fd00:9::5"}]'
    option = f"<v:option name='ipv6.dhcp.ranges' instead='{read}'>{given}</v:option>"
    text = network(
        f"<metadata><v:network xmlns:v='urn:virtnet.linux:network:1.0'>{option}</v:network></metadata>"
        f"<ip family='ipv6' address='fd00:9::1' prefix='64'><dhcp>{hosts}</dhcp></ip>"
    )
    assert from_xml(text)["ipv6"]["dhcp"].get("ranges") == json.loads(given)


def test_an_edit_of_the_xml_takes_precedence_over_stored_options() -> None:
    text = to_xml({"name": "lab", "port_forwards": [{"port": 80, "to": "web"}]}, live={"ipv4": "10.1.0.1/24"})
    assert from_xml(text)["port_forwards"] == [{"port": 80, "to": "web"}]
    assert "ipv4" not in from_xml(text)
    assert from_xml(text.replace('address="10.1.0.1"', 'address="10.1.0.2"'))["ipv4"]["address"] == "10.1.0.2/24"


def test_dump_contains_the_addresses_that_were_allocated() -> None:
    definition = {"name": "lab", "ipv4": {"address": "192.168.7.1/24", "auto": True}}
    text = dump(read_network(Options(definition), HOST))
    assert 'address="192.168.7.1"' in text and 'end="192.168.7.254"' in text
    assert '<lease expiry="10" unit="minutes"/>' in text
    assert "ipv4" not in from_xml(text)


def test_a_stored_definition_is_the_same_network_after_a_round_trip() -> None:
    options = {
        "name": "lab",
        "mode": "routed",
        "bridge": {"mtu": 1400, "stp": True, "forward_delay": 2, "ports": ["eth1"]},
        "ipv4": {
            "address": "10.20.30.1/24",
            "dhcp": {
                "ranges": [{"start": "10.20.30.100", "end": "10.20.30.200", "lease_time": "12h"}],
                "hosts": [{"mac": "52:54:00:00:00:10", "name": "web", "ip": "10.20.30.10"}],
                "options": {"ntp-server": "10.20.30.1", "66": "boot"},
            },
        },
        "dns": {"domain": "lab.example", "local_only": False},
        "routes": [{"to": "10.50.0.0/16", "via": "10.20.30.10", "metric": 3}],
        "bandwidth": {"inbound": {"average": 1000, "peak": 5000, "burst": 5120}, "outbound": {"average": 128}},
    }
    stored = read_network(Options(options), HOST)
    text = to_xml(stored.as_options())
    assert read_network(Options(from_xml(text)), HOST) == stored
    assert '<inbound average="1000" peak="5000" burst="5120"/>' in text and '<outbound average="128"/>' in text
    assert '<route family="ipv4" address="10.50.0.0" prefix="16" gateway="10.20.30.10" metric="3"/>' in text


def test_foreign_metadata_is_kept_verbatim_and_needs_a_namespace() -> None:
    text = '<a:b xmlns:a="urn:a" x="&quot;&amp;\'"><!-- c --><a:d/>e</a:b>'
    assert from_xml(to_xml({"name": "lab", "libvirt": {"metadata": [text]}}))["libvirt"]["metadata"] == [text]
    ours = '<x xmlns="urn:virtnet.linux:network:1.0"/>'
    for bad, message in (("<b/>", "no namespace"), ("<a", "not well-formed"), (ours, "of virtnet.linux itself")):
        with pytest.raises(InvalidOption, match=f"libvirt.metadata.*{message}"):
            to_xml({"name": "lab", "libvirt": {"metadata": [bad]}})


def test_comments_divide_no_text() -> None:
    """libvirt 11.3 reads these as their texts without the comment."""
    host = "<host ip='10.0.0.9'><hostname><!-- y -->a</hostname></host>"
    options = from_xml(f"<network><name>la<!-- x -->b</name><dns>{host}</dns></network>")
    assert (options["name"], options["dns"]["hosts"]) == ("lab", [{"ip": "10.0.0.9", "names": ["a"]}])


def test_the_forward_mode_none_is_an_isolated_network() -> None:
    assert from_xml("<network><name>lab</name><forward mode='none'/></network>")["mode"] == "isolated"


IP = "<ip address='10.0.0.1' prefix='24'>{}</ip>"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<forward mode='hostdev'/>", "<forward> in line 1: mode='hostdev' gives guests devices of the host"),
        ("<forward mode='passthrough'/>", "has no bridge"),
        (
            "<forward mode='bridge'/>",
            "is macvtap, which has no bridge; give a bridge, or leave the network to libvirt by",
        ),
        (
            "<forward mode='bridge'/><virtualport type='openvswitch'/>",
            "mode='bridge' without <bridge name=...> leaves the bridge to each guest; give a bridge, or leave",
        ),
        (
            "<forward mode='bridge'/><bridge name='br0'/><ip address='10.0.0.1'/>",
            "<ip> in line 1: is not possible with",
        ),
        ("<forward mode='natt'/>", "mode='natt' is none of none, nat"),
        ("<forward managed='yes'/>", "attribute 'managed' belongs to a pool of devices for guests"),
        ("<forward><pf dev='eth0'/></forward>", "<pf> in line 1: belongs to a pool of devices for guests"),
        ("<forward><address type='pci' slot='1'/></forward>", "a pool of devices"),
        ("<forward><driver name='vfio'/></forward>", "a pool of devices"),
        ("<forward dev='a'><interface dev='b'/></forward>", "several uplinks (a, b)"),
        ("<forward mode='open' dev='a'/>", "a device has no meaning with mode='open'"),
        ("<forward mode='route'><nat/></forward>", "<nat> in line 1: has a meaning in forward mode='nat' alone"),
        (
            "<bridge macTableManager='libvirt'/>",
            "is possible as 'kernel' alone; leave it out, or leave the network to libvirt by managed_by: libvirt",
        ),
        ("<bridge stp='yes'/>", "stp='yes' is neither on nor off"),
        ("<bridge delay='-1'/>", "delay='-1' is not a whole number"),
        ("<bridge/><bridge/>", "is there twice"),
        (
            "<brigde/>",
            "in libvirt's schema of networks, and libvirt ignores it; did you mean <bridge>?",
        ),
        (
            "<bridge nmae='x'/>",
            "attribute 'nmae' is not in libvirt's schema of networks, and libvirt ignores it; did you mean name?",
        ),
        (
            "<route via='10.0.0.9'/>",
            "attribute 'via' is not in libvirt's schema of networks, and libvirt ignores it; remove it",
        ),
        (
            "<stp state='on'/>",
            "<stp> in line 1: is not in libvirt's schema of networks, and libvirt ignores it; remove it",
        ),
        (IP.format("<dhcp><lease expiry='5'/></dhcp>"), "ignores it; it belongs into <host> or <range>"),
        ("<dhcp/>", "ignores it; it belongs into <ip>"),
        (
            "<route address='10.9.0.7' prefix='24' gateway='10.0.0.2'/>",
            "'10.9.0.7' is not the first address of 10.9.0.0/24",
        ),
        ("<route address='10.9.0.0' gateway='10.0.0.2'/>", "<route> in line 1: lacks prefix= or netmask="),
        ("<route family='ipv6' address='fd00:9::' gateway='fd00::2'/>", "<route> in line 1: lacks prefix= or netmask="),
        ("<x:y xmlns:x='urn:x'/>", "<y> in line 1: is not in libvirt's schema"),
        ("<options><option value='x'/></options>", "<options> in line 1: is not in libvirt's schema"),
        ("<bandwidth><inbound floor='1'/></bandwidth>", "a guaranteed share is for single guests"),
        ("<bandwidth><inbound average='1k'/></bandwidth>", "average='1k' is not a whole number"),
        ("<ip/>", "<ip> in line 1: lacks address="),
        ("<ip address='10.0.0.300'/>", "address='10.0.0.300' is not an IP address"),
        ("<ip address='10.0.0.1' prefix='33'/>", "'33' is not a netmask or prefix of 10.0.0.1"),
        ("<ip address='10.0.0.1' netmask='255.0.255.0'/>", "'255.0.255.0' is not a netmask or prefix"),
        ("<ip address='10.0.0.1' netmask='255.0.0.0' prefix='8'/>", "has both netmask and prefix"),
        ("<ip address='fd00::1'/>", "does not go with no family='ipv6'"),
        ("<ip address='10.0.0.1' family='ipv6'/>", "does not go with family='ipv6'"),
        ("<ip address='10.0.0.1' prefix='20' localPtr='yes'/>", "has to be a multiple of 8"),
        (IP.format("<dhcp/>") + IP.format("<dhcp/>"), "is the second IPv4 address with DHCP"),
        (IP.format("<dhcp><range start='fd00::1' end='fd00::2'/></dhcp>"), "start='fd00::1' is not an IPv4 address"),
        (IP.format("<dhcp><host mac='52:54:00:00:00:01'/></dhcp>"), "<host> in line 1: ip=None is not an IP address"),
        (
            IP.format("<dhcp><range start='10.0.0.2' end='10.0.0.3'><lease expiry='1' unit='days'/></range></dhcp>"),
            "unit='days' is none of seconds, minutes, hours",
        ),
        (
            IP.format("<dhcp><range start='10.0.0.2' end='10.0.0.3'><lease expiry='soon'/></range></dhcp>"),
            "expiry='soon' is not a whole number",
        ),
        ("<route address='10.9.0.0' prefix='16'/>", "gateway=None is not an IP address"),
        ("<dns><forwarder addr='one'/></dns>", "addr='one' is not an IP address"),
        ("<port isolated='true'/>", "isolated='true' is neither yes nor no"),
    ],
)
def test_xml_without_an_equivalent_is_refused_with_element_line_and_reason(content: str, message: str) -> None:
    assert message in error_of(network(content))


OURS = "<metadata><v:network xmlns:v='urn:virtnet.linux:network:1.0'>{}</v:network></metadata>"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is not a string of XML"),
        ({"a": 1}, "is not a string of XML"),
        ("", "not well-formed"),
        ("<network>", "not well-formed"),
        ("<domain/>", "<domain> in line 1: is not a network of libvirt's"),
        ("<network xmlns='urn:x'/>", "is not a network of libvirt's"),
        ("<!DOCTYPE a [<!ENTITY b 'cc'>]><network><name>&b;</name></network>", "document type or entities"),
        ("<!DOCTYPE network SYSTEM 'file:///etc/passwd'><network/>", "document type or entities"),
        ("<network><name>&b;</name></network>", "not well-formed"),
        ("<network><name>a\x00b</name></network>", "not well-formed"),
        ("<network><name>a\x1bb</name></network>", "not well-formed"),
        ("<network><name>a\udc80b</name></network>", "not well-formed"),
        ("<network>" + "<metadata>" * 40 + "</metadata>" * 40 + "</network>", "nested deeper than 32"),
        ("<network>" + "<a>" * 5000 + "</a>" * 5000 + "</network>", "not well-formed"),
        ("<network><name>" + "a" * 1024 * 1024 + "</name></network>", "at most 1048576"),
        ("<network a='1' a='2'/>", "not well-formed"),
        (network(OURS.format("<v:option name='mode'>open</v:option>")), "the value of 'mode' is not JSON"),
        (network(OURS.format(f"<v:option name='mode'>{'[' * 200000}</v:option>")), "is not JSON"),
        (network(OURS.format("<v:option name='state'>\"absent\"</v:option>")), "'state' cannot be set in the metadata"),
        (network(OURS.format("<v:rules/>")), "is not an <option name=...>"),
    ],
    ids=lambda value: str(value)[:40] if value is not None else "None",
)
def test_hostile_or_broken_xml_is_refused(text: Any, message: str) -> None:
    assert message in error_of(text)


@pytest.mark.parametrize(
    "text", [network(f"<{'x' * 1100}/>"), f"<{'x' * 1100}/>", f"<network><{'x' * 1100}></network>"]
)
def test_an_error_is_short_however_long_the_name_of_an_element(text: str) -> None:
    assert len(error_of(text)) < 300


def test_included_files_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("<network/>")
    content = f"<xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='{secret}'/>"
    assert "<include> in line 1: is not in libvirt's schema" in error_of(network(content))


@pytest.mark.parametrize("declared", ["utf-8", "utf-16", "iso-8859-1", "us-ascii", "koi8-r"])
def test_the_declared_encoding_of_a_string_is_ignored(declared: str) -> None:
    options = from_xml(f"<?xml version='1.0' encoding='{declared}'?>" + network("<title>Größe 網</title>"))
    assert options["title"] == "Größe 網"


@pytest.mark.parametrize("name", ["la/b", "la\"b'", "../lab", "la\nb", "<lab>", "lab\t", "", "a" * 51, "lab\u2028"])
def test_bad_names_are_refused_by_the_model(name: str) -> None:
    escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace("\n", "&#10;").replace("\t", "&#9;")
    options = from_xml(f"<network><name>{escaped}</name></network>")
    with pytest.raises(InvalidOption, match="name"):
        read_network(Options(options), HOST)


def test_text_of_the_user_is_escaped() -> None:
    injected = "\"/><forward mode='open'/>]]>&lt;"
    options = {"name": "lab", "title": injected, "dns": {"txt": [{"name": "a", "value": injected}]}, "mode": "isolated"}
    assert from_xml(to_xml(options)) == options
    assert from_xml(to_xml(options, (11, 3))) == options


DEFAULT = (Path(__file__).parent / "samples" / "isolated.xml").read_text()


@pytest.mark.parametrize(("given", "to"), [("address='0.0.0.0'", "0.0.0.0/0"), ("family='ipv6' address='::'", "::/0")])
def test_the_default_route_needs_no_prefix(given: str, to: str) -> None:
    via = "fd00::2" if "ipv6" in given else "10.0.0.2"
    assert from_xml(network(f"<route {given} gateway='{via}'/>"))["routes"] == [{"to": to, "via": via}]


@pytest.mark.parametrize(("register", "expected"), [("", False), (" register='no'", False), (" register='yes'", True)])
def test_the_host_asks_the_network_only_with_register(register: str, expected: bool) -> None:
    options = from_xml(network(f"<domain name='lab.example' localOnly='yes'{register}/>"))
    assert options["dns"].get("host_resolver", True) is expected
    for version in ((9, 0), (11, 3)):
        text = to_xml(options, version)
        assert "register" not in text
        assert from_xml(text) == options


def test_what_libvirt_ignores_beside_a_bridge_of_others_is_ignored() -> None:
    lines = "<d:options xmlns:d='http://libvirt.org/schemas/network/dnsmasq/1.0'><d:option value='port=1'/></d:options>"
    options = from_xml(network(f"<uuid/><forward mode='bridge'/><bridge name='br0'/>{lines}"))
    assert options == {"name": "lab", "mode": "bridged", "bridge": {"name": "br0"}}


def test_xml_replaces_all_other_options() -> None:
    network = read_network(Options({"xml": DEFAULT, "state": "inactive", "autostart": False}, "networks[0]"), HOST)
    assert (network.name, network.mode, network.state, network.autostart) == ("lonely", "isolated", "inactive", False)
    assert not network.ipv4.ranges and [str(host.ip) for host in network.ipv4.hosts][-1] == "172.16.9.9"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"xml": DEFAULT, "mode": "nat", "uplink": "eth0"}, "networks[0].xml: cannot stand beside mode, uplink"),
        ({"xml": DEFAULT, "name": "other"}, "networks[0].name: is not the name in the XML, 'lonely'"),
        ({"xml": "<network/>", "name": "lab"}, "networks[0].name: is not the name in the XML, None"),
        ({"xml": "<network/>"}, "networks[0].xml.name: is required"),
        ({"xml": "<netwrok/>", "name": "lab"}, "network 'lab': networks[0].xml: <netwrok> in line 1"),
        (
            {"xml": DEFAULT.replace("172.16.9.9", "10.9.9.9")},
            "network 'lonely': networks[0].xml.ipv4.dhcp.hosts[2].ip: 10.9.9.9 is outside",
        ),
    ],
)
def test_an_error_in_xml_names_its_path(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        read_network(Options(options, "networks[0]"), HOST)
    assert message in str(caught.value)
