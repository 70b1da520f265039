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
from ..core.fields import Kind, OptionTable, option, read_all, required, write
from ..core.options import Options, repr_short
from ..libvirt_xml.metadata import parse_metadata
from ..libvirt_xml.values import DEVICE, PARAMETERS_BY_PORT_TYPE, PORT_PARAMETERS, UINT_MAX, without_empty

AUTO, ALWAYS, NEVER = "auto", "true", "false"
_PORTGROUP_WORDS = "a name of letters, digits and '_.:/\\-'"


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
        name = item.matching("name", DEVICE, _PORTGROUP_WORDS)
        if name in names:
            item.error("name", f"{repr_short(name)} is already a portgroup of this network; each has its own name")
        names.add(name)
        is_default = item.boolean("default", False)
        if is_default and default:
            item.error("default", f"{repr_short(default)} is the default already; there can be one")
        default = name if is_default else default
        values = write(read_all(_Portgroup, item, name=name))
        yield without_empty({option: value or None for option, value in values.items()})


def _limits(options: Options) -> dict[str, Any]:
    if options.raw("floor", None) is not None:
        # networkValidate() in src/network/bridge_driver.c.
        options.error("floor", "is for bridges that libvirt itself makes; libvirt refuses it with one that is there")
    return without_empty(write(read_all(_PortLimit, options)))


def _tags(options: Options, name: str) -> list[dict[str, Any]]:
    return [without_empty(write(read_all(_VlanTag, item))) for item in options.each(name)]


def _vlan(options: Options, name: str) -> dict[str, Any]:
    group = options.group(name)
    vlan = read_all(_Vlan, group)
    if vlan.trunk and not vlan.tags:
        group.error("tags", "is required: the numbers of the VLANs")
    # As libvirt completes it (virNetDevVlanParse() in src/conf/netdev_vlan_conf.c).
    return without_empty({"trunk": vlan.trunk or len(vlan.tags) > 1 or None, "tags": list(vlan.tags)})


def _virtualport(options: Options, name: str) -> dict[str, Any]:
    group = options.group(name)
    kind = _PORT_TYPE.read(group, "type") if group.given("type") else None
    parameters = group.group("parameters")
    given: dict[str, str] = {}
    for parameter in PARAMETERS_BY_PORT_TYPE[kind]:
        text = parameters.matching(parameter, PORT_PARAMETERS[parameter], f"a value for {parameter}", "")
        if text:
            given[parameter] = _as_libvirt_writes(parameter, text)
    parameters.reject_unknown()
    group.raw("type", None)
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


@dataclass(frozen=True)
class _PortLimit:
    average: int | None = option(kinds.integer(1, UINT_MAX), None)
    peak: int | None = option(kinds.integer(1, UINT_MAX), None)
    burst: int | None = option(kinds.integer(1, UINT_MAX), None)


_LIMIT: Kind[Mapping[str, Any]] = Kind(lambda options, name: _limits(options.group(name)), "dict", table=_PortLimit)


@dataclass(frozen=True)
class _PortBandwidth:
    inbound: Mapping[str, Any] = option(_LIMIT, {})
    outbound: Mapping[str, Any] = option(_LIMIT, {})


@dataclass(frozen=True)
class _VlanTag:
    id: int = required(kinds.integer(0, 4095))
    native_mode: str = option(kinds.choice("tagged", "untagged"), "")


@dataclass(frozen=True)
class _Vlan:
    trunk: bool = option(kinds.boolean, False)
    tags: Sequence[Mapping[str, Any]] = option(Kind(_tags, "list", elements="dict", table=_VlanTag), ())


def _parameter(name: str) -> str:
    return option(kinds.matching(PORT_PARAMETERS[name], f"a value for {name}"), "")


@dataclass(frozen=True)
class _PortParameters:
    managerid: str = _parameter("managerid")
    typeid: str = _parameter("typeid")
    typeidversion: str = _parameter("typeidversion")
    instanceid: str = _parameter("instanceid")
    profileid: str = _parameter("profileid")
    interfaceid: str = _parameter("interfaceid")


_PORT_TYPE = kinds.choice(*(kind for kind in PARAMETERS_BY_PORT_TYPE if kind))


@dataclass(frozen=True)
class _Virtualport:
    type: str | None = option(_PORT_TYPE, None)
    parameters: _PortParameters = option(kinds.group_by_caller(_PortParameters), _PortParameters())


_VIRTUALPORT: Kind[Mapping[str, Any]] = Kind(_virtualport, "dict", write=dict, table=_Virtualport)
_VLAN: Kind[Mapping[str, Any]] = Kind(_vlan, "dict", write=dict, table=_Vlan)
_BANDWIDTH: Kind[Mapping[str, Any]] = Kind(
    lambda options, name: without_empty(write(read_all(_PortBandwidth, options.group(name)))),
    "dict",
    table=_PortBandwidth,
)


@dataclass(frozen=True)
class _Portgroup:
    name: str = required(kinds.matching(DEVICE, _PORTGROUP_WORDS))
    default: bool = option(kinds.boolean, False)
    trust_guest_rx_filters: bool = option(kinds.boolean, False)
    virtualport: Mapping[str, Any] = option(_VIRTUALPORT, {})
    bandwidth: Mapping[str, Any] = option(_BANDWIDTH, {})
    vlan: Mapping[str, Any] = option(_VLAN, {})


_REGISTER: Kind[str] = Kind(
    lambda options, _name: _register(options),
    choices=(AUTO, ALWAYS, NEVER),
    write=lambda word: {ALWAYS: True, NEVER: False}.get(word, word),
)
_PORTGROUPS: Kind[Sequence[Mapping[str, Any]]] = Kind(
    lambda options, _name: tuple(_portgroups(options)),
    "list",
    elements="dict",
    write=lambda portgroups: [dict(portgroup) for portgroup in portgroups],
    table=_Portgroup,
)
_METADATA: Kind[Sequence[str]] = Kind(
    lambda options, _name: tuple(_metadata(options)), "list", elements="str", write=list
)


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
