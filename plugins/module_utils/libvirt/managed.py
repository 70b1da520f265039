# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option ``managed_by: libvirt``: libvirt itself makes the bridge, the rules and the dnsmasq of the network.

We manage only its definition in libvirt, and whether it runs and starts automatically.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import InvalidOption
from ..core.options import Options
from ..libvirt_xml.convert import to_xml
from ..libvirt_xml.flat import flatten
from ..libvirt_xml.metadata import is_ours
from ..libvirt_xml.parse import children, parse, to_string

OURS, LIBVIRT = "virtnet", "libvirt"

# Options that are given in addition to those of the definition.
_NOT_IN_DEFINITION = ("name", "state", "autostart", "persistent", "managed_by", "restart", "xml", "uuid")


def is_managed(options: Options) -> bool:
    """Whether libvirt itself runs the network; raises InvalidOption."""
    return bool(options.choice("managed_by", (OURS, LIBVIRT), OURS) == LIBVIRT)


def managed_xml(options: Options) -> str:
    """The definition for libvirt: the user's XML, or the other options as XML.

    Raises InvalidOption for XML that is not a network, and for an option for which libvirt's XML has no element.
    """
    given = options.as_mapping()
    others = {name: value for name, value in given.items() if name not in _NOT_IN_DEFINITION and value is not None}
    if options.given("xml"):
        if others:
            options.error(
                "xml", f"cannot be combined with {', '.join(others)}; write that into the XML, or leave the XML out"
            )
        root = parse(options.raw("xml"), options.at("xml"))
        if root.tag != "network":
            options.error("xml", f"is a <{root.tag}>; libvirt's networks are <network>")
        name, name_in_xml = options.text("name", ""), (root.findtext("name") or "").strip()
        if name and name_in_xml and name != name_in_xml:
            options.error("name", f"is not the name in the XML, {name_in_xml!r}; leave one of them out")
        return str(options.raw("xml"))
    return _xml_of_options(options, {**others, "name": options.text("name")})


def _xml_of_options(options: Options, values: Mapping[str, Any]) -> str:
    """The options as XML without our metadata; raises InvalidOption for a given option that only that can hold."""
    address = Options(values.get("ipv4") or {}, options.at("ipv4")).raw("address", "auto")
    if values.get("mode") != "bridged" and address == "auto":
        options.error("ipv4.address", "'auto' is not possible with managed_by: libvirt; give an address, or none")
    try:
        xml = to_xml(values)
    except InvalidOption as error:
        options.error(error.path, error.problem)
    root, flat = parse(xml), flatten(values)
    # It is written for what our own networks do; no option asks libvirt for it.
    root.attrib.pop("ipv6", None)
    for ours in list(filter(is_ours, root.iterfind("metadata/*"))):
        for option in children(ours):
            if option.get("name") in flat:
                options.error(
                    option.get("name"), "is not possible with libvirt; leave it out, or use managed_by: virtnet"
                )
        metadata = ours.getparent()
        metadata.remove(ours)
        if not len(metadata):
            root.remove(metadata)
    return to_string(root)


def bridge_in(xml: str) -> str:
    """The name of the bridge in the XML; '' where libvirt chooses it, and for a network without a bridge."""
    bridge = parse(xml).find("bridge")
    name = "" if bridge is None else str(bridge.get("name", ""))
    return "" if "%" in name else name


def uuid_in(xml: str) -> str:
    """The UUID in the XML; '' for none."""
    return (parse(xml).findtext("uuid") or "").strip().lower()


def name_in(xml: str) -> str:
    """The name in the XML; '' for none."""
    return (parse(xml).findtext("name") or "").strip()
