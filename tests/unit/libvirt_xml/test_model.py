# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every option of a network survives the conversion to libvirt's XML and back."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt_xml.convert import from_xml, to_xml
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt_xml.flat import (
    DEFAULTS,
    NOT_IN_XML,
    flatten,
    unflatten,
    values_by_path,
)
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import MODES, Network, read_network
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.status import dump
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from lxml import etree
from tools import libvirt_schema

SUITES = {"bookworm": (9, 0), "trixie": (11, 3)}


def read(options: dict[str, Any]) -> Network:
    return read_network(Options(options), "host")


def meaning(network: Network) -> dict[str, Any]:
    """The options in one spelling: 3600 is 1h."""
    return flatten(network.as_options())


MODEL = values_by_path(read({"name": "lab"}).as_options())
# Derived from host and name.
DERIVED = {"name", "uuid", "bridge.name", "bridge.mac"}
# Depends on `auto`.
CHOSEN = {"ipv4.address", "ipv4.auto", "ipv4.dhcp.lease_time"}

booleans = st.booleans()
labels = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
text = st.text(st.characters(whitelist_categories=("L", "N", "P", "S"), blacklist_characters="\u2028"), min_size=1)
prose = text.map(lambda value: value[:40])
lease = st.sampled_from(["2m", "1h", "90m", "3600", "7d", "infinite"])
macs = st.from_regex(r"52:54(:[0-9a-f]{2}){4}", fullmatch=True)
ips = st.integers(2, 254).map(lambda last: f"192.168.30.{last}")
ips6 = st.integers(2, 0xFFFF).map(lambda last: f"fd00:30::{last:x}")
zones = labels.map(lambda label: f"{label}.lab.test")
speeds = st.fixed_dictionaries({"average": st.integers(1, 2**31)}, optional={"burst": st.integers(64, 9000)})


