# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What libvirt does with the guests that it starts, as elements: portgroups, virtualport, vlan, bandwidth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .parse import Element, etree
from .values import DEVICE, PARAMETER, PARAMETERS_OF, UINT, complete, items, number_of, put, text_of


def portgroup(root: Element, group: Mapping[str, Any]) -> None:
    """One portgroup."""
    name = text_of(group.get("name"), DEVICE)
    if name:
        into = put(
            root,
            "portgroup",
            name=name,
            default="yes" if group.get("default") is True else None,
            trustGuestRxFilters="yes" if group.get("trust_guest_rx_filters") is True else None,
        )
        for_port(into, group)
        bandwidth(into, group.get("bandwidth"), ("floor",))


def for_port(into: Element, group: Mapping[str, Any]) -> None:
    """virtualport and vlan."""
    port, vlan = group.get("virtualport"), group.get("vlan")
    if isinstance(port, Mapping):
        _virtualport(into, port)
    if isinstance(vlan, Mapping):
        tags = [(number_of(tag.get("id"), 0, 4095), tag.get("native_mode")) for tag in items(vlan.get("tags"))]
        if tags and all(number and mode in (None, "tagged", "untagged") for number, mode in tags):
            element = put(into, "vlan", trunk="yes" if vlan.get("trunk") is True else None)
            for number, mode in tags:
                put(element, "tag", id=number, nativeMode=mode)


def _virtualport(into: Element, port: Mapping[str, Any]) -> None:
    kind, parameters = port.get("type"), port.get("parameters") or {}
    if (
        kind not in PARAMETERS_OF
        or not isinstance(parameters, Mapping)
        or not set(parameters) <= set(PARAMETERS_OF[kind])
    ):
        return
    good = {name: text_of(str(value), PARAMETER[name]) for name, value in parameters.items()}
    if complete(*good.values()) and (good or kind not in (None, "midonet")):
        element = put(into, "virtualport", type=kind)
        if good:
            put(element, "parameters", **good)


def bandwidth(into: Element, value: Any, inbound_more: Sequence[str]) -> None:
    """Limits for the network or a portgroup."""
    element = etree().Element("bandwidth")
    for way in ("inbound", "outbound"):
        limits = value.get(way) if isinstance(value, Mapping) else None
        names = ("average", "peak", "burst", *(inbound_more if way == "inbound" else ()))
        found = {name: number_of(limits.get(name), 1, UINT) for name in names} if isinstance(limits, Mapping) else {}
        if any(found.values()):
            put(element, way, **found)
    if len(element):
        into.append(element)
