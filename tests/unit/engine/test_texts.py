# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""No text of the user's becomes syntax: it is refused with one clear error, or comes out as what it was.

tests/kernel/test_texts.py has nft and dnsmasq themselves as judges.
"""

from __future__ import annotations

import json
import re
from typing import Any

import lxml.html
import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.core.paths import Paths
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.private_files import Layout, instance_for, unit_name
from ansible_collections.virtnet.linux.plugins.module_utils.dnsmasq.spec import FragmentSpec
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt.definition import RegistrationSpec, registration_xml
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt_xml.convert import from_xml
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt_xml.flat import NOT_IN_XML, flatten
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt_xml.metadata import NAMESPACE
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt_xml.schema import DNSMASQ_NAMESPACE, OPTION_BY_PATH
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import Network
from ansible_collections.virtnet.linux.plugins.module_utils.orchestration.status import dump
from ansible_collections.virtnet.linux.plugins.module_utils.resolver.provider import ResolverState
from ansible_collections.virtnet.linux.plugins.module_utils.resolver.reconciler import PROVIDERS
from ansible_collections.virtnet.linux.plugins.module_utils.resolver.spec import EntrySpec
from ansible_collections.virtnet.linux.plugins.plugin_utils.report import as_html, fleet
from hypothesis import given
from lxml import etree
from tools.hostile import (
    REFUSED,
    SAMPLES,
    accepted,
    given_options,
    networks,
    parts_of,
    read,
    recorded_options,
    replaced_everywhere,
    values,
)

# The document that a definition makes is libvirt's, but what the user gave as XML is XML.
VERBATIM = ("metadata", "xml")


def test_there_is_a_value_for_every_option_that_the_engine_reads() -> None:
    given = set[str]()
    with recorded_options() as noted:
        for sample in SAMPLES:
            read(sample)
            given |= given_options(sample)
    # What XML says is made options first; a list may be read as a whole.
    missing = {one for one in noted if not one.startswith("xml") and one.removesuffix("[]") not in given}
    assert missing == REFUSED


def read_spec(kind: Any, one: Any) -> Any:
    """The spec of a part, None where that refuses it."""
    try:
        return kind.from_options(Options(dict(one)))
    except InvalidOption:
        return None


def is_verbatim(path: tuple[Any, ...]) -> bool:
    return any(key in VERBATIM for key in path)


BASE = [read(sample) for sample in SAMPLES]


def tags(text: str) -> set[str]:
    return {str(one.tag) for one in etree.fromstring(text.encode()).iter()}


def shape_of_page(network: Network) -> Any:
    """Elements and attributes of the report of a network, and all that it says."""
    told = {
        "name": network.name,
        "state": network.state,
        "autostart": network.autostart,
        "mode": network.mode,
        "bridge": network.bridge.name,
        "addresses": [],
        "ports": [],
        "conflicts": [],
        "packets": [],
        "leases": [],
        "definition": network.as_options(),
    }
    page = lxml.html.fromstring(as_html(fleet({"hv1": {"networks": [told]}}, "2026-11-21 13:00 UTC")))
    return {(str(one.tag), *sorted(one.attrib)) for one in page.iter()}


def registration(network: Network) -> str:
    (one,) = parts_of(network)["registrations"]
    return (
        registration_xml(RegistrationSpec.from_options(Options(one)), (11, 3))
        if one["state"] == "present"
        else "<network/>"
    )


ELEMENTS = {tag for path in OPTION_BY_PATH for tag in path.partition("@")[0].split("/")} | {
    f"{{{DNSMASQ_NAMESPACE}}}option",
    f"{{{DNSMASQ_NAMESPACE}}}options",
    *(f"{{{NAMESPACE}}}{tag}" for tag in ("network", "option")),
    *(tag for sample in BASE if not sample.xml for tag in tags(registration(sample)) | tags(dump(sample))),
}


PAGES = set().union(*(shape_of_page(one) for one in BASE if not one.xml))


@pytest.mark.parametrize("text", ["²", "٣", "-1", "1e3", "0x1f", "1" * 5000])
def test_numbers_in_any_spelling_are_read_or_refused(text: str) -> None:
    """Some signs are digits without being of any number."""
    for sample in SAMPLES[:2]:
        for changed in replaced_everywhere(sample, text):
            accepted(changed)


@values(600)
@given(networks)
def test_a_definition_reads_back_unchanged(case: Any) -> None:
    network = accepted(case[1][1])
    if network is not None:
        again = read(json.loads(json.dumps(network.as_options())))
        assert again.as_options() == network.as_options()


@values(400)
@given(networks)
def test_no_text_becomes_an_element_of_libvirts_xml(case: Any) -> None:
    _number, (path, options) = case
    network = accepted(options)
    if network is None or network.xml:
        return
    for text in (dump(network), registration(network)):
        assert is_verbatim(path) or tags(text) <= ELEMENTS, (path, text)
        found = etree.fromstring(text.encode())
        for tag in ("name", "title", "description"):
            for one in found.findall(tag):
                assert one.text == getattr(network, tag)
    beside = {name: options[name] for name in NOT_IN_XML if name in options}
    if network.managed_by != "libvirt" and not is_verbatim(path):
        assert flatten(read({**from_xml(dump(network)), **beside}).as_options()) == flatten(network.as_options())


@values(300)
@given(networks)
def test_no_text_becomes_an_element_of_the_report(case: Any) -> None:
    network = accepted(case[1][1])
    if network is not None and not network.xml:
        assert shape_of_page(network) <= PAGES


AROUND = {owner: ResolverState(owner, owner, ("203.0.113.53",), installed=frozenset([owner])) for owner in PROVIDERS}
KEYS = re.compile(r"nameserver|search|domain|options|\[[\w-]+\]|[\w.-]+(?==)|#.*|")


def resolver_keys(network: Network) -> set[str]:
    found = set()
    for one in parts_of(network)["entries"]:
        spec = read_spec(EntrySpec, one)
        if spec is None or spec.state != "present":
            continue
        for owner, provider in PROVIDERS.items():
            for text in provider.target([spec], AROUND[owner]).values():
                found |= {re.split(r"[ =]", line)[0] for line in text.splitlines()}
    return found


RESOLVER_KEYS = set().union(*map(resolver_keys, BASE))


@values(300)
@given(networks)
def test_no_text_becomes_a_line_of_the_hosts_resolver(case: Any) -> None:
    network = accepted(case[1][1])
    if network is not None:
        assert resolver_keys(network) <= RESOLVER_KEYS


@values(300)
@given(networks)
def test_names_of_units_and_files_have_no_special_characters(case: Any) -> None:
    network = accepted(case[1][1])
    if network is None:
        return
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}", network.name)
    assert re.fullmatch(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,14}|", network.bridge.name)
    for one in parts_of(network)["fragments"]:
        spec = read_spec(FragmentSpec, one)
        if spec is None or spec.state != "present":
            continue
        name = instance_for(spec, alone=True)
        assert re.fullmatch(r"virtnet-dnsmasq@[A-Za-z0-9_.-]+\.service", unit_name(name))
        layout = Layout(Paths("/x"))
        for path in (layout.fragment(spec.name), layout.instance(name), layout.leases(name)):
            assert re.fullmatch(r"/x(/[A-Za-z0-9_.-]+)+", path) and "/../" not in path


@pytest.mark.parametrize("name", ["..", ".", "-x", "a/b", "a b", "a%n", "a@b", "a\\x2d", "a\n", "é", "", "x" * 51])
def test_names_with_other_characters_are_refused(name: str) -> None:
    assert accepted({"name": name}) is None
