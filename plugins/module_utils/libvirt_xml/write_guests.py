# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing what libvirt configures on the ports of guests: portgroups, virtualport, vlan, bandwidth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .fields import PORTGROUP, PORTGROUP_LIMITS, VLAN_TAG, Field, attributes_for, is_allowed
from .parse import Element, add_element, add_element_of, etree
from .values import PARAMETERS_BY_PORT_TYPE, PORT_PARAMETERS, mappings_in, schema_text


def write_portgroup(root: Element, group: Mapping[str, Any]) -> None:
    """Append <portgroup>."""
    attributes = attributes_for(group, PORTGROUP)
    if attributes:
        element = add_element(root, "portgroup", **attributes)
        write_port_settings(element, group)
        write_bandwidth(element, group.get("bandwidth"), PORTGROUP_LIMITS)


def write_port_settings(parent: Element, group: Mapping[str, Any]) -> None:
    """Append <virtualport> and <vlan>, of a network or of a portgroup."""
    port, vlan = group.get("virtualport"), group.get("vlan")
    if isinstance(port, Mapping):
        _virtualport(parent, port)
    if isinstance(vlan, Mapping):
        _vlan(parent, vlan)


def _virtualport(parent: Element, port: Mapping[str, Any]) -> None:
    kind, parameters = port.get("type"), port.get("parameters") or {}
    if kind not in PARAMETERS_BY_PORT_TYPE or not isinstance(parameters, Mapping):
        return
    if not set(parameters) <= set(PARAMETERS_BY_PORT_TYPE[kind]):
        return
    attributes = {name: schema_text(str(value), PORT_PARAMETERS[name]) for name, value in parameters.items()}
    if None not in attributes.values() and (attributes or kind not in (None, "midonet")):
        element = add_element(parent, "virtualport", type=kind)
        if attributes:
            add_element(element, "parameters", **attributes)


def _vlan(parent: Element, vlan: Mapping[str, Any]) -> None:
    """Append <vlan>, unless the schema does not allow one of the tags."""
    tags = mappings_in(vlan.get("tags"))
    if tags and all(is_allowed(tag, VLAN_TAG) for tag in tags):
        element = add_element(parent, "vlan", trunk="yes" if vlan.get("trunk") is True else None)
        for tag in tags:
            add_element(element, "tag", **attributes_for(tag, VLAN_TAG))


def write_bandwidth(parent: Element, bandwidth: Any, limits: Mapping[str, Sequence[Field]]) -> None:
    """Append <bandwidth> of a network or of a portgroup; ``limits``: the fields by direction."""
    element = etree().Element("bandwidth")
    for direction, fields in limits.items() if isinstance(bandwidth, Mapping) else ():
        add_element_of(element, direction, bandwidth.get(direction), fields)
    if len(element):
        parent.append(element)
