# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""libvirt's own schema, of Debian 12 and 13: the table has all of it, and the XML that we write is valid."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt_xml.convert import from_xml, to_xml
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt_xml.flat import flatten, unflatten, without_defaults
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt_xml.schema import (
    ACCEPTED_VALUES,
    IGNORED,
    OPTION_BY_PATH,
    REFUSED,
)
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import Network, read_network
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.desired_state import specs_for
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from tools import libvirt_elements, libvirt_schema

SUITES = {"bookworm": (9, 0), "trixie": (11, 3)}
SAMPLES = libvirt_elements.SAMPLES


def assert_valid(text: str | bytes, suite: str) -> None:
    schema = libvirt_schema.schema(suite)
    assert schema.validate(etree.fromstring(text)), f"{schema.error_log}\n{text!r}"


def test_the_table_has_exactly_the_paths_of_the_schemas() -> None:
    known = [*OPTION_BY_PATH, *IGNORED, *REFUSED]
    assert sorted(known) == sorted(libvirt_schema.paths("bookworm") | libvirt_schema.paths("trixie"))
    assert set(ACCEPTED_VALUES) <= set(REFUSED)


def paths_of(sample: Path) -> set[str]:
    return {path for path, _element, _name in libvirt_elements.places(etree.fromstring(sample.read_bytes()))}


def test_samples_contain_every_path_that_is_not_refused() -> None:
    covered = set().union(*map(paths_of, SAMPLES))
    assert {*OPTION_BY_PATH, *IGNORED} - covered == set()


@pytest.mark.parametrize("path", sorted(REFUSED))
def test_every_refused_path_is_refused_with_its_reason(path: str) -> None:
    place, _, attribute = path.partition("@")
    tags = place.split("/")[1:]
    first = "".join(f"<{tag}>" for tag in tags[:-1]) + f"<{tags[-1]}" + (f" {attribute}='7'" if attribute else "")
    text = f"<network><name>lab</name>{first}/>" + "".join(f"</{tag}>" for tag in reversed(tags[:-1]))
    with pytest.raises(InvalidOption) as caught:
        from_xml(text + "</network>")
    reason = REFUSED[place] if place in REFUSED else REFUSED[path]
    assert f"<{tags[-1]}> in line 1: " in str(caught.value) or "<address> in line 1: " in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_samples_are_valid_also_after_a_round_trip(sample: Path, suite: str) -> None:
    if suite == "trixie":
        # virbr%d is what libvirt takes, although its schema does not.
        assert_valid(sample.read_bytes().replace(b"virbr%d", b"virbr9"), suite)
    assert_valid(to_xml(from_xml(sample.read_text()), SUITES[suite]), suite)


words = st.text(
    st.characters(blacklist_categories=("Cc", "Cs"), blacklist_characters="\u2028\u2029\ufffe\uffff"), max_size=20
)
names = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,14}", fullmatch=True)
macs = st.from_regex(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}", fullmatch=True)
numbers = st.integers(0, 2**33)
leases = st.one_of(st.just("infinite"), st.from_regex(r"[1-9][0-9]{0,5}[smhdw]?", fullmatch=True))
ips4, ips6 = st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str)
addresses4 = st.tuples(ips4, st.integers(0, 32)).map(lambda pair: f"{pair[0]}/{pair[1]}")
addresses6 = st.tuples(ips6, st.integers(0, 128)).map(lambda pair: f"{pair[0]}/{pair[1]}")
booleans = st.booleans()
limits = st.fixed_dictionaries({}, optional={"average": numbers, "peak": numbers, "burst": numbers})
json_values = st.recursive(st.none() | booleans | st.integers() | words, lambda values: st.lists(values, max_size=3))


