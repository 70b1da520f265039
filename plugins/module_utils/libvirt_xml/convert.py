# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A network as libvirt's XML, both ways.

What libvirt's XML cannot say goes into its <metadata>, in a namespace of ours, option by option, each together with
what the XML says in its place. It counts as long as the XML still says that: who edits the XML is believed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..core.errors import InvalidOption
from ..core.options import shown
from .flat import BESIDE, DEFAULTS, Flat, brief, flat, nested, usual_lease
from .metadata import NAMESPACE, is_ours, parsed_metadata, verbatim_of
from .parse import Checker, Element, children, etree, parse
from .read import read
from .values import Version, put, text_of
from .write import write

_NETWORK, _OPTION = f"{{{NAMESPACE}}}network", f"{{{NAMESPACE}}}option"

# The oldest libvirt that is supported, of Debian 12: what it understands, every newer one does.
OLDEST: Version = (9, 0)


def from_xml(text: str, path: str = "xml", owner: str = "") -> dict[str, Any]:
    """The options of the network that the XML describes, without what is so by default.

    Raises InvalidOption naming element, line and reason for what has no meaning here, and for XML that is none.
    """
    root = parse(text, path, owner)
    checker = Checker(path, owner)
    found = brief(read(root, checker))
    metadata = root.find("metadata")
    if metadata is not None:
        found.update(_foreign(metadata))
        ours = [child for child in children(metadata) if is_ours(child)]
        for element in (option for network in ours for option in children(network)):
            _amend(found, element, checker)
    return nested(brief(found))


def to_xml(options: Mapping[str, Any], version: Version = OLDEST, live: Live | None = None) -> str:
    """The network as XML that libvirt of a version understands, and that its schema finds valid.

    ``live`` are the addresses that ``auto`` stands for at present, by family (``ipv4``, ``ipv6``). Raises
    InvalidOption for an option that is not what it must be to be written.
    """
    wanted = brief(flat(options))
    metadata = wanted.pop("libvirt.metadata", [])
    if wanted.get("mode") == "bridged" and not text_of(wanted.get("bridge.name")):
        raise InvalidOption("bridge.name", "is required with mode bridged: the bridge that is there")
    written = dict(wanted)
    for family, address in (live or {}).items():
        # Of a network that moves leases are shorter, whatever its address is now.
        written.update({f"{family}.address": address, f"{family}.dhcp.lease_time": usual_lease(wanted, family)})
    root = write(written, version)
    foreign = list(parsed_metadata(metadata))
    beside = _beside(wanted, brief(read(root, Checker("options"))))
    library = etree()
    places = _insert(root, len(foreign), beside) if foreign or beside else []
    library.indent(root, "  ")
    # Only now, since their spaces are theirs.
    for place, element in zip(places, foreign):
        element.tail = place.tail
        place.getparent().replace(place, element)
    return str(library.tostring(root, encoding="unicode")) + "\n"


def _beside(wanted: Flat, said: Flat) -> list[dict[str, Any]]:
    """The options that the XML does not say as they are meant: each with what it says instead."""
    differ = sorted(path for path in {*wanted, *said} if wanted.get(path) != said.get(path))
    return [
        {"name": path, "value": wanted.get(path, DEFAULTS.get(path)), "instead": said.get(path, DEFAULTS.get(path))}
        for path in differ
        if path != "name"
    ]


def _insert(root: Element, foreign: int, beside: list[dict[str, Any]]) -> list[Element]:
    """Metadata where libvirt puts it, with what is beside; returns the places for that of others."""
    library = etree()
    metadata = library.Element("metadata")
    places = [library.SubElement(metadata, "place") for _number in range(foreign)]
    if beside:
        ours = library.SubElement(metadata, _NETWORK, nsmap={"virtnet": NAMESPACE})
        for one in beside:
            option = put(ours, _OPTION, name=one["name"])
            if one["instead"] is not None:
                option.set("instead", json.dumps(one["instead"], sort_keys=True))
            option.text = json.dumps(one["value"], sort_keys=True)
    root.insert(1 if root.find("uuid") is None else 2, metadata)
    return places


def _amend(found: Flat, element: Element, checker: Checker) -> None:
    """Take an option that libvirt's XML cannot say."""
    name = element.get("name")
    if element.tag != _OPTION or not name:
        checker.refuse(element, "is not an <option name=...> of virtnet.linux")
    try:
        value = json.loads(element.text or "null")
        instead = json.loads(element.get("instead", "null"))
    except (ValueError, RecursionError):
        checker.refuse(element, f"the value of {shown(name)} is not JSON")
    if name in BESIDE or name == "xml":
        checker.refuse(element, f"{shown(name)} cannot be said here")
    if found.get(name, DEFAULTS.get(name)) == instead:
        found.pop(name, None)
        found.update(flat(nested({name: value})))


def _foreign(metadata: Element) -> Flat:
    around = metadata.nsmap
    verbatim = [verbatim_of(child, around) for child in children(metadata) if not is_ours(child)]
    return {"libvirt.metadata": verbatim} if verbatim else {}


Live = Mapping[str, str]
