# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Foreign XML with a megabyte of one kind of content: the time to read it grows linearly with its size.

The bound is in seconds of this process's own processor time: many times what is needed, and less than what it took
when the time grew with the square of the size (25 to 84 s).
"""

from __future__ import annotations

import time

import pytest
from ansible_collections.virtnet.linux.plugins.module_utils.core.errors import InvalidOption
from ansible_collections.virtnet.linux.plugins.module_utils.core.options import Options
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt_xml.convert import from_xml
from ansible_collections.virtnet.linux.plugins.module_utils.libvirt_xml.parse import (
    MAX_NAMESPACE_LENGTH,
    MAX_NAMESPACES,
    MAX_NAMESPACES_IN_SCOPE,
)
from ansible_collections.virtnet.linux.plugins.module_utils.network.model import Network, read_network

BOUND = 15.0


def network(root: str = "", inside: str = "", metadata: str = "", dhcp: str = "", extra: str = "") -> str:
    return (
        f"<network {root}><name>lab</name>{metadata}<forward mode='nat'/>"
        f"<ip address='10.9.0.1' prefix='16' {inside}>{dhcp}</ip>{extra}</network>"
    )


def many(text: str, count: int) -> str:
    """The text ``count`` times, with ``{n}`` replaced by a counter, and ``{mac}`` and ``{ip}`` by addresses of it."""
    return "".join(
        text.format(n=i, mac=f"52:54:00:00:{i >> 8:02x}:{i & 255:02x}", ip=f"10.9.{i >> 8}.{i & 255}")
        for i in range(2, count + 2)
    )


def read(xml: str) -> Network:
    return read_network(Options({"name": "lab", "xml": xml}), "host")


METADATA = "<metadata><x:y xmlns:x='urn:x' {}>{}</x:y></metadata>"
ATTRIBUTES = many("a{n}='' ", 50_000)
SIBLINGS = f"<metadata>{many('<a2:y{n}/>', 30_000)}</metadata>"
INTERFACES = many("<interface dev='e{n}'/>", 30_000)
REFUSED = {
    "attributes of the root": (network(ATTRIBUTES), "attribute 'a2' is not in libvirt's schema"),
    "attributes that are nearly correct": (network("", many("addres{n}='' ", 50_000)), "did you mean"),
    "parameters": (network(extra=f"<virtualport><parameters {ATTRIBUTES}/></virtualport>"), "attribute 'a2'"),
    "namespaces": (network(many("xmlns:a{n}='' ", 40_000)), f"more than {MAX_NAMESPACES} namespaces"),
    "namespaces inside of metadata": (
        network(metadata=METADATA.format(many("xmlns:a{n}='u' ", 40_000), "")),
        f"more than {MAX_NAMESPACES} namespaces",
    ),
    "namespaces around metadata": (
        network(many("xmlns:a{n}='u' ", MAX_NAMESPACES // 2), metadata=SIBLINGS),
        f"more than {MAX_NAMESPACES_IN_SCOPE} namespaces around its metadata",
    ),
    "metadata": (
        network(many("xmlns:a{n}='u{n}' ", MAX_NAMESPACES_IN_SCOPE - 4), metadata=SIBLINGS),
        "namespace 'u2' is there already",
    ),
    "a long namespace": (
        network(f"xmlns:y='{'u' * 400_000}'", extra="<y:b/>" * 50_000),
        f"more than {MAX_NAMESPACE_LENGTH} characters",
    ),
    "a long namespace with other white space": (
        network(f'xmlns  =\n"{"u" * 400_000}"', extra="<b/>" * 50_000),
        f"more than {MAX_NAMESPACE_LENGTH} characters",
    ),
    "levels": (network(extra="<a>" * 10_000 + "</a>" * 10_000), "depth"),
    "children": (network(extra="<x/>" * 50_000), "there twice"),
    "a text": (network(extra=f"<title>{'x ' * 500_000}</title>"), "characters"),
    "a name": (network(extra=f"<{'x' * 900_000}/>"), "Name too long"),
    "uplinks": (network().replace("mode='nat'/>", f">{INTERFACES}</forward>"), "names several uplinks"),
}
READ = {
    "attributes of metadata": network(metadata=METADATA.format(ATTRIBUTES, "")),
    "elements of metadata": network(metadata=METADATA.format("", many("<x:a{n}/>", 50_000))),
    "hosts": network(dhcp=f"<dhcp>{many('<host mac={mac!r} ip={ip!r}/>', 10_000)}</dhcp>"),
    "ranges": network(dhcp=f"<dhcp>{many('<range start={ip!r} end={ip!r}/>', 10_000)}</dhcp>"),
    "routes": network(extra=many("<route address='172.16.0.0' prefix='24' metric='{n}' gateway='10.9.0.2'/>", 8_000)),
    "names": network(extra=f"<dns><host ip='10.9.0.7'>{many('<hostname>a{n}</hostname>', 30_000)}</host></dns>"),
    "comments": network(extra="<!-- x -->" * 90_000),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_megabyte_of_one_thing_is_refused_in_time_and_briefly(what: str) -> None:
    xml, problem = REFUSED[what]
    assert len(xml) <= 1024 * 1024
    started = time.process_time()
    with pytest.raises(InvalidOption) as caught:
        read(xml)
    assert time.process_time() - started < BOUND
    assert problem in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("what", READ)
def test_a_megabyte_of_one_thing_is_read_in_time(what: str) -> None:
    assert len(READ[what]) <= 1024 * 1024
    started = time.process_time()
    read(READ[what])
    assert time.process_time() - started < BOUND


def test_namespaces_of_metadata_stay_as_they_are() -> None:
    """An element keeps the namespaces that it declares, and the outer ones that it uses."""
    xml = network(
        "xmlns:out='urn:out' xmlns:unused='urn:unused' xmlns:same='urn:same'",
        metadata="<metadata xmlns:near='urn:near'><in:a xmlns:in='urn:in' xmlns:own='urn:own' xmlns:same='urn:same'"
        " near:x='1'><out:b xmlns:deep='urn:deep'/></in:a></metadata>",
    )
    (text,) = from_xml(xml)["libvirt"]["metadata"]
    for prefix in ("in", "own", "near", "out", "deep"):
        assert text.count(f"xmlns:{prefix}=") == 1
    assert "unused" not in text and "xmlns:same" not in text