def pair(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    def in_order(ends: list[Any]) -> dict[str, Any]:
        start, end = sorted(ends, key=lambda value: (len(str(value)), str(value)))
        return {"start": start, "end": end}

    return st.lists(values, min_size=2, max_size=2).map(in_order)


def one_or_two(*choices: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.one_of(*choices), min_size=1, max_size=2)


def item(required: dict[str, Any], **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


# One strategy for each option. Combinations that are not possible are refused by the model.
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "uuid": st.uuids().map(str),
    "title": prose,
    "description": prose,
    "state": st.sampled_from(["active", "inactive"]),
    "autostart": booleans,
    "persistent": booleans,
    "mode": st.sampled_from(MODES),
    "uplink": st.just("eth0") | st.just(["wlan0", "eth0"]),
    "bridge.name": labels,
    "bridge.type": st.just("linux"),
    "bridge.mac": macs,
    "bridge.mtu": st.integers(1280, 9000),
    "bridge.stp": booleans,
    "bridge.forward_delay": st.integers(2, 30),
    "bridge.multicast_snooping": st.booleans(),
    "bridge.hairpin": st.booleans(),
    "bridge.fdb_max_learned": st.integers(0, 1_000_000),
    "bridge.ports": st.just(["eth1", "eth2"]),
    "bridge.zone": labels,
    "ipv4.address": st.sampled_from(["192.168.30.1/24"] * 6 + ["auto", "none"]),
    "ipv4.auto": st.just(False),
    "ipv4.dhcp.enabled": booleans,
    "ipv4.dhcp.lease_time": lease,
    "ipv4.dhcp.ranges": one_or_two(pair(ips), item({"start": st.just("192.168.30.9"), "end": ips}, lease_time=lease)),
    "ipv4.dhcp.hosts": one_or_two(
        item({"mac": macs}, ip=ips, name=labels, lease_time=lease),
        item({"id": labels, "ip": ips}),
        item({"mac": st.lists(macs, min_size=1, max_size=2, unique=True), "ip": ips}),
    ),
    "ipv4.dhcp.ignore_client_ids": booleans,
    "ipv4.dhcp.options": st.dictionaries(st.sampled_from(["ntp-server", "121", "domain-search"]), ips, max_size=2)
    | st.just({"252": "\n"}),
    "ipv4.dhcp.boot": item({"file": st.just("pxe.0")}, server=ips)
    | st.just([{"arch": "x86_64-uefi", "file": "a.efi"}, {"ipxe": "yes", "file": "b.ipxe"}]),
    "ipv4.dhcp.tftp_root": st.just("/srv/tftp"),
    "ipv6.address": st.sampled_from(["fd00:30::1/64"] * 4 + ["auto", "none"]),
    "ipv6.auto": st.just(False),
    "ipv6.ra": booleans,
    "ipv6.ra_names": booleans,
    "ipv6.ra_param": item({}, preference=st.just("low"), interval=st.sampled_from([60, "60"]), mtu=st.just(1400)),
    "ipv6.slaac": booleans,
    "ipv6.ndp_proxy": booleans,
    "ipv6.deprecated": st.sampled_from([["fd00:31::/64"], ["fd00:31::1/64"], ["fd00:32::/64"]]),
    "ipv6.dhcp.enabled": booleans,
    "ipv6.dhcp.stateless": booleans,
    "ipv6.dhcp.ranges": one_or_two(pair(ips6)),
    "ipv6.dhcp.hosts": one_or_two(item({"mac": macs, "ip": ips6}, name=labels)),
    "ipv6.dhcp.options": st.dictionaries(st.just("dns-server"), ips6, max_size=1),
    "nat.ipv6": booleans,
    "nat.source": st.just({"start": "203.0.113.10", "end": "203.0.113.12"}),
    "nat.ports": pair(st.integers(1024, 65535)),
    "nat.except": st.just(["10.8.0.0/16", "fd08::/64"]),
    "port_forwards": one_or_two(
        item({"port": st.integers(1, 65535), "to": ips}, protocol=st.just("udp"), to_port=st.just(9)),
        item({"port_range": pair(st.integers(1, 9999) | st.integers(1, 9999).map(str)), "to": ips}),
    ),
    "isolate_guests": booleans,
    "connection_rate": st.integers(0, 1_000_000),
    "clamp_mss": booleans,
    "conntrack_helpers": st.just(["ftp", "sip"]),
    "extra_addresses": st.just(["192.168.31.1/24", "fd00:31::1/64"]),
    "routes": st.just([{"to": "10.9.0.0/16", "via": "192.168.30.7", "metric": 3}]),
    "bandwidth.inbound": speeds,
    "bandwidth.outbound": speeds,
    "dns.enabled": booleans,
    "dns.domain": st.sampled_from(["lab.test", "other.test"]),
    "dns.local_only": booleans,
    "dns.host_resolver": booleans,
    "dns.forward_plain_names": booleans,
    "dns.local_ptr": booleans,
    "dns.ttl": st.integers(0, 2**31 - 1),
    "dns.hosts": one_or_two(item({"ip": ips | ips6, "names": one_or_two(labels, zones)})),
    "dns.srv": one_or_two(item({"service": labels, "protocol": st.sampled_from(["tcp", "udp", "sctp"])}, domain=zones)),
    "dns.txt": one_or_two(item({"name": zones, "value": one_or_two(prose) | prose})),
    "dns.cname": one_or_two(item({"name": zones, "target": labels})),
    "dns.wildcards": one_or_two(item({"name": zones, "ip": one_or_two(ips, ips6)})),
    "dns.forwarders": one_or_two(
        item({"domain": zones}, address=ips | ips6), item({"address": ips}, port=st.sampled_from([53, "5353"]))
    ),
    "dnsmasq.instance": st.sampled_from(["auto", "private"]),
    "dnsmasq.options": st.just(["dhcp-ignore-names", "log-dhcp"]),
    "dnsmasq.redirect": st.booleans(),
    "libvirt.register": st.sampled_from(["auto", True, False]),
    "libvirt.portgroups": st.just([{"name": "a", "default": True, "bandwidth": {"inbound": {"average": 5}}}]),
    "libvirt.metadata": st.just(['<x xmlns="urn:x" a="1"><!-- here --></x>']),
    "libvirt.virtualport": item({"type": st.just("openvswitch")}, parameters=st.just({"profileid": "p"})),
    "libvirt.vlan": st.just({"tags": [{"id": 5}, {"id": 6, "native_mode": "tagged"}]}),
    "libvirt.trust_guest_rx_filters": booleans,
}


def test_every_option_of_the_model_has_a_strategy() -> None:
    assert set(MODEL) - set(OPTIONS) == {"name"}


def test_defaults_are_those_of_the_model() -> None:
    given_defaults = {path: value for path, value in MODEL.items() if value not in (None, "", [], {})}
    assert {path: value for path, value in given_defaults.items() if path not in {*DERIVED, *CHOSEN, *NOT_IN_XML}} == {
        path: value for path, value in DEFAULTS.items() if path not in CHOSEN and value != "none"
    } | {"ipv6.address": "none"}


@pytest.mark.parametrize("path", sorted(DEFAULTS))
def test_an_explicit_default_changes_nothing(path: str) -> None:
    assert read({**unflatten({path: DEFAULTS[path]}), "name": "lab"}) == read({"name": "lab"})


def strategies_for(paths: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({path: OPTIONS[path] for path in paths})


# Some options at a time, with an address that fits them: of all at once, the model always refuses one.
chosen = (
    st.lists(st.sampled_from(sorted(set(OPTIONS) & set(MODEL))), max_size=9, unique=True)
    .flatmap(strategies_for)
    .map(lambda drawn: {"ipv4.address": "192.168.30.1/24", **drawn})
)


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(chosen, st.sampled_from(sorted(SUITES)))
def test_any_network_survives_a_round_trip(drawn: dict[str, Any], suite: str) -> None:
    if drawn.get("mode") == "bridged":
        drawn.pop("ipv4.address")
        drawn.setdefault("bridge.name", "br0")
    options = {**unflatten(drawn), "name": "lab"}
    try:
        network = read(options)
    except InvalidOption:
        assume(False)
    not_in_xml = {name: options[name] for name in ("state", "autostart", "persistent") if name in options}
    for xml in (to_xml(options, SUITES[suite]), dump(network)):
        schema = libvirt_schema.schema(suite)
        assert schema.validate(etree.fromstring(xml)), f"{schema.error_log}\n{xml}"
        assert meaning(read({**from_xml(xml), **not_in_xml})) == meaning(network)


@pytest.mark.parametrize("path", sorted(set(OPTIONS) & set(MODEL)))
def test_each_option_alone_survives_a_round_trip(path: str) -> None:
    """The test above draws options at random; here each is certain to be tested."""
    accepted = []

    @settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(OPTIONS[path])
    def check(value: Any) -> None:
        context = {
            "nat.source": {},
            "bridge.forward_delay": {"bridge.stp": True},
            "ipv6.ndp_proxy": {"mode": "routed", "uplink": "eth0"},
            "ipv6.deprecated": {"extra_addresses": ["fd00:31::1/64"]},
            "ipv6.dhcp.ranges": {"ipv6.dhcp.enabled": True},
            "ipv6.dhcp.hosts": {"ipv6.dhcp.enabled": True},
        }.get(path, {})
        base = {"ipv4.address": "192.168.30.1/24", "ipv6.address": "fd00:30::1/64", "dns.domain": "lab.test"}
        if path == "mode" and value == "bridged":
            base = {"bridge.name": "br0"}
        options = {**unflatten({**base, **context, path: value}), "name": "lab"}
        try:
            network = read(options)
        except InvalidOption:
            return
        accepted.append(value)
        again = read({**from_xml(to_xml(options)), **{key: options[key] for key in NOT_IN_XML if key in options}})
        assert meaning(again) == meaning(network)

    check()
    assert accepted, "the model takes none of these values"
