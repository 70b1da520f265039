# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every option that a network has goes to libvirt's XML and comes back as the same network."""

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
    """One spelling of everything: 3600 is 1h."""
    return flatten(network.as_options())


MODEL = values_by_path(read({"name": "lab"}).as_options())
# Told from host and name.
DERIVED = {"name", "uuid", "bridge.name", "bridge.mac"}
# What `auto` turns into.
CHOSEN = {"ipv4.address", "ipv4.auto", "ipv4.dhcp.lease_time"}

booleans = st.booleans()
labels = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
text = st.text(st.characters(whitelist_categories=("L", "N", "P", "S"), blacklist_characters="\u2028"), min_size=1)
prose = text.map(lambda one: one[:40])
lease = st.sampled_from(["2m", "1h", "90m", "3600", "7d", "infinite"])
macs = st.from_regex(r"52:54(:[0-9a-f]{2}){4}", fullmatch=True)
ips = st.integers(2, 254).map(lambda last: f"192.168.30.{last}")
ips6 = st.integers(2, 0xFFFF).map(lambda last: f"fd00:30::{last:x}")
zones = labels.map(lambda one: f"{one}.lab.test")
speeds = st.fixed_dictionaries({"average": st.integers(1, 2**31)}, optional={"burst": st.integers(64, 9000)})