def dhcp(ips: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    ranges = st.fixed_dictionaries({"start": ips, "end": ips}, optional={"lease_time": leases})
    hosts = st.fixed_dictionaries(
        {}, optional={"mac": macs, "name": words, "ip": ips, "id": words, "lease_time": leases}
    )
    return st.fixed_dictionaries(
        {},
        optional={
            "enabled": booleans,
            "lease_time": leases,
            "ranges": st.lists(ranges, max_size=3),
            "hosts": st.lists(hosts, max_size=3),
            "options": st.dictionaries(words, words, max_size=2),
            "boot": st.fixed_dictionaries({}, optional={"file": words, "server": words}),
            "tftp_root": words,
        },
    )


def several(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries({}, optional=fields), max_size=2)


options = st.fixed_dictionaries(
    {"name": names},
    optional={
        "uuid": st.uuids().map(str),
        "title": words,
        "description": words,
        "mode": st.sampled_from(["nat", "routed", "isolated", "open", "bridged"]),
        "uplink": names | st.lists(names, max_size=2),
        "bridge": st.fixed_dictionaries(
            {"name": names},
            optional={
                "mac": macs,
                "mtu": numbers,
                "stp": booleans,
                "forward_delay": numbers,
                "zone": words,
                "type": st.sampled_from(["linux", "openvswitch"]),
                "ports": st.lists(names, max_size=2),
                "fdb_max_learned": numbers,
            },
        ),
        "ipv4": st.fixed_dictionaries(
            {}, optional={"address": addresses4 | st.sampled_from(["auto", "none"]), "dhcp": dhcp(ips4)}
        ),
        "ipv6": st.fixed_dictionaries(
            {},
            optional={
                "address": addresses6 | st.sampled_from(["auto", "none"]),
                "ra": booleans,
                "slaac": booleans,
                "ndp_proxy": booleans,
                "deprecated": st.lists(addresses6, max_size=2),
                "dhcp": dhcp(ips6),
            },
        ),
        "extra_addresses": st.lists(addresses4 | addresses6, max_size=3),
        "routes": several(to=addresses4 | addresses6, via=ips4 | ips6, metric=numbers),
        "nat": st.fixed_dictionaries(
            {},
            optional={
                "ipv6": booleans,
                "source": st.fixed_dictionaries({}, optional={"start": ips4, "end": ips4}),
                "ports": st.fixed_dictionaries({}, optional={"start": numbers, "end": numbers}),
                "except": st.lists(addresses4 | addresses6, max_size=2),
            },
        ),
        "port_forwards": several(protocol=words, port=numbers, to=words | ips4),
        "dns": st.fixed_dictionaries(
            {},
            optional={
                "enabled": booleans,
                "domain": names,
                "local_only": booleans,
                "forward_plain_names": booleans,
                "ttl": numbers,
                "host_resolver": booleans,
                "forwarders": several(domain=words, address=ips4 | ips6),
                "hosts": several(ip=ips4 | ips6, names=st.lists(words, max_size=2)),
                "txt": several(name=words, value=words),
                "srv": several(service=words, protocol=words, domain=words, target=words, port=numbers),
                "cname": several(name=words, target=words),
            },
        ),
        "dnsmasq": st.fixed_dictionaries(
            {}, optional={"instance": st.sampled_from(["auto", "private"]), "options": st.lists(words, max_size=2)}
        ),
        "isolate_guests": booleans,
        "connection_rate": numbers,
        "clamp_mss": booleans,
        "conntrack_helpers": st.lists(st.sampled_from(["ftp", "sip", "tftp"]), max_size=2),
        "bandwidth": st.fixed_dictionaries({}, optional={"inbound": limits, "outbound": limits}),
        "libvirt": st.fixed_dictionaries(
            {},
            optional={
                "register": st.sampled_from(["auto", True, False]),
                "trust_guest_rx_filters": booleans,
                "portgroups": several(name=words, default=booleans, bandwidth=st.just({"inbound": {"average": 5}})),
                "virtualport": st.fixed_dictionaries(
                    {},
                    optional={
                        "type": st.sampled_from(["802.1Qbg", "802.1Qbh", "openvswitch", "midonet"]) | words,
                        "parameters": st.dictionaries(
                            st.sampled_from(["managerid", "typeid", "profileid", "interfaceid", "bad name"]),
                            st.sampled_from(["7", "300", "x" * 40, "09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f"]),
                            max_size=2,
                        ),
                    },
                ),
                "vlan": st.just({"trunk": True, "tags": [{"id": 5, "native_mode": "tagged"}]}),
            },
        ),
        "new": json_values,
    },
)


@given(options, st.sampled_from(sorted(SUITES)))
def test_any_options_become_valid_xml_and_survive_a_round_trip(desired: dict[str, Any], suite: str) -> None:
    if desired.get("mode") == "bridged":
        desired.setdefault("bridge", {"name": "br0"})
    text = to_xml(desired, SUITES[suite])
    assert_valid(text, suite)
    assert from_xml(text) == unflatten(without_defaults(flatten(desired)))


def specs_for_xml(text: str) -> dict[str, Any] | None:
    """The specs of all parts for a network; None where the model refuses it."""
    try:
        options = flatten(from_xml(text))
        # libvirt guarantees a share only on bridges that it made, so the model refuses this one.
        for group in options.get("libvirt.portgroups", []):
            group.get("bandwidth", {}).get("inbound", {}).pop("floor", None)
        return dict(specs_for([_read(options)], {}))
    except InvalidOption:
        return None


def _read(options: dict[str, Any]) -> Network:
    return read_network(Options(unflatten(options)), "host")


def without(root: Any, path: str) -> str:
    """The XML without one kind of element or attribute."""
    copy = deepcopy(root)
    for place, element, name in list(libvirt_elements.places(copy)):
        if place == path and name:
            del element.attrib[name]
        elif place == path:
            element.getparent().remove(element)
    return str(etree.tostring(copy, encoding="unicode"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_path_affects_only_the_parts_that_the_guide_names(sample: Path) -> None:
    root = etree.fromstring(sample.read_bytes())
    all_specs = specs_for_xml(sample.read_text())
    assert all_specs is not None
    affected = set()
    for path in sorted({path for path, _element, _name in libvirt_elements.places(root)} - {"network"}):
        specs_without = specs_for_xml(without(root, path)) if path in OPTION_BY_PATH else None
        if specs_without is not None:
            parts = {libvirt_elements.PARTS[kind] for kind in all_specs if all_specs[kind] != specs_without[kind]}
            assert parts <= set(libvirt_elements.applied(path)), path
            affected |= parts
    assert affected


def test_the_guide_has_the_table() -> None:
    guide = (Path(__file__).parents[3] / "docs/docsite/rst/libvirt.rst").read_text()
    assert guide.endswith(libvirt_elements.table()), "print it with make libvirt-elements"
