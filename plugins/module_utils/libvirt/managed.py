# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option ``managed_by: libvirt``: a network that is libvirt's own, with its rules and its dnsmasq.

We keep its definition in libvirt, and whether it runs and starts by itself; nothing else of it is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import InvalidOption
from ..core.options import Options
from ..libvirt_xml.convert import to_xml
from ..libvirt_xml.flat import FlatOptions, flatten
from ..libvirt_xml.metadata import NAMESPACE
from ..libvirt_xml.parse import children, etree, parse

OURS, LIBVIRT = "virtnet", "libvirt"

_BESIDE = ("name", "state", "autostart", "persistent", "managed_by", "restart", "xml", "uuid")


def is_managed(options: Options) -> bool:
    """Whether a network is libvirt's own; raises InvalidOption."""
    return bool(options.choice("managed_by", (OURS, LIBVIRT), OURS) == LIBVIRT)


def xml_of_network(options: Options) -> str:
    """The XML that libvirt gets: what the user gave as such, or the other options in libvirt's words.

    Raises InvalidOption: XML that is none, or an option for which libvirt has no word.
    """
    others = {name: value for name, value in options.as_mapping().items() if name not in _BESIDE and value is not None}
    if options.given("xml"):
        if others:
            options.error("xml", f"cannot stand beside {', '.join(others)}; say it in the XML, or leave the XML out")
        root = parse(options.raw("xml"), options.at("xml"))
        if root.tag != "network":
            options.error("xml", f"is a <{root.tag}>; libvirt's networks are <network>")
        given, inside = options.text("name", ""), (root.findtext("name") or "").strip()
        if given and inside and given != inside:
            options.error("name", f"is not the name in the XML, {inside!r}; leave one of them out")
        return str(options.raw("xml"))
    return _written(options, {**others, "name": options.text("name")})


def _written(options: Options, said: Mapping[str, Any]) -> str:
    address = Options(said.get("ipv4") or {}, options.at("ipv4")).raw("address", "auto")
    if said.get("mode") != "bridged" and address == "auto":
        options.error("ipv4.address", "'auto' is not possible with managed_by: libvirt; give an address, or none")
    try:
        xml = to_xml(said)
    except InvalidOption as error:
        options.error(error.path, error.problem)
    return _without_ours(options, xml, flatten(said))


def _without_ours(options: Options, xml: str, said: FlatOptions) -> str:
    """libvirt's words alone; raises InvalidOption for what the user said and libvirt has no word for."""
    root = parse(xml)
    metadata = root.find("metadata")
    every = [] if metadata is None else list(children(metadata))
    for ours in [one for one in every if str(one.tag).startswith(f"{{{NAMESPACE}}}")]:
        for name in (str(option.get("name")) for option in children(ours)):
            if name in said:
                options.error(name, "is nothing that libvirt can do; leave it out, or use managed_by: virtnet")
        metadata.remove(ours)
        if not len(metadata):
            root.remove(metadata)
    return str(etree().tostring(root, encoding="unicode"))


def bridge_in(xml: str) -> str:
    """The bridge that the XML names; '' where libvirt chooses it, or there is none."""
    bridge = parse(xml).find("bridge")
    name = "" if bridge is None else str(bridge.get("name", ""))
    return "" if "%" in name else name


def uuid_in(xml: str) -> str:
    """The UUID that the XML names; '' for none."""
    return (parse(xml).findtext("uuid") or "").strip().lower()


def name_in(xml: str) -> str:
    """The name that the XML names; '' for none."""
    return (parse(xml).findtext("name") or "").strip()