def pair(one: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    def in_order(two: list[Any]) -> dict[str, Any]:
        start, end = sorted(two, key=lambda value: (len(str(value)), str(value)))
        return {"start": start, "end": end}

    return st.lists(one, min_size=2, max_size=2).map(in_order)


def some(*each: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.one_of(*each), min_size=1, max_size=2)


def item(needed: dict[str, Any], **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(needed, optional=optional)


# One strategy for each option. What two of them do to each other is for the model to refuse.
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "uuid": st.uuids().map(str),
    "title": prose,
    "description": prose,
    "state": st.sampled_from(["active", "inactive"]),
    "autostart": booleans,
    "persistent": booleans,
    "mode": st.sampled_from(MODES),
    "uplink": st.just("eth0"),
    "bridge.name": labels,
    "bridge.type": st.just("linux"),
    "bridge.mac": macs,
    "bridge.mtu": st.integers(1280, 9000),
    "bridge.stp": booleans,
    "bridge.forward_delay": st.integers(2, 30),
    "bridge.multicast_snooping": st.booleans(),
    "bridge.fdb_max_learned": st.integers(0, 1_000_000),
    "bridge.ports": st.just(["eth1", "eth2"]),
    "bridge.zone": labels,
    "ipv4.address": st.sampled_from(["192.168.30.1/24"] * 6 + ["auto", "none"]),
    "ipv4.auto": st.just(False),
    "ipv4.dhcp.enabled": booleans,
    "ipv4.dhcp.lease_time": lease,
    "ipv4.dhcp.ranges": some(pair(ips), item({"start": st.just("192.168.30.9"), "end": ips}, lease_time=lease)),
    "ipv4.dhcp.hosts": some(
        item({"mac": macs}, ip=ips, name=labels, lease_time=lease), item({"id": labels, "ip": ips})
    ),
    "ipv4.dhcp.options": st.dictionaries(st.sampled_from(["ntp-server", "121", "domain-search"]), ips, max_size=2),
    "ipv4.dhcp.boot": item({"file": st.just("pxe.0")}, server=ips),
    "ipv4.dhcp.tftp_root": st.just("/srv/tftp"),
    "ipv6.address": st.sampled_from(["fd00:30::1/64"] * 4 + ["auto", "none"]),
    "ipv6.auto": st.just(False),
    "ipv6.ra": booleans,
    "ipv6.ra_names": booleans,
    "ipv6.dhcp.enabled": booleans,
    "ipv6.dhcp.stateless": booleans,
    "ipv6.dhcp.ranges": some(pair(ips6)),
    "ipv6.dhcp.hosts": some(item({"mac": macs, "ip": ips6}, name=labels)),
    "ipv6.dhcp.options": st.dictionaries(st.just("dns-server"), ips6, max_size=1),
    "nat.ipv6": booleans,
    "nat.source": st.just({"start": "203.0.113.10", "end": "203.0.113.12"}),
    "nat.ports": pair(st.integers(1024, 65535)),
    "port_forwards": some(
        item({"port": st.integers(1, 65535), "to": ips}, protocol=st.just("udp"), to_port=st.just(9)),
        item({"port_range": pair(st.integers(1, 9999) | st.integers(1, 9999).map(str)), "to": ips}),
    ),
    "isolate_guests": booleans,
    "connection_rate": st.integers(0, 1_000_000),
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
    "dns.hosts": some(item({"ip": ips | ips6, "names": some(labels, zones)})),
    "dns.srv": some(item({"service": labels, "protocol": st.sampled_from(["tcp", "udp", "sctp"])}, domain=zones)),
    "dns.txt": some(item({"name": zones, "value": some(prose) | prose})),
    "dns.cname": some(item({"name": zones, "target": labels})),
    "dns.forwarders": some(item({"domain": zones}, address=ips | ips6), item({"address": ips})),
    "dnsmasq.instance": st.sampled_from(["auto", "private"]),
    "dnsmasq.options": st.just(["dhcp-ignore-names", "log-dhcp"]),
    "libvirt.register": st.sampled_from(["auto", True, False]),
    "libvirt.portgroups": st.just([{"name": "a", "default": True, "bandwidth": {"inbound": {"average": 5}}}]),
    "libvirt.metadata": st.just(['<x xmlns="urn:x" a="1"><!-- here --></x>']),
    "libvirt.virtualport": item({"type": st.just("openvswitch")}, parameters=st.just({"profileid": "p"})),
    "libvirt.vlan": st.just({"tags": [{"id": 5}, {"id": 6, "native_mode": "tagged"}]}),
    "libvirt.trust_guest_rx_filters": booleans,
}


def test_no_option_of_the_model_is_left_out() -> None:
    assert set(MODEL) - set(OPTIONS) == {"name"}


def test_what_is_taken_for_the_default_is_the_models() -> None:
    said = {path: value for path, value in MODEL.items() if value not in (None, "", [], {})}
    assert {path: value for path, value in said.items() if path not in {*DERIVED, *CHOSEN, *NOT_IN_XML}} == {
        path: value for path, value in DEFAULTS.items() if path not in CHOSEN and value != "none"
    } | {"ipv6.address": "none"}


@pytest.mark.parametrize("path", sorted(DEFAULTS))
def test_to_say_a_default_changes_nothing(path: str) -> None:
    assert read({**unflatten({path: DEFAULTS[path]}), "name": "lab"}) == read({"name": "lab"})


def few(paths: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({path: OPTIONS[path] for path in paths})


# Some options at a time, with an address to go with them: of all at once there is always one that the model refuses.
chosen = (
    st.lists(st.sampled_from(sorted(set(OPTIONS) & set(MODEL))), max_size=9, unique=True)
    .flatmap(few)
    .map(lambda found: {"ipv4.address": "192.168.30.1/24", **found})
)


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(chosen, st.sampled_from(sorted(SUITES)))
def test_any_network_is_the_same_after_its_xml(found: dict[str, Any], suite: str) -> None:
    if found.get("mode") == "bridged":
        found.pop("ipv4.address")
        found.setdefault("bridge.name", "br0")
    options = {**unflatten(found), "name": "lab"}
    try:
        network = read(options)
    except InvalidOption:
        assume(False)
    beside = {name: options[name] for name in ("state", "autostart", "persistent") if name in options}
    for xml in (to_xml(options, SUITES[suite]), dump(network)):
        schema = libvirt_schema.schema(suite)
        assert schema.validate(etree.fromstring(xml)), f"{schema.error_log}\n{xml}"
        assert meaning(read({**from_xml(xml), **beside})) == meaning(network)


@pytest.mark.parametrize("path", sorted(set(OPTIONS) & set(MODEL)))
def test_each_option_alone_is_the_same_after_its_xml(path: str) -> None:
    """So that none is left to chance."""
    met = []

    @settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(OPTIONS[path])
    def check(value: Any) -> None:
        context = {
            "nat.source": {},
            "bridge.forward_delay": {"bridge.stp": True},
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
        met.append(value)
        again = read({**from_xml(to_xml(options)), **{key: options[key] for key in NOT_IN_XML if key in options}})
        assert meaning(again) == meaning(network)

    check()
    assert met, "the model takes none of these values"
