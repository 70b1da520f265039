# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option ``libvirt`` of a network: its registration with libvirt, and settings for the ports of guests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ..core import kinds
from ..core.errors import InvalidOption
from ..core.fields import Kind, OptionTable, option, read_all
from ..core.options import Options, repr_short
from ..libvirt_xml.metadata import parse_metadata
from ..libvirt_xml.values import DEVICE, PARAMETERS_BY_PORT_TYPE, PORT_PARAMETERS, UINT_MAX, without_empty

AUTO, ALWAYS, NEVER = "auto", "true", "false"


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
        name = item.matching("name", DEVICE, "a name of letters, digits and '_.:/\\-'")
        if name in names:
            item.error("name", f"{repr_short(name)} is already a portgroup of this network; each has its own name")
        names.add(name)
        is_default = item.boolean("default", False)
        if is_default and default:
            item.error("default", f"{repr_short(default)} is the default already; there can be one")
        default = name if is_default else default
        yield without_empty(
            {
                "name": name,
                "default": is_default or None,
                "trust_guest_rx_filters": item.boolean("trust_guest_rx_filters", False) or None,
                "virtualport": _virtualport(item),
                "bandwidth": _bandwidth(item),
                "vlan": _vlan(item),
            }
        )
        item.reject_unknown()


def _bandwidth(options: Options) -> dict[str, Any]:
    group, bandwidth = options.group("bandwidth"), {}
    for direction in ("inbound", "outbound"):
        limits = group.group(direction)
        values = {name: limits.integer(name, None, least=1, most=UINT_MAX) for name in ("average", "peak", "burst")}
        if limits.raw("floor", None) is not None:
            # networkValidate() in src/network/bridge_driver.c.
            limits.error("floor", "is for bridges that libvirt itself makes; libvirt refuses it with one that is there")
        limits.reject_unknown()
        bandwidth[direction] = without_empty(values)
    group.reject_unknown()
    return without_empty(bandwidth)


def _vlan(options: Options) -> dict[str, Any]:
    group = options.group("vlan")
    tags = []
    for item in group.each("tags"):
        mode = item.choice("native_mode", ("tagged", "untagged"), "")
        tags.append(without_empty({"id": item.integer("id", least=0, most=4095), "native_mode": mode}))
        item.reject_unknown()
    trunk = group.boolean("trunk", False)
    group.reject_unknown()
    if trunk and not tags:
        group.error("tags", "is required: the numbers of the VLANs")
    # As libvirt completes it (virNetDevVlanParse() in src/conf/netdev_vlan_conf.c).
    return without_empty({"trunk": trunk or len(tags) > 1 or None, "tags": tags})


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
    return without_empty({"type": kind, "parameters": given})


def _as_libvirt_writes(name: str, text: str) -> str:
    if name in ("instanceid", "interfaceid"):
        return str(UUID(text))
    return text if name == "profileid" else str(int(text, 0 if text.startswith("0x") else 10))


def _metadata(options: Options) -> Sequence[str]:
    texts = options.items("metadata")
    namespaces: set[str] = set()
    for i, element in enumerate(parse_metadata(texts, options.at("metadata"))):
        namespace = str(element.tag).partition("}")[0][1:]
        if namespace in namespaces:
            options.error(
                f"metadata[{i}]", f"namespace {repr_short(namespace)} is there already; libvirt keeps one of each"
            )
        namespaces.add(namespace)
    return texts


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
class Libvirt(OptionTable):
    """The option ``libvirt``. Portgroups, virtualport and vlan are plain data in the shape of the options."""

    register: str = option(_REGISTER, AUTO)
    portgroups: Sequence[Mapping[str, Any]] = option(_PORTGROUPS, ())
    metadata: Sequence[str] = option(_METADATA, ())
    virtualport: Mapping[str, Any] = option(_VIRTUALPORT, {})
    vlan: Mapping[str, Any] = option(_VLAN, {})
    trust_guest_rx_filters: bool = option(kinds.boolean, False)


def read_libvirt(options: Options) -> Libvirt:
    """The option ``libvirt``; raises InvalidOption."""
    return read_all(Libvirt, options)
