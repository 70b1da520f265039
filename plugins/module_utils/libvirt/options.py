# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option ``libvirt`` of a network: what libvirt is told of it, and does with the guests that it starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ..core import kinds
from ..core.errors import InvalidOption
from ..core.fields import Kind, option, read, write
from ..core.options import Options, repr_short
from ..libvirt_xml.values import PARAMETERS_BY_PORT_TYPE, PORT_PARAMETERS

AUTO, ALWAYS, NEVER = "auto", "true", "false"

# deviceName in libvirt's basictypes.rng.
_PORTGROUP = re.compile(r"[a-zA-Z0-9_.\\:/-]+")
_LARGEST = 2**32 - 1


def _register(options: Options) -> str:
    if options.raw("register", AUTO) == AUTO:
        return AUTO
    try:
        return ALWAYS if options.boolean("register") else NEVER
    except InvalidOption:
        options.error(
            "register", f"{repr_short(options.raw('register'))} is not possible; use one of auto, true, false"
        )


def _portgroups(options: Options) -> Iterator[Mapping[str, Any]]:
    names: set[str] = set()
    default = ""
    for item in options.each("portgroups"):
        name = item.matching("name", _PORTGROUP, "a name of letters, digits and '_.:/\\-'")
        if name in names:
            item.error("name", f"{repr_short(name)} is already a portgroup of this network; each has its own name")
        names.add(name)
        if item.boolean("default", False):
            if default:
                item.error("default", f"{repr_short(default)} is the default already; there can be one")
            default = name
        yield {
            "name": name,
            **_true(item, "default"),
            **_true(item, "trust_guest_rx_filters"),
            **_given(item, "virtualport", _virtualport),
            **_given(item, "bandwidth", _bandwidth),
            **_given(item, "vlan", _vlan),
        }
        item.reject_unknown()


def _true(options: Options, name: str) -> dict[str, bool]:
    return {name: True} if options.boolean(name, False) else {}


def _given(options: Options, name: str, read: Callable[[Options], Mapping[str, Any]]) -> dict[str, Any]:
    value = read(options)
    return {name: value} if value else {}


def _bandwidth(options: Options) -> dict[str, Any]:
    group, bandwidth = options.group("bandwidth"), {}
    for way in ("inbound", "outbound"):
        limits = group.group(way)
        values = {name: limits.integer(name, None, least=1, most=_LARGEST) for name in ("average", "peak", "burst")}
        if limits.raw("floor", None) is not None:
            # networkValidate() in src/network/bridge_driver.c.
            limits.error("floor", "is for bridges that libvirt itself makes; libvirt refuses it with one that is there")
        limits.reject_unknown()
        if any(values.values()):
            bandwidth[way] = {name: value for name, value in values.items() if value is not None}
    group.reject_unknown()
    return bandwidth


def _vlan(options: Options) -> dict[str, Any]:
    group = options.group("vlan")
    tags = []
    for item in group.each("tags"):
        mode = item.choice("native_mode", ("tagged", "untagged"), "")
        tags.append({"id": item.integer("id", least=0, most=4095), **({"native_mode": mode} if mode else {})})
        item.reject_unknown()
    trunk = group.boolean("trunk", False)
    group.reject_unknown()
    if trunk and not tags:
        group.error("tags", "is required: the numbers of the VLANs")
    # As libvirt completes it (virNetDevVlanParse() in src/conf/netdev_vlan_conf.c).
    trunk = trunk or len(tags) > 1
    return {**({"trunk": True} if trunk else {}), "tags": tags} if tags else {}


def _virtualport(options: Options) -> dict[str, Any]:
    group = options.group("virtualport")
    kind = group.choice("type", [known for known in PARAMETERS_BY_PORT_TYPE if known], None)
    parameters = group.group("parameters")
    given: dict[str, str] = {}
    for name in PARAMETERS_BY_PORT_TYPE[kind]:
        text = parameters.matching(name, PORT_PARAMETERS[name], f"a value for {name}", "")
        if text:
            given[name] = _as_libvirt_writes(name, text)
    parameters.reject_unknown()
    group.reject_unknown()
    if kind == "midonet" and not given:
        group.error("parameters", "is required with type midonet: interfaceid")
    return {**({"type": kind} if kind else {}), **({"parameters": given} if given else {})}


def _as_libvirt_writes(name: str, text: str) -> str:
    if name in ("instanceid", "interfaceid"):
        return str(UUID(text))
    return text if name == "profileid" else str(int(text, 0 if text.startswith("0x") else 10))


def _metadata(options: Options) -> Iterator[str]:
    texts = options.items("metadata")
    if not texts:
        return
    # Only here: who gives no metadata needs no library for XML.
    from ..libvirt_xml.metadata import parse_metadata

    spaces: set[str] = set()
    for i, element in enumerate(parse_metadata(texts, options.at("metadata"))):
        space = str(element.tag).partition("}")[0][1:]
        if space in spaces:
            options.error(
                f"metadata[{i}]", f"namespace {repr_short(space)} is there already; libvirt keeps one of each"
            )
        spaces.add(space)
    yield from texts


_REGISTER: Kind[str] = Kind(
    lambda options, _name: _register(options), write=lambda word: {ALWAYS: True, NEVER: False}.get(word, word)
)
_PORTGROUPS: Kind[Sequence[Mapping[str, Any]]] = Kind(
    lambda options, _name: tuple(_portgroups(options)),
    "list",
    elements="dict",
    write=lambda portgroups: [dict(portgroup) for portgroup in portgroups],
)
_METADATA: Kind[Sequence[str]] = Kind(
    lambda options, _name: tuple(_metadata(options)), "list", elements="str", write=list
)
_VIRTUALPORT: Kind[Mapping[str, Any]] = Kind(lambda options, _name: _virtualport(options), "dict", write=dict)
_VLAN: Kind[Mapping[str, Any]] = Kind(lambda options, _name: _vlan(options), "dict", write=dict)


@dataclass(frozen=True)
class Libvirt:
    """The option ``libvirt``. Portgroups, virtualport and vlan are plain data in the shape of the options."""

    register: str = option(_REGISTER, AUTO)
    portgroups: Sequence[Mapping[str, Any]] = option(_PORTGROUPS, ())
    metadata: Sequence[str] = option(_METADATA, ())
    virtualport: Mapping[str, Any] = option(_VIRTUALPORT, {})
    vlan: Mapping[str, Any] = option(_VLAN, {})
    trust_guest_rx_filters: bool = option(kinds.boolean, False)

    def as_options(self) -> dict[str, Any]:
        """The option ``libvirt``, with every default."""
        return write(self)


def read_libvirt(options: Options) -> Libvirt:
    """The option ``libvirt``; raises InvalidOption."""
    libvirt = read(Libvirt, options)
    options.reject_unknown()
    return libvirt
