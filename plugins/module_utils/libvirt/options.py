# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option ``libvirt`` of a network: what libvirt is told of it, and does with the guests that it starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from ..core.errors import InvalidOption
from ..core.options import Options, repr_short
from ..libvirt_xml.values import PARAMETERS_BY_PORT_TYPE, PORT_PARAMETERS

AUTO, ALWAYS, NEVER = "auto", "true", "false"

# deviceName in libvirt's basictypes.rng.
_PORTGROUP = re.compile(r"[a-zA-Z0-9_.\\:/-]+")
_LARGEST = 2**32 - 1


@dataclass(frozen=True)
class Libvirt:
    """The values as plain data, in the shape of the options."""

    register: str = AUTO
    portgroups: Sequence[Mapping[str, Any]] = ()
    metadata: Sequence[str] = ()
    virtualport: Mapping[str, Any] = field(default_factory=dict)
    vlan: Mapping[str, Any] = field(default_factory=dict)
    trust_guest_rx_filters: bool = False

    def as_options(self) -> dict[str, Any]:
        """The way back to the user's options."""
        return {
            "register": {ALWAYS: True, NEVER: False}.get(self.register, self.register),
            "portgroups": [dict(one) for one in self.portgroups],
            "metadata": list(self.metadata),
            "virtualport": dict(self.virtualport),
            "vlan": dict(self.vlan),
            "trust_guest_rx_filters": self.trust_guest_rx_filters,
        }


def read_libvirt(options: Options) -> Libvirt:
    """Validate; raises InvalidOption."""
    found = Libvirt(
        register=_register(options),
        portgroups=tuple(_portgroups(options)),
        metadata=tuple(_metadata(options)),
        virtualport=_virtualport(options),
        vlan=_vlan(options),
        trust_guest_rx_filters=options.boolean("trust_guest_rx_filters", False),
    )
    options.reject_unknown()
    return found


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
    group, found = options.group("bandwidth"), {}
    for way in ("inbound", "outbound"):
        limits = group.group(way)
        values = {name: limits.integer(name, None, least=1, most=_LARGEST) for name in ("average", "peak", "burst")}
        if limits.raw("floor", None) is not None:
            # networkValidate() in src/network/bridge_driver.c.
            limits.error("floor", "is for bridges that libvirt itself makes; libvirt refuses it with one that is there")
        limits.reject_unknown()
        if any(values.values()):
            found[way] = {name: value for name, value in values.items() if value is not None}
    group.reject_unknown()
    return found


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
